"""Tokens that a service has, at the front door: good for their members alone, and never for more than their user has now."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.proxy.authn import name_of
from services.tenancy import service as tenancy
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.api.identities import revocation_name
from skerry.api.kinds import REVOCATION
from skerry.api.times import rfc3339
from skerry.http import Client
from skerry.http.errors import Cut
from skerry.runtime import JsonFormatter
from skerry.storage import Store
from tests.fixtures.nats import eventually
from tests.fixtures.service import serving
from tests.proxy.conftest import World
from tests.proxy.test_granted import JSON, groups

pytestmark = pytest.mark.integration

PODS, AT = b"/clusters/m1/api/v1/pods", "2026-01-02T00:00:00Z"
OF = {"kind": "AppRelease", "namespace": "shop", "name": "web", "uid": "u1"}


async def delegation(host: World, user: str, *held: str, clusters: tuple[str, ...] = ("m1",), at: str = AT) -> bytes:
    """As tenancy stores it."""
    text = b"skerry_" + secrets.token_urlsafe(32).encode()
    spec = {"user": user, "groups": list(held), "ttl": "20m"}
    spec["delegation"] = {"of": OF, "at": at, "clusters": list(clusters)}  # type: ignore[assignment]
    await host.credentials.create(
        {"metadata": {"name": name_of(text)}, "spec": spec, "status": {"expires": rfc3339(time.time() + 1200)}}
    )
    await eventually(lambda: host.proxy.directory.credential(name_of(text)) is not None)
    return text


async def until(host: World, token: bytes, status: int, target: bytes = PODS, within_s: float = 5.0) -> float:
    """Wait until a request is answered so; for how long."""
    started = time.monotonic()
    async with asyncio.timeout(within_s):
        while (await host.ask(target, token=token)).status != status:
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def watched(host: World, token: bytes) -> str:
    """A watch on the member that never ends by itself: how it ended."""
    client = Client(*host.address)
    try:
        response = await client.request(host.head(b"GET", b"/clusters/m1/api/v1/watch/pods", token), None)
        while await response.read():
            pass
    except Cut:
        return "cut"
    finally:
        await client.close()
    return "ended"


async def test_it_is_its_user_on_its_members_by_what_they_are_granted_now(host: World) -> None:
    await host.grant("shop", namespaces=["shop"])
    token = await delegation(host, "alice", "org:shop")
    await until(host, token, 200, b"/clusters/m1/api/v1/namespaces/shop/pods")
    asked = host.recorder.heads[-1]
    assert groups(asked) == [b"skerry:ns:shop:edit"]
    assert asked.get(b"impersonate-user") == b"skerry:alice"
    await host.grants.delete("shop")
    assert await until(host, token, 403, b"/clusters/m1/api/v1/namespaces/shop/pods") < 1.0


HOST_PATHS = (
    b"/", b"/metrics", b"/api", b"/apis", b"/openapi/v3", b"/apis/skerry.dev/v1alpha1/clusters",
    b"/apis/skerry.dev/v1alpha1/credentials", b"/api/v1/namespaces", b"/nowhere", b"/clusters", b"/clusters/",
)  # fmt: skip


async def test_everything_else_is_refused_and_says_what_it_is_good_for(host: World) -> None:
    await host.token("alice", "skerry:cluster-admin")
    await host.cluster("m2")
    token = await delegation(host, "alice", "skerry:cluster-admin")
    await until(host, token, 200)
    for target in (
        *HOST_PATHS,
        b"/clusters/m2/api/v1/pods",
        b"/clusters/none/api",
        b"/clusters/m1%2f../m2/api",
        b"/clusters/M1/api",
    ):
        answer = await host.ask(target, token=token)
        assert answer.status == 403, target
        assert answer.json()["message"] == (
            "this token is a delegation of user 'alice' for AppRelease/shop/web: it is good for requests to clusters m1, and for "
            "nothing else"
        ), target


@pytest.mark.parametrize("path", ["credentials", "accessgrants", "revocations", "accessrequests", "selfaccessreviews"])
async def test_it_makes_nothing_on_the_host(host: World, path: str) -> None:
    await host.token("alice", "skerry:cluster-admin")
    token = await delegation(host, "alice", "skerry:cluster-admin")
    body = b'{"kind":"Credential","apiVersion":"skerry.dev/v1alpha1","spec":{"user":"alice"}}'
    answer = await host.ask(f"/apis/skerry.dev/v1alpha1/{path}".encode(), b"POST", token=token, headers=JSON, body=body)
    assert answer.status == 403


async def test_revoking_its_user_ends_it_and_what_it_carries(host: World) -> None:
    await host.grant("all", role="view")
    token, bob = await delegation(host, "alice"), await delegation(host, "bob")
    await until(host, token, 200)
    stream = asyncio.create_task(watched(host, token))
    await eventually(lambda: len(host.proxy.sessions) > 0)
    async with host.nats.bus("tenancy") as bus:
        revocations = Store(await bus.bucket(subjects.RESOURCES), REVOCATION)
        await revocations.create(
            {"metadata": {"name": revocation_name("alice")}, "spec": {"user": "alice", "before": AT}}
        )
        async with asyncio.timeout(5):
            assert await stream == "cut"
        assert (await host.ask(PODS, token=token)).status == 401, "though it was made after that time"
        assert (await host.ask(PODS, token=await delegation(host, "alice", at="2026-01-03T00:00:00Z"))).status == 200
        assert (await host.ask(PODS, token=bob)).status == 403, "they have nothing there"


async def test_it_can_be_taken_back_by_itself(host: World) -> None:
    await host.grant("all", role="view")
    token = await delegation(host, "alice")
    await until(host, token, 200)
    await host.revoke(token)
    assert (await host.ask(PODS, token=token)).status == 401


async def test_a_built_in_group_ends_with_the_last_credential_that_gives_it(host: World) -> None:
    first, second = await host.token("alice", "skerry:edit"), await host.token("alice", "skerry:view", "skerry:edit")
    await host.token("bob", "skerry:admin")
    token = await delegation(host, "alice", "skerry:edit")
    await until(host, token, 200)
    assert (await host.ask(PODS, token=await delegation(host, "alice", "skerry:admin"))).status == 401
    await host.revoke(first)
    assert (await host.ask(PODS, token=token)).status == 200
    stream = asyncio.create_task(watched(host, token))
    await eventually(lambda: len(host.proxy.sessions) > 0)
    await host.revoke(second)
    async with asyncio.timeout(5):
        assert await stream == "cut"
    assert (await host.ask(PODS, token=token)).status == 401


async def test_a_built_in_group_ends_with_the_time_of_the_credential(host: World) -> None:
    await host.token("alice", "skerry:edit", expires_s=3.0)
    token = await delegation(host, "alice", "skerry:edit")
    await until(host, token, 200)
    await until(host, token, 401)


async def test_the_access_log_says_for_what_it_was(host: World, caplog: pytest.LogCaptureFixture) -> None:
    await host.grant("all", role="view")
    token = await delegation(host, "alice")
    await until(host, token, 200)
    with caplog.at_level(logging.INFO, "skerry.proxy.access"):
        host.proxy._access._enabled = True
        await host.ask(PODS, token=token)
        await host.ask(PODS)
    lines = [json.loads(JsonFormatter().format(each)) for each in caplog.records if each.message == "request"]
    assert [(each["user"], each["grant"], each.get("via")) for each in lines] == [
        ("alice", "AccessGrant/all", "AppRelease/shop/web"),
        ("admin", "Group/skerry:cluster-admin", None),
    ]


@pytest.fixture
async def shop(host: World) -> AsyncIterator[Any]:
    async with serving(host.nats, (tenancy.SERVICE, TenancySettings())):
        yield host


async def test_those_that_are_there_are_listed_by_a_label_and_shown_to_their_user(shop: World) -> None:
    alice = await shop.token("alice")
    token = await delegation(shop, "alice")
    answer = await shop.ask(b"/apis/skerry.dev/v1alpha1/credentials", token=alice)
    names = [each["metadata"]["name"] for each in answer.json()["items"]]
    assert sorted(names) == sorted((name_of(alice), name_of(token)))
    deleted = await shop.ask(f"/apis/skerry.dev/v1alpha1/credentials/{name_of(token)}".encode(), b"DELETE", token=alice)
    assert deleted.status == 200
    await eventually(lambda: shop.proxy.directory.credential(name_of(token)) is None)
