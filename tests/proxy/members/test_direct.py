"""Direct members through the front door: the host is the client of their API servers, and nothing else differs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skerry import bus, subjects
from skerry.api.messages import ConnectAnswer, ConnectRequest, Heartbeat
from skerry.errors import NotFound
from skerry.http import Cut, Exchange, HttpError, Server
from skerry.httpwire.head import Headers, ResponseHead
from skerry.identity import nkey, x509
from skerry.identity.assertion import check_record
from skerry.member.identity import KUBE_SYSTEM
from skerry.member.kubeconfig import DirectConnection, Target, Tls
from tests.fixtures.nats import NatsHost, eventually
from tests.proxy.conftest import World, settings_for, world
from tests.proxy.member import JSON, Recorder, pattern

pytestmark = pytest.mark.integration
BIG = 20_000_000
EXEC = b"/clusters/m2/api/v1/namespaces/d/pods/p/exec?command="
UID = "the-cluster-that-joined"
WATCH = b"/clusters/m2/api/v1/watch/pods"


class Near:
    """A direct member `m2`: a recorder behind TLS, and the registry's answer about it."""

    def __init__(self, host: World, directory: Path) -> None:
        self.host = host
        self.recorder = Recorder()
        self.cluster = UID
        """Which cluster it says that it is."""
        self.identified = 0
        authority = x509.create_ca("near")
        pair = x509.issue_server(authority, ("127.0.0.1",))
        (directory / "near.pem").write_bytes(pair.certificate + pair.key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "near.pem")
        self._ca = authority.certificate
        self.token = "the-hosts-own-token"
        self.revision = 1
        self.asked = 0
        self.uid = ""
        self.port = 0

    async def listen(self) -> None:
        """Start, at the same place when it was stopped."""
        self.server = Server(self._handle, self._context)
        await self.server.start("127.0.0.1", self.port)
        self.port = self.server.addresses[0][1]

    async def _handle(self, exchange: Exchange) -> None:
        if exchange.head.target != KUBE_SYSTEM.encode():
            await self.recorder.handle(exchange)
            return
        self.identified += 1
        await exchange.respond(200, JSON, msgspec.json.encode({"metadata": {"uid": self.cluster}}))

    async def tell(self, message: bus.Message) -> bytes:
        """What the registry answers."""
        self.asked += 1
        ask = msgspec.json.decode(message.data, type=ConnectRequest)
        record = check_record(self.host.nats.authority.trust_roots(), ask.record, time.time())
        if not self.uid:
            raise NotFound("there is no such cluster")
        target = Target(scheme="https", host="127.0.0.1", port=self.port, token=self.token, tls=Tls(ca=self._ca))
        found = DirectConnection(cluster=self.uid, revision=self.revision, target=target)
        return msgspec.json.encode(ConnectAnswer(sealed=nkey.seal(record.key, msgspec.json.encode(found))))

    async def join(self) -> None:
        """The Cluster, known to the proxy."""
        await self.host.cluster("m2", "direct", credentials={"revision": 1}, uid=UID)
        self.uid = self.host.proxy.directory.uid("m2")

    async def rotate(self, token: str) -> None:
        """Another credential, known to the proxy."""
        self.token, self.revision = token, self.revision + 1
        await self.status(credentials={"revision": self.revision})

    async def status(self, **status: Any) -> None:
        """Another status of the Cluster, known to the proxy."""
        before = self.host.proxy.directory.member("m2")
        await self.host.clusters.modify("m2", lambda d: {**d, "status": {**d.get("status", {}), **status}})
        await eventually(lambda: self.host.proxy.directory.member("m2") != before)

    @property
    def last(self) -> Headers:
        """The header pairs of the last request that arrived."""
        return self.recorder.heads[-1].headers

    def values(self, name: bytes) -> list[bytes]:
        """The values of one header of the last request."""
        return [value for key, value in self.last if key == name]


async def _near(host: World, directory: Path) -> AsyncIterator[Near]:
    made = Near(host, directory)
    await made.listen()
    async with host.nats.bus("registry") as registry:
        registry.serve("registry", "0.1.0", {subjects.CONNECTIONS: made.tell})
        await registry.ready()
        await made.join()
        yield made
    await made.server.close(0.0)


@pytest.fixture
async def near(host: World, tmp_path: Path) -> AsyncIterator[Near]:
    """A direct member of a host that has an agent member too."""
    async for made in _near(host, tmp_path):
        yield made


# Bytes


@pytest.mark.parametrize("size", [0, 1, 60_000, 300_000, BIG])
async def test_answers_are_byte_exact(near: Near, size: int) -> None:
    answer = await near.host.ask(b"/clusters/m2/big?size=%d" % size)
    assert answer.header(b"content-length") == b"%d" % size
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(pattern(size)).digest()


@pytest.mark.parametrize("size", [1, 250_000, BIG])
async def test_request_bodies_are_byte_exact(near: Near, size: int) -> None:
    answer = await near.host.ask(b"/clusters/m2/hash", b"PUT", body=pattern(size))
    assert answer.body == hashlib.sha256(pattern(size)).hexdigest().encode()


async def test_chunked_request_bodies_are_byte_exact(near: Near) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, 3_000_000, 70_001):
            yield pattern(3_000_000)[start : start + 70_001]

    response = await near.host.client.request(near.host.head(b"POST", b"/clusters/m2/hash"), pieces())
    assert await response.body(100) == hashlib.sha256(pattern(3_000_000)).hexdigest().encode()


async def test_a_watch_event_arrives_when_it_is_sent(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", WATCH))
    for event in (b'{"type":"ADDED"}\n', b'{"type":"BOOKMARK"}\n'):
        near.recorder.events.put_nowait(event)
        assert await response.read() == event
    near.recorder.events.put_nowait(None)
    assert await response.read() == b""


@pytest.mark.parametrize(("path", "status"), [(b"empty", 204), (b"unmodified", 304)])
async def test_answers_without_a_body_have_none(near: Near, path: bytes, status: int) -> None:
    answer = await near.host.ask(b"/clusters/m2/" + path)
    assert (answer.status, answer.body) == (status, b"")


async def test_head_announces_and_sends_nothing(near: Near) -> None:
    answer = await near.host.ask(b"/clusters/m2/big?size=1000000", b"HEAD")
    assert (answer.status, answer.body, answer.header(b"content-length")) == (200, b"", b"1000000")


async def test_a_redirect_stays_below_the_cluster(near: Near) -> None:
    answer = await near.host.ask(b"/clusters/m2/redirect")
    assert answer.header(b"location") == b"/clusters/m2/openapi/v3/api?hash=1"


async def test_large_heads_pass_both_ways(near: Near) -> None:
    long = [(b"x-long", b"l" * 500_000)]
    near.recorder.routes[b"/long"] = lambda exchange: exchange.respond(200, long, b"ok")
    answer = await near.host.ask(b"/clusters/m2/long?labelSelector=" + b"a" * 500_000)
    assert (answer.status, answer.header(b"x-long"), answer.body) == (200, b"l" * 500_000, b"ok")
    near.recorder.routes[b"/long"] = lambda exchange: exchange.respond(200, long * 3, b"ok")
    assert (await near.host.ask(b"/clusters/m2/long")).status == 502


async def test_a_refusal_before_the_body_is_passed_on(near: Near) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield bytes(10_000)

    response = await near.host.client.request(near.host.head(b"POST", b"/clusters/m2/early"), endless())
    assert response.status == 413
    response.abort()
    await eventually(lambda: len(near.host.proxy.sessions) == 0)


async def test_connections_to_the_member_are_used_again(near: Near) -> None:
    for _ in range(20):
        assert (await near.host.ask(b"/clusters/m2/api")).status == 200
    assert near.server.connections == 1
    assert near.asked == 1


async def test_many_at_once_ask_the_registry_once(near: Near) -> None:
    answers = await asyncio.gather(*(near.host.ask(b"/clusters/m2/api/v1/pods?n=%d" % n) for n in range(100)))
    assert [answer.json()["target"] for answer in answers] == [f"/api/v1/pods?n={n}" for n in range(100)]
    assert near.asked == 1


# Upgrades


@pytest.mark.parametrize("protocol", [b"websocket", b"SPDY/3.1"])
async def test_an_upgraded_session_is_byte_exact_both_ways(near: Near, protocol: bytes) -> None:
    response = await near.host.client.request(near.host.head(b"GET", EXEC + b"cat", upgrade=protocol))
    assert response.status == 101
    raw = response.raw
    assert raw is not None
    data = pattern(2_000_000)

    async def send() -> None:
        for start in range(0, len(data), 50_000):
            await raw.write(data[start : start + 50_000])

    sending = asyncio.ensure_future(send())
    got = b""
    async with asyncio.timeout(20):
        while len(got) < len(data):
            got += await raw.read()
    await sending
    assert got == data
    raw.abort()
    await eventually(lambda: len(near.host.proxy.sessions) == 0)
    await eventually(lambda: near.server.connections == 0)


@pytest.mark.parametrize("member", [b"m1", b"m2"])
async def test_a_browser_offers_its_token_as_a_sub_protocol_and_nobody_else_sees_it(
    near: Near, member: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = base64.urlsafe_b64encode(near.host.admin).rstrip(b"=")
    offered = b"base64url.bearer.authorization.k8s.io." + secret + b", v5.channel.k8s.io"
    target = b"/clusters/%b/api/v1/namespaces/d/pods/p/exec?command=leave" % member
    head = near.host.head(
        b"GET", target, token=b"-", headers=[(b"sec-websocket-protocol", offered)], upgrade=b"websocket"
    )
    response = await near.host.client.request(head)
    assert response.status == 101
    recorder = near.recorder if member == b"m2" else near.host.recorder
    assert recorder.heads[-1].get(b"sec-websocket-protocol") == b"v5.channel.k8s.io"
    assert not any(secret in value or near.host.admin in value for _, value in recorder.heads[-1].headers)
    assert not any(secret in value for _, value in response.headers)
    assert secret.decode() not in caplog.text
    response.abort()


async def test_a_refused_sub_protocol_is_a_401_that_does_not_repeat_it(near: Near) -> None:
    secret = base64.urlsafe_b64encode(near.host.admin).rstrip(b"=")
    offered = b"base64url.bearer.authorization.k8s.io." + secret
    head = near.host.head(
        b"GET", EXEC + b"leave", token=b"-", headers=[(b"sec-websocket-protocol", offered)], upgrade=b"websocket"
    )
    response = await near.host.client.request(head)
    assert response.status == 401
    assert not any(secret in value for _, value in response.headers)
    assert secret not in await response.body(10_000)
    assert near.recorder.heads == []


async def test_an_upgrade_that_is_refused_is_a_real_answer(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", EXEC + b"refuse", upgrade=b"websocket"))
    assert response.status == 403
    assert await response.body(1000) == b'{"message":"no exec today"}'


async def test_a_session_ends_when_its_member_ends_it(near: Near) -> None:
    async def farewell(exchange: Exchange) -> None:
        raw = await exchange.upgrade(ResponseHead(status=101, headers=[]))
        await raw.write(b"farewell")
        await raw.write_eof()

    near.recorder.routes[b"/api/v1/namespaces/d/pods/p/attach"] = farewell
    target = b"/clusters/m2/api/v1/namespaces/d/pods/p/attach"
    response = await near.host.client.request(near.host.head(b"GET", target, upgrade=b"websocket"))
    assert response.raw is not None
    got = b""
    async with asyncio.timeout(5):
        while data := await response.raw.read():
            got += data
    assert got == b"farewell"


# What ends a request


async def test_a_client_that_leaves_ends_the_request_at_the_member(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", WATCH))
    response.abort()
    async with asyncio.timeout(5):
        await near.recorder.left.wait()
    await eventually(lambda: len(near.host.proxy.sessions) == 0)


async def test_a_client_that_leaves_before_the_answer_ends_the_request_too(near: Near) -> None:
    task = asyncio.ensure_future(near.host.ask(b"/clusters/m2/hold"))
    await eventually(lambda: bool(near.recorder.heads))
    task.cancel()
    async with asyncio.timeout(5):
        await near.recorder.left.wait()


async def test_a_member_that_sends_less_than_it_promised_is_a_cut(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", b"/clusters/m2/half"))
    assert response.length == 1_000_000
    near.recorder.release.set()
    with pytest.raises(HttpError):
        await response.body(2_000_000)
    assert (await near.host.ask(b"/clusters/m2/api")).status == 200


async def test_an_api_server_that_dies_within_a_watch_is_a_cut_never_an_end(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", WATCH))
    near.recorder.events.put_nowait(b"{}\n")
    assert await response.read() == b"{}\n"
    await near.server.close(0.0)
    with pytest.raises(Cut):
        async with asyncio.timeout(5):
            await response.read()


async def test_a_revoked_token_cuts_its_streams(near: Near) -> None:
    token = await near.host.token("gone", "skerry:view")
    response = await near.host.client.request(near.host.head(b"GET", WATCH, token))
    near.recorder.events.put_nowait(b"{}\n")
    assert await response.read() == b"{}\n"
    await near.host.revoke(token)
    with pytest.raises(Cut):
        async with asyncio.timeout(3):
            await response.read()
    async with asyncio.timeout(3):
        await near.recorder.left.wait()


async def test_a_revoked_token_cuts_a_request_that_waits_for_its_head(near: Near) -> None:
    token = await near.host.token("gone", "skerry:view")
    asking = asyncio.ensure_future(near.host.ask(b"/clusters/m2/hold", token=token))
    await eventually(lambda: bool(near.recorder.heads))
    await near.host.revoke(token)
    answer = await asking
    assert answer.status == 401
    assert "revoked" in answer.json()["message"]
    async with asyncio.timeout(3):
        await near.recorder.left.wait()


async def test_a_removed_member_cuts_its_streams_and_its_connections(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", WATCH))
    near.recorder.events.put_nowait(b"{}\n")
    assert await response.read() == b"{}\n"
    await near.host.clusters.delete("m2")
    with pytest.raises(Cut):
        async with asyncio.timeout(3):
            await response.read()
    assert (await near.host.ask(b"/clusters/m2/api")).status == 404
    await eventually(lambda: near.server.connections == 0)


async def test_a_limit_holds_for_direct_members_too(fresh_nats_host: NatsHost, tmp_path: Path) -> None:
    async with world(fresh_nats_host, settings_for(fresh_nats_host, streams_per_member=1)) as host:
        async for near in _near(host, tmp_path):
            response = await host.client.request(host.head(b"GET", WATCH))
            near.recorder.events.put_nowait(b"{}\n")
            assert await response.read()
            assert (await host.ask(b"/clusters/m2/api")).status == 429
            response.abort()


async def test_the_limit_of_connections_to_a_member_is_a_429_that_says_so(
    fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    async with world(fresh_nats_host, settings_for(fresh_nats_host, upstream_connections=1)) as host:
        async for near in _near(host, tmp_path):
            response = await host.client.request(host.head(b"GET", WATCH))
            near.recorder.events.put_nowait(b"{}\n")
            assert await response.read()
            answer = await host.ask(b"/clusters/m2/api")
            assert answer.status == 429
            assert "all 1 connections" in answer.json()["message"]
            assert answer.header(b"retry-after") is None
            response.abort()


# Identity


async def test_the_member_sees_the_caller_and_the_hosts_credential(near: Near) -> None:
    token = await near.host.token("ann", "skerry:view", "skerry:edit", "colleagues")
    await near.host.ask(b"/clusters/m2/api", token=token)
    assert near.values(b"impersonate-user") == [b"skerry:ann"]
    assert near.values(b"impersonate-group") == [b"skerry:view", b"skerry:edit"]
    assert near.values(b"impersonate-extra-skerry.dev%2fuser") == [b"ann"]
    assert near.values(b"authorization") == [b"Bearer " + near.token.encode()]
    assert near.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert len(near.values(b"audit-id")) == 1


HOSTILE: list[Headers] = [
    [(b"x-remote-user", b"root"), (b"x-remote-group", b"system:masters")],
    [(b"X_Remote_User", b"root")],
    [(b"x-remote-extra-scopes", b"all")],
    [(b"x-forwarded-for", b"6.6.6.6"), (b"forwarded", b"for=6.6.6.6"), (b"x-real-ip", b"6.6.6.6")],
    [(b"x_forwarded_for", b"6.6.6.6")],
    [(b"audit-id", b"mine")],
    [(b"cookie", b"session=1")],
    [(b"connection", b"impersonate-user, impersonate-group, authorization, audit-id")],
    [(b"connection", b"x-forwarded-for"), (b"connection", b"Authorization")],
    [(b"x-http-method-override", b"DELETE")],
    [(b"x-original-url", b"/api/v1/secrets")],
    [(b"sec-websocket-protocol", b"base64url.bearer.authorization.k8s.io.c2VjcmV0, v4.channel.k8s.io")],
    [(b"te", b"deflate"), (b"keep-alive", b"timeout=5"), (b"proxy-authorization", b"Basic eDp4")],
]


@pytest.mark.parametrize("headers", HOSTILE)
async def test_hostile_headers_are_made_harmless(near: Near, headers: Headers) -> None:
    token = await near.host.token("ann", "skerry:view")
    answer = await near.host.ask(b"/clusters/m2/api", token=token, headers=headers)
    assert answer.status == 200
    assert near.values(b"impersonate-user") == [b"skerry:ann"]
    assert near.values(b"impersonate-group") == [b"skerry:view"]
    assert near.values(b"authorization") == [b"Bearer " + near.token.encode()]
    assert near.values(b"x-forwarded-for") == [b"127.0.0.1"]
    sent = {value for _, value in headers if value not in (b"v4.channel.k8s.io",)}
    assert not sent & {value for _, value in near.last}
    assert b"c2VjcmV0" not in b"".join(value for _, value in near.last)


@pytest.mark.parametrize(
    "name", [b"Impersonate-User", b"impersonate_group", b"IMPERSONATE-EXTRA-x", b"Impersonate-Uid"]
)
async def test_impersonation_by_the_caller_is_refused(near: Near, name: bytes) -> None:
    answer = await near.host.ask(b"/clusters/m2/api", headers=[(name, b"system:admin")])
    assert answer.status == 403
    assert near.recorder.heads == []


@pytest.mark.parametrize(
    "path", [b"/api/v1/nodes/n/proxy/pods", b"/api/v1/proxy/nodes/n/pods", b"/api/v1/nodes/n%3A10250/proxy/run"]
)
async def test_the_kubelet_is_out_of_reach(near: Near, path: bytes) -> None:
    assert (await near.host.ask(b"/clusters/m2" + path)).status == 403
    assert near.recorder.heads == []


async def test_who_may_use_no_cluster_reaches_nothing(near: Near) -> None:
    token = await near.host.token("stranger")
    assert (await near.host.ask(b"/clusters/m2/api", token=token)).status == 403
    assert (near.recorder.heads, near.asked) == ([], 0)


# When something is wrong


@pytest.mark.parametrize("method", [b"GET", b"DELETE"])
async def test_an_api_server_that_is_down_is_a_502_that_says_what_happened(near: Near, method: bytes) -> None:
    await near.server.close(0.0)
    answer = await near.host.ask(b"/clusters/m2/api/v1/namespaces/x", method)
    assert answer.status == 502
    assert "nothing was executed" in answer.json()["message"]
    assert answer.header(b"retry-after") is None
    assert b"skerry" in (answer.header(b"warning") or b"")
    await near.listen()
    assert (await near.host.ask(b"/clusters/m2/api")).status == 200


async def test_a_refused_credential_of_the_host_is_not_the_callers_fault(near: Near) -> None:
    async def unauthorized(exchange: Exchange) -> None:
        await exchange.respond(401, JSON, b'{"message":"Unauthorized"}')

    near.recorder.routes[b"/api"] = unauthorized
    answer = await near.host.ask(b"/clusters/m2/api")
    assert answer.status == 502
    assert "skerry cluster set" in answer.json()["message"]


async def test_a_rotated_credential_is_used_at_once_and_the_old_ones_streams_go_on(near: Near) -> None:
    response = await near.host.client.request(near.host.head(b"GET", WATCH))
    near.recorder.events.put_nowait(b"1\n")
    assert await response.read() == b"1\n"
    await near.rotate("the-next-token")
    await near.host.ask(b"/clusters/m2/api")
    assert near.values(b"authorization") == [b"Bearer the-next-token"]
    near.recorder.events.put_nowait(b"2\n")
    assert await response.read() == b"2\n"
    near.recorder.events.put_nowait(None)
    assert await response.read() == b""
    await eventually(lambda: near.server.connections == 1)


async def test_a_way_that_is_known_outlives_the_registry(near: Near) -> None:
    assert (await near.host.ask(b"/clusters/m2/api")).status == 200
    uid, near.uid = near.uid, ""
    await near.rotate("never-told")
    assert (await near.host.ask(b"/clusters/m2/api")).status == 200
    assert near.values(b"authorization") == [b"Bearer the-hosts-own-token"]
    near.uid = uid
    async with asyncio.timeout(5):
        while near.values(b"authorization") != [b"Bearer never-told"]:
            await near.host.ask(b"/clusters/m2/api")


async def test_a_registry_that_cannot_say_is_not_asked_for_every_request(near: Near) -> None:
    near.uid = ""
    answers = await asyncio.gather(*(near.host.ask(b"/clusters/m2/api") for _ in range(50)))
    assert {answer.status for answer in answers} == {503}
    assert near.asked == 1


@pytest.mark.parametrize("uid", ["", "of-another-cluster"])
async def test_without_the_registrys_answer_nothing_is_sent(near: Near, uid: str) -> None:
    near.uid = uid
    answer = await near.host.ask(b"/clusters/m2/api")
    assert answer.status == 503
    assert "nothing was sent" in answer.json()["message"]
    assert near.recorder.heads == []


async def test_another_cluster_at_its_address_gets_nothing(near: Near) -> None:
    assert (await near.host.ask(b"/clusters/m2/api")).status == 200
    seen = len(near.recorder.heads)
    wrong = {
        "type": "Ready", "status": "False", "reason": "WrongCluster", "message": "another cluster answers",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    await near.status(conditions=[wrong])
    answer = await near.host.ask(b"/clusters/m2/api")
    assert answer.status == 503
    assert "another cluster answers" in answer.json()["message"]
    assert len(near.recorder.heads) == seen


async def test_another_cluster_gets_nothing_before_anybody_has_looked(near: Near) -> None:
    assert (await near.host.ask(b"/clusters/m2/api")).status == 200
    watch = await near.host.client.request(near.host.head(b"GET", WATCH))
    await near.server.close(0.0)
    watch.abort()
    seen, near.cluster = len(near.recorder.heads), "another-cluster"
    await near.listen()
    for method in (b"GET", b"POST", b"DELETE"):
        answer = await near.host.ask(b"/clusters/m2/api", method)
        assert answer.status == 503
        for part in ("another-cluster", UID, "skerry cluster set m2"):
            assert part in answer.json()["message"]
    assert len(near.recorder.heads) == seen
    near.cluster = UID
    async with asyncio.timeout(5):
        while (await near.host.ask(b"/clusters/m2/api")).status != 200:
            await asyncio.sleep(0.05)


async def test_warm_connections_are_not_asked_which_cluster_they_lead_to(near: Near) -> None:
    for _ in range(10):
        await near.host.ask(b"/clusters/m2/api")
    assert near.identified == 1


async def test_a_look_of_the_prober_shows_in_the_table(near: Near) -> None:
    async with near.host.nats.bus("registry") as registry:
        await registry.ready()
        beat = Heartbeat(agent="prober", epoch="", version="0.1.0", rtt_ms=4.2)
        await registry.publish(subjects.probe("m2"), msgspec.json.encode(beat))
        await eventually(lambda: near.host.proxy.heartbeats.live("m2").get("rtt") == "4.2ms")
