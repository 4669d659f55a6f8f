"""What becomes of requests that run when their caller loses what they rest on, in whatever way: cut, with the reason; nobody else's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from skerry import subjects
from skerry.api.identities import revocation_name
from skerry.api.kinds import REVOCATION, WORKSPACE
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.http import Exchange, HttpError, Response
from skerry.httpwire.head import ResponseHead
from skerry.storage import Store
from tests.fixtures.nats import eventually
from tests.proxy.conftest import World

pytestmark = pytest.mark.integration

POD = b"/api/v1/namespaces/d/pods/p"
STREAMS = {
    "watch": b"/clusters/m1/api/v1/namespaces/d/pods?watch=true",
    "logs -f": b"/clusters/m1" + POD + b"/log?follow=true",
    "exec": b"/clusters/m1" + POD + b"/exec?command=sh&stdin=true&tty=true",
    "cp": b"/clusters/m1" + POD + b"/exec?command=tar&stdin=true",
}
TAKEN, CHANGED = "was taken away while the request ran", "changed while the request ran"
DEADLINE_S = 15.0


async def lasting(exchange: Exchange) -> None:
    """A watch, or a log: something at once, then nothing more."""
    await exchange.start(ResponseHead(status=200, headers=[]), length=None)
    await exchange.write(b"{}\n")
    await exchange.gone.wait()


async def begun(host: World, token: bytes) -> dict[str, Response]:
    """Everything that may last, of one caller, each past its beginning."""
    streams = {}
    for name, target in STREAMS.items():
        upgrade = b"websocket" if b"/exec" in target else None
        response = await host.client.request(host.head(b"GET", target, token, upgrade=upgrade))
        assert response.status == (200 if upgrade is None else 101), name
        if response.raw is not None:
            await response.raw.write(b"x")
        assert await (response.read() if response.raw is None else response.raw.read())
        streams[name] = response
    return streams


async def reaches(host: World, token: bytes) -> None:
    """Wait until the proxy knows what was given: a workspace is found by no request as a grant is."""
    async with asyncio.timeout(DEADLINE_S):
        while (await host.ask(b"/clusters/m1/api/v1/namespaces/d/configmaps", token=token)).status != 200:
            await asyncio.sleep(0.01)


async def cut(response: Response) -> None:
    with pytest.raises(HttpError):  # a clean end would be a lie
        await to_the_end(response)


async def to_the_end(response: Response) -> None:
    while await (response.read() if response.raw is None else response.raw.read()):
        pass


class Tenancy(NamedTuple):
    """What tenancy stores."""

    host: World
    workspaces: Store
    revocations: Store


async def granted(tenancy: Tenancy, user: str, **spec: Any) -> None:
    await tenancy.host.grant(user, subjects=[{"kind": "User", "name": user}], **spec)


async def in_namespace(tenancy: Tenancy, user: str) -> None:
    await granted(tenancy, user, namespaces=["d"])


async def for_a_moment(tenancy: Tenancy, user: str) -> None:
    await granted(tenancy, user, namespaces=["d"], expires=rfc3339(time.time() + 4))


async def in_workspace(tenancy: Tenancy, user: str) -> None:
    place = {"cluster": "m1", "name": "d"}
    await tenancy.workspaces.create(
        {
            "metadata": {"name": "team"},
            "spec": {"members": [{"kind": "User", "name": user, "role": "edit"}], "namespaces": [place]},
            "status": {"namespaces": [{**place, "uid": tenancy.host.proxy.directory.uid("m1"), "state": "Ready"}]},
        }
    )


async def removed(tenancy: Tenancy, user: str) -> None:
    await tenancy.host.grants.delete(user)


async def narrowed(tenancy: Tenancy, user: str) -> None:
    await tenancy.host.grants.modify(user, lambda document: _with(document, role="view"))


async def moved(tenancy: Tenancy, user: str) -> None:
    await tenancy.host.grants.modify(user, lambda document: _with(document, namespaces=["elsewhere"]))


def _with(document: Document, **spec: Any) -> Document:
    return {**document, "spec": {**document["spec"], **spec}}


async def nothing(tenancy: Tenancy, user: str) -> None:
    """It ends by itself."""


async def revoked(tenancy: Tenancy, user: str) -> None:
    spec = {"user": user, "before": rfc3339(time.time() + 1)}
    await tenancy.revocations.create({"metadata": {"name": revocation_name(user)}, "spec": spec})


async def left(tenancy: Tenancy, user: str) -> None:
    await tenancy.workspaces.modify("team", lambda document: _with(document, members=[]))


Act = Callable[[Tenancy, str], Awaitable[None]]
WAYS: dict[str, tuple[Act, Act, str]] = {
    "grant removed": (in_namespace, removed, TAKEN),
    "grant expired": (for_a_moment, nothing, TAKEN),
    "role narrowed": (in_namespace, narrowed, CHANGED),
    "namespace narrowed": (in_namespace, moved, CHANGED),
    "user revoked": (in_namespace, revoked, "the credential was revoked while the request ran"),
    "workspace left": (in_workspace, left, TAKEN),
}


async def test_what_runs_ends_with_what_it_rests_on_and_others_go_on(
    host: World, caplog: pytest.LogCaptureFixture
) -> None:
    for path in (POD + b"/log", b"/api/v1/namespaces/d/pods"):
        host.recorder.routes[path] = lasting
    async with host.nats.bus("tenancy") as bus:
        bucket = await bus.bucket(subjects.RESOURCES)
        tenancy = Tenancy(host, Store(bucket, WORKSPACE), Store(bucket, REVOCATION))
        await granted(tenancy, "bob")
        others = await begun(host, await host.token("bob"))
        await _each_way(tenancy, len(others), caplog)
    for name, response in others.items():
        if response.raw is not None:
            await response.raw.write(b"still")
            assert await response.raw.read() == b"still", name
    await _replaced(host, others)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What the log says of responses that were cut."""
    return [vars(each) for each in caplog.records if each.message == "responses were cut"]


async def _each_way(tenancy: Tenancy, others: int, caplog: pytest.LogCaptureFixture) -> None:
    host = tenancy.host
    for number, (way, (give, take, reason)) in enumerate(WAYS.items()):
        user = f"user{number}"
        token = await host.token(user)
        await give(tenancy, user)
        await reaches(host, token)
        streams = await begun(host, token)
        caplog.clear()
        started = time.monotonic()
        await take(tenancy, user)
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(cut(each) for each in streams.values()))
        print(f"{way}: cut after {time.monotonic() - started:.3f} s")
        await eventually(lambda: len(host.proxy.sessions) == others, DEADLINE_S)
        await eventually(lambda: sum(line["count"] for line in lines(caplog)) == len(STREAMS), DEADLINE_S)
        assert all(reason in line["reason"] and line["users"] == user for line in lines(caplog)), (way, lines(caplog))
        if reason is not CHANGED:
            assert (await host.ask(STREAMS["watch"], token=token)).status in (401, 403), way


async def _replaced(host: World, others: dict[str, Response]) -> None:
    """Another cluster gets the name: a grant by name is not for it."""
    await host.clusters.delete("m1")
    await eventually(lambda: not host.proxy.directory.uid("m1"), DEADLINE_S)
    await host.cluster("m1")
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(cut(each) for each in others.values()))
    bob = await host.token("bob")
    assert (await host.ask(STREAMS["watch"], token=bob)).status == 403
