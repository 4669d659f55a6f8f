"""Appliers of direct members: what an agent would keep in place on its own cluster, the host keeps in place itself.

They run where the registry's lease is, one per direct member that answers, with the credential that requests use, and end
with the lease: in front of each write it is looked at once more. Of a cluster that another host took over, or that is another
one by now, they end at once: the connections that they have were made when it was ours. What a member should have is asked of the bucket as
agents ask, and its changes are heard as they are stored; so the same signatures are verified, and the same is reported.

A member without entries costs a question a minute. Of what is not in place yet all members together hold HELD_BYTES, and
SIDE_BY_SIDE calls to their API servers run at once; a member that does not answer has no applier, and holds up no other.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from services.registry import clusters, direct
from services.registry.clock import Clock
from services.registry.desired import Desired
from services.registry.directing import Directions
from services.registry.pausing import ended
from services.registry.store import RegistryStore
from services.registry.upstreams import Upstreams
from skerry import subjects
from skerry.api.desired import SyncAnswer, SyncRequest, WithdrawOrder
from skerry.api.kinds import CLUSTER
from skerry.backoff import Backoff
from skerry.bus import Message
from skerry.controller.controller import After
from skerry.controller.timers import sleep
from skerry.desired.applier import Applier
from skerry.desired.feed import EntryRoom
from skerry.desired.objects import Objects
from skerry.desired.owners import BINDINGS
from skerry.errors import StatusError
from skerry.identity.signedtext import Verify
from skerry.informer import Change
from skerry.member.upstream import Upstream
from skerry.service import Context
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

SIDE_BY_SIDE = 64
WORKERS = 2
"""Of one member."""
CONNECTIONS = 24
"""Of one member: watches of what is kept in place, and its workers."""
HELD_BYTES = 16 << 20
SURE_S = 60.0
"""What was heard may have been missed: after so long the bucket is asked how far it is."""
AGAIN_S = (1.0, 60.0)
"""Before an applier that failed is started again."""
STABLE_S = 60.0
RECONNECTED_S = 1.0


class ApplierSpec(NamedTuple):
    """An applier that is to run: another one, and it is another applier."""

    object: str
    """UID of the Cluster."""
    revision: int
    """Of the credential."""


class RunningApplier:
    """One applier of this process."""

    def __init__(self, wanted: ApplierSpec, applier: Applier) -> None:
        self.wanted, self.applier = wanted, applier
        self.task: asyncio.Task[None] | None = None
        self.orders: asyncio.Queue[WithdrawOrder] = asyncio.Queue(1)


class MemberEntries:
    """What one member should have, asked in this process."""

    def __init__(self, desired: Desired, member: str) -> None:
        self._desired, self._member = desired, member

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """One page. StatusError."""
        return await self._desired.sync(self._member, request)


class Appliers:
    """See the module. A task must run `run`."""

    def __init__(
        self,
        context: Context[Any, Any],
        registry: RegistryStore,
        upstreams: Upstreams,
        desired: Desired,
        directions: Directions,
        verify: Verify,
        clock: Clock,
    ) -> None:
        self._registry, self._desired, self._directions = registry, desired, directions
        self._upstreams = upstreams
        self._verify, self._clock = verify, clock
        self._bus, self._timers = context.bus, context.timers
        self._slots = asyncio.Semaphore(SIDE_BY_SIDE)
        self._held = EntryRoom(HELD_BYTES)
        self._present: dict[str, ApplierSpec] = {}
        self._running: dict[str, RunningApplier] = {}
        self._leaves: Callable[[str], Awaitable[None]] | None = None
        self._backoffs: dict[str, Backoff] = {}
        self._group: asyncio.TaskGroup | None = None
        self.controller = context.controller("appliers", self.reconcile, workers=4, leader=True, finishes=False)
        self._lease = context.lease
        context.closing.callback(registry.cache.add_event_handler(CLUSTER, self._seen))
        for item in registry.cache.list(CLUSTER):
            self._seen(Change(item.revision, None, item))

    def follow(self, leaves: Callable[[str], Awaitable[None]]) -> None:
        """Have `leaves(name)` awaited before everything is withdrawn from a member that is removed."""
        self._leaves = leaves

    def keeps_binding(self, name: str, binding: str) -> bool:
        """Whether a member's ClusterRoleBinding is kept in place by an entry."""
        running = self._running.get(name)
        return running is not None and running.applier.keeps(*BINDINGS, binding)

    @property
    def members(self) -> list[str]:
        """Whose appliers run in this process."""
        return list(self._running)

    def heard(self, message: Message) -> None:
        """A change of the bucket was published again."""
        running = self._running.get(subjects.member_of(message.subject))
        if running is not None:
            running.applier.feed.republished(message)

    def order(self, name: str, order: WithdrawOrder) -> None:
        """Everything is to go from a member that leaves; its applier reports when that is done."""
        running = self._running.get(name)
        if running is not None and not running.orders.full():
            running.orders.put_nowait(order)

    def _seen(self, change: Change) -> None:
        item = change.new or change.old
        if item is None:
            return
        running = self._running.get(item.name)
        if running is not None and change.new is not None and clusters.is_leaving(change.new.document()):
            running.applier.ending = True
        member = None if change.new is None else _wanted(change.new)
        if self._present.get(item.name) == member:
            return
        if member is None:
            del self._present[item.name]
            self._end(item.name)
        else:
            self._present[item.name] = member
        self.controller.add(item.name)

    # Life

    async def run(self) -> None:
        """Have appliers run where the lease is, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._reconnects(), name="look for a new connection")
            while True:
                if self._lease.held:
                    for name in self._present:
                        self.controller.add(name)
                else:
                    for name in list(self._running):
                        self._end(name)
                await self._lease.changed()

    async def reconcile(self, name: str) -> After | None:
        """Have the applier of a member run as it should, or none. StatusError."""
        spec, running = self._present.get(name), self._running.get(name)
        if running is not None and running.wanted == spec:
            return None
        self._end(name)
        item = self._registry.cache.get(CLUSTER, name)
        if spec is None or item is None or item.uid != spec.object or self._group is None:
            self._backoffs.pop(name, None)
            return None
        document = item.document()
        connection = await self._upstreams.opened(item, clusters.uid_of(document), connections=CONNECTIONS)
        if connection is None:
            return After(AGAIN_S[0])
        upstream, revision, _ = connection
        if revision >= spec.revision and self._present.get(name) == spec and self._lease.held:
            self._start(name, spec, upstream, self._group, ending=clusters.is_leaving(document))
            return None
        await upstream.close()
        return After(AGAIN_S[0]) if revision < spec.revision else None

    def _start(
        self, name: str, spec: ApplierSpec, upstream: Upstream, group: asyncio.TaskGroup, *, ending: bool
    ) -> None:
        host = self._registry.settings.host_uid
        applier = Applier(
            name,
            Objects(upstream, host, check=self._lease.check, slots=self._slots),
            MemberEntries(self._desired, name),
            self._verify,
            clock=lambda: self._clock().wall,
            timers=self._timers,
            workers=WORKERS,
            held=self._held,
        )
        applier.ending = ending
        running = self._running[name] = RunningApplier(spec, applier)
        running.task = group.create_task(self._live(name, running, upstream), name=f"applier of {name}")

    def _end(self, name: str) -> None:
        running = self._running.pop(name, None)
        if running is not None and running.task is not None:
            running.task.cancel()

    async def _live(self, name: str, running: RunningApplier, upstream: Upstream) -> None:
        """One applier, until it is ended. If it fails, by what its member answers or by a bug, no other one does."""
        started = self._timers.time()
        try:
            async with asyncio.TaskGroup() as group:
                for work in (running.applier.run, partial(self._reports, name, running.applier),
                             partial(self._look, name, running.applier),
                           partial(self._obey, name, running)):  # fmt: skip
                    group.create_task(work())
        except Exception:
            log.exception("the applier of a direct member failed", extra={"cluster": name})
            backoff = self._backoffs.setdefault(name, Backoff(*AGAIN_S))
            if self._timers.time() - started > STABLE_S:
                backoff.reset()
            self.controller.add_after(name, backoff.next())
        finally:
            if self._running.get(name) is running:
                del self._running[name]
            await upstream.close()

    async def _reports(self, name: str, applier: Applier) -> None:
        while True:
            report = await applier.report()
            if not report.epoch:
                continue
            try:
                self._lease.check()
                await self._desired.report(name, report)
                await ended(self._desired, self._registry.cache, name, report)
            except StatusError as error:
                log.debug("a report is not stored", extra={"cluster": name, "reason": error.message})
                applier.report_again()

    async def _obey(self, name: str, running: RunningApplier) -> None:
        while True:
            order = await running.orders.get()
            running.applier.ending = True
            if self._leaves is not None:
                await self._leaves(name)
            await running.applier.withdraw_all(order.id, keep=order.keep)

    async def _look(self, name: str, applier: Applier) -> None:
        """Once in a while: is there something that was not heard?"""
        while True:
            await sleep(self._timers, SURE_S * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            try:
                last = await self._directions.last(name)
            except StatusError as error:
                log.debug("the last revision is not known", extra={"cluster": name, "reason": error.message})
            else:
                applier.told(self._desired.epoch, last, lead=True)

    async def _reconnects(self) -> None:
        """While the bus was away nothing was heard."""
        generation = self._bus.generation
        while True:
            await sleep(self._timers, RECONNECTED_S)
            if self._bus.connected and self._bus.generation != generation:
                generation = self._bus.generation
                for running in self._running.values():
                    running.applier.feed.ask()


def _wanted(item: Item) -> ApplierSpec | None:
    """What a Cluster says: None for one that is not reached directly, or may not be written to. One that leaves has an applier
    for as long as it is there: what it is to take away."""
    document = item.document()
    if not direct.is_direct(document) or not direct.may_be_written_to(document):
        return None
    return ApplierSpec(item.uid, direct.revision_of(document))
