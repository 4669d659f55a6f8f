"""The checks of a host's bus, on a real server: a whole one, and one that lacks something."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from skerry.bus import BucketConfig
from skerry.checks.hostbus import LATER, HostBusChecks, _behind
from skerry.checks.report import Check
from skerry.checks.run import Checks
from skerry.identity.federation import Authority
from skerry.identity.services import BUCKETS
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration

NAMES = ("host.bus", "host.store", "host.accounts", "host.clock")


async def made(
    host: NatsHost, members: int = 0, clock: Callable[[], float] = time.time, authority: Authority | None = None
) -> dict[str, Check]:
    run = Checks("host", NAMES)
    await HostBusChecks(host.settings("doctor"), authority or host.authority, lambda: members, clock).run(run)
    assert [each.name for each in run.checks] == list(NAMES)
    return {each.name: each for each in run.checks}


def odd(results: dict[str, Check]) -> dict[str, str]:
    return {each.name: each.result for each in results.values() if each.result in {"warn", "fail"}}


async def buckets(host: NatsHost, *but: str) -> None:
    """As the services make them."""
    async with host.bus("controller-manager") as bus:
        for each in BUCKETS:
            if each.name not in (*but, *LATER):
                await bus.bucket(each.name, create=BucketConfig())


async def test_a_bus_that_is_whole_passes(fresh_nats_host: NatsHost) -> None:
    await buckets(fresh_nats_host)
    await fresh_nats_host.push(fresh_nats_host.authority.member_account("m1").jwt)
    results = await made(fresh_nats_host, members=1)
    assert odd(results) == {}
    assert results["host.bus"].found.startswith("1 server: skerry 2.")
    assert f"{len(BUCKETS) - len(LATER)} buckets" in results["host.store"].found


async def test_a_bucket_that_is_missing_is_store(fresh_nats_host: NatsHost) -> None:
    await buckets(fresh_nats_host, "secrets")
    results = await made(fresh_nats_host)
    assert odd(results) == {"host.store": "fail"}
    assert "secrets" in results["host.store"].found


async def test_accounts_of_members_that_the_server_lost_are_accounts(fresh_nats_host: NatsHost) -> None:
    await buckets(fresh_nats_host)
    results = await made(fresh_nats_host, members=9)
    assert odd(results) == {"host.accounts": "fail"}
    assert "9 members have agents" in results["host.accounts"].found


async def test_a_clock_that_is_off_is_warned_of(fresh_nats_host: NatsHost) -> None:
    await buckets(fresh_nats_host)
    results = await made(fresh_nats_host, clock=lambda: time.time() + 90)
    assert odd(results) == {"host.clock": "warn"}
    assert "ahead of server skerry's" in results["host.clock"].found


async def test_a_bus_that_is_down_is_bus_and_the_others_are_not_looked_at(fresh_nats_host: NatsHost) -> None:
    fresh_nats_host.stop()
    results = await made(fresh_nats_host)
    assert odd(results) == {"host.bus": "fail"}
    assert results["host.bus"].next
    fresh_nats_host.start()


async def test_a_server_of_another_host_is_bus(fresh_nats_host: NatsHost) -> None:
    assert odd(await made(fresh_nats_host, authority=Authority.create("other"))) == {"host.bus": "fail"}


async def test_a_server_without_durable_acknowledgement_is_bus(fresh_nats_host: NatsHost) -> None:
    fresh_nats_host.edit = lambda text: text.replace("sync_interval: always", "sync_interval: 1m")
    fresh_nats_host.restart()
    results = await made(fresh_nats_host)
    assert results["host.bus"].result == "fail"
    assert "sync_interval: always" in results["host.bus"].next


@pytest.mark.parametrize(
    ("replicas", "behind"),
    [
        (None, False),
        ([{"current": True}], False),
        ([{"current": False}], True),
        ([{"current": True, "offline": True}], True),
    ],
)
def test_replicas_that_are_not_current_are_behind(replicas: list[object] | None, behind: bool) -> None:
    assert _behind({"cluster": {"replicas": replicas}} if replicas is not None else {}) is behind
