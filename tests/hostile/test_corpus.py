"""The corpus against the real proxy, with the member behind a real agent relay, and directly: a clear Status or harmless.

What proves it is the member's own record: every request that arrived carries exactly the identity that the host gave
it, whatever the request said, and nothing arrived that was refused or smuggled.
"""

from __future__ import annotations

import asyncio

import pytest

from skerry.httpwire.head import RequestHead
from tests.fixtures.nats import eventually
from tests.hostile.conftest import MODES, RAW_MODES, Sea
from tests.hostile.corpus import ANSWERS, CASES, UPGRADE_ANSWERS, Case
from tests.http.peers import Peer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

IDENTITY = [
    (b"authorization", b"Bearer the-agents-own-token"),
    (b"impersonate-extra-skerry.dev%2fuser", b"admin"),
    (b"impersonate-group", b"skerry:cluster-admin"),
    (b"impersonate-user", b"skerry:admin"),
    (b"x-forwarded-for", b"127.0.0.1"),
]
OWN = frozenset((b"host", b"audit-id", b"content-length", b"transfer-encoding"))
"""Headers that the last hop makes itself."""
STAYS = frozenset((b"connection", b"upgrade"))


def prepared(sea: Sea, raw: bytes, member: str) -> bytes:
    """A row for one member."""
    return raw.replace(b"@T@", sea.world.admin).replace(b"@M@", b"/clusters/" + member.encode())


def assert_identity(head: RequestHead, case: Case) -> None:
    """The member saw the host's identity and the headers that the row keeps, and nothing else."""
    rest = [pair for pair in head.headers if pair[0] not in OWN]
    if head.upgrade is not None:
        rest = [pair for pair in rest if pair[0] not in STAYS]
    assert sorted(rest) == sorted([*IDENTITY, *case.kept])
    assert len([name for name, _ in head.headers if name == b"audit-id"]) == 1
    assert head.get(b"audit-id") != b"forged"
    assert head.get(b"host") != b"evil"


async def test_there_are_many_rows_and_no_name_twice() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 250
    assert len(names) - sum(name.startswith("malformed:") for name in names) >= 150


@pytest.mark.parametrize("member", MODES.values(), ids=MODES.keys())
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_a_hostile_request_gets_a_clear_status_or_is_made_harmless(sea: Sea, member: str, case: Case) -> None:
    peer = await sea.peer()
    await peer.send(prepared(sea, case.raw, member))
    if case.code:
        await _refused(peer, case)
    for _ in case.seen if not case.code else ():
        assert (await peer.answer()).status == 200
    await peer.close()
    await eventually(lambda: len(sea.world.proxy.sessions) == 0)
    assert sea.world.recorder.whole == list(case.seen)
    if not case.name.startswith("malformed: "):  # a body may be malformed after its head has left
        assert [head.target for head in sea.world.recorder.heads] == list(case.seen)
    for head in sea.world.recorder.heads:
        assert_identity(head, case)
    other = await sea.peer()
    await other.send(prepared(sea, b"GET @M@/after HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\n\r\n", member))
    assert (await other.answer()).status == 200
    await other.close()


async def _refused(peer: Peer, case: Case) -> None:
    answer = await peer.answer()
    assert answer.status == case.code
    status = answer.json()
    assert (status["kind"], status["code"], status["status"]) == ("Status", case.code, "Failure")
    assert case.text in status["message"]
    assert status["message"]
    assert answer.headers["warning"].startswith("299 skerry")
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("member", RAW_MODES.values(), ids=RAW_MODES.keys())
@pytest.mark.parametrize(("name", "raw"), ANSWERS, ids=[row[0] for row in ANSWERS])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
async def test_a_hostile_answer_becomes_a_502(sea: Sea, member: str, name: str, raw: bytes, method: bytes) -> None:
    sea.raw_answer = raw
    answer = await sea.world.ask(b"/clusters/%b/x" % member.encode(), method)
    assert (answer.status, answer.json()["kind"]) == (502, "Status")
    assert ("outcome unknown" in answer.json()["message"]) == (method == b"POST" and "broke off" not in _said(answer))
    assert answer.header(b"retry-after") is None


def _said(answer: object) -> str:
    return str(getattr(answer, "body", b""))


@pytest.mark.parametrize("member", RAW_MODES.values(), ids=RAW_MODES.keys())
@pytest.mark.parametrize(("name", "raw", "code"), UPGRADE_ANSWERS, ids=[row[0] for row in UPGRADE_ANSWERS])
async def test_an_answer_to_an_upgrade_is_101_or_never_opens_a_stream(
    sea: Sea, member: str, name: str, raw: bytes, code: int
) -> None:
    sea.raw_answer = raw
    peer = await sea.peer()
    early = b"GET @M@/smuggled HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\n\r\n"
    head = (
        b"GET @M@/exec HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\nConnection: Upgrade\r\nUpgrade: spdy\r\n\r\n"
    )
    await peer.send(prepared(sea, head + early, member))
    answer = await peer.answer()
    assert answer.status == code
    assert answer.headers.get("location", f"/clusters/{member}/").startswith(f"/clusters/{member}/")
    await peer.ended()
    await peer.close()
    assert not any(b"smuggled" in seen for seen in sea.raw_seen)


@pytest.mark.parametrize("member", RAW_MODES.values(), ids=RAW_MODES.keys())
async def test_hop_by_hop_headers_and_cookies_of_an_answer_stay_at_the_member(sea: Sea, member: str) -> None:
    lines = (b"Set-Cookie: a=b", b"Connection: X-Hop", b"X-Hop: 1", b"Keep-Alive: 5", b"Trailer: X", b"X-Kept: 1")
    sea.raw_answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\n\r\n{}" % b"\r\n".join(lines)
    answer = await sea.world.ask(b"/clusters/%b/x" % member.encode())
    names = {name for name, _ in answer.headers}
    assert b"x-kept" in names
    assert not names & {b"set-cookie", b"x-hop", b"keep-alive", b"trailer"}


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%b\r\n2\r\n{}\r\n0\r\n%b\r\n"
HOSTILE_TRAILERS = (
    b"Content-Length: 5",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Trailer: X",
    b"Set-Cookie: a=b",
    b"Location: https://evil/",
    b"Warning: 299 - evil",
    b"Authorization: Bearer x",
    b"Impersonate-User: root",
    b"Impersonate_User: root",
    b"X-Remote-User: root",
    b"Content_Length: 5",
    b"Host: evil",
    b"If-Match: x",
)


@pytest.mark.parametrize("member", RAW_MODES.values(), ids=RAW_MODES.keys())
@pytest.mark.parametrize("announced", [b"", b"Trailer: X-Sum, Content-Length, Set-Cookie, Host\r\n"])
async def test_trailers_pass_and_none_that_means_something_else(sea: Sea, member: str, announced: bytes) -> None:
    trailers = (b"X-Sum: abc ", *HOSTILE_TRAILERS, b"grpc-status: 0")
    sea.raw_answer = CHUNKED % (announced, b"".join(line + b"\r\n" for line in trailers))
    peer = await sea.peer()
    await peer.send(
        prepared(sea, b"GET @M@/x HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nAuthorization: Bearer @T@\r\n\r\n", member)
    )
    head = (await peer.line(b"\r\n\r\n")).lower().split(b"\r\n")
    assert [line for line in head if line.startswith(b"trailer")] == ([b"trailer: x-sum"] if announced else [])
    assert await peer.line(b"0\r\n") == b"2\r\n{}\r\n0\r\n"
    assert await peer.line(b"\r\n\r\n") == b"x-sum: abc\r\ngrpc-status: 0\r\n\r\n"
    assert b"te: trailers" in sea.raw_seen[-1].lower()
    await peer.close()


@pytest.mark.parametrize("member", RAW_MODES.values(), ids=RAW_MODES.keys())
async def test_trailers_beyond_what_anybody_needs_do_not_pass(sea: Sea, member: str) -> None:
    sea.raw_answer = CHUNKED % (b"", b"X: y\r\n" * 65)
    peer = await sea.peer()
    await peer.send(prepared(sea, b"GET @M@/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\n\r\n", member))
    assert (await peer.answer()).body == b"{}"
    await peer.close()


@pytest.mark.parametrize("member", RAW_MODES.values(), ids=RAW_MODES.keys())
async def test_a_long_answer_that_breaks_is_a_cut_never_an_end(sea: Sea, member: str) -> None:
    sea.raw_answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 200_000
    peer = await sea.peer()
    await peer.send(prepared(sea, b"GET @M@/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\n\r\n", member))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await peer.answer()
    await peer.close()


@pytest.mark.parametrize("member", MODES.values(), ids=MODES.keys())
async def test_bytes_behind_an_upgrade_belong_to_the_stream(sea: Sea, member: str) -> None:
    peer = await sea.peer()
    head = (
        b"GET @M@/api/v1/namespaces/d/pods/p/exec?command=cat HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\n"
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    early = b"GET @M@/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    await peer.send(prepared(sea, head, member) + early)
    assert (await peer.answer()).status == 101
    assert await peer.exactly(len(early)) == early
    await peer.close()
    await eventually(lambda: len(sea.world.proxy.sessions) == 0)
    assert len(sea.world.recorder.heads) == 1


SYSTEM = [
    ("system:admin", ("skerry:view",)),
    ("system:serviceaccount:kube-system:default", ("skerry:view",)),
    ("system:node:n1", ("skerry:view",)),
    ("a\r\nImpersonate-Group: system:masters", ("skerry:view",)),
    ("a\x00b", ("skerry:view",)),
    ("", ("skerry:view",)),
    ("x" * 2000, ("skerry:view",)),
    ("admin ", ("skerry:view",)),
]


@pytest.mark.parametrize("member", MODES.values(), ids=MODES.keys())
@pytest.mark.parametrize(("user", "groups"), SYSTEM, ids=[repr(row[0][:40]) for row in SYSTEM])
async def test_a_user_that_must_not_exist_reaches_no_member(
    sea: Sea, member: str, user: str, groups: tuple[str, ...]
) -> None:
    token = await sea.world.token(user, *groups)
    answer = await sea.world.ask(b"/clusters/%b/x" % member.encode(), token=token)
    assert (answer.status, answer.json()["reason"]) == (403, "Forbidden")
    assert sea.world.recorder.heads == []


@pytest.mark.parametrize("member", MODES.values(), ids=MODES.keys())
async def test_groups_of_kubernetes_and_unknown_ones_do_not_travel(sea: Sea, member: str) -> None:
    groups = ("system:masters", "system:nodes", "skerry:system:masters", "skerry:view", "shop", "skerry:owner")
    token = await sea.world.token("eve", *groups)
    assert (await sea.world.ask(b"/clusters/%b/x" % member.encode(), token=token)).status == 200
    seen = [value for name, value in sea.world.recorder.heads[-1].headers if name == b"impersonate-group"]
    assert seen == [b"skerry:view"]
