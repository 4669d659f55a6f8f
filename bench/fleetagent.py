"""Scenario of `bench fleet` about one agent: what it takes while nothing happens, with a real API server full of pods and all that a
member is wanted to have in place and watched.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from bench import fill
from bench.federation import member, say
from bench.fleetdesired import DEADLINE_S, agent, owner
from bench.fleetsetup import Fleet
from bench.processes import cpu_s, forget_peak, peak_mib, rss_mib
from skerry.desired.client import DesiredClient, Want
from skerry.desired.owners import RBAC

NAMESPACES, BINDINGS = 100, 400
"""Together the entries; every fourth binding is of the whole cluster, so that each kind of tenancy's is watched."""
PODS = 10_000
QUIET_S = 330.0
"""Longer than between two counts of the pods."""


async def idle(fleet: Fleet) -> dict[str, Any]:
    """An agent from when all is in place, for longer than between two looks at everything."""
    directory = fleet.host.directory / "idle"
    directory.mkdir()
    with member(directory / "member") as (one, _):
        say(f"    {PODS} pods are made")
        await asyncio.to_thread(fill.pods, one.kubeconfig, PODS)
        async with (
            fleet.registry(),
            agent(fleet, directory, one.kubeconfig, "idle") as process,
            owner(fleet) as desired,
        ):
            await _in_place(desired, "idle", _wants())
            await asyncio.sleep(10.0)
            forget_peak(process.pid)
            spent, started = cpu_s(process.pid), time.monotonic()
            await asyncio.sleep(QUIET_S)
            taken = time.monotonic() - started
            return {
                "entries": NAMESPACES + BINDINGS,
                "pods": PODS,
                "cpu_percent": (cpu_s(process.pid) - spent) / taken * 100,
                "rss_mib": rss_mib(process.pid),
                "peak_mib": peak_mib(process.pid),
                "seconds": taken,
            }


def _wants() -> list[Want]:
    namespaces = [
        Want({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number:03}"}})
        for number in range(NAMESPACES)
    ]
    return namespaces + [_binding(number) for number in range(BINDINGS)]


def _binding(number: int) -> Want:
    name = f"skerry:bench-{number:03}"
    metadata = {"name": name} if number % 4 == 0 else {"name": name, "namespace": f"team-{number % NAMESPACES:03}"}
    return Want(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding" if "namespace" in metadata else "ClusterRoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": name}],
        }
    )


async def _in_place(desired: DesiredClient, name: str, wants: list[Want]) -> None:
    """Until all of these are on the member. TimeoutError."""
    async with asyncio.timeout(DEADLINE_S):
        while any(each.code for each in await desired.settle(name, wants)):
            await asyncio.sleep(1.0)  # an owner makes so many changes a second
        last = (await desired.keys(name)).last
        while (report := await desired.status(name)) is None or report.applied < last or report.problems:
            await asyncio.sleep(0.5)


SCENARIOS: dict[str, Callable[[Fleet], Any]] = {"idle": idle}
