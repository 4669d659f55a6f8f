"""Fetching from addresses that people give: what was judged is what is dialled, and nothing costs more than the policy says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from io import BytesIO
from ipaddress import ip_network
from pathlib import Path

import pytest

from skerry.http.outbound import Fetched, OutboundError, OutboundPolicy, fetch, origin_of, resolved
from skerry.http.tls import server_context
from skerry.httpwire.addresses import AddressPolicy
from skerry.identity.x509 import create_ca, issue_server
from tests.http.conftest import Lab
from tests.http.peers import Peer, Upstream

HERE = OutboundPolicy(addresses=AddressPolicy(private=True, loopback=True), plain_on_loopback=True)
HASTY = HERE._replace(deadline_s=0.5)


def answering(
    raw: bytes, *, then: Callable[[Peer], Awaitable[None]] | None = None
) -> Callable[[Peer], Awaitable[None]]:
    """A server that answers each request with these bytes."""

    async def talk(peer: Peer) -> None:
        while await peer.line(b"\r\n\r\n"):
            await peer.send(raw)
            if then is not None:
                await then(peer)

    return talk


def body(text: bytes, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(text), text)


def meaning(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def problem(fetching: Awaitable[Fetched]) -> str:
    with pytest.raises(OutboundError) as caught:
        await fetching
    return caught.value.problem


URLS = (
    "", "idp.example.com", "ftp://idp.example.com/", "file:///etc/passwd", "https://", "https:///path", "https://a b/",
    "https://a/\r\nHost: b", "https://user@idp.example.com/", "https://user:pw@idp.example.com/", "https://a#b",
    "https://a:99999/", "https://a:x/", "https://[::1/", "https://é.example/", "https://a/\x00", "https://a%2f/",
    "https://a/<>", "https://" + "a" * 2100, "HTTPS//a", "//a/b", "javascript:alert(1)", "https://a\\@b/",
)  # fmt: skip


@pytest.mark.parametrize("url", URLS)
def test_what_is_no_url_is_told_before_anything_is_resolved(url: str) -> None:
    with pytest.raises(OutboundError) as caught:
        origin_of(url)
    assert caught.value.problem == "URL"


def test_a_url_is_read_into_its_parts() -> None:
    assert origin_of("https://idp.example.com") == ("https", "idp.example.com", 443, b"/", b"idp.example.com")
    assert origin_of("http://[::1]:8080/a?b=c") == ("http", "::1", 8080, b"/a?b=c", b"[::1]:8080")


async def test_an_answer_is_fetched(plain: Lab) -> None:
    heads: list[bytes] = []

    async def talk(peer: Peer) -> None:
        heads.append(await peer.line(b"\r\n\r\n"))
        await peer.send(body(b'{"a": 1}'))

    upstream = await plain.upstream(talk)
    fetched = await fetch(f"http://127.0.0.1:{upstream.port}/x?y=1", HERE)
    assert (fetched.body, fetched.address) == (b'{"a": 1}', "127.0.0.1")
    assert heads[0].startswith(b"GET /x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % upstream.port)
    assert b"authorization" not in heads[0]
    assert b"cookie" not in heads[0]


@pytest.mark.parametrize(
    "addresses",
    [("169.254.169.254",), ("::ffff:169.254.169.254", "fe80::1"), ("0.0.0.0",), ("224.0.0.1",), ()],
    ids=["metadata", "mapped", "unspecified", "multicast", "none"],
)
async def test_an_address_that_may_not_be_dialled_is_not(addresses: tuple[str, ...]) -> None:
    assert await problem(fetch("https://idp.example.com/", HERE, resolve=meaning(*addresses))) == "Address"


async def test_private_addresses_and_this_machine_need_leave() -> None:
    strict = OutboundPolicy()
    assert await problem(fetch("https://idp.example.com/", strict, resolve=meaning("10.0.0.1"))) == "Address"
    assert await problem(fetch("https://idp.example.com/", strict, resolve=meaning("127.0.0.1"))) == "Address"


async def test_http_is_for_this_machine_alone() -> None:
    assert await problem(fetch("http://idp.example.com/", HERE, resolve=meaning("10.0.0.1"))) == "Address"
    without = HERE._replace(plain_on_loopback=False)
    assert await problem(fetch("http://127.0.0.1/", without)) == "Address"


async def test_a_name_that_means_something_else_a_moment_later_reaches_what_was_judged(plain: Lab) -> None:
    upstream = await plain.upstream(answering(body(b"judged")))
    answers = iter((["127.0.0.1"], ["169.254.169.254"]))
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    fetched = await fetch(f"http://rebinding.test:{upstream.port}/", HERE, resolve=rebinding)
    assert fetched.body == b"judged"
    assert asked == ["rebinding.test"]


async def test_of_several_addresses_the_next_is_tried_and_a_refused_one_never(plain: Lab) -> None:
    upstream = await plain.upstream(answering(body(b"second")))
    with socket.socket() as unused:
        unused.bind(("127.0.0.2", upstream.port))  # bound, and nobody listens
        resolve = meaning("169.254.169.254", "127.0.0.2", "127.0.0.1")
        fetched = await fetch(f"http://idp.test:{upstream.port}/", HERE, resolve=resolve)
    assert (fetched.body, fetched.address) == (b"second", "127.0.0.1")


async def test_nobody_listens_and_a_name_that_is_none() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert await problem(fetch(f"http://127.0.0.1:{port}/", HERE)) == "Unreachable"

    async def nobody(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert await problem(fetch("https://idp.invalid/", HERE, resolve=nobody)) == "Name"


async def test_the_system_resolves_names() -> None:
    assert await resolved("127.0.0.1", 1) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (body(b"", b"302 Found", b"location: http://169.254.169.254/\r\n"), "Redirect"),
        (body(b"", b"308 Permanent Redirect", b"location: /other\r\n"), "Redirect"),
        (body(b"", b"304 Not Modified"), "Status"),
        (body(b"no", b"404 Not Found"), "Status"),
        (body(b"no", b"500 Internal Server Error"), "Status"),
        (body(b"no", b"204 No Content"), "Status"),
        (body(b"\x1f\x8b", headers=b"content-encoding: gzip\r\n"), "Protocol"),
        (b"rubbish\r\n\r\n", "Protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", "Protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2097152\r\n\r\n" + b"a" * 2097152, "TooLarge"),
    ],
    ids=["302", "308", "304", "404", "500", "204", "gzip", "rubbish", "two lengths", "too large"],
)
async def test_what_is_no_whole_answer_says_why(plain: Lab, raw: bytes, expected: str) -> None:
    upstream = await plain.upstream(answering(raw))
    assert await problem(fetch(f"http://127.0.0.1:{upstream.port}/", HERE)) == expected


async def test_a_body_is_written_into_a_file_up_to_the_limit(plain: Lab) -> None:
    upstream = await plain.upstream(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"))
    url, file = f"http://127.0.0.1:{upstream.port}/", BytesIO()
    fetched = await fetch(url, HERE, into=file)
    assert (fetched.body, file.getvalue()) == (b"", b"hello")
    assert await problem(fetch(url, HERE._replace(max_bytes=4), into=BytesIO())) == "TooLarge"


async def test_an_endless_body_is_cut_at_the_limit(plain: Lab) -> None:
    async def more(peer: Peer) -> None:
        while not peer.writer.transport.is_closing():
            await peer.send(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")

    raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    upstream = await plain.upstream(answering(raw, then=more))
    small = HERE._replace(max_bytes=100_000)
    assert await problem(fetch(f"http://127.0.0.1:{upstream.port}/", small)) == "TooLarge"


async def test_the_deadline_holds_for_everything(plain: Lab) -> None:
    async def trickle(peer: Peer) -> None:
        while not peer.writer.transport.is_closing():
            await peer.send(b"1\r\na\r\n")
            await asyncio.sleep(0.05)

    async def for_ever(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    slow = await plain.upstream(answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", then=trickle))
    mute = await plain.upstream(answering(b""))
    assert await problem(fetch(f"http://127.0.0.1:{slow.port}/", HASTY)) == "Timeout"
    assert await problem(fetch(f"http://127.0.0.1:{mute.port}/", HASTY)) in ("Timeout", "Protocol")
    assert await problem(fetch("http://127.0.0.1/", HASTY, resolve=for_ever)) == "Timeout"


async def test_tls_is_to_the_name_by_the_given_authority(plain: Lab, tmp_path: Path) -> None:
    ours, others = create_ca("idp"), create_ca("other")
    pair = issue_server(ours, ("idp.test",))
    (tmp_path / "c").write_bytes(pair.certificate)
    (tmp_path / "k").write_bytes(pair.key)
    upstream = Upstream(answering(body(b"secure")))
    await upstream.start(server_context(tmp_path / "c", tmp_path / "k"))
    try:
        resolve = meaning("127.0.0.1")
        url = f"https://idp.test:{upstream.port}/"
        fetched = await fetch(url, HERE, ca_pem=ours.certificate.decode(), resolve=resolve)
        assert fetched.body == b"secure"
        other_name = f"https://other.test:{upstream.port}/"
        assert await problem(fetch(other_name, HERE, ca_pem=ours.certificate.decode(), resolve=resolve)) == "TLS"
        assert await problem(fetch(url, HERE, ca_pem=others.certificate.decode(), resolve=resolve)) == "TLS"
        assert await problem(fetch(url, HERE, resolve=resolve)) == "TLS"
        assert await problem(fetch(url, HERE, ca_pem="no PEM", resolve=resolve)) == "TLS"
        plain_server = await plain.upstream(answering(body(b"plain")))
        url = f"https://127.0.0.1:{plain_server.port}/"
        assert await problem(fetch(url, HASTY, ca_pem=ours.certificate.decode())) in ("TLS", "Timeout")
    finally:
        await upstream.close()


def telling(heads: list[bytes], *answers: bytes) -> Callable[[Peer], Awaitable[None]]:
    """A server that keeps the heads of requests, and gives these answers one after the other."""
    left = list(answers)

    async def talk(peer: Peer) -> None:
        while head := await peer.line(b"\r\n\r\n"):
            heads.append(head)
            await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return talk


def elsewhere(location: str) -> bytes:
    return body(b"", b"302 Found", f"location: {location}\r\n".encode())


FOLLOWING = HERE._replace(redirects=3)
SECRET = [(b"authorization", b"Basic c2VjcmV0")]


async def test_a_redirect_is_followed_where_the_policy_says_so_and_credentials_stay_with_their_origin(
    plain: Lab,
) -> None:
    heads: list[bytes] = []
    others: list[bytes] = []
    other = await plain.upstream(telling(others, body(b"there")))
    first = await plain.upstream(telling(heads, elsewhere("/b?c=d#e"), elsewhere(f"http://127.0.0.1:{other.port}/x")))
    fetched = await fetch(
        f"http://127.0.0.1:{first.port}/a", FOLLOWING, credentials=SECRET, headers=[(b"if-none-match", b'"1"')]
    )
    assert fetched.body == b"there"
    assert [head.split(b" ")[1] for head in heads + others] == [b"/a", b"/b?c=d", b"/x"]
    assert [b"c2VjcmV0" in head for head in heads + others] == [True, True, False]
    assert all(b'if-none-match: "1"' in head for head in heads + others)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("http://169.254.169.254/latest", "Address"),
        ("http://[::ffff:169.254.169.254]/", "Address"),
        ("file:///etc/passwd", "URL"),
        ("http://user:pw@127.0.0.1/", "URL"),
        ("http://[::1", "Redirect"),
        ("/again", "Redirect"),
        ("\x01", "Protocol"),
    ],
)
async def test_each_hop_is_judged_as_the_first(plain: Lab, location: str, expected: str) -> None:
    upstream = await plain.upstream(telling([], elsewhere(location)))
    assert await problem(fetch(f"http://127.0.0.1:{upstream.port}/", FOLLOWING)) == expected


async def test_a_redirect_does_not_lead_from_https_to_http(tmp_path: Path) -> None:
    ours = create_ca("idp")
    pair = issue_server(ours, ("idp.test",))
    (tmp_path / "c").write_bytes(pair.certificate)
    (tmp_path / "k").write_bytes(pair.key)
    upstream = Upstream(answering(elsewhere("http://127.0.0.1/")))
    await upstream.start(server_context(tmp_path / "c", tmp_path / "k"))
    try:
        url = f"https://idp.test:{upstream.port}/"
        policy = FOLLOWING._replace(plain=True)
        fetching = fetch(url, policy, ca_pem=ours.certificate.decode(), resolve=meaning("127.0.0.1"))
        assert await problem(fetching) == "Redirect"
    finally:
        await upstream.close()


async def test_an_answer_that_is_expected_is_no_failure(plain: Lab) -> None:
    upstream = await plain.upstream(answering(body(b"", b"304 Not Modified", b'etag: "1"\r\n')))
    fetched = await fetch(f"http://127.0.0.1:{upstream.port}/", HERE, statuses=(200, 304))
    assert (fetched.status, fetched.body) == (304, b"")
    refused = await plain.upstream(answering(body(b"no", b"401 Unauthorized")))
    with pytest.raises(OutboundError) as caught:
        await fetch(f"http://127.0.0.1:{refused.port}/", HERE)
    assert (caught.value.problem, caught.value.status) == ("Status", 401)


async def test_networks_and_names_that_somebody_allowed_are_dialled(plain: Lab) -> None:
    upstream = await plain.upstream(answering(body(b"ours")))
    url = f"http://repo.test:{upstream.port}/"
    resolve = meaning("127.0.0.1")
    named = OutboundPolicy(addresses=AddressPolicy(networks=(ip_network("127.0.0.0/8"),)), plain=True)
    assert (await fetch(url, named, resolve=resolve)).body == b"ours"
    assert await problem(fetch(url, named._replace(plain=False), resolve=resolve)) == "Address"
    private = OutboundPolicy(private_hosts=frozenset(("repo.test",)), plain=True, deadline_s=0.5)
    assert await problem(fetch(url, private, resolve=resolve)) == "Address"
    assert await problem(fetch("http://repo.test:1/", private, resolve=meaning("10.255.255.1"))) != "Address"
    assert await problem(fetch("http://other.test:1/", private, resolve=meaning("10.255.255.1"))) == "Address"
