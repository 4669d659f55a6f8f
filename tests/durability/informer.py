"""An informer as client-go's reflector works: list, watch from there, resume where it was, list again on 410.

It fails when revisions run backwards, and keeps what it believes to be there, to be compared with what is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlencode

from skerry.api.meta import Document
from skerry.errors import SkerryError
from tests.durability.front import WORKSPACES, Front, Refused, Silence, Unsent

RETRY_S = 0.1
DEADLINE_S = 60.0


class Informer:
    """What one client believes about all workspaces; a task runs `run`."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.revision = 0
        self.items: dict[str, int] = {}
        """Name -> resourceVersion."""
        self.lists = 0
        self.expired = 0
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if not self.revision or self._again:
                    await self._list()
                await self._watch()
            except Refused as error:
                if error.code == 410:
                    self._expire()
                elif error.code < 500:
                    raise
            except (Silence, Unsent, SkerryError, OSError):
                pass
            await asyncio.sleep(RETRY_S)

    _again = False

    async def _list(self) -> None:
        revision, items = await self._front.listed()
        assert revision >= self.revision, f"a list went back from {self.revision} to {revision}"
        self.items = {name: int(item["metadata"]["resourceVersion"]) for name, item in items.items()}
        self.revision, self._again = revision, False
        self.lists += 1
        self._tell()

    def _expire(self) -> None:
        self.expired += 1
        self._again = True

    async def _watch(self) -> None:
        query = urlencode({"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": self.revision})
        async with self._front.watching(f"{WORKSPACES}?{query}") as events:
            async for event in events:
                if event["type"] == "ERROR":
                    raise Refused(int(event["object"]["code"]), event["object"])
                self._take(event["type"], event["object"])

    def _take(self, kind: str, item: Document) -> None:
        revision = int(item["metadata"]["resourceVersion"])
        assert revision > self.revision, f"an event went back from {self.revision} to {revision}"
        self.revision = revision
        name = item["metadata"].get("name", "")
        if kind == "DELETED":
            assert self.items.pop(name, None) is not None, f"{name} was deleted without having been there"
        elif kind != "BOOKMARK":
            assert (name in self.items) == (kind == "MODIFIED"), f"{kind} of {name}, but {sorted(self.items)}"
            self.items[name] = revision
        self._tell()

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def agrees(self, items: dict[str, int], deadline_s: float = DEADLINE_S) -> None:
        """Until it believes exactly this; AssertionError with the difference."""
        try:
            async with asyncio.timeout(deadline_s):
                while self.items != items:
                    await self._moved.wait()
        except TimeoutError:
            raise AssertionError(f"believes {self.items}, but there is {items}") from None


@contextlib.asynccontextmanager
async def informing(front: Front) -> AsyncIterator[Informer]:
    """A running informer that has listed; an error in it fails the block."""
    informer = Informer(front)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(informer.run())
        async with asyncio.timeout(DEADLINE_S):
            while not informer.lists:
                await informer._moved.wait()
        yield informer
        running.cancel()


def revisions(items: dict[str, Document]) -> dict[str, int]:
    """Name -> resourceVersion of a list."""
    return {name: int(item["metadata"]["resourceVersion"]) for name, item in items.items()}
