"""Fixtures of the shells: every test runs on asyncio and on uvloop, the loop that ships."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from skerry.http.client import AdmitRequest, Client
from skerry.http.exchange import RequestHandler
from skerry.http.limits import ClientLimits, ServerLimits
from skerry.http.server import Server
from skerry.http.tls import client_context, server_context
from tests.http.peers import Peer, Upstream


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops for every test here; one for those whose server is a process with a loop of its own."""
    if item.get_closest_marker("own_loop"):
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Tls:
    """A certificate for 127.0.0.1 and contexts that use it."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.certificate, self.key = certificate, key

    def server(self) -> ssl.SSLContext:
        return server_context(self.certificate, self.key)

    def client(self) -> ssl.SSLContext:
        return client_context(ca_file=self.certificate)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A self-signed certificate of this test run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "skerry test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Tls(folder / "cert.pem", folder / "key.pem")


class Lab:
    """Starts servers, clients and raw peers, and closes them after the test."""

    def __init__(self, tls: Tls, stack: AsyncExitStack, *, encrypted: bool) -> None:
        self.tls = tls
        self.encrypted = encrypted
        self._stack = stack

    async def server(self, handler: RequestHandler, **limits: Any) -> Server:
        server = Server(handler, self.tls.server() if self.encrypted else None, ServerLimits(**limits))
        await server.start("127.0.0.1", 0)
        self._stack.push_async_callback(server.close)
        return server

    async def upstream(self, talk: Callable[[Peer], Awaitable[None]]) -> Upstream:
        upstream = Upstream(talk)
        await upstream.start(self.tls.server() if self.encrypted else None)
        self._stack.push_async_callback(upstream.close)
        return upstream

    def client(self, port: int, admit: AdmitRequest | None = None, **limits: Any) -> Client:
        context = self.tls.client() if self.encrypted else None
        client = Client("127.0.0.1", port, context, ClientLimits(**limits), admit=admit)
        self._stack.push_async_callback(client.close)
        return client

    async def peer(self, server: Server) -> Peer:
        return await self._peer(server, self.tls.client() if self.encrypted else None)

    async def named_peer(self, server: Server, name: str) -> Peer:
        """A peer that asks for `name` in TLS and takes whatever certificate it is shown."""
        context = self.tls.client()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return await self._peer(server, context, name)

    async def _peer(self, server: Server, context: ssl.SSLContext | None, name: str = "127.0.0.1") -> Peer:
        peer = await Peer.connect(server.addresses[0][1], context, name)
        self._stack.push_async_callback(peer.close)
        return peer


@pytest.fixture(params=["plain", "tls"])
async def lab(request: pytest.FixtureRequest, tls: Tls) -> AsyncIterator[Lab]:
    """Servers and clients, with TLS and without."""
    async with AsyncExitStack() as stack:
        yield Lab(tls, stack, encrypted=request.param == "tls")


@pytest.fixture
async def plain(tls: Tls) -> AsyncIterator[Lab]:
    """Servers and clients without TLS, where TLS makes no difference."""
    async with AsyncExitStack() as stack:
        yield Lab(tls, stack, encrypted=False)
