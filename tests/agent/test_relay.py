"""The relay, end to end: a proxy's Dialer, a real nats-server, the agent's Acceptor, and an HTTPS server that records."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.agent import handlers
from services.agent.handlers import StreamResponder
from services.agent.model import HostClock
from skerry.api.v1alpha1 import Ceiling
from skerry.http.exchange import Exchange
from skerry.httpwire.head import Headers, ResponseHead, first
from skerry.identity.assertion import Signer, Verifier, make_record
from skerry.identity.nkey import KeyType, create
from skerry.identity.trust import pinned
from skerry.link import Acceptor, Call, Dialer, Stream
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.upstream import Upstream
from skerry.relay import Answer, OpenRequest, ResetCode, StreamReset
from tests.fixtures.nats import NatsHost, eventually
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0
WATCH = "/api/v1/pods?watch=true"


class Tunnel:
    """A proxy's view of one member."""

    def __init__(self, dialer: Dialer, signer: Signer, member: str) -> None:
        self.dialer, self.signer, self.member = dialer, signer, member
        self.assertion = self.sign()

    def sign(self, member: str = "", user: str = "skerry:alice", groups: tuple[str, ...] = ("skerry:view",)) -> bytes:
        """An assertion, valid now."""
        return self.signer.assertion(member or self.member, user, groups, {}, time.time())

    async def open(self, method: str, target: str, headers: Headers | None = None, **more: Any) -> Call:
        """A stream."""
        more.setdefault("assertion", self.assertion)
        request = OpenRequest(
            id="0000-audit", method=method.encode(), target=target.encode(), headers=headers or [], **more
        )
        return await self.dialer.open(self.member, request)

    async def ask(self, method: str, target: str, headers: Headers | None = None, **more: Any) -> tuple[Answer, bytes]:
        """A whole exchange: the head and all of the body."""
        async with asyncio.timeout(DEADLINE_S):
            with await self.open(method, target, headers, **more) as stream:
                answer = await stream.response()
                return answer, answer.body + (b"" if answer.end else await rest(stream))


async def rest(stream: Stream) -> bytes:
    """The remaining body, with credit given back."""
    pieces = []
    while data := await stream.receive():
        pieces.append(data)
        stream.consumed(len(data))
    return b"".join(pieces)


def message(body: bytes) -> str:
    """Of a Status."""
    return str(msgspec.json.decode(body)["message"])


@asynccontextmanager
async def tunnel(nats: NatsHost, upstream: Upstream, ceiling: Ceiling, name: str) -> AsyncIterator[Tunnel]:
    """Both ends."""
    account, agent = await nats.member(name)
    root, key = nats.authority.assertion_root, create(KeyType.USER)
    signer = Signer("p", key, make_record(root, "p", key.public, int(time.time()) + 3600))
    clock = HostClock(time.time() - time.monotonic())
    relay = StreamResponder(upstream, Verifier(pinned(root.public), name), ceiling, clock)
    async with AsyncExitStack() as stack:
        proxy = nats.service("proxy")
        pair = [await stack.enter_async_context(nats.connection(proxy, c)) for c in ("i", "b")]
        mine = [await stack.enter_async_context(nats.connection(agent, c)) for c in ("i", "b")]
        dialer, acceptor = Dialer(pair[0], pair[1]), Acceptor(mine[0], mine[1], account.name, relay.handle)
        tasks = [asyncio.ensure_future(dialer.run())]
        await acceptor.start()
        tasks.append(asyncio.ensure_future(acceptor.run()))
        try:
            yield Tunnel(dialer, signer, name)
            await eventually(lambda: acceptor.live == 0 and dialer.live == 0)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


@pytest.fixture
async def member(nats_host: NatsHost, upstream: Upstream) -> AsyncIterator[Tunnel]:
    """A member without a ceiling."""
    async with tunnel(nats_host, upstream, Ceiling(), "m1") as made:
        yield made


@pytest.fixture
async def limited(nats_host: NatsHost, upstream: Upstream) -> AsyncIterator[Tunnel]:
    """A read-only member."""
    async with tunnel(nats_host, upstream, Ceiling(read_only=True), "m2") as made:
        yield made


async def test_a_small_get_is_answered_in_one_message(member: Tunnel, api: ApiServer) -> None:
    answer, body = await member.ask("GET", "/version", [(b"accept", b"application/json")])
    assert (answer.status, answer.end, answer.length) == (200, True, len(body))
    assert msgspec.json.decode(body) == {"gitVersion": "v1.36.3"}


async def test_the_identity_is_ours_whatever_the_tunnel_carried(member: Tunnel, api: ApiServer) -> None:
    hostile = [
        (b"authorization", b"Bearer stolen"),
        (b"impersonate-user", b"system:admin"),
        (b"impersonate-group", b"system:masters"),
        (b"impersonate_group", b"system:masters"),
        (b"x-remote-user", b"root"),
        (b"x-forwarded-for", b"10.0.0.9"),
        (b"cookie", b"a=b"),
    ]
    await member.ask("GET", "/version", hostile)
    seen = api.seen[-1]
    assert seen.all(b"authorization") == [b"Bearer agent-token"]
    assert seen.all(b"impersonate-user") == [b"skerry:alice"]
    assert seen.all(b"impersonate-group") == [b"skerry:view"]
    assert seen.all(b"impersonate-extra-skerry.dev%2fuser") == [b"alice"]
    assert seen.all(b"audit-id") == [b"0000-audit"]
    assert seen.all(b"x-forwarded-for") == [b"10.0.0.9"]
    assert not [name for name, _ in seen.headers if name in {b"impersonate_group", b"x-remote-user", b"cookie"}]


async def test_a_forged_assertion_is_refused_and_nothing_arrives(member: Tunnel, api: ApiServer) -> None:
    answer, _ = await member.ask("GET", "/version", assertion=member.assertion[:-4] + b"xxxx")
    assert answer.status == 401
    assert first(answer.headers, b"warning") is not None
    assert api.seen == []


@pytest.mark.parametrize(
    ("user", "groups"), [("system:admin", ()), ("skerry:a", ("system:masters",)), ("root", ("skerry:view",))]
)
async def test_a_signed_identity_without_the_prefix_is_refused(
    member: Tunnel, api: ApiServer, user: str, groups: tuple[str, ...]
) -> None:
    answer, _ = await member.ask("GET", "/version", assertion=member.sign(user=user, groups=groups))
    assert answer.status == 403
    assert api.seen == []


async def test_an_assertion_for_another_member_is_refused(member: Tunnel, api: ApiServer) -> None:
    answer, _ = await member.ask("GET", "/version", assertion=member.sign(member="m9"))
    assert answer.status == 403
    assert api.seen == []


async def test_the_ceiling_is_enforced_before_anything_leaves(limited: Tunnel, api: ApiServer) -> None:
    answer, body = await limited.ask("DELETE", "/api/v1/namespaces/a/pods/p")
    assert answer.status == 403
    assert "--read-only" in message(body)
    assert api.seen == []


async def test_an_access_review_that_the_ceiling_forbids_says_so(limited: Tunnel, api: ApiServer) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "a"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer, body = await limited.ask("POST", path, body=msgspec.json.encode(review))
    status = msgspec.json.decode(body)["status"]
    assert (answer.status, status["allowed"]) == (201, False)
    assert "--read-only" in status["reason"]
    assert api.seen == []


async def test_a_rules_review_is_cut_down_to_the_ceiling(limited: Tunnel, api: ApiServer) -> None:
    async def review(exchange: Exchange) -> None:
        rule = {"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods"]}
        document = {"spec": {"namespace": "a"}, "status": {"resourceRules": [rule]}}
        await exchange.respond(201, JSON, msgspec.json.encode(document))

    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    api.routes[path] = review
    wanted = [(b"accept", b"application/vnd.kubernetes.protobuf"), (b"accept-encoding", b"gzip")]
    answer, body = await limited.ask("POST", path, wanted, body=b"k8s")
    assert answer.status == 201
    assert msgspec.json.decode(body)["status"]["resourceRules"][0]["verbs"] == ["get"]
    assert api.seen[-1].all(b"accept") == [b"application/json"]
    assert api.seen[-1].all(b"accept-encoding") == []


async def test_a_big_body_arrives_byte_exact_and_chunked(member: Tunnel, api: ApiServer) -> None:
    data = bytes(range(256)) * 40_000

    async def big(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        for at in range(0, len(data), 100_000):
            await exchange.write(data[at : at + 100_000])
        await exchange.finish()

    api.routes["/api/v1/pods"] = big
    answer, body = await member.ask("GET", "/api/v1/pods", class_="bulk")
    assert (answer.status, answer.length) == (200, None)
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()


async def test_a_list_that_is_written_in_small_pieces_leaves_in_few_messages(member: Tunnel, api: ApiServer) -> None:
    piece = b'{"kind":"Pod"}' * 150

    async def listing(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        for _ in range(500):
            await exchange.write(piece)
            await asyncio.sleep(0)
        await exchange.finish()

    api.routes["/api/v1/pods"] = listing
    with await member.open("GET", "/api/v1/pods", class_="bulk") as stream:
        answer = await stream.response()
        assert answer.body + await rest(stream) == piece * 500
        assert stream.core.in_seq < 100


async def test_a_body_of_known_length_keeps_it(member: Tunnel, api: ApiServer) -> None:
    data = b"x" * 1_000_000
    api.routes["/big"] = lambda exchange: exchange.respond(200, JSON, data)
    answer, body = await member.ask("GET", "/big", class_="bulk")
    assert (answer.length, body) == (len(data), data)


async def test_a_small_chunked_answer_is_one_message(member: Tunnel, api: ApiServer) -> None:
    async def chunked(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        await exchange.write(b"abc")
        await exchange.finish()

    api.routes["/chunked"] = chunked
    answer, body = await member.ask("GET", "/chunked")
    assert (body, answer.end) == (b"abc", True)


async def test_an_inline_request_body_arrives(member: Tunnel, api: ApiServer) -> None:
    async def echo(exchange: Exchange) -> None:
        await exchange.respond(201, JSON, await exchange.body(1 << 20))

    api.routes["/api/v1/namespaces/a/configmaps"] = echo
    answer, body = await member.ask("POST", "/api/v1/namespaces/a/configmaps", body=b'{"a":1}')
    assert (answer.status, body) == (201, b'{"a":1}')
    assert api.seen[-1].all(b"content-length") == [b"7"]


async def test_a_streamed_request_body_arrives_byte_exact(member: Tunnel, api: ApiServer) -> None:
    data = bytes(range(256)) * 20_000

    async def digest(exchange: Exchange) -> None:
        await exchange.respond(201, JSON, hashlib.sha256(await exchange.body(1 << 24)).hexdigest().encode())

    api.routes["/up"] = digest
    async with asyncio.timeout(DEADLINE_S):
        with await member.open("POST", "/up", class_="bulk", end=False) as stream:
            for at in range(0, len(data), 70_000):
                await stream.send(data[at : at + 70_000])
            await stream.send_end()
            answer = await stream.response()
            body = answer.body + (b"" if answer.end else await rest(stream))
    assert body == hashlib.sha256(data).hexdigest().encode()


async def test_each_watch_event_leaves_at_once(member: Tunnel, api: ApiServer) -> None:
    go = asyncio.Queue[bytes]()

    async def watch(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        while event := await go.get():
            await exchange.write(event)
        await exchange.finish()

    api.routes["/api/v1/pods"] = watch
    async with asyncio.timeout(DEADLINE_S):
        with await member.open("GET", WATCH, long_running=True) as stream:
            assert (await stream.response()).status == 200
            for event in (b"one", b"two"):
                go.put_nowait(event)
                assert await stream.receive() == event
                stream.consumed(len(event))
            go.put_nowait(b"")
            assert await stream.receive() == b""


async def test_a_client_that_leaves_cuts_the_upstream_connection_within_a_second(
    member: Tunnel, api: ApiServer
) -> None:
    gone = asyncio.Event()

    async def watch(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        await exchange.write(b"event")
        await exchange.gone.wait()
        gone.set()

    api.routes["/api/v1/pods"] = watch
    with await member.open("GET", WATCH, long_running=True) as stream:
        await stream.response()
    async with asyncio.timeout(1.0):
        await gone.wait()


async def test_an_answer_that_breaks_off_is_reset_and_never_ended(member: Tunnel, api: ApiServer) -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=None)
        await exchange.write(b"x" * 200_000)
        exchange.abort()

    api.routes["/breaks"] = breaks
    with pytest.raises(StreamReset) as caught:
        await member.ask("GET", "/breaks", long_running=True)
    assert caught.value.code is ResetCode.UPSTREAM


async def test_an_answer_that_breaks_off_before_its_head_was_sent_on_is_a_502(member: Tunnel, api: ApiServer) -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.start(ResponseHead(status=200, headers=JSON), length=100)
        await exchange.write(b"x")
        exchange.abort()

    api.routes["/breaks"] = breaks
    answer, body = await member.ask("GET", "/breaks")
    assert answer.status == 502
    assert "broke off" in message(body)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_body_has_none(member: Tunnel, api: ApiServer, status: int) -> None:
    api.routes["/none"] = lambda exchange: exchange.respond(status, [(b"etag", b'"1"')])
    answer, body = await member.ask("GET", "/none")
    assert (answer.status, body, answer.end) == (status, b"", True)
    assert (b"etag", b'"1"') in answer.headers


async def test_head_tells_the_length_and_sends_nothing(member: Tunnel, api: ApiServer) -> None:
    api.routes["/head"] = lambda exchange: exchange.respond(200, JSON, b"12345")
    answer, body = await member.ask("HEAD", "/head")
    assert (answer.length, body) == (5, b"")


async def test_an_api_server_that_is_down_is_a_502_that_says_so(member: Tunnel, api: ApiServer) -> None:
    await api.__aexit__()
    answer, body = await member.ask("GET", "/version")
    assert answer.status == 502
    assert "nothing was executed" in message(body)


async def test_a_refused_agent_credential_is_not_shown_as_the_callers(member: Tunnel, api: ApiServer) -> None:
    api.token = "rotated"
    answer, body = await member.ask("GET", "/version")
    assert answer.status == 502
    assert "the agent's own credential" in message(body)


async def test_a_rotated_token_is_read_again_and_the_caller_notices_nothing(
    nats_host: NatsHost, api: ApiServer, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text(api.token)
    target = kubeconfig.load(str(api.kubeconfig(tokenFile=str(path))))
    upstream = Upstream(target, source(target))
    async with tunnel(nats_host, upstream, Ceiling(), "m3") as made:
        assert (await made.ask("GET", "/version"))[0].status == 200
        api.token = "rotated"
        path.write_text("rotated")
        assert (await made.ask("GET", "/version"))[0].status == 200
    await upstream.close()


async def test_a_401_of_a_proxied_service_is_the_callers_own(member: Tunnel, api: ApiServer) -> None:
    api.routes["/api/v1/namespaces/a/services/s/proxy/"] = lambda exchange: exchange.respond(401, [], b"who?")
    answer, body = await member.ask("GET", "/api/v1/namespaces/a/services/s/proxy/")
    assert (answer.status, body) == (401, b"who?")


async def test_the_kubelet_is_never_reached(member: Tunnel, api: ApiServer) -> None:
    answer, body = await member.ask("GET", "/api/v1/nodes/n/proxy/pods")
    assert answer.status == 403
    assert "nodes/proxy" in message(body)
    assert api.seen == []


async def test_a_session_is_raw_in_both_directions(member: Tunnel, api: ApiServer) -> None:
    async def echo(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[(b"upgrade", b"SPDY/3.1")]))
        while data := await raw.read():
            await raw.write(data)
        await raw.write_eof()

    api.routes["/api/v1/namespaces/a/pods/p/exec"] = echo
    data = bytes(range(256)) * 4000
    upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1")]
    async with asyncio.timeout(DEADLINE_S):
        target = "/api/v1/namespaces/a/pods/p/exec"
        with await member.open("POST", target, upgrade, end=False, class_="bulk", long_running=True) as stream:
            assert (await stream.response()).status == 101
            sender = asyncio.ensure_future(stream.send(data))
            got = b""
            while len(got) < len(data):
                piece = await stream.receive()
                stream.consumed(len(piece))
                got += piece
            await sender
            await stream.send_end()
            assert await rest(stream) == b""
    assert got == data


async def test_a_session_that_the_api_server_ended_is_ended_by_who_reads_it(
    member: Tunnel, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kubectl exec … | less`: what its reader has not taken yet was lost when the agent gave the stream up first."""
    monkeypatch.setattr(handlers, "LINGER_S", 0.05)
    data = bytes(range(256)) * 200

    async def farewell(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[(b"upgrade", b"SPDY/3.1")]))
        await raw.write(data)
        await raw.write_eof()

    api.routes["/api/v1/namespaces/a/pods/p/exec"] = farewell
    upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1")]
    async with asyncio.timeout(DEADLINE_S):
        target = "/api/v1/namespaces/a/pods/p/exec"
        with await member.open("POST", target, upgrade, end=False, class_="bulk", long_running=True) as stream:
            assert (await stream.response()).status == 101
            with pytest.raises(TimeoutError):  # the reader pauses, and nobody ends the stream meanwhile
                await asyncio.wait_for(stream.gone(), 1.0)
            await stream.send(b"nobody hears it any more")
            assert await rest(stream) == data
            await stream.send_end()
            assert await stream.gone() is None


async def test_a_refused_upgrade_is_an_ordinary_answer(member: Tunnel, api: ApiServer) -> None:
    upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    answer, body = await member.ask("GET", "/api/v1/nothing", upgrade, end=False, long_running=True)
    assert (answer.status, message(body)) == (404, "/api/v1/nothing not found")


async def test_an_upgrade_that_is_answered_otherwise_is_an_ordinary_answer(member: Tunnel, api: ApiServer) -> None:
    api.routes["/plain"] = lambda exchange: exchange.respond(200, JSON, b"{}")
    upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    answer, body = await member.ask("GET", "/plain", upgrade, end=False, long_running=True)
    assert (answer.status, body) == (200, b"{}")
