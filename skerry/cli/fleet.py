"""The inside of a host for `skerry status`: members by state, what is not in place on them, and who leads each service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from skerry.api.decode import decoded
from skerry.api.fleet import FleetCount
from skerry.cli.plan import RunStatus
from skerry.errors import SkerryError

ASKED_S = 3.0
LED = ("registry",)
"""Services that have a leader."""


class Fleet(NamedTuple):
    """Members, counted."""

    total: int
    ready: int
    states: dict[str, int]
    """Those that are not ready, by reason; and all that are paused, cordoned, or warned of by a condition."""
    desired: dict[str, int]
    """`members` that have entries which are not in place though they were tried, and how many `entries`."""


def fleet(clusters: list[dict[str, Any]]) -> Fleet:
    """Of all Clusters; the host's own is no member."""
    count = FleetCount()
    for each in clusters:
        count.add(each)
    summary = count.summary()
    return Fleet(summary.total, summary.ready, summary.states, msgspec.to_builtins(summary.desired))


def leaders(host: Path, status: RunStatus) -> dict[str, str] | None:
    """Who has the lease of each service that has one; None if the bus does not answer in time."""
    try:
        return asyncio.run(_leaders(host, status))
    except (SkerryError, OSError, TimeoutError, msgspec.DecodeError):
        return None


async def _leaders(host: Path, status: RunStatus) -> dict[str, str]:
    from skerry import subjects
    from skerry.bus import Bus
    from skerry.cli import bootstrap, hostbus
    from skerry.controller.lease import LeaderElectionRecord
    from skerry.identity.federation import Authority

    settings = hostbus.settings(host, status.options, "skerry status")
    authority = Authority.load(bootstrap.keys_of(host, status.options))
    holders: dict[str, str] = {}
    async with (
        asyncio.timeout(ASKED_S),
        Bus(settings, lambda: authority.service_credentials(LED[0], 60)) as bus,
    ):
        await bus.ready()
        bucket = await bus.bucket(subjects.LEADERS)
        for service in LED:
            entry = await bucket.get(service)
            if entry is not None and entry.value is not None:
                holders[service] = decoded(entry.value, LeaderElectionRecord).holder
    return holders
