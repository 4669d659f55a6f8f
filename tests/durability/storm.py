"""A storm of writes, and a ledger of what the host promised while its processes were killed.

Every object has one writer, which writes one thing after the other and gives an object up when an answer stays out, so the
ledger knows what may be there: the last acknowledged state, or the state that the one write of unknown outcome leads to.
A state is told in several places of an object; all of them agree, or the object is not whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from skerry.api.meta import Document
from tests.durability.front import APPLY, MERGE, WORKSPACES, Front, Refused, Silence, Unsent, workspace

PADDING = 2000
ABSENT = "absent"
NOTHING_CHANGED = "nothing was changed"
"""What the front door says only when a write cannot have happened."""


@dataclass
class Promise:
    """What is known of one object."""

    name: str
    state: str = ABSENT
    revision: int = 0
    maybe: str | None = None
    """The state after the write whose outcome is unknown."""

    def allows(self, found: Document | None) -> bool:
        """Whether the object, or its absence, is what was promised. AssertionError if it is not whole."""
        seen = ABSENT if found is None else state_of(found)
        if seen == self.state:
            return found is None or self.maybe is not None or int(found["metadata"]["resourceVersion"]) == self.revision
        return seen == self.maybe


@dataclass
class Ledger:
    """All promises, and how many writes were acknowledged, refused and left open."""

    promises: dict[str, Promise] = field(default_factory=dict)
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0

    def broken(self, found: dict[str, Document]) -> list[str]:
        """What is not as promised, for people."""
        return [
            f"{p.name}: promised {p.state} at {p.revision} (or {p.maybe}), found "
            f"{ABSENT if p.name not in found else state_of(found[p.name])}"
            for p in self.promises.values()
            if not p.allows(found.get(p.name))
        ]


def state_of(found: Document) -> str:
    """The state that a whole object tells."""
    state = str(found["spec"]["displayName"])
    annotations = found["metadata"]["annotations"]
    assert annotations["state"] == state, f"half a write: {found['metadata']['name']} {state} {annotations['state']}"
    assert annotations["padding"] == state * (PADDING // len(state)), f"half a write: {found['metadata']['name']}"
    return state


def document(name: str, state: str) -> Document:
    """An object that tells its state several times."""
    annotations = {"state": state, "padding": state * (PADDING // len(state))}
    return workspace(name, state, annotations=annotations, labels={"storm": "yes"})


class Storm:
    """Writers on one front door."""

    def __init__(self, front: Front, ledger: Ledger) -> None:
        self._front = front
        self.ledger = ledger
        self.stop = asyncio.Event()
        self.moved = asyncio.Event()

    async def write(self, writer: str) -> None:
        """One writer, until `stop`: object after object."""
        number = 0
        while not self.stop.is_set():
            number += 1
            await self._life(f"{writer}-{number}", short=number % 2 == 0)

    async def _life(self, name: str, *, short: bool) -> None:
        promise = self.ledger.promises.setdefault(name, Promise(name))
        for step in ("create", "update", "patch", "apply", *(("delete",) if short else ())):
            if self.stop.is_set() or not await self._step(promise, step):
                return

    async def _step(self, promise: Promise, step: str) -> bool:
        """One write; whether the writer may go on with this object."""
        if step == "delete" and promise.state == ABSENT:
            return False
        after = ABSENT if step == "delete" else f"{promise.name}/{step}"
        try:
            answer = await self._send(promise, step, after)
        except Refused as error:
            if error.code < 500:
                raise
            return await self._refused() if NOTHING_CHANGED in error.message else await self._give_up(promise, after)
        except Unsent:
            return await self._refused()
        except Silence:
            return await self._give_up(promise, after)
        promise.state = after
        promise.revision = 0 if step == "delete" else int(answer["metadata"]["resourceVersion"])
        self.ledger.acknowledged += 1
        self.moved.set()
        return promise.state != ABSENT

    async def _refused(self) -> bool:
        """Nothing was written, and the host says so: go on."""
        self.ledger.refused += 1
        await self._pause()
        return True

    async def _give_up(self, promise: Promise, after: str) -> bool:
        promise.maybe = after
        self.ledger.unknown += 1
        await self._pause()
        return False

    async def _pause(self) -> None:
        """Before the next try, or until the storm is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await self.stop.wait()

    async def _send(self, promise: Promise, step: str, after: str) -> Document:
        """The request of a step. A step before this one may have been refused: what is absent is created."""
        target, wanted = f"{WORKSPACES}/{promise.name}", document(promise.name, after)
        if promise.state == ABSENT and step != "apply":
            return await self._front.ask("POST", WORKSPACES, wanted)
        if step == "update":
            wanted["metadata"]["resourceVersion"] = str(promise.revision)
            return await self._front.ask("PUT", target, wanted)
        if step == "patch":
            return await self._front.ask("PATCH", target, {k: wanted[k] for k in ("metadata", "spec")}, MERGE)
        if step == "apply":
            return await self._front.ask("PATCH", f"{target}?fieldManager=storm&force=true", wanted, APPLY)
        return await self._front.ask("DELETE", target)

    async def acknowledged(self, more: int, deadline_s: float) -> None:
        """Until `more` writes were acknowledged from now on: the host works."""
        wanted = self.ledger.acknowledged + more
        async with asyncio.timeout(deadline_s):
            while self.ledger.acknowledged < wanted:
                self.moved.clear()
                await self.moved.wait()
