"""Level-triggered work of the registry: statuses follow presence, removed members are evicted.

Whatever triggers it, a reconcile looks at what is stored and at what is true, and makes the first like the second; what
fails is tried again. A member is looked at when its heartbeats say something new, when its connections come and go, when
what is stored is not what is true, and when time alone may have changed the verdict: nothing looks at all members.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from services.registry import approval, clusters, joining
from services.registry.clock import Clock
from services.registry.departing import Departures
from services.registry.model import MemberAgents, PresenceStatus, PresenceTable, due
from services.registry.secrets import Evicted, MemberSecret
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from services.registry.writer import StatusWriter
from skerry import subjects
from skerry.api.conditions import awaits_approval
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.bus import Bus
from skerry.controller.controller import After
from skerry.errors import StatusError
from skerry.heartbeats import Hearing
from skerry.identity.farewell import make_farewell
from skerry.informer import Change
from skerry.service import Context
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

AT_ONCE = 16
"""Members whose statuses are written at once, each by one worker."""
TICK_S = 0.25
"""Between two looks whether this process hears."""
SOON_S = 5.0
"""A look that has more time than this is made with others, each second."""
AWAY_S = 1.0
"""While the bus is away, members are looked at again after so long: their silence is ours."""


def _together_s(after_s: float, now: float) -> float:
    """In how many seconds to look at who may be looked at in `after_s`. Three in ten heartbeats are followed by a look that finds
    nothing, and for one alone the process is woken, which costs more than the look (ADR 30)."""
    return after_s if after_s < SOON_S else math.ceil(now + after_s) - now


class SettledMember(NamedTuple):
    """A member whose stored status was what is true: it is, until it is told otherwise."""

    revision: int
    """Of the Cluster."""
    stored: PresenceStatus
    presence: PresenceStatus
    until: float
    """When time alone may change more than its presence."""


class Statuses:
    """Makes the stored Clusters follow what is true of members with agents, and evicts those that leave.

    Every replica hears every heartbeat, the one that leads writes: its successor has heard as much, and goes on. What one of
    them cannot know, it does not claim.
    """

    def __init__(
        self,
        context: Context[RegistrySettings, Any],
        registry: RegistryStore,
        presence: PresenceTable,
        writer: StatusWriter,
        departures: Departures,
        forget: Callable[[str], Awaitable[None]],
        clock: Clock,
    ) -> None:
        """`forget(name)` ends what is kept for a member elsewhere, before its name is free."""
        self._departures = departures
        self._registry, self._presence, self._writer, self._clock = registry, presence, writer, clock
        self._forget = forget
        self._bus: Bus = context.bus
        self._heard_on: Bus = context.heard
        self._hearing = Hearing()
        self._settled: dict[str, SettledMember] = {}
        self._heard = asyncio.get_running_loop().time()
        self.controller = context.controller("clusters", self.reconcile, workers=AT_ONCE, leader=True)
        self.ticker = context.controller("hearing", self._tick)
        self.ticker.add("bus")
        context.closing.callback(registry.cache.add_event_handler(CLUSTER, self._seen))
        for item in registry.members():
            self._know(item, item.document())
            self.controller.add(item.name)

    def changed(self, names: set[str]) -> None:
        """These members' statuses may have changed."""
        for name in names:
            self._settled.pop(name, None)
            self.controller.add(name)

    def _seen(self, change: Change) -> None:
        if change.new is not None:
            self._know(change.new, change.after())
        elif change.old is not None:
            self._settled.pop(change.old.name, None)
            self._presence.forget(change.old.name, change.old.uid)
            self._departures.gone(change.old.uid)

    def _know(self, item: Item, document: Document) -> None:
        """Look at a member that is new, leaves, or does not stand as it is stored."""
        if clusters.is_member(document) and clusters.is_leaving(document):
            self.controller.add(item.name)
        elif clusters.has_agent(document) and not awaits_approval(document):
            now, stored = self._clock(), clusters.presence_of(document)
            if (
                self._presence.know(item.name, item.uid, clusters.uid_of(document), now)
                or self._presence.judge(item.name, stored, now) != stored
            ):
                self.controller.add(item.name)

    # Whether we hear

    async def _tick(self, key: str) -> After:
        self.listen()
        return After(TICK_S)

    def listen(self) -> None:
        """Notice a break in our own hearing, before anything is heard or judged after it: a process that was stopped wakes up
        with every appointment due."""
        now = asyncio.get_running_loop().time()
        paused_s, self._heard = now - self._heard - TICK_S, now
        hears = self._heard_on
        if self._hearing.begins(hears.generation if hears.connected else 0, paused_s):
            self._presence.listen(self._clock())
            self.changed(set(self._presence.members))

    @property
    def _is_on_the_bus(self) -> bool:
        return self._bus.connected and self._heard_on.connected

    # One member

    async def reconcile(self, name: str) -> After | None:
        """Make the stored Cluster follow what is true. StatusError."""
        self.listen()
        item = self._registry.cache.get(CLUSTER, name)
        if item is None:
            return None
        member = self._presence.members.get(name)
        if member is not None and (still := self._still(item, member)) is not None:
            return still
        document = item.document()
        if clusters.is_leaving(document):
            return await self._remove(name)
        if member is None:
            return None
        if not self._is_on_the_bus:
            return After(AWAY_S)
        self._settled.pop(name, None)
        stored, now = clusters.presence_of(document), self._clock()
        settled = SettledMember(item.revision, stored, self._presence.judge(name, stored, now), float("inf"))
        self._settled[name] = settled  # whoever has news meanwhile takes it away
        try:
            again_s = await self._writer.write(name, member.object, partial(self._observed, name, member))
        except BaseException:
            self._settled.pop(name, None)
            raise
        now, other_s = self._clock(), self._writer.due(name)
        if self._settled.get(name) is settled:
            moments_s = [each for each in (again_s, other_s) if each is not None]
            self._settled[name] = settled._replace(until=now.mono + min(moments_s, default=float("inf")))
        moments = [each for each in (again_s, due(member, now), other_s) if each is not None]
        return After(min(moments)) if moments else None

    def _still(self, item: Item, member: MemberAgents) -> After | None:
        """When to look again at a member of which nothing was heard but that it lives; None if it must be looked at now. Most
        looks are such: each is due before silence would count, and then it was heard again."""
        settled, now = self._settled.get(item.name), self._clock()
        if (
            settled is None
            or settled.revision != item.revision
            or now.mono >= settled.until
            or not self._is_on_the_bus
            or self._presence.judge(item.name, settled.stored, now) != settled.presence
        ):
            return None
        moments = [each for each in (due(member, now), settled.until - now.mono) if each is not None]
        return After(_together_s(min(moments), now.mono))

    def _observed(self, name: str, member: MemberAgents, document: Document) -> Document:
        self.listen()
        now, stored = self._clock(), clusters.presence_of(document)
        return clusters.observed(document, member, self._presence.judge(name, stored, now), now)

    async def evict(self, name: str) -> None:
        """Remove a member that is marked for deletion, now, unless it has something to take away first: that is waited for
        where the registry leads. Idempotent. StatusError.
        """
        document = await self._registry.cluster(name)
        if document is not None and clusters.is_leaving(document):
            if await self._departures.worthwhile(document):
                self.controller.add(name)
            else:
                await self._remove(name)

    async def _remove(self, name: str) -> After | None:
        """Tombstone first, then secrets, then the object."""
        document = await self._registry.cluster(name)
        if document is None or not clusters.is_leaving(document):
            return None
        again_s = await self._departures.wait(document)
        if again_s is not None:
            return After(again_s)
        await self._evict(name, document)
        return None

    async def _evict(self, name: str, document: Document) -> None:
        """Somebody else may be doing the same, and be done: nothing here touches a later member of that name."""
        registry, uid, object_uid = self._registry, clusters.uid_of(document), document["metadata"]["uid"]
        host = registry.settings.host_name
        farewell = approval.farewell(document, host) or joining.farewell(name, host)
        while (secret := await registry.secrets.member(name)) is not None and secret.cluster == object_uid:
            tombstone = registry.authority.tombstone(name, secret.account)
            proof = Evicted(name=name, account=secret.account, jwt=tombstone, at=self._clock().wall, farewell=farewell)
            await registry.secrets.bury(proof, secret.agents)
            await self._say_farewell(document, secret, farewell)
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
        await self._forget(name)
        await self._departures.tell_cut(document)
        await registry.clusters.finalize(name, object_uid, clusters.FINALIZER)
        log.info("removed", extra={"cluster": name})

    async def _say_farewell(self, document: Document, secret: MemberSecret, message: str) -> None:
        """Tell the agents that are connected, before nothing reaches them any more. Those that are away are refused when they
        come, and go on asking: they end by their own people's hand, or join anew with a token that these give them."""
        name, authority = document["metadata"]["name"], self._registry.authority
        text = make_farewell(name, secret.account, message, authority.assertion_root.sign)
        try:
            if awaits_approval(document):
                # Its account hears nothing. Its users hear this, and may do no more with a member's account than without.
                await self._registry.resolver.push(self._registry.account(document, secret, whole=True).jwt)
            connection = await self._bus.connection(timeout_s=1.0)
            await connection.publish(subjects.farewell(name), text)
            await connection.flush(timeout_s=1.0)
        except StatusError as error:
            log.warning("a removed member could not be told", extra={"cluster": name, "error": error.message})
