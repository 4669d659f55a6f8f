"""A repository of charts: a real HTTPS server with an authority of its own, that does what a test wants to whoever asks."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from skerry.identity.x509 import X509KeyPair, create_ca, issue_server


class Asked(NamedTuple):
    """A request."""

    method: str
    target: str
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """What is sent back."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


Answering = Callable[[Asked, asyncio.StreamWriter], Awaitable[Answer | None]]
"""None: it wrote something itself, and the connection ends."""


class ChartServer:
    """Serves `index` at /index.yaml, and whatever `answering` says instead."""

    def __init__(self, directory: Path) -> None:
        self.ca = create_ca("charts")
        self.directory = directory
        self.index = b"apiVersion: v1\nentries: {}\n"
        self.asked: list[Asked] = []
        self.answering: Answering | None = None
        self.authorization = ""
        """What has to be in that header, if anything."""
        self.port = 0

    @property
    def ca_pem(self) -> str:
        """The authority that its certificate is from."""
        return self.ca.certificate.decode()

    @property
    def url(self) -> str:
        """Below which index.yaml lies."""
        return f"https://localhost:{self.port}/charts"

    def context(self, client_ca: str = "") -> ssl.SSLContext:
        """TLS; with an authority of clients, who then have to show a certificate."""
        pair = issue_server(self.ca, ("127.0.0.1", "localhost"))
        (self.directory / "charts.crt").write_bytes(pair.certificate)
        (self.directory / "charts.key").write_bytes(pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "charts.crt", self.directory / "charts.key")
        if client_ca:
            context.load_verify_locations(cadata=client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                asked = _asked(await reader.readuntil(b"\r\n\r\n"))
                self.asked.append(asked)
                answer = await self._answer(asked, writer)
                if answer is None:
                    break
                headers = {"content-length": str(len(answer.body)), **answer.headers}
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                head = f"HTTP/1.1 {answer.status} Whatever\r\n{lines}\r\n".encode("latin-1")
                writer.write(head + (b"" if asked.method == "HEAD" else answer.body))
                await writer.drain()
        writer.close()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> Answer | None:
        if self.answering is not None:
            return await self.answering(asked, writer)
        return self.usual(asked)

    def usual(self, asked: Asked) -> Answer:
        """The index, by its ETag."""
        if self.authorization and asked.headers.get("authorization") != self.authorization:
            return Answer(401, headers={"www-authenticate": 'Basic realm="charts"'})
        if asked.target != "/charts/index.yaml":
            return Answer(404)
        etag = f'"{sha256(self.index).hexdigest()[:16]}"'
        if asked.headers.get("if-none-match") == etag:
            return Answer(304, headers={"etag": etag})
        return Answer(200, self.index, {"etag": etag, "content-type": "application/yaml"})


@asynccontextmanager
async def chart_server(directory: Path, client_ca: str = "") -> AsyncIterator[ChartServer]:
    """One that listens on this machine; `client_ca` is the authority whose certificates clients have to show."""
    directory.mkdir(exist_ok=True)
    server = ChartServer(directory)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server.context(client_ca))
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def _asked(head: bytes) -> Asked:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines if line)
    return Asked(method, target, {name.lower(): value for name, value in pairs})


def index(charts: Mapping[str, Iterable[str]], digests: Mapping[str, str] = {}) -> bytes:
    """An index.yaml as `helm repo index` writes it; `digests` by `chart-version` are other ones than usual."""
    lines = ["apiVersion: v1", "entries:"]
    for chart, versions in sorted(charts.items()):
        lines.append(f"  {chart}:")
        for version in versions:
            name = f"{chart}-{version}"
            digest = digests.get(name, sha256(name.encode()).hexdigest())
            lines += [
                "  - apiVersion: v2",
                '    appVersion: "1.0"',
                "    created: 2026-01-01T00:00:00Z",
                f"    description: {chart} for tests",
                *([f"    digest: {digest}"] if digest else []),
                f"    name: {chart}",
                "    urls:",
                f"    - {name}.tgz",
                f'    version: "{version}"',
            ]
    return "\n".join([*lines, 'generated: "2026-01-01T00:00:00Z"', ""]).encode()


def client_certificate() -> tuple[str, X509KeyPair]:
    """An authority of clients, and a certificate with its key by it."""
    authority, key = create_ca("clients"), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = serialization.load_pem_private_key(authority.key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "skerry")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    pair = X509KeyPair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
    return authority.certificate.decode(), pair


def tags(names: Iterable[str]) -> bytes:
    """A list of tags as a registry sends it."""
    return msgspec.json.encode({"name": "x", "tags": list(names)})
