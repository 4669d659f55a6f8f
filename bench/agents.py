"""Agents of many members in one process, each with a connection and credentials of its own: `python -m bench.agents FILE`.

FILE says where the bus is and whose agents these are. What they are to do comes as lines of JSON on stdin, and each line is
answered by one on stdout:

    {"do": "come"}                              connect all, and beat from then on, each at its own time within the ten seconds
    {"do": "flap", "seconds": 60, "seed": 1}    come and go for so long, then be there again; answers when they were away
    {"do": "heard"}                             since when each was heard on the connection that it has
    {"do": "apply"}                             keep desired state too, in an API server that is a table in this process
    {"do": "hold", "count": 50, "names": […]}   answers when each of these members has so many objects
    {"do": "applied"}                           when each marked change was applied
    {"do": "rest", "count": 250}                say that so many entries are in place, all that there are, and hold none of them
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

from bench.standin import InPlace, Standin
from services.agent.desired import DesiredState
from services.registry.model import BEAT_S
from skerry.bus import Settings
from skerry.errors import StatusError
from skerry.identity.creds import Credentials
from tests.faults.agents import BareAgent

CONNECTING = 16
"""Handshakes at once in one process."""
UP_S, DOWN_S = (0.5, 4.0), (0.2, 6.0)
"""How long one that flaps is there, and away."""


class Who(msgspec.Struct, frozen=True):
    """One member's agent."""

    name: str
    cluster_uid: str
    jwt: str
    seed: str


class Plan(msgspec.Struct, frozen=True):
    """What the process is told when it starts."""

    server: str
    ca_pem: str
    host_uid: str
    trust_root: str
    agents: tuple[Who, ...]


class Crew:
    """All agents of the process."""

    def __init__(self, plan: Plan, tasks: asyncio.TaskGroup) -> None:
        self._plan, self._tasks = plan, tasks
        gate = asyncio.Semaphore(CONNECTING)
        self._agents = [
            BareAgent(
                Settings(servers=(plan.server,), ca_pem=plan.ca_pem, name=who.name),
                Credentials(who.jwt, who.seed.encode()),
                who.name,
                who.cluster_uid,
                gate=gate,
            )
            for who in plan.agents
        ]
        self._serving: dict[str, asyncio.Task[None]] = {}
        self._standins: dict[str, Standin] = {}

    async def come(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Connect all."""
        started, left = time.monotonic(), iter(self._agents)

        async def some() -> None:
            for agent in left:
                while agent.connection is None:
                    try:
                        await agent.come()
                    except StatusError:
                        await agent.go()
                        await asyncio.sleep(0.2)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTING):
                group.create_task(some())
        for number, agent in enumerate(self._agents):
            self._serve(agent, BEAT_S * number / len(self._agents))
        return {"seconds": time.monotonic() - started}

    def _serve(self, agent: BareAgent, first_s: float) -> None:
        self._serving[agent.name] = self._tasks.create_task(agent.serve(BEAT_S, first_s))

    async def flap(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Come and go."""
        ends, cycles = time.monotonic() + order["seconds"], 0

        async def one(agent: BareAgent) -> None:
            nonlocal cycles
            chance = random.Random(f"{order['seed']}/{agent.name}")
            self._serving[agent.name].cancel()
            await asyncio.wait((self._serving[agent.name],))
            agent.absences.clear()
            await asyncio.sleep(chance.uniform(0.0, UP_S[1]))
            while time.monotonic() < ends:
                try:
                    await agent.go(goodbye=chance.random() < 0.25)
                except StatusError:
                    agent.connection = None
                await asyncio.sleep(chance.uniform(*DOWN_S))
                while agent.connection is None:
                    try:
                        await agent.come()
                    except StatusError:
                        await asyncio.sleep(0.2)
                cycles += 1
                await asyncio.sleep(chance.uniform(*UP_S))
            self._serve(agent, chance.uniform(0.0, BEAT_S))

        async with asyncio.TaskGroup() as group:
            for agent in self._agents:
                group.create_task(one(agent))
        return {
            "cycles": cycles,
            "absences": {
                agent.name: [[each.since, each.until, each.goodbye] for each in agent.absences]
                for agent in self._agents
            },
        }

    async def heard(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Since when each was heard; 0 for who is not."""
        return {"since": [agent.heard for agent in self._agents]}

    async def apply(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Keep desired state; what is connected attaches now."""
        started = time.monotonic()
        for agent in () if self._standins else self._agents:
            standin = Standin(agent.name, agent.cluster_uid, self._plan.host_uid, self._plan.trust_root)
            self._standins[agent.name] = standin
            self._tasks.create_task(standin.desired.run())
            agent.desired = standin.desired
            if agent.connection is not None:
                await standin.desired.attach(agent.connection)
                await agent.beat(agent.connection)
        return {"seconds": time.monotonic() - started}

    async def hold(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Wait until each of some members has so many objects."""
        started = time.monotonic()
        for name in order["names"]:
            await self._standins[name].holds(order["count"])
        return {"seconds": time.monotonic() - started}

    async def applied(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """When each of the changes that carry these marks was applied, as far as they were."""
        return {"at": {mark: at for each in self._standins.values() for mark, at in each.table.applied.items()}}

    async def rest(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Say that everything is in place, from the heartbeat on that is answered with how much that is."""
        started = time.monotonic()

        async def one(agent: BareAgent) -> None:
            in_place = InPlace(agent.name)
            agent.desired = cast(DesiredState, in_place)
            assert agent.connection is not None
            await in_place.attach(agent.connection)
            while not in_place.progress.applied:
                await agent.beat(agent.connection)
                await asyncio.sleep(1.0)
            await in_place.report(order["count"])

        await asyncio.gather(*map(one, self._agents))
        return {"seconds": time.monotonic() - started}


async def _main(plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        crew = Crew(plan, tasks)
        orders = {
            each.__name__: each
            for each in (crew.come, crew.flap, crew.heard, crew.apply, crew.hold, crew.applied, crew.rest)
        }
        print(json.dumps({"agents": len(plan.agents)}), flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            answer = await orders[order["do"]](order)
            print(json.dumps(answer), flush=True)
        raise SystemExit(0)


if __name__ == "__main__":
    uvloop.run(_main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
