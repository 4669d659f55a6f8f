"""Posting again and again to a URL that people give: connections are kept, addresses are judged, and no URL is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from skerry.http.destination import LOOKED_UP_S, Destination
from skerry.http.outbound import OutboundError, OutboundPolicy, ServerIdentity
from skerry.httpwire.addresses import AddressPolicy
from tests.http.conftest import Lab
from tests.http.peers import Peer

HERE = OutboundPolicy(addresses=AddressPolicy(private=True, loopback=True), plain_on_loopback=True, max_bytes=8)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answering(raw: bytes, requests: list[bytes] | None = None) -> Callable[[Peer], Awaitable[None]]:
    """A server that answers each request, of five bytes, with these bytes."""

    async def talk(peer: Peer) -> None:
        while head := await peer.line(b"\r\n\r\n"):
            body = await peer.reader.readexactly(5)
            if requests is not None:
                requests.append(head + body)
            await peer.send(raw)

    return talk


def meaning(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def problem(destination: Destination) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await destination.post([], b"hello")
    assert "private" not in str(caught.value)
    await destination.close()
    return caught.value


async def test_requests_follow_each_other_on_one_connection(plain: Lab) -> None:
    requests: list[bytes] = []
    connections = 0

    async def talk(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await answering(OK, requests)(peer)

    upstream = await plain.upstream(talk)
    destination = Destination(f"http://localhost:{upstream.port}/hook?key=private", HERE)
    for _ in range(3):
        posted = await destination.post([(b"webhook-id", b"e1")], b"hello")
        assert (posted.status, posted.body) == (200, b"ok")
    await destination.close()
    assert connections == 1
    assert requests[0].startswith(b"POST /hook?key=private HTTP/1.1\r\nhost: localhost:%d\r\n" % upstream.port)
    assert b"webhook-id: e1\r\n" in requests[0]
    assert requests[2].endswith(b"content-length: 5\r\n\r\nhello")


@pytest.mark.parametrize(
    ("raw", "status", "body"),
    [
        (b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", 302, b""),
        (b"HTTP/1.1 500 No\r\ncontent-length: 100\r\n\r\n" + b"x" * 100, 500, b"x" * 8),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc", 200, b""),
    ],
    ids=["redirect", "long", "encoded"],
)
async def test_every_answer_is_one_and_of_a_long_one_the_beginning(
    plain: Lab, raw: bytes, status: int, body: bytes
) -> None:
    upstream = await plain.upstream(answering(raw))
    destination = Destination(f"http://127.0.0.1:{upstream.port}/", HERE)
    for _ in range(2):
        posted = await destination.post([], b"hello")
        assert (posted.status, posted.body) == (status, body)
    await destination.close()


async def test_an_address_that_may_not_be_dialled_is_not_whatever_it_is_called() -> None:
    for address, why in (("169.254.169.254", "metadata"), ("::ffff:169.254.169.254", "metadata"), ("fe80::1", "link")):
        error = await problem(Destination("https://hook.example/private", HERE, resolve=meaning(address)))
        assert error.problem == "Address"
        assert why in str(error)
    error = await problem(Destination("http://hook.example/private", HERE, resolve=meaning("10.0.0.1")))
    assert error.problem == "Address"


async def test_a_name_that_comes_to_mean_something_else_is_judged_anew(plain: Lab) -> None:
    upstream, clock, answers = await plain.upstream(answering(OK)), Clock(), [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    destination = Destination(f"http://hook.example:{upstream.port}/", HERE, resolve=resolve, clock=clock)
    await destination.post([], b"hello")
    clock.now = LOOKED_UP_S - 1
    await destination.post([], b"hello")
    clock.now = LOOKED_UP_S
    assert (await problem(destination)).problem == "Address"


async def test_the_next_address_is_dialled_where_one_takes_no_connection(plain: Lab) -> None:
    upstream = await plain.upstream(answering(OK))
    destination = Destination(
        f"http://hook.example:{upstream.port}/", HERE, resolve=meaning("127.0.0.2", "127.0.0.1"),
    )  # fmt: skip
    assert (await destination.post([], b"hello")).status == 200
    await destination.close()


async def test_connections_to_an_address_that_is_no_longer_meant_end(plain: Lab) -> None:
    upstream, clock, answers = await plain.upstream(answering(OK)), Clock(), [["127.0.0.1"], ["127.0.0.2"]]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    destination = Destination(f"http://hook.example:{upstream.port}/", HERE, resolve=resolve, clock=clock)
    await destination.post([], b"hello")
    clock.now = LOOKED_UP_S
    assert (await problem(destination)).problem == "Unreachable"


async def test_who_does_not_answer_in_time_or_as_a_whole_or_in_http_is_told(plain: Lab) -> None:
    async def silent(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await asyncio.Event().wait()

    async def gone(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        peer.writer.close()

    async def strange(peer: Peer) -> None:
        await peer.line(b"\r\n\r\n")
        await peer.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")

    for talk, expected in ((silent, "Timeout"), (gone, "Unreachable"), (strange, "Protocol")):
        upstream = await plain.upstream(talk)
        policy = HERE._replace(deadline_s=0.3)
        error = await problem(Destination(f"http://127.0.0.1:{upstream.port}/private", policy))
        assert error.problem == expected


async def test_a_name_that_means_nothing_and_a_port_of_nobody_are_told() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    assert (await problem(Destination("https://hook.example/private", HERE, resolve=resolve))).problem == "Name"
    assert (await problem(Destination("https://127.0.0.1:1/private", HERE))).problem == "Unreachable"


def test_what_is_no_url_and_no_authority_is_told_before_anything_is_sent() -> None:
    with pytest.raises(OutboundError) as caught:
        Destination("ftp://hook.example/", HERE)
    assert caught.value.problem == "URL"
    with pytest.raises(OutboundError) as caught:
        Destination("https://hook.example/", HERE, ServerIdentity("no pem"))
    assert caught.value.problem == "TLS"
    assert Destination("https://[::1]/a?private", HERE).shown == "https://[::1]:443"
