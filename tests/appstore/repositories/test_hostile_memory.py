"""Hostile repositories, looked at by an App Store that is a process of its own: how much memory they cost it, at its highest."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY
from skerry.api.meta import Document
from skerry.api.names import POOL
from tests.appstore.apart import Apart, apart, enabled
from tests.appstore.repositories.conftest import FETCH_S
from tests.appstore.repositories.server import ChartServer
from tests.appstore.repositories.test_hostile import CASES, NAMES, behaving
from tests.faults.fleet import Process
from tests.fixtures.nats import NatsHost

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
GROWTH_MIB, ONCE_MIB = 10, 20
NOT_HERE = {name for name, case in CASES.items() if any(each in f"{case.url}{case.says}" for each in NAMES)}
"""Names that mean something in the other tests' process alone."""
OTHERWISE = {"loopback", "decimal", "octal", "hexadecimal", "short", "33-mib", "endless"}
"""Of which something else may be said here: all of this machine may be reached, and 32 MiB need not come in time."""


class Store:
    """An App Store, its process, and the server whose repositories it reads."""

    def __init__(self, world: Apart, process: Process, charts: ChartServer) -> None:
        self._world, self.process, self._charts = world, process, charts

    async def look(self, turn: str, names: list[str]) -> dict[str, str]:
        """Add repositories, all at once, and have them gone when each was looked at; why they were not read."""
        for name in names:
            case, port = CASES[name], self._charts.port
            url = case.url.format(port=port, here=f"https://localhost:{port}/{name}")
            spec = {"url": url, "tls": {"caBundle": self._charts.ca_pem}, **case.spec}
            await self._world.create(
                APP_REPOSITORY, {"metadata": {"name": f"{turn}-{name}", "namespace": POOL}, "spec": spec}
            )
        reasons = {}
        for name in names:
            looked_at = await self._world.when(APP_REPOSITORY, f"{turn}-{name}", POOL, _looked_at)
            reasons[name] = condition_of(looked_at, "Ready").reason
            place = {"metadata": {"name": f"{turn}-{name}", "namespace": POOL}}
            await self._world.write("delete", APP_REPOSITORY, place)
        return reasons

    def forget_peak(self) -> None:
        """From now on the highest is of what comes."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def _looked_at(repository: Document) -> bool:
    return condition_of(repository, "Ready").reason not in ("", "Syncing", "NeverSynced")


async def test_what_repositories_do_costs_no_memory(
    fresh_nats_host: NatsHost, charts: ChartServer, tmp_path: Path
) -> None:
    """Several at once, four of them with all that may be read of an index. What the first ones cost besides, a process needs once."""
    charts.answering = partial(behaving, charts)
    names = [name for name in CASES if name not in NOT_HERE]
    assert len(names) >= 25
    async with apart(fresh_nats_host, tmp_path) as world:
        store = Store(world, await world.start(SKERRY_APP_STORE_FETCH_S=str(FETCH_S)), charts)
        await enabled(world)
        await store.look("good", ["bool", "mismatch"])
        idle = store.process.memory_mib("VmRSS")
        reasons = await store.look("first", names)
        assert {name for name in names if reasons[name] != CASES[name].reason} <= OTHERWISE
        before, growth = store.process.memory_mib("VmRSS"), []
        assert before - idle <= ONCE_MIB
        for turn in ("second", "third"):
            store.forget_peak()
            await store.look(turn, names)
            growth.append(store.process.memory_mib("VmHWM") - before)
        assert max(growth) <= GROWTH_MIB, (idle, before, growth)
