"""Level-triggered work of the registry: statuses follow presence, removed members are evicted, old tokens go.

Whatever triggers it, a round looks at what is stored and at what is true, and makes the first like the second; what
fails is tried again. One worker writes, so a burst of events of one member is one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from services.registry import clusters
from services.registry.handlers import wall_and_mono
from services.registry.model import Member, Now, Presence
from services.registry.secrets import Evicted
from services.registry.store import Registry
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.bus import Bus
from skerry.controller.sweep import sweep
from skerry.errors import NotFound, StatusError
from skerry.heartbeats import Hearing
from skerry.informer import Change
from skerry.storage import Item, seconds
from skerry.storage.documents import Document

log = logging.getLogger("skerry.registry")

TICK_S = 0.25
ROUND_S = 5.0
"""Between two looks at everything."""
RETRY_S = 1.0
KEEP_TOKEN_S = 3600.0
"""An expired join token is shown for so long."""


class Controller:
    """Reconciles Clusters and JoinTokens."""

    def __init__(
        self, registry: Registry, presence: Presence, bus: Bus, clock: Callable[[], Now] = wall_and_mono
    ) -> None:
        self._registry = registry
        self._presence = presence
        self._bus = bus
        self._clock = clock
        self._dirty: set[str] = set()
        self._work = asyncio.Event()
        self._hearing = Hearing()
        self._evicting = asyncio.Lock()
        self.problem = ""
        """Why the last round did not finish; empty if it did."""

    def changed(self, names: set[str]) -> None:
        """These members' statuses may have changed."""
        if names:
            self._dirty |= names
            self._work.set()

    def start(self) -> None:
        """Look at every member that the store has, and at those that come and go from now on."""
        self._registry.cache.on_change(CLUSTER, self._seen)
        for item in self._registry.members():
            self._know(item)

    def _seen(self, change: Change) -> None:
        if change.new is not None:
            self._know(change.new)
        elif change.old is not None:
            self._presence.forget(change.old.name, change.old.uid)

    def _know(self, item: Item) -> None:
        document = item.document()
        if clusters.is_member(document) and clusters.is_leaving(document):
            self.changed({item.name})
        if not clusters.has_agent(document):
            return
        self._presence.know(item.name, item.uid, clusters.uid_of(document), self._clock())

    # Loops

    async def write(self) -> None:
        """Write what is dirty, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            names, self._dirty = self._dirty, set()
            failed = {name for name in sorted(names) if not await self._settled(name)}
            if failed:
                await asyncio.sleep(RETRY_S)
                self.changed(failed)

    async def _settled(self, name: str) -> bool:
        """Reconcile one member; False if it has to be tried again."""
        try:
            await self.settle(name)
        except StatusError as error:
            log.warning("a cluster could not be reconciled", extra={"cluster": name, "error": error.message})
            return False
        except Exception:
            log.exception("a cluster could not be reconciled", extra={"cluster": name})
        return True

    async def watch(self) -> None:
        """Tick: suspects quickly, all members at a slower pace, until cancelled. Nothing here waits for the bus."""
        loop = asyncio.get_running_loop()
        ticked = next_look = loop.time()
        while True:
            now = loop.time()
            if self._hearing.begins(self._bus.epochs if self._bus.connected else 0, now - ticked - TICK_S):
                self._presence.listen(self._clock())
            if self._bus.connected:
                self.changed(self._moved(self._presence.tick()))
                if now >= next_look:
                    next_look = now + ROUND_S
                    self.changed(self._moved(set(self._presence.members)))
            ticked = now
            await asyncio.sleep(TICK_S)

    def _moved(self, names: set[str]) -> set[str]:
        """Those that do not stand as it is stored."""
        now = self._clock()
        moved = set()
        for name in names:
            item = self._registry.cache.get(CLUSTER, name)
            if item is not None:
                stored = clusters.standing_of(item.document())
                if self._presence.judge(name, stored, now) != stored:
                    moved.add(name)
        return moved

    async def tidy(self) -> None:
        """What has no hurry: tokens and objects whose time is over, removals that were not finished; until cancelled."""
        while True:
            if self._bus.connected:
                await self._round()
            await asyncio.sleep(ROUND_S)

    async def _round(self) -> None:
        try:
            await self._expire_tokens()
            now = datetime.fromtimestamp(self._clock().wall, UTC)
            for store in (self._registry.clusters, self._registry.tokens):
                await sweep(store, self._registry.cache, now)
            leaving = {item.name for item in self._registry.members() if clusters.is_leaving(item.document())}
            self.changed(leaving)
            self.problem = ""
        except StatusError as error:
            self.problem = error.message
            log.warning("the registry could not finish its round", extra={"error": error.message})
        except Exception:
            self.problem = "internal error, see the log"
            log.exception("the registry could not finish its round")

    async def _expire_tokens(self) -> None:
        now = self._clock().wall
        for item in self._registry.cache.list(JOIN_TOKEN):
            if _expires(item.document()) + KEEP_TOKEN_S <= now:
                try:
                    await self._registry.tokens.delete(item.name, uid=item.uid)
                except NotFound:
                    continue

    # One member

    async def settle(self, name: str) -> None:
        """Make the stored Cluster follow what is true. StatusError."""
        member = self._presence.members.get(name)
        found = await self._registry.clusters.find(name)
        if found is None:
            return
        if clusters.is_leaving(found.document()):
            await self.evict(name)
        elif member is not None:
            before = clusters.ready_of(found.document())
            stored = await self._registry.clusters.modify(name, lambda document: self._observed(document, name, member))
            after = clusters.ready_of(stored.document())
            if before.status != after.status:
                log.info("ready" if after.status == "True" else "not ready",
                         extra={"cluster": name, "reason": after.reason})  # fmt: skip

    def _observed(self, document: Document, name: str, member: Member) -> Document:
        now, stored = self._clock(), clusters.standing_of(document)
        return clusters.observed(document, member, self._presence.judge(name, stored, now), now)

    async def evict(self, name: str) -> None:
        """Remove a member that is marked for deletion: tombstone first, then secrets, then the object. Idempotent."""
        async with self._evicting:
            found = await self._registry.cluster(name)
            if found is not None and clusters.is_leaving(found):
                await self._evict(name, found)

    async def _evict(self, name: str, found: Document) -> None:
        """Another replica may be doing the same, and be done: nothing here touches a later member of that name."""
        registry, uid, object_uid = self._registry, clusters.uid_of(found), found["metadata"]["uid"]
        while (secret := await registry.secrets.member(name)) is not None and secret.cluster == object_uid:
            tombstone = registry.authority.tombstone(name, secret.account)
            await registry.secrets.bury(
                Evicted(name=name, account=secret.account, jwt=tombstone, at=self._clock().wall), secret.agents
            )
            await registry.resolver.push(tombstone)
            await registry.secrets.drop(name, secret)
        await registry.secrets.drop_connection(object_uid)
        claim, revision = await registry.secrets.claimed(uid)
        again = await registry.cluster(name)
        if again is None or again["metadata"]["uid"] != object_uid:
            return
        if claim is not None and claim.name == name:
            await registry.secrets.unclaim(uid, revision)
        self._presence.forget(name, object_uid)
        await registry.clusters.finalize(name, object_uid, clusters.FINALIZER)
        log.info("removed", extra={"cluster": name})

    # Servers that forgot

    async def restore_accounts(self) -> None:
        """Push the accounts that the bus does not know (a new server, an emptied directory). StatusError."""
        known = set(await self._registry.resolver.accounts())
        for item in self._registry.members():
            secret = await self._registry.secrets.member(item.name)
            if secret is not None and secret.account not in known and secret.cluster == item.uid:
                await self._registry.resolver.push(self._registry.account(item.name, secret).jwt)
                log.warning("the bus had forgotten an account", extra={"cluster": item.name})


def _expires(document: Document) -> float:
    try:
        return seconds(document["status"]["expires"])
    except (KeyError, TypeError, ValueError):
        return 0.0
