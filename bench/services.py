"""A process of some services of the controller-manager: `python -m bench.services registry tenancy`; without one, of none.

With `--turns FILE` in front, FILE gets a line each second: when, and of the turns of the loop within it the one that came the
latest and the one that took the most CPU, in milliseconds. What others take from the machine is in the first, not in the second.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from skerry.identity.services import CONTROLLER_MANAGER, services_of
from skerry.service import Service, run
from skerry.settings import Settings

TURN_S = 0.01


class Turns(NamedTuple):
    """The longest turns of a loop in a span of time, in milliseconds."""

    late_ms: float
    """Behind its time, for whatever reason."""
    cpu_ms: float
    """Of CPU of the loop's own thread."""


async def tell_turns(file: Path) -> None:
    """Write `file`, for ever."""
    late, busy, told = 0.0, 0.0, time.time()
    wall, cpu = time.perf_counter(), time.thread_time()
    with file.open("w", buffering=1) as out:
        while True:
            await asyncio.sleep(TURN_S)
            wall_now, cpu_now = time.perf_counter(), time.thread_time()
            late, busy = max(late, wall_now - wall - TURN_S), max(busy, cpu_now - cpu)
            wall, cpu = wall_now, cpu_now
            if time.time() - told >= 1.0:
                told = time.time()
                out.write(f"{told:.3f} {late * 1000:.3f} {busy * 1000:.3f}\n")
                late = busy = 0.0


def turns(file: Path, since: float, until: float = float("inf")) -> Turns:
    """The longest of what a process told in `file` between two moments (seconds since the epoch)."""
    lines = [[float(each) for each in line.split()] for line in file.read_text().splitlines()]
    told = [line for line in lines if since + 1.0 <= line[0] <= until]
    return Turns(max((line[1] for line in told), default=0.0), max((line[2] for line in told), default=0.0))


class NoSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None."""


def available() -> list[str]:
    """The services of the controller-manager, as the service table has them."""
    return [service.name for service in services_of(CONTROLLER_MANAGER)]


def values(names: Sequence[str]) -> list[Service[Any, Any]]:
    """The services; one that does nothing in place of none. A module is imported only if its service is asked for."""
    nothing: Service[Any, Any] = Service(name="nothing", settings=NoSettings)
    return [import_module(f"services.{name}.service").SERVICE for name in names] or [nothing]


def observed(service: Service[Any, Any], file: Path) -> Service[Any, Any]:
    """A service whose process tells of its turns."""

    async def telling() -> None:
        await tell_turns(file)

    return dataclasses.replace(service, tasks=(*service.tasks, lambda context: telling))


def main(arguments: list[str]) -> None:
    """Be the process."""
    file = Path(arguments[1]) if arguments[:1] == ["--turns"] else None
    first, *others = values(arguments[2:] if file else arguments)
    run(observed(first, file) if file else first, *others, name=CONTROLLER_MANAGER)


if __name__ == "__main__":
    main(sys.argv[1:])
