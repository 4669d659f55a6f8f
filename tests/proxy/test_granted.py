"""Tenants at the front door: whom the member sees, what they are shown, and what ends when a grant does."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_plus

import msgspec
import pytest

from skerry import protobuf
from skerry.api.times import rfc3339
from skerry.http import Exchange
from skerry.http.errors import Cut
from skerry.http.response import Response
from skerry.httpwire.head import RequestHead
from tests.fixtures.nats import eventually
from tests.proxy.conftest import Answer, World

pytestmark = pytest.mark.integration

JSON = [(b"content-type", b"application/json")]
REVIEWS = b"/clusters/m1/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = b"/clusters/m1/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
PODS = b"/clusters/m1/api/v1/namespaces/shop/pods"


def groups(head: RequestHead) -> list[bytes]:
    return sorted(value for name, value in head.headers if name == b"impersonate-group")


def answering(status: int, document: Any) -> Callable[[Exchange], Awaitable[None]]:
    async def answer(exchange: Exchange) -> None:
        await exchange.body(1 << 20)
        await exchange.respond(status, JSON, msgspec.json.encode(document))

    return answer


async def cut(response: Response) -> None:
    """Wait until its connection is cut."""
    with contextlib.suppress(Cut):
        while True:
            await response.read()


async def eventually_allowed(host: World, target: bytes, token: bytes) -> None:
    """Wait until the proxy knows of a grant: on the host's own API it asks nobody whether it is the latest."""
    async with asyncio.timeout(10):
        while (await host.ask(target, token=token)).status != 200:
            await asyncio.sleep(0.01)


async def review(host: World, token: bytes, target: bytes, **attributes: str) -> Answer:
    spec = {"resourceAttributes": attributes} if target == REVIEWS else attributes
    body = msgspec.json.encode({"spec": spec})
    return await host.ask(target, b"POST", token=token, headers=JSON, body=body)


def _telling(answer: Answer) -> list[tuple[bytes, bytes]]:
    """Headers of an answer but its date and its Audit-ID, which are its own."""
    return [each for each in answer.headers[1:] if each[0] != b"audit-id"]


async def test_the_member_sees_the_groups_of_the_namespace_that_is_named_and_no_others(host: World) -> None:
    """A grant is found by the first request after it was stored, and takes effect there."""
    alice, recorder = await host.token("alice", "org:shop"), host.recorder
    await host.cluster("m2")
    nothing = await host.ask(PODS, token=alice)
    assert (nothing.status, b"no AccessGrant" in nothing.body) == (403, True)

    await host.grant("alice-edit", namespaces=["shop", "till"])
    assert (await host.ask(PODS, token=alice)).status == 200
    assert groups(recorder.heads[-1]) == [b"skerry:ns:shop:edit"]
    assert (b"impersonate-user", b"skerry:alice") in recorder.heads[-1].headers
    await host.ask(b"/clusters/m1/api/v1/nodes", token=alice)
    assert groups(recorder.heads[-1]) == []

    absent, hidden = [await host.ask(b"/clusters/%b/api" % name, token=alice) for name in (b"m7", b"m2")]
    assert (absent.status, absent.body) == (404, hidden.body.replace(b"m2", b"m7"))
    assert _telling(absent) == [(name, value.replace(b"m2", b"m7")) for name, value in _telling(hidden)]

    await host.ask(b"/clusters/m1/api/v1/namespaces?limit=500&labelSelector=a&%6cabelSelector=b", token=alice)
    listed = recorder.heads[-1]
    query = unquote_plus(listed.target.decode()).partition("?")[2].split("&")
    assert query == ["limit=500", "labelSelector=kubernetes.io/metadata.name in (shop,till),a"]
    assert groups(listed) == [b"skerry:namespaces"]

    recorder.routes[b"/api/v1/namespaces/shop/pods/p"] = answering(403, {"kind": "Status", "code": 403})
    refused = await host.ask(PODS + b"/p", b"DELETE", token=alice)
    assert (refused.status, refused.json()) == (403, {"kind": "Status", "code": 403})
    assert b"alice has edit in namespace shop there (AccessGrant alice-edit)" in (refused.header(b"warning") or b"")


async def test_nothing_that_travels_to_a_member_names_another_or_what_the_caller_has_there(host: World) -> None:
    """All headers of a request are looked through, by whatever a browser or a curious client puts into them."""
    await host.cluster("oslo")
    alice = await host.token("alice", "org:pirates")
    await host.grant("treasure-hunt", subjects=[{"kind": "Group", "name": "org:pirates"}], namespaces=["shop"])
    elsewhere = {"clusters": [{"name": "oslo", "uid": host.proxy.directory.uid("oslo")}]}
    spec = {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["oslo"]}, "role": "admin"}
    await host.grants.create({"metadata": {"name": "oslo-admin"}, "spec": spec, "status": elsewhere})
    sent = [
        (b"referer", b"https://host.example/clusters/oslo/api/v1/pods"),
        (b"x-forwarded-host", b"oslo.clusters.example"),
        (b"x-original-uri", b"/clusters/oslo/"),
        (b"cookie", b"last=oslo"),
    ]
    assert (await host.ask(PODS, token=alice, headers=sent)).status == 200
    head = host.recorder.heads[-1]
    assert groups(head) == [b"skerry:ns:shop:edit"]
    whole = b"\n".join([head.target, *(part for pair in head.headers for part in pair)])
    for word in (b"oslo", b"pirates", b"treasure", b"admin", b"m1"):
        assert word not in whole, (word, whole)
    assert {name for name, _ in head.headers} == {
        b"host", b"authorization", b"impersonate-user", b"impersonate-group", b"impersonate-extra-skerry.dev%2fuser",
        b"audit-id", b"x-forwarded-for",
    }  # fmt: skip


async def test_a_self_review_is_prepared_as_the_request_that_it_asks_about(host: World) -> None:
    alice, recorder = await host.token("alice"), host.recorder
    await host.grant("alice-edit", namespaces=["shop"])
    for target in (REVIEWS, RULES):
        recorder.routes[target.removeprefix(b"/clusters/m1")] = answering(201, {"status": {"allowed": True}})

    answer = await review(host, alice, REVIEWS, verb="list", resource="pods", namespace="shop")
    assert (answer.status, answer.json()["status"]) == (201, {"allowed": True})
    assert groups(recorder.heads[-1]) == [b"skerry:ns:shop:edit"]
    await review(host, alice, REVIEWS, verb="list", resource="pods", namespace="till")
    assert groups(recorder.heads[-1]) == []
    await review(host, alice, REVIEWS, verb="list", resource="namespaces")
    assert groups(recorder.heads[-1]) == [b"skerry:namespaces"]
    await review(host, alice, RULES, namespace="shop")
    assert groups(recorder.heads[-1]) == [b"skerry:ns:shop:edit"]

    seen = len(recorder.heads)
    admin = host.admin
    for asked in (
        {"verb": "get", "resource": "nodes", "subresource": "proxy"},
        {"verb": "impersonate", "resource": "users"},
    ):
        for token in (alice, admin):
            answer = await review(host, token, REVIEWS, **asked)
            assert (answer.status, answer.json()["status"]["allowed"]) == (201, False)
    fields = protobuf.field(2, "get") + protobuf.field(5, "nodes") + protobuf.field(6, "proxy")
    body = protobuf.MAGIC + protobuf.message(2, protobuf.message(2, protobuf.message(1, fields)))
    kind = [(b"content-type", protobuf.CONTENT_TYPE.encode())]
    answer = await host.ask(REVIEWS, b"POST", token=admin, headers=kind, body=body)
    assert (answer.status, answer.json()["status"]["allowed"]) == (201, False)
    assert len(recorder.heads) == seen
    real = await host.ask(b"/clusters/m1/api/v1/nodes/n/proxy/stats", token=admin)
    assert (real.status, real.json()["message"]) == (403, answer.json()["status"]["reason"])
    large = await host.ask(REVIEWS, b"POST", token=alice, headers=JSON, body=b"{" + b" " * 70_000 + b"}")
    assert large.status == 413


async def test_a_watch_ends_with_the_grant_that_it_rests_on_and_others_go_on(host: World) -> None:
    alice, bob = await host.token("alice"), await host.token("bob")
    await host.grant("alice-edit")
    await host.grant("bob-edit", subjects=[{"kind": "User", "name": "bob"}])
    target = b"/clusters/m1/api/v1/watch/pods"
    watches = [await host.client.request(host.head(b"GET", target, token)) for token in (alice, bob)]
    assert [watch.status for watch in watches] == [200, 200]
    await eventually(lambda: len(host.proxy.sessions) == 2)
    started = asyncio.get_running_loop().time()
    await host.grants.delete("alice-edit")
    async with asyncio.timeout(10):
        await cut(watches[0])
    assert asyncio.get_running_loop().time() - started < 5
    await eventually(lambda: len(host.proxy.sessions) == 1)
    await host.grants.create(
        {"metadata": {"name": "unrelated"}, "spec": {"subjects": [], "clusters": {"names": []}, "role": "view"}}
    )
    assert (await host.ask(target, token=alice)).status == 403
    assert len(host.proxy.sessions) == 1
    for watch in watches:
        watch.abort()


async def test_what_rests_on_a_grant_that_ends_soon_is_told_so_and_is_cut_at_its_end(host: World) -> None:
    """Also where that comes sooner than it was when the request began."""
    alice, ends = await host.token("alice"), time.time() + 300
    await host.grant("lasting", role="view")
    assert (await host.ask(PODS, token=alice)).header(b"warning") is None
    await host.grant("req-1", expires=rfc3339(ends))
    answer = await host.ask(PODS, token=alice)
    assert answer.status == 200
    assert f"AccessGrant req-1 ends at {rfc3339(ends)}, and with it".encode() in (answer.header(b"warning") or b"")
    watch = await host.client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods", alice))
    assert watch.status == 200
    assert b"req-1 ends at" in dict(watch.headers)[b"warning"]
    shell = await host.client.request(
        host.head(b"GET", b"/clusters/m1/api/v1/namespaces/d/pods/p/exec?command=sh", alice, upgrade=b"websocket")
    )
    assert (shell.status, b"req-1 ends at" in dict(shell.headers)[b"warning"]) == (101, True)
    shell.abort()
    ends = math.ceil(time.time()) + 1
    await host.grants.modify("req-1", lambda grant: {**grant, "spec": {**grant["spec"], "expires": rfc3339(ends)}})
    async with asyncio.timeout(20):
        await cut(watch)
    assert time.time() >= ends
    after = await host.ask(PODS, token=alice)
    assert (groups(host.recorder.heads[-1]), after.header(b"warning")) == ([b"skerry:view"], None)
    watch.abort()


async def test_a_watch_of_the_host_itself_ends_with_the_grant_on_the_host(host: World) -> None:
    alice, viewer = await host.token("alice"), await host.token("viewer", "skerry:view")
    await host.cluster("host", "none")
    target = b"/apis/skerry.dev/v1alpha1/settings?watch=true"
    assert (await host.ask(target, token=alice)).status == 403
    status = {"clusters": [{"name": "host", "uid": host.proxy.directory.uid("host")}]}
    spec: dict[str, Any] = {
        "subjects": [{"kind": "User", "name": "alice"}],
        "clusters": {"names": ["host"]},
        "role": "view",
    }
    spec["expires"] = rfc3339(time.time() + 60)
    await host.grants.create({"metadata": {"name": "on-host"}, "spec": spec, "status": status})
    await eventually_allowed(host, target.partition(b"?")[0], alice)
    clusters = target.replace(b"settings", b"clusters")
    watches = [await host.client.request(host.head(b"GET", *each)) for each in ((target, alice), (clusters, viewer))]
    assert [b"on-host ends at" in dict(watch.headers).get(b"warning", b"") for watch in watches] == [True, False]
    assert [watch.status for watch in watches] == [200, 200]
    await host.grants.delete("on-host")
    async with asyncio.timeout(10):
        await cut(watches[0])
    await eventually(lambda: len(host.proxy.sessions) == 1)
    assert (await host.ask(target, token=alice)).status == 403
    for watch in watches:
        watch.abort()
