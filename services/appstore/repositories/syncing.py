"""One look at a repository: it is read, and what differs from what is stored is written."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from services.appstore.catalogue.versions import BY_VERSION, users_of, versions_wanted
from services.appstore.credentials import Credentials, KeptCredential, type_of
from services.appstore.index import Skipped
from services.appstore.metadata import ChartError
from services.appstore.network import failure
from services.appstore.parts import AppStoreContext
from services.appstore.repositories.access import access_to
from services.appstore.repositories.outcome import Failed, Synced
from services.appstore.repositories.planning import (
    MANIFEST,
    ChartMemory,
    Forgotten,
    Plan,
    Source,
    Stored,
    missing,
    plan,
)
from services.appstore.repositories.reading import Before, ChartReading, Reader, Reading, together
from services.appstore.repositories.spec import RepositorySpec, spec_of
from skerry.api.kinds import APP_RELEASE, APP_VERSION
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.http.outbound import OutboundError
from skerry.storage import Item
from skerry.storage.sealed import Unreadable

log = logging.getLogger("skerry.appstore")

BY_REPOSITORY = "repository"
"""Index of AppVersions, by the place of their AppRepository."""
LONGEST_S = 300.0
"""A look that takes longer failed: a registry may have thousands of tags, each of which may take its time."""
AT_ONCE = 16
"""Writes."""
LIMIT = 20_000


def repository_of(item: Item) -> Iterable[str]:
    """What the index has for an AppVersion."""
    repository = item.document()["spec"].get("repository")
    return (f"{item.namespace}/{repository}",) if repository else ()


class Memory:
    """What is known of a repository from the look before, while its spec and that of the store are what they were."""

    def __init__(self, stamp: tuple[str, ...], reading: Reading, charts: dict[str, ChartMemory]) -> None:
        self.stamp, self.revision, self.etag, self.charts = stamp, reading.revision, reading.etag, charts


class Looked:
    """The outcome of a look, and what credential was shown."""

    def __init__(self, outcome: Synced | Failed, credential: Document) -> None:
        self.outcome, self.credential = outcome, credential


class Syncs:
    """Looks at repositories, each one at a time."""

    def __init__(self, context: AppStoreContext, now: Callable[[], float] = time.time) -> None:
        informer = context.informer
        informer.index(APP_VERSION, BY_REPOSITORY, repository_of)
        informer.index(APP_RELEASE, BY_VERSION, versions_wanted)
        self._context, self._informer, self._now = context, informer, now
        self._store = context.store(APP_VERSION, leader=True)
        self._reader = Reader(context.state.fetch)
        self._memory: dict[str, Memory] = {}

    @property
    def _credentials(self) -> Credentials:
        return self._context.state.credentials

    def forget(self, key: str) -> None:
        """The repository is gone, or led by somebody else."""
        self._memory.pop(key, None)

    def stored(self, key: str) -> dict[str, Item]:
        """Its AppVersions by name."""
        return {item.name: item for item in self._informer.lookup(APP_VERSION, BY_REPOSITORY, key)}

    def waits(self, key: str, item: Item) -> bool:
        """True while versions of a repository of the same name go that was there before: they are not to be taken over on their way."""
        uid = item.uid.encode()
        strangers = [each for each in self.stored(key).values() if uid not in each.body]
        return any(not users_of(self._informer, item.namespace, each.document()["spec"]) for each in strangers)

    async def look(self, key: str, item: Item) -> Looked:
        """Look at a repository. StatusError where what it has cannot be written."""
        document = item.document()
        spec = spec_of(document)
        try:
            kept = await self._credentials.find(item.uid)
        except Unreadable as error:
            return Looked(Failed("Unauthorized", f"{error.message}; set its credential anew"), {"present": False})
        shown = _shown(spec, kept)
        try:
            async with asyncio.timeout(LONGEST_S):
                outcome = await self._read(key, item, spec, kept)
        except OutboundError as error:
            reason, message = failure(error)
            outcome = Failed(reason, message, error.retry_after)
        except ChartError as error:
            reason = "TooLarge" if error.reason == "TooLarge" else "NotARepository"
            outcome = Failed(reason, str(error))
        except TimeoutError:
            outcome = Failed("Unreachable", f"{spec.url} was not read as a whole within {LONGEST_S:.0f} s")
        return Looked(outcome, shown)

    async def _read(self, key: str, item: Item, spec: RepositorySpec, kept: KeptCredential | None) -> Synced | Failed:
        for _ in range(2):
            memory = self._known(key, item)
            before = Before() if memory is None else _before(memory)
            if spec.is_registry:
                before = Before(manifests=self._manifests(key))
            store = self._context.state.switch.store
            access = access_to(spec, store, kept, self._context.settings.app_store_fetch_s)
            reading = await self._reader.read(spec, access, before)
            try:
                return await self._written(key, item, spec, reading, memory)
            except Forgotten:
                self.forget(key)
        raise AssertionError("a repository that is read as if for the first time has nothing to forget")

    def _stamp(self, item: Item) -> tuple[str, ...]:
        """Another one than before if what is wanted may be another."""
        store = self._context.state.switch.store
        metadata = item.document()["metadata"]
        return item.uid, str(metadata.get("generation")), str((store.get("metadata") or {}).get("generation"))

    def _known(self, key: str, item: Item) -> Memory | None:
        memory = self._memory.get(key)
        if memory is not None and memory.stamp != self._stamp(item):
            self.forget(key)
            return None
        return memory

    def _manifests(self, key: str) -> dict[tuple[str, str], str]:
        """What tags of a registry stood for, as their AppVersions have it: this outlives a process."""
        manifests = {}
        for item in self.stored(key).values():
            document = item.document()
            manifest = str((document["metadata"].get("annotations") or {}).get(MANIFEST, ""))
            manifests[manifest.rpartition("@")[0], str(document["spec"].get("version"))] = manifest
        return manifests

    async def _written(
        self, key: str, item: Item, spec: RepositorySpec, reading: Reading | None, memory: Memory | None
    ) -> Synced | Failed:
        """Write what differs. Forgotten."""
        await self._informer.current()
        if reading is None and memory is None:
            raise OutboundError("Protocol", f"{spec.url} says that it did not change, which nobody asked")
        charts = reading.charts if reading is not None else _unchanged(memory)
        own = self.stored(key)
        if problem := _refused(charts, own):
            return problem
        limit = self._limit()
        others = len(self._informer.list(APP_VERSION)) - len(own)
        taken = {each.name for each in self._informer.list(APP_VERSION, item.namespace)}
        stored = Stored(own, {} if memory is None else memory.charts, limit - others, taken)
        source = Source(item.namespace, item.name, item.uid, spec.url, spec.automatic and item.namespace == POOL)
        planned = await asyncio.to_thread(plan, source, charts, stored, self._now())
        await self._write(item.namespace, planned)
        await self._take_away(item.namespace, planned.gone)
        if reading is not None and not planned.dropped and not spec.is_registry:
            self._memory[key] = Memory(self._stamp(item), reading, planned.charts)
        elif reading is not None:
            self.forget(key)
        revision = reading.revision if reading is not None else "" if memory is None else memory.revision
        return _synced(revision, charts, planned, spec, limit)

    def _limit(self) -> int:
        limits = (self._context.state.switch.store.get("spec") or {}).get("limits") or {}
        return int(limits.get("versions") or LIMIT)

    async def _write(self, namespace: str, planned: Plan) -> None:
        store = self._store
        await _all(partial(store.create, document) for document in planned.creations)
        await _all(partial(store.modify, name, change, namespace) for name, change in planned.changes)

    async def _take_away(self, namespace: str, gone: Iterable[Item]) -> None:
        """What is not listed any more goes, unless a release uses it."""
        store = self._store
        work: list[Callable[[], Awaitable[object]]] = []
        for item in gone:
            if users_of(self._informer, namespace, item.document()["spec"]):
                change = partial(missing, now=self._now())
                work += [partial(store.modify, item.name, change, namespace)] if change(item.document()) else []
            else:
                work.append(partial(store.delete, item.name, namespace, uid=item.uid))
        await _all(work)


async def _all(work: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Some at once. What somebody else made or took away meanwhile is looked at the next time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(write: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            try:
                await write()
            except (AlreadyExists, NotFound, Conflict) as error:
                log.debug("a version was changed by somebody else", extra={"error": error.message})

    await together(one(each) for each in work)


def _before(memory: Memory) -> Before:
    blocks = frozenset(each.block for each in memory.charts.values() if each.block)
    return Before(memory.revision, memory.etag, blocks)


def _unchanged(memory: Memory | None) -> tuple[ChartReading, ...]:
    return () if memory is None else tuple(ChartReading(name, unchanged=True) for name in memory.charts)


def _shown(spec: RepositorySpec, kept: KeptCredential | None) -> Document:
    """What credential is shown, as the status says it."""
    try:
        usable = kept is not None and tuple(kept.place) == spec.origin.place
    except OutboundError:
        usable = False
    return {"present": True, "type": type_of(kept.credential)} if kept is not None and usable else {"present": False}


def _refused(charts: Iterable[ChartReading], own: Mapping[str, Item]) -> Failed | None:
    """A repository that lists nothing: what it had is not taken away for that, since a mistake is more likely than the wish."""
    listed = list(charts)
    if any(each.unchanged or each.versions for each in listed):
        return None
    other = next((each for chart in listed for each in chart.skipped if each.reason == "NotAChart"), None)
    if other is not None:
        return Failed("NotARepository", f"there is no chart in it: {other.message}")
    if own:
        text = "nothing that is wanted is listed in it any more; what was listed stays. If that is meant, remove the repository"
        return Failed("NotARepository", text)
    return None


def _synced(revision: str, charts: Iterable[ChartReading], planned: Plan, spec: RepositorySpec, limit: int) -> Synced:
    skipped = [each for chart in planned.charts.values() for each in chart.skipped]
    absent = sorted(spec.charts - {each.name for each in charts})
    skipped += [Skipped(name[:63], "", "NotFound", "the repository has no such chart") for name in absent]
    return Synced(
        revision,
        charts=sum(bool(each.names) for each in planned.charts.values()),
        versions=sum(len(each.names) for each in planned.charts.values()),
        known=sum(each.known for each in planned.charts.values()),
        skipped=skipped,
        dropped=planned.dropped,
        limit=limit,
    )
