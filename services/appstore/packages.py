"""Packages by digest: kept in the object store `packages`, fetched from where they come when they are needed first.

What was fetched can be fetched again, so the least used of it goes when there is too much; what was uploaded stays as long as a
version has it, and is in backups. An object's name is its digest: two versions with one package share it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from hashlib import sha256

from services.appstore.metadata import ChartError
from services.appstore.network import MIB
from skerry.api.meta import Document
from skerry.bus.jetstream import seconds_of
from skerry.bus.objects import ObjectStore
from skerry.errors import AlreadyExists, Conflict, NotFound

log = logging.getLogger("skerry.appstore")

UPLOADED = "uploaded"
"""Key of an object's metadata that says that it cannot be fetched again."""
LARGEST = 32 * MIB
"""Bytes of a package, whatever AppStore host says."""
DEADLINE_S = 60.0
GRACE_S = 3600.0
"""What no version has is kept for so long: whoever stores a package stores its version next."""

Of = Callable[[str], bool]
"""Something that is so of a digest, or not."""
FetchPackage = Callable[[Document], Awaitable[bytes]]
"""The package of an AppVersion from where it comes. StatusError, ChartError."""


def object_name(digest: str) -> str:
    """The object of a digest `sha256:…`."""
    return digest.replace(":", "-")


class Packages:
    """See the module. `now` is Unix time in seconds."""

    def __init__(self, objects: ObjectStore, fetch: FetchPackage, now: Callable[[], float] = time.time) -> None:
        self._objects, self._fetch, self._now = objects, fetch, now
        self._used: dict[str, float] = {}
        """When an object was read last, by its name."""
        self._fetching: dict[str, asyncio.Task[bytes]] = {}

    async def get(self, version: Document) -> bytes:
        """The package of an AppVersion. Many who ask at once share one fetch. ChartError for one that is not what its digest says;
        Conflict for one that can be got nowhere any more; StatusError.
        """
        digest = str((version.get("status") or {}).get("digest", ""))
        kept = await self._kept(digest) if digest else None
        if kept is not None:
            return kept
        key = f"{version['metadata'].get('namespace')}/{version['metadata']['name']}"
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._fetched(version, digest), name=f"fetch {key}")
            task.add_done_callback(lambda done: self._fetching.pop(key, None))
        return await asyncio.shield(task)

    async def _kept(self, digest: str) -> bytes | None:
        name = object_name(digest)
        try:
            info = await self._objects.stat(name)
            content = b"".join([part async for part in self._objects.read(info)])
        except NotFound:
            return None
        self._used[name] = self._now()
        return content

    async def _fetched(self, version: Document, digest: str) -> bytes:
        name = version["metadata"]["name"]
        if (version.get("status") or {}).get("uploaded"):
            raise Conflict(
                f"the package of {name} was uploaded and is not here any more: push it again (skerry app push)"
            )
        content = await self._fetch(version)
        actual = "sha256:" + sha256(content).hexdigest()
        if digest and actual != digest:
            raise ChartError(
                "DigestMismatch",
                f"its package has digest {actual}, and {digest} was listed: it is not taken; tell whoever keeps the repository",
            )
        await self.put(content, uploaded=False)
        return content

    async def put(self, content: bytes, *, uploaded: bool) -> str:
        """Keep a package; its digest. Many may put the same one at once, and whoever reads it reads on. StatusError."""
        digest = "sha256:" + sha256(content).hexdigest()
        name = object_name(digest)
        metadata = {UPLOADED: "true"} if uploaded else {}
        while not await self._is_there(name, metadata):
            with suppress(AlreadyExists):  # another replica wrote it: it is looked at again
                await self._objects.put(
                    name, _parts(content), max_bytes=LARGEST, deadline_s=DEADLINE_S, metadata=metadata
                )
                break
        self._used[name] = self._now()
        return digest

    async def _is_there(self, name: str, metadata: dict[str, str]) -> bool:
        """True if it is kept already, from now on with at least this mark and for at least half of GRACE_S."""
        while True:
            try:
                info = await self._objects.stat(name)
                is_fresh = self._now() - seconds_of(info.mtime) < GRACE_S / 2
                if not (is_fresh and metadata.items() <= info.metadata.items()):
                    await self._objects.mark(name, {**info.metadata, **metadata})
            except NotFound:
                return False
            except AlreadyExists:
                continue
            return True

    async def sweep(self, is_listed: Of, is_pinned: Of, most_bytes: int) -> int:
        """Take away what no version has and is old, then of what is not pinned the least used until all is within `most_bytes`.
        How many went.
        """
        infos = [info async for info in self._objects.objects()]
        total, gone = sum(info.size for info in infos), 0
        ages = {info.name: self._now() - self._used.get(info.name, seconds_of(info.mtime)) for info in infos}
        for info in sorted(infos, key=lambda each: ages[each.name], reverse=True):
            digest = info.name.replace("-", ":", 1)
            old = ages[info.name] > GRACE_S and not is_listed(digest)
            surplus = total > most_bytes and UPLOADED not in info.metadata and not is_pinned(digest)
            if not old and not surplus:
                continue
            try:
                await self._objects.delete(info.name, info)
            except AlreadyExists:  # somebody puts it once more, and has its version written next
                continue
            except NotFound:
                log.debug("another replica was faster", extra={"object": info.name})
            total, gone = total - info.size, gone + 1
            self._used.pop(info.name, None)
        return gone

    async def sweep_chunks(self) -> int:
        """Take away what writers left that were killed in the middle. How many they were."""
        return await self._objects.sweep(GRACE_S)


async def _parts(content: bytes) -> AsyncIterator[bytes]:
    yield content
