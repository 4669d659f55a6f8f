"""TLS of our own: no byte is lost before an end, directions end one by one, and connections that share buffers never mix."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import ssl
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path

import pytest

from skerry.http.errors import Cut, Unreachable
from skerry.http.exchange import Exchange
from skerry.http.raw import Raw
from skerry.http.server import Server
from skerry.http.tls import client_context, names, server_context
from skerry.httpwire.head import RequestHead, ResponseHead
from skerry.identity.x509 import create_ca, issue_server
from tests.http.conftest import Lab, Tls
from tests.http.peers import DEADLINE_S

TAIL_BYTES = int(os.environ.get("SKERRY_TEST_TAIL_MB", "10")) * 1024 * 1024
UPGRADE = RequestHead(method=b"GET", target=b"/exec", headers=[], upgrade=b"SPDY/3.1")
_SWITCH = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"
_ASK = b"GET /exec HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


class Wooden:
    """One side of a TLS connection over a blocking socket that sends exactly what and when a test says."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.sock = sock
        sock.settimeout(DEADLINE_S)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_side, server_hostname=None if server_side else "127.0.0.1"
        )
        self._until(self.ssl.do_handshake)

    def _until(self, act: Callable[[], object]) -> object:
        while True:
            try:
                done = act()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self.incoming.write(data)
                continue
            self._flush()
            return done

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def read(self) -> bytes:
        try:
            data = self._until(lambda: self.ssl.read(65536))
        except ssl.SSLZeroReturnError:
            return b""
        assert isinstance(data, bytes)
        return data

    def sealed(self, data: bytes) -> bytes:
        """`data` encrypted, not sent."""
        view, sent = memoryview(data), 0
        while sent < len(view):
            sent += self.ssl.write(view[sent:])
        return self.outgoing.read()

    def goodbye(self) -> bytes:
        """A close_notify, not sent."""
        with pytest.raises(ssl.SSLWantReadError):
            self.ssl.unwrap()
        return self.outgoing.read()

    def arrived(self) -> None:
        """Waits until the peer's kernel has everything."""
        deadline, left = time.monotonic() + DEADLINE_S, bytearray(4)
        while time.monotonic() < deadline:
            fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, left)
            if not int.from_bytes(left, sys.byteorder):
                return
            select_nothing(0.005)
        raise AssertionError("not everything arrived")

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def select_nothing(seconds: float) -> None:
    """One step of a poll."""
    left, right = socket.socketpair()
    with closing(left), closing(right):
        left.settimeout(seconds)
        with pytest.raises(TimeoutError):
            left.recv(1)


class Door:
    """A listening socket; `serve` runs a blocking talk with one client in a thread."""

    def __init__(self, tls: Tls) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(DEADLINE_S)
        self.port = self.sock.getsockname()[1]
        self._context = tls.server()

    def serve(self, talk: Callable[[Wooden], None]) -> asyncio.Future[None]:
        return asyncio.ensure_future(asyncio.to_thread(self._serve, talk))

    def _serve(self, talk: Callable[[Wooden], None]) -> None:
        sock, _ = self.sock.accept()
        with closing(sock):
            peer = Wooden(sock, self._context, server_side=True)
            while b"\r\n\r\n" not in peer.read():
                pass
            peer.sock.sendall(peer.sealed(_SWITCH))
            talk(peer)


@pytest.fixture
async def lab(tls: Tls) -> AsyncIterator[Lab]:
    """Servers and clients with TLS."""
    async with AsyncExitStack() as stack:
        yield Lab(tls, stack, encrypted=True)


@pytest.fixture
def door(tls: Tls) -> Iterator[Door]:
    made = Door(tls)
    with closing(made.sock):
        yield made


async def _raw(lab: Lab, port: int) -> Raw:
    response = await lab.client(port).request(UPGRADE)
    assert response.raw is not None
    return response.raw


async def _slowly(raw: Raw) -> int:
    """Reads to the end like a reader that is always behind."""
    total = 0
    while data := await raw.read():
        total += len(data)
        await asyncio.sleep(0.002)
    return total


async def test_all_that_came_before_an_immediate_end_reaches_a_slow_reader(lab: Lab, door: Door) -> None:
    """uvloop's own TLS loses the tail (its issue 385); rule 12."""

    def talk(peer: Wooden) -> None:
        peer.sock.sendall(peer.sealed(bytes(TAIL_BYTES)) + peer.goodbye())
        peer.sock.shutdown(socket.SHUT_WR)
        peer.read()

    talking = door.serve(talk)
    raw = await _raw(lab, door.port)
    async with asyncio.timeout(60):
        assert await _slowly(raw) == TAIL_BYTES
    await raw.write_eof()
    await talking


async def _write_on(raw: Raw) -> None:
    while True:
        await raw.write(b"nobody reads this")
        await asyncio.sleep(0)


async def _cut_off(reader: asyncio.StreamReader) -> bool:
    """Waits for an end without a byte before it."""
    async with asyncio.timeout(DEADLINE_S):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize("write", [False, True])
async def test_a_reset_takes_nothing_that_had_arrived(lab: Lab, door: Door, write: bool) -> None:
    """Also if the reset is noticed by a write, while reading is paused."""
    first, second = 64 * 1024, 16 * 1024  # reading pauses, and what follows stays in the kernel, which has room for it

    def talk(peer: Wooden) -> None:
        peer.sock.sendall(peer.sealed(bytes(first)))
        peer.arrived()
        peer.sock.sendall(peer.sealed(bytes(second)) + peer.goodbye())
        peer.arrived()
        peer.reset()

    talking = door.serve(talk)
    raw = await _raw(lab, door.port)
    await talking
    if write:
        with pytest.raises(Cut):
            await _write_on(raw)
    async with asyncio.timeout(DEADLINE_S):
        assert await _slowly(raw) == first + second


async def test_a_reset_without_an_end_is_a_cut_behind_all_that_arrived(lab: Lab, door: Door) -> None:
    def talk(peer: Wooden) -> None:
        peer.sock.sendall(peer.sealed(b"x" * 1000))
        peer.arrived()
        peer.reset()

    talking = door.serve(talk)
    raw = await _raw(lab, door.port)
    await talking
    assert await raw.read() == b"x" * 1000
    with pytest.raises(Cut):
        await raw.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_that_ended_goes_on_reading(lab: Lab, version: ssl.TLSVersion) -> None:
    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        total = 0
        while data := await raw.read():
            total += len(data)
        await raw.write(b"%d " % total * 100_000)
        await raw.write_eof()

    server = await lab.server(handler)
    client = lab.client(server.addresses[0][1])
    assert client._ssl is not None
    client._ssl.maximum_version = version
    raw = (await client.request(UPGRADE)).raw
    assert raw is not None
    await raw.write(bytes(200_000))
    await raw.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        assert await _slowly(raw) == 700_000
        while client.connections:
            await asyncio.sleep(0.01)


async def test_a_server_that_ended_goes_on_reading(lab: Lab) -> None:
    got: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await raw.write_eof()
        got.set_result(await _slowly(raw))

    server = await lab.server(handler)
    raw = await _raw(lab, server.addresses[0][1])
    assert await raw.read() == b""
    await raw.write(bytes(300_000))
    await raw.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        assert await got == 300_000


async def test_a_stalled_peer_holds_little_and_gets_all_when_it_reads(lab: Lab) -> None:
    """Both sides are ours: what is not read yet waits in kernels, and the writer waits with it."""
    size, block = 64 * 1024 * 1024, bytes(1024 * 1024)
    written = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal written
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        while written < size:
            await raw.write(block)
            written += len(block)
        await raw.write_eof()

    server = await lab.server(handler)
    raw = await _raw(lab, server.addresses[0][1])
    last, same = -1, 0
    async with asyncio.timeout(DEADLINE_S):
        while same < 20:
            await asyncio.sleep(0.01)
            same = same + 1 if written == last else 0
            last = written
    assert written < 16 * 1024 * 1024
    total = 0
    async with asyncio.timeout(60):
        while data := await raw.read():
            total += len(data)
    assert total == size
    await raw.close()


async def test_interleaved_connections_in_tiny_pieces_never_mix(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], exchange.head.target * 3000)

    server = await lab.server(handler)

    def talk() -> list[bytes]:
        peers = [
            Wooden(socket.create_connection(server.addresses[0]), lab.tls.client(), server_side=False) for _ in range(5)
        ]
        requests = [
            p.sealed(b"GET /%d HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % i) for i, p in enumerate(peers)
        ]
        for start in range(0, max(map(len, requests)), 7):
            for peer, request in zip(peers, requests, strict=True):
                peer.sock.sendall(request[start : start + 7])
        answers = []
        for peer in peers:
            answer = b""
            while data := peer.read():
                answer += data
            answers.append(answer.partition(b"\r\n\r\n")[2])
            peer.sock.close()
        return answers

    assert await asyncio.to_thread(talk) == [b"/%d" % index * 3000 for index in range(5)]


async def test_broken_tls_cuts_one_connection_with_a_reason_and_no_other(lab: Lab, door: Door) -> None:
    def talk(peer: Wooden) -> None:
        sealed = bytearray(peer.sealed(b"second"))
        sealed[-1] ^= 1
        peer.sock.sendall(bytes(sealed) + b"left behind the error")
        peer.read()

    async def handler(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await raw.write(await raw.read())
        await raw.write_eof()

    server = await lab.server(handler)
    client = lab.client(door.port)
    talking = door.serve(talk)
    response = await client.request(UPGRADE)
    assert response.raw is not None
    with pytest.raises(Cut, match=r"(?i)decrypt"):
        await response.raw.read()
    client.port = server.addresses[0][1]
    other = await client.request(UPGRADE)
    assert other.raw is not None
    await other.raw.write(b"fine")
    assert await other.raw.read() == b"fine"
    await other.release()
    with pytest.raises(ssl.SSLError):
        await talking


async def test_a_handshake_that_does_not_come_is_cut_at_its_deadline(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [])

    server = await lab.server(handler, handshake_s=0.05)
    reader, writer = await asyncio.open_connection(*server.addresses[0])
    assert await _cut_off(reader)
    writer.close()


async def test_rubbish_instead_of_a_handshake_gets_an_alert_and_an_end(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [])

    server = await lab.server(handler)
    reader, writer = await asyncio.open_connection(*server.addresses[0])
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.read())[:1] in (b"\x15", b"")
    writer.close()
    response = await lab.client(server.addresses[0][1]).request(RequestHead(method=b"GET", target=b"/", headers=[]))
    assert response.status == 200


async def test_closing_ends_handshakes_too(lab: Lab) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [])

    server = await lab.server(handler)
    reader, writer = await asyncio.open_connection(*server.addresses[0])
    async with asyncio.timeout(DEADLINE_S):
        while not server._shaking:
            await asyncio.sleep(0.001)
    await server.close()
    assert await _cut_off(reader)
    writer.close()


async def test_a_server_that_leaves_in_the_handshake_is_unreachable(lab: Lab) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    listener = await asyncio.start_server(leave, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable, match="cannot be reached"):
        await lab.client(port).request(RequestHead(method=b"GET", target=b"/", headers=[]))
    listener.close()


async def test_a_server_that_does_not_shake_hands_in_time_is_unreachable(lab: Lab) -> None:
    silent = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    listener = await asyncio.start_server(wait, "127.0.0.1", 0)
    client = lab.client(listener.sockets[0].getsockname()[1], connect_s=0.05)
    with pytest.raises(Unreachable, match="did not accept"):
        await client.request(RequestHead(method=b"GET", target=b"/", headers=[]))
    assert client.connections == 0
    silent.set()
    listener.close()


async def test_a_connection_given_up_in_the_handshake_leaves_nothing_behind(lab: Lab) -> None:
    arrived = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        arrived.set()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    listener = await asyncio.start_server(wait, "127.0.0.1", 0)
    client = lab.client(listener.sockets[0].getsockname()[1])
    asking = asyncio.ensure_future(client.request(RequestHead(method=b"GET", target=b"/", headers=[])))
    await arrived.wait()
    asking.cancel()
    await asyncio.wait((asking,))
    assert client.connections == 0
    listener.close()


async def test_the_handler_sees_the_certificate_of_the_client(tls: Tls) -> None:
    seen: list[bytes | None] = []

    async def handler(exchange: Exchange) -> None:
        connection = exchange.tls_connection
        seen.append(None if connection is None else connection.getpeercert(binary_form=True))
        await exchange.respond(200, [])

    async with AsyncExitStack() as stack:
        lab = Lab(tls, stack, encrypted=True)
        server = await lab.server(handler)
        sock = socket.create_server(("127.0.0.1", 0))
        await server.add(sock, server_context(tls.certificate, tls.key, client_ca=tls.certificate))
        context = client_context(ca_file=tls.certificate)
        context.load_cert_chain(tls.certificate, tls.key)
        client = lab.client(server.addresses[1][1])
        client._ssl = context
        await client.request(RequestHead(method=b"GET", target=b"/", headers=[]))
    assert seen == [ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())]


async def test_the_handler_sees_the_name_that_the_client_asked_for(tls: Tls) -> None:
    seen: list[str] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.server_name)
        await exchange.respond(200, [], b"")

    async with AsyncExitStack() as stack:
        lab = Lab(tls, stack, encrypted=True)
        server = await lab.server(handler)
        for name in ("M1.clusters.example", "127.0.0.1"):
            peer = await lab.named_peer(server, name)
            for _ in range(2):
                await peer.send(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n")
                await peer.answer()
    assert seen == ["m1.clusters.example"] * 2 + [""] * 2


async def test_a_resumed_session_counts_as_the_name_that_it_asks_for_now(tls: Tls) -> None:
    """OpenSSL's callback would say the first name: TLS 1.2 keeps it in the session."""
    seen: list[str] = []

    async def handler(exchange: Exchange) -> None:
        seen.append(exchange.server_name)
        await exchange.respond(200, [(b"connection", b"close")], b"")

    def talk(port: int, name: str, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
            context.wrap_socket(plain, server_hostname=name, session=session) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while secure.recv(4096):
                pass
            return secure.session

    context = tls.client()
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with AsyncExitStack() as stack:
        server = await Lab(tls, stack, encrypted=True).server(handler)
        port = server.addresses[0][1]
        session = await asyncio.to_thread(talk, port, "m1.example", None)
        await asyncio.to_thread(talk, port, "m2.example", session)
    assert seen == ["m1.example", "m2.example"]


@pytest.mark.parametrize("raw_name", ["m1.ex\x01ample", "m1 .example"])
async def test_a_name_that_nobody_can_read_never_becomes_a_connection(tls: Tls, raw_name: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"")

    async with AsyncExitStack() as stack:
        lab = Lab(tls, stack, encrypted=True)
        server = await lab.server(handler)

        async def ask() -> None:
            peer = await lab.named_peer(server, raw_name)
            await peer.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            await peer.answer()

        with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
            await ask()
        assert server.connections == 0


async def test_the_name_chooses_the_certificate(tls: Tls) -> None:
    other = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = issue_server(create_ca("other"), ("m1.example",))
    folder = tls.certificate.parent
    (folder / "other.pem").write_bytes(pair.certificate)
    (folder / "other.key").write_bytes(pair.key)
    other.load_cert_chain(folder / "other.pem", folder / "other.key")

    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, [], b"")

    server = Server(handler, tls.server(), by_name=lambda name: other if name == "m1.example" else None)
    await server.start("127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        lab = Lab(tls, stack, encrypted=True)
        shown = [
            (await lab.named_peer(server, name)).writer.get_extra_info("ssl_object").getpeercert(True)
            for name in ("m1.example", "m2.example", "127.0.0.1")
        ]
    usual = ssl.PEM_cert_to_DER_cert(tls.certificate.read_text())
    assert shown == [ssl.PEM_cert_to_DER_cert(pair.certificate.decode()), usual, usual]


def test_the_names_of_a_certificate_are_read(tmp_path: Path) -> None:
    pair = issue_server(
        create_ca("test"), ("Skerry.example.org", "*.clusters.example.org", "10.1.2.3", "::1", "h" * 60)
    )
    (tmp_path / "chain.pem").write_bytes(pair.certificate + create_ca("other").certificate)
    assert names(tmp_path / "chain.pem") == {
        "skerry.example.org", "*.clusters.example.org", "10.1.2.3", "::1", "h" * 60
    }  # fmt: skip
    for junk in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"):
        (tmp_path / "junk.pem").write_bytes(junk)
        assert names(tmp_path / "junk.pem") == frozenset()
