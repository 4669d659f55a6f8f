"""Receivers that are away for long, services that end in the middle, and replicas that take over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from skerry.api.kinds import EVENT_SINK
from skerry.identity.keyfiles import SECRETS_KEY
from tests.events.receiver import Got, Receiver, Reply
from tests.events.world import Clock, World, event, replica, world
from tests.faults.fleet import Process
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration
HOUR_S = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def broken(got: Got) -> Reply:
    return Reply(502, b"upstream")


async def test_a_receiver_that_was_away_for_an_hour_is_told_everything_in_order(
    one: World, to: Receiver, clock: Clock
) -> None:
    to.replying = broken
    await one.sink("away", to)
    ids = await one.happen(*(event() for _ in range(5)))
    await to.until(4)
    clock.ahead_s = HOUR_S
    await to.until(len(to.got) + 2)
    assert set(to.ids) == {ids[0]}
    to.replying, before = None, len(to.got)
    await to.until(before + 5)
    assert to.ids[before:] == ids
    document = await one.until("away", lambda document: document["status"].get("pending") == 0)
    assert document["status"].get("dead", 0) == 0


async def test_after_a_day_an_event_is_given_up_and_sent_again_when_somebody_asks(
    one: World, to: Receiver, clock: Clock
) -> None:
    to.replying = broken
    await one.sink("late", to)
    ids = await one.happen(*(event(f"m{number}") for number in range(3)))
    await to.until(3)
    clock.ahead_s = 25 * HOUR_S
    await one.until("late", lambda document: document["status"].get("dead") == 3)
    dead = await one.act("late", "dead", "get")
    assert dead["count"] == 3
    assert {each["id"] for each in dead["items"]} == set(ids)
    assert dead["items"][0]["reason"] == "502: upstream"
    assert dead["items"][0]["type"] == "dev.skerry.cluster.notready"
    to.replying, before = None, len(to.got)
    answer = await one.act("late", "retry", "create", ids=[ids[1], "resources:0:never"])
    assert answer == {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "SinkRetried",
        "count": 1,
        "unknown": ["resources:0:never"],
    }
    await to.until(before + 1)
    await one.until("late", lambda document: document["status"].get("dead") == 2)
    await one.act("late", "retry", "create")
    await to.until(before + 3)
    assert to.ids[before] == ids[1]
    assert set(to.ids[before:]) == set(ids)
    await one.until("late", lambda document: document["status"].get("dead") == 0)


async def test_what_is_sent_again_and_fails_for_a_day_is_dead_again(one: World, to: Receiver, clock: Clock) -> None:
    to.replying = broken
    await one.sink("again", to)
    (happened,) = await one.happen(event())
    await to.until(1)
    clock.ahead_s = 25 * HOUR_S
    await one.until("again", lambda document: document["status"].get("dead") == 1)
    before = len(to.got)
    clock.ahead_s = 0
    await one.act("again", "retry", "create")
    await to.until(before + 2)
    clock.ahead_s = 25 * HOUR_S

    async def dead() -> bool:
        items = (await one.act("again", "dead", "get"))["items"]
        return [(each["id"], each["retrying"]) for each in items] == [(happened, False)]

    async with asyncio.timeout(20):
        while not await dead():
            await asyncio.sleep(0.05)


async def test_of_two_replicas_one_delivers_and_the_other_takes_over(
    nats_host: NatsHost, one: World, to: Receiver
) -> None:
    await one.sink("shared", to)
    async with replica(nats_host) as second:
        ids = await one.happen(*(event(f"m{number}") for number in range(20)))
        await to.until(20)
        assert sorted(to.ids) == sorted(ids)
        await eventually(lambda: second.informer.get(EVENT_SINK, "shared") is not None)
    later = await one.happen(event())
    await to.until(21)
    assert to.ids[20:] == later


async def test_who_takes_over_sends_what_was_in_hand_before_what_came_after(one: World, to: Receiver) -> None:
    """The replica that leads ends while the first event of an object is on its way and others wait behind it."""
    stuck = asyncio.Event()

    async def replying(got: Got) -> Reply:
        await stuck.wait()
        return Reply()

    to.replying = replying
    await one.sink("handed", to)
    ids = await one.happen(*(event() for _ in range(3)))
    await to.until(1)
    await one.end()
    to.replying = None
    stuck.set()
    await one.begin()
    await to.until(4)
    assert to.ids == [ids[0], *ids]


async def test_a_service_that_is_killed_between_a_request_and_the_acknowledgement_sends_it_again_under_its_id(
    fresh_nats_host: NatsHost, to: Receiver, tmp_path: Path
) -> None:
    host = fresh_nats_host
    await host.make_buckets()
    host.service("events").save(tmp_path / "events.creds")
    environment = {
        "SKERRY_BUS_SERVERS": ",".join(host.servers),
        "SKERRY_BUS_CA_FILE": str(host.directory / "ca.crt"),
        "SKERRY_BUS_CREDENTIALS_FILE": str(tmp_path / "events.creds"),
        "SKERRY_TRUST_ROOT": host.trust_root,
        "SKERRY_EVENTS_SECRETS_KEY_FILE": str(host.keys_dir / SECRETS_KEY),
    }
    processes: list[Process] = []

    async def begin() -> None:
        processes.append(Process("services.events", tmp_path / f"events-{len(processes)}.log", environment))
        await processes[-1].logged("ready")

    async def replying(got: Got) -> Reply:
        if len(processes) == 1:
            await processes[0].kill()
        return Reply()

    to.replying = replying
    try:
        await begin()
        async with world(host, serves=False) as one:
            secret = await one.sink("killed", to)
            ids = await one.happen(event(), event())
            await to.until(1)
            await begin()
            await to.until(3)
    finally:
        for each in processes:
            await each.kill()
    assert to.ids == [ids[0], *ids]
    Webhook(secret).verify(to.got[1].body, dict(to.got[1].headers))
