"""`host:port` as people write it, and what is then listened on."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from skerry.http import Exchange, Server
from skerry.http.listening import listen, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8443", ("127.0.0.1", 8443)),
        ("[::1]:0", ("::1", 0)),
        (":8443", ("", 8443)),
        ("host.example:1", ("host.example", 1)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "8443", "host:", "host:http", "host:70000", "host:\u00b2", "::1:8443", "[host]:1"]
)
def test_what_is_no_address_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="for all addresses, :8443"):
        parse_address(text)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.integration
async def test_an_empty_host_is_listened_on_in_every_family() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(204, [], b"")

    server = Server(handler)
    await server.start("", 0)
    port = server.addresses[0][1]
    try:
        for host in ["127.0.0.1", *(["::1"] if _has_ipv6() else [])]:
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            writer.close()
            await writer.wait_closed()
    finally:
        await server.close()


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
async def test_a_family_that_the_machine_lacks_is_not_missed_where_any_will_do(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class NoIpv6(socket.socket):
        def bind(self, address: object) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(number, "no such family")
            super().bind(address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "socket", NoIpv6)
    sockets = await listen("", 0)
    assert [sock.family for sock in sockets] == [socket.AF_INET]
    sockets[0].close()
    with pytest.raises(OSError, match="no such family"):
        await listen("::1", 0)


async def test_a_port_that_is_taken_is_an_error_and_leaves_no_socket() -> None:
    (taken,) = await listen("127.0.0.1", 0)
    taken.listen()
    with taken, pytest.raises(OSError, match="in use"):
        await listen("", taken.getsockname()[1])
