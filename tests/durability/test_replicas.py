"""Several front doors on one store: time never runs backwards between them, and one that lags says so or waits.

Two towers and a controller-manager as processes (tests/faults). One tower's way to the bus goes through a relay that can
fall silent, which is how a cache lags without knowing it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import cycle

import pytest
import pytest_asyncio

from skerry.api.v1alpha1 import API_VERSION
from tests.durability.front import MERGE, WORKSPACES, Front, Refused, Silence, workspace
from tests.durability.informer import Informer, informing, revisions
from tests.faults.fleet import Fleet, Strait
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

ROUNDS = 150
SILENT_S = 3.0
"""A moment in which a tower does not yet notice that it hears nothing: it pings the bus every 5 s."""


class Pair:
    """Two front doors, and what can be done to them."""

    def __init__(self, nats: NatsHost, near: Front, far: Front, strait: Strait) -> None:
        self.nats, self.near, self.far, self.strait = nats, near, far, strait


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pair(nats_host: NatsHost, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """`near` is on the bus, `far` reaches it through the strait. One pair for all: each test leaves it working."""
    async with contextlib.AsyncExitStack() as stack:
        api = await stack.enter_async_context(ApiServer(tmp_path_factory.mktemp("api")))
        strait = await stack.enter_async_context(Strait(nats_host.port))
        fleet = await stack.enter_async_context(Fleet(nats_host, api).running(towers=1, agents=0))
        await fleet.tower(SKERRY_BUS_SERVERS=f"tls://127.0.0.1:{strait.port}")
        ca, token = nats_host.directory / "ca.crt", fleet.admin.decode()
        fronts = [await stack.enter_async_context(Front(tower.port, ca, token)) for tower in fleet.towers]
        yield Pair(nats_host, fronts[0], fronts[1], strait)


async def write(front: Front, name: str, stop: asyncio.Event, told: list[int]) -> None:
    """Count in one object, and make and delete others; `told` gets what was acknowledged."""
    number = 0
    await front.ask("POST", WORKSPACES, workspace(name, "0"))
    while not stop.is_set():
        number += 1
        await front.ask("PATCH", f"{WORKSPACES}/{name}", {"spec": {"displayName": str(number)}}, MERGE)
        told.append(number)
        await front.ask("POST", WORKSPACES, workspace(f"{name}-{number}", "0"))
        if number > 3:
            await front.ask("DELETE", f"{WORKSPACES}/{name}-{number - 3}")


async def test_a_client_that_alternates_never_sees_time_run_backwards(pair: Pair) -> None:
    stop, told = asyncio.Event(), [0]
    last, count = 0, 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(write(pair.near, "counter", stop, told))
        while len(told) < 3:
            await asyncio.sleep(0.01)
        try:
            for _, front in zip(range(ROUNDS), cycle((pair.near, pair.far)), strict=False):
                acknowledged = told[-1]
                revision, items = await front.listed()
                seen = int(items["counter"]["spec"]["displayName"])
                assert revision >= last, "resourceVersions ran backwards"
                assert seen >= max(count, acknowledged), "a state ran backwards"
                one = await front.ask("GET", f"{WORKSPACES}/counter")
                assert int(one["spec"]["displayName"]) >= seen
                last, count = revision, seen
        finally:
            stop.set()


async def test_what_one_front_door_acknowledged_the_other_shows_at_once(pair: Pair) -> None:
    for number in range(20):
        made = await pair.near.ask("POST", WORKSPACES, workspace(f"w-{number}", "x"))
        assert (await pair.far.ask("GET", f"{WORKSPACES}/w-{number}"))["metadata"] == made["metadata"]
        await pair.far.ask("DELETE", f"{WORKSPACES}/w-{number}")
        with pytest.raises(Refused, match="404"):
            await pair.near.ask("GET", f"{WORKSPACES}/w-{number}")


async def test_a_credential_made_a_moment_ago_is_known_at_every_front_door(pair: Pair) -> None:
    for number in range(5):
        spec = {"user": f"u{number}", "groups": ["skerry:view"], "ttl": "1h"}
        body = {"apiVersion": API_VERSION, "kind": "Credential", "metadata": {}, "spec": spec}
        made = await pair.near.ask("POST", f"/apis/{API_VERSION}/credentials", body)
        async with pair.far.having(str(made["status"]["token"])) as other:
            await other.ask("GET", "/apis")


async def test_a_front_door_that_lags_shows_nothing_old_as_current(pair: Pair) -> None:
    await pair.near.ask("POST", WORKSPACES, workspace("before", "x"))
    revision, _ = await pair.far.listed()
    pair.strait.freeze()
    made = await pair.near.ask("POST", WORKSPACES, workspace("after", "x"))
    with pytest.raises((Refused, Silence)) as refused:
        await pair.far.ask("GET", f"{WORKSPACES}/after")
    assert "404" not in str(refused.value), "the absence of what is there was told as a fact"
    with pytest.raises(Refused) as early:
        await pair.far.ask("GET", f"{WORKSPACES}?resourceVersion={made['metadata']['resourceVersion']}")
    assert (early.value.code, "Too large resource version" in early.value.message) == (504, True)
    old, items = await pair.far.listed(f"{WORKSPACES}?resourceVersion=0")
    assert (old, "before" in items, "after" in items) == (revision, True, False)
    pair.strait.thaw()
    assert {"after", "before"} <= set(await eventually_listed(pair.far))


async def eventually_listed(front: Front) -> list[str]:
    """Names, once the front door answers a current read again."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(Refused, Silence):
                return list((await front.listed())[1])
            await asyncio.sleep(0.1)


async def changed_meanwhile(pair: Pair, informer: Informer, prefix: str) -> None:
    """Objects made, changed, deleted, and made again under their old names, while somebody does not look."""
    changed, deleted, again = (f"{prefix}-{what}" for what in ("changed", "deleted", "again"))
    for name in (changed, deleted, again):
        await pair.near.ask("POST", WORKSPACES, workspace(name, "1"))
    await informer.agrees(revisions((await pair.near.listed())[1]))
    pair.strait.freeze()
    await pair.near.ask("PATCH", f"{WORKSPACES}/{changed}", {"spec": {"displayName": "2"}}, MERGE)
    await pair.near.ask("DELETE", f"{WORKSPACES}/{deleted}")
    await pair.near.ask("DELETE", f"{WORKSPACES}/{again}")
    await pair.near.ask("POST", WORKSPACES, workspace(again, "2"))
    await pair.near.ask("POST", WORKSPACES, workspace(f"{prefix}-fresh", "1"))
    await pair.near.ask("POST", WORKSPACES, workspace(f"{prefix}-shortlived", "1"))
    await pair.near.ask("DELETE", f"{WORKSPACES}/{prefix}-shortlived")


@pytest.mark.parametrize("silent_s", [SILENT_S, pytest.param(20.0, marks=pytest.mark.soak)])
async def test_a_watch_on_a_lagging_front_door_has_no_silent_gap(pair: Pair, silent_s: float) -> None:
    async with informing(pair.far) as informer:
        await changed_meanwhile(pair, informer, f"lag-{silent_s:.0f}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(silent_s):
                await asyncio.Event().wait()
        pair.strait.thaw()
        await informer.agrees(revisions((await pair.near.listed())[1]))


async def test_a_watch_has_no_silent_gap_over_a_killed_bus(pair: Pair) -> None:
    async with informing(pair.far) as informer, informing(pair.near) as other:
        await changed_meanwhile(pair, informer, "killed")
        await asyncio.to_thread(pair.nats.restart)
        pair.strait.thaw()
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Refused, Silence):
                    await pair.near.ask("PATCH", f"{WORKSPACES}/killed-changed", {"spec": {"displayName": "3"}}, MERGE)
                    break
                await asyncio.sleep(0.1)
        truth = revisions((await pair.near.listed())[1])
        await informer.agrees(truth)
        await other.agrees(truth)
