"""The applier of one member: keeps what Skerry's services want there in place. It runs in an agent, or, for a direct
member, in the registry's leader; the member is the same to it.

    applier = Applier(name, Objects(upstream, host_uid), source, verify, guard=ceiling)
    group.create_task(applier.run())
    applier.feed.heard(key, revision, data)  # each change that comes live
    applier.feed.ask()                       # look whether anything was missed

Level-triggered: a key is looked at again whenever its entry, what it waits for, or its object changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

import msgspec

from skerry.api.desired import Report, State
from skerry.backoff import Backoff
from skerry.controller.controller import After, Controller
from skerry.controller.timers import Timers, sleep
from skerry.desired import owners
from skerry.desired.answers import Missing, Unsettled
from skerry.desired.drift import Drift
from skerry.desired.feed import EntryRoom, EntrySource, Feed
from skerry.desired.fenced import FencedObjects
from skerry.desired.model import DesiredState, Known, in_order
from skerry.desired.objects import Objects, Placed, owner_of
from skerry.desired.owners import ObjectReference, reference
from skerry.desired.repairs import Repairs
from skerry.errors import ServiceUnavailable, StatusError
from skerry.identity.signedtext import Verify
from skerry.subjects import DesiredKey

log = logging.getLogger("skerry.desired")

WORKERS = 8
WRITES_S = 1 / 50
"""Between two writes: a member's API server has others to serve."""
FIRST_S, LONGEST_S = 1.0, 300.0
"""Pauses before an entry that is not in place is tried again by itself."""
LAST_ATTEMPTS, LAST_PAUSE_S = 4, 0.3
"""To withdraw one object from a member that leaves."""
REPORT_S = 1.0


class Guard(Protocol):
    """The member's own word on an entry: its ceiling."""

    def __call__(self, owner: str, which: ObjectReference) -> str:
        """Why it may not be applied here; empty if it may."""
        ...


class Applier:
    """See the module."""

    def __init__(
        self,
        name: str,
        objects: Objects,
        source: EntrySource,
        verify: Verify,
        *,
        guard: Guard = lambda owner, which: "",
        clock: Callable[[], float] = time.time,
        timers: Timers | None = None,
        workers: int = WORKERS,
        held: EntryRoom | None = None,
    ) -> None:
        """`name` is the member's; `held` is room that it shares with others."""
        self.state = DesiredState()
        self.paused = False
        self.ending = False
        """Whether the member leaves: nothing is applied any more."""
        self.lead = True
        self._name = name
        self._objects, self._fenced, self._guard = objects, FencedObjects(objects), guard
        self._clock = clock
        self._timers = timers or asyncio.get_running_loop()
        self.feed = Feed(self.state, source, verify, self._fresh, clock=clock, timers=self._timers, held=held)
        self._controller: Controller[str] = Controller("desired", self._reconcile, workers=workers, timers=timers)
        self._references: dict[str, ObjectReference] = {}
        self._placed: dict[str, Placed] = {}
        self._pauses: dict[str, Backoff] = {}
        self._repairs = Repairs()
        self._waiting: dict[tuple[str, str], set[str]] = defaultdict(set)
        """(Namespace or CustomResourceDefinition, name) -> keys that wait for it."""
        self._write_at = 0.0
        self._order, self._withdrawn, self._unmarked = "", 0, False
        self._unheard = False
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._changed = asyncio.Event()
        self._drift = Drift(objects, self._drifted, self._came)

    # What it is told

    def progress(self) -> tuple[str, int]:
        """(epoch, applied) for a heartbeat."""
        return self.state.epoch, self.state.applied

    def told(self, epoch: str, last: int, *, lead: bool) -> None:
        """What the host answers to a heartbeat: its bucket's epoch, the last revision in it for this member, and whether
        this applier is the one that applies.
        """
        self.feed.told(epoch, last)
        if lead and not self.lead:
            self._again(list(self.state.entries))
        self.lead = lead

    def keeps(self, owner: str, group: str, kind: str, name: str) -> bool:
        """Whether an entry keeps a cluster-scoped object (its kind in lower case) in place here, or none may be any more since
        the member leaves: nobody else is to make it. What may not be applied at all is not kept.
        """
        known = self.state.entries.get(str(DesiredKey(self._name, owner, group, kind, "", name)))
        return self.ending or (known is not None and known.wanted and known.state is not State.REFUSED)

    def pause(self, paused: bool) -> None:
        """Whether nothing is applied or withdrawn for now."""
        if self.paused and not paused:
            self._again(list(self.state.entries))
        self.paused = paused
        self._changed.set()

    # Life

    async def run(self) -> None:
        """Apply until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.feed.run(), name="desired sync")
                group.create_task(self._controller.run(), name="desired applier")
                group.create_task(self._drift.run(), name="desired drift")
        finally:
            self.feed.close()

    async def report(self) -> Report:
        """The next report: when something changed, and a second after the last one at the earliest. What became of an order is
        waited for, so it is said at once, unless the last report was not heard.
        """
        await self._changed.wait()
        if self._unheard or not self._order:
            await sleep(self._timers, REPORT_S)
        self._unheard = False
        self._changed.clear()
        return msgspec.structs.replace(
            self.state.report(),
            repairs=self._repairs.latest,
            order=self._order,
            withdrawn=self._withdrawn if self._order else None,
            unmarked=self._unmarked,
        )

    def report_again(self) -> None:
        """The last report was not heard: another one, as soon as there may be one."""
        self._unheard = True
        self._changed.set()

    async def withdraw_all(self, order: str, *, keep: bool = False) -> None:
        """Everything that carries our labels goes, by an order of the host, or with `keep` stays as nobody's, and the host's mark
        goes; the next report says so, and what could not be is a problem in it. Nothing is applied from now on. The same order
        again only has it reported again.
        """
        self.ending = True
        self.feed.end()
        if order != self._order:
            await self._idle.wait()
            await self._find_ours()
            now = self._clock()
            for text in list(self.state.entries):
                self.state.withdraw(text, now)
            for text in in_order(list(self.state.entries), self.state):
                await self._withdraw_finally(text, keep=keep)
            self._unmarked = await self._unmark()
            self._order = order
        self._changed.set()

    async def _unmark(self) -> bool:
        try:
            return await self._objects.unmark()
        except StatusError as error:
            log.warning("the mark of the host stays on the member", extra={"reason": error.message})
            return False

    async def _find_ours(self) -> None:
        """What carries our labels is there to be withdrawn, whether or not its entry is known. What cannot be listed is
        withdrawn as far as entries name it.
        """
        for group, kind in owners.KINDS:
            try:
                objects = await self._objects.listed(group, kind.lower())
            except (Unsettled, StatusError) as error:
                log.warning("objects of ours cannot be listed", extra={"kind": kind, "reason": str(error)})
                continue
            for metadata in objects:
                owner, _ = owner_of(metadata)
                if owner in owners.OWNERS:
                    key = str(DesiredKey(self._name, owner, group, kind.lower(), metadata.namespace, metadata.name))
                    if key not in self.state.entries:
                        self.state.stray(key, self._clock())

    async def _withdraw_finally(self, text: str, *, keep: bool) -> None:
        """As `_withdraw`, tried a few times more, for there is no later. Namespaces stay: what is in them is not the host's."""
        stays = not keep and self.state.entries[text].key.kind == "namespace"
        for attempt in range(LAST_ATTEMPTS):
            state, message, again = State.WITHDRAWN, "", False
            try:
                if not owners.is_settings(self.state.entries[text].key):
                    self._withdrawn += await self._withdraw(text, keep=keep or stays, fenced=True) and not stays
            except Unsettled as error:
                state, message, again = error.state, error.message, error.state is State.PENDING
            except StatusError as error:
                state, message, again = State.FAILED, error.message, isinstance(error, ServiceUnavailable)
            if not again or attempt == LAST_ATTEMPTS - 1:
                break
            await sleep(self._timers, LAST_PAUSE_S)
        if message:
            log.warning("an object stays on the member", extra={"key": text, "reason": message})
        self._settled(text, state, message)

    # Keys

    def _fresh(self, keys: list[str]) -> None:
        for key in keys:
            self._pauses.pop(key, None)
        self._add(keys)
        self._watch_kinds()
        self._changed.set()

    def _add(self, keys: list[str]) -> None:
        for text in in_order([key for key in keys if key in self.state.entries], self.state):
            self._controller.add(text)

    def _again(self, keys: list[str]) -> None:
        now = self._clock()
        for text in keys:
            if text in self.state.entries:
                self.state.again(text, now)
        self._add(keys)

    async def _reconcile(self, key: str) -> After | None:
        known = self.state.entries.get(key)
        if known is None or not self.lead or self.ending:
            return None
        if not owners.is_settings(known.key) and (self.paused or not self.state.turn(key)):
            return None  # settings wait for nobody: what waits may wait for the end of a pause
        self._working += 1
        self._idle.clear()
        try:
            return await self._tried(key, known)
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()

    async def _tried(self, key: str, known: Known) -> After | None:
        revision, wanted = known.revision, known.wanted
        try:
            await (self._apply(key) if wanted else self._withdraw(key))
            state, message, again = (State.APPLIED if wanted else State.WITHDRAWN), "", None
        except Missing as error:
            self._waiting[error.kind, error.name].add(key)
            self._drift.watch_for(error.kind)
            state, message, again = error.state, error.message, self._pause(key, error.again_s)
        except Unsettled as error:
            state, message, again = error.state, error.message, self._pause(key, error.again_s)
        if self.state.entries.get(key) is not known or (known.revision, known.wanted) != (revision, wanted):
            return After(0.0) if key in self.state.entries else None
        self._settled(key, state, message)
        return again

    def _settled(self, key: str, state: State, message: str) -> None:
        if state in (State.APPLIED, State.WITHDRAWN):
            self._pauses.pop(key, None)
            self.feed.drop(key)
        known = self.state.entries[key]
        if known.state is not state:
            log.info("an entry", extra={"key": key, "state": state.value, "reason": message[:200]})
        free = self.state.settle(key, state, message, self._clock())
        if state is State.APPLIED:
            self._repairs.applied(key, self._clock())
        if state is State.WITHDRAWN:
            self._references.pop(key, None)
            self._placed.pop(key, None)
            self._repairs.forget(key)
        self._add(free)
        self._changed.set()

    def _pause(self, key: str, again_s: float | None) -> After | None:
        if again_s is None:
            return None
        if again_s:
            return After(again_s)
        return After(self._pauses.setdefault(key, Backoff(FIRST_S, LONGEST_S)).next())

    async def _apply(self, key: str) -> None:
        known = self.state.entries[key]
        entry = await self.feed.entry(key)
        if entry is None:
            raise Unsettled(State.PENDING, "the entry changed meanwhile", again_s=FIRST_S)
        document = entry.document()
        if problem := owners.refusal(entry.owner, document) or owners.fencing(entry.owner, entry.options):
            raise Unsettled(State.REFUSED, problem, again_s=None)
        if (owners.group_of(document), document["kind"]) == owners.SETTINGS:
            spec = document.get("spec")
            self.pause(isinstance(spec, dict) and spec.get("paused") is True)
            return
        which = reference(document)
        if which.parts != (known.key.group, known.key.kind, known.key.namespace, known.key.name):
            raise Unsettled(State.REFUSED, f"the entry holds {which}, which is not what its key says", again_s=None)
        if problem := self._guard(entry.owner, which):
            raise Unsettled(State.REFUSED, problem, again_s=None)
        if first := self.state.blocker(key):
            raise Unsettled(State.WAITING, f"comes after {first}, which is not in place", again_s=None)
        self._references[key] = which
        await self._room()
        write = self._objects.apply if entry.options.fence is None else self._fenced.write
        placed = await write(document, entry.owner, entry.options)
        self._placed.pop(key, None) if placed is None else self._placed.update({key: placed})

    async def _withdraw(self, key: str, *, keep: bool = False, fenced: bool = False) -> bool:
        known = self.state.entries[key]
        if owners.is_settings(known.key):
            self.pause(False)
            return False
        try:
            which = self._references.get(key) or await self._objects.named(*known.key[2:])
        except Missing:
            return False
        await self._room()
        return await self._objects.withdraw(which, known.key.owner, keep=keep, fenced=fenced)

    async def _room(self) -> None:
        """Wait for a turn to write."""
        now = self._timers.time()
        at = max(now, self._write_at)
        self._write_at = at + WRITES_S
        if at > now:
            await sleep(self._timers, at - now)

    # What happens on the member

    def _watch_kinds(self) -> None:
        """Objects of ours are watched in every kind that an owner with entries may want."""
        present = {known.key.owner for known in self.state.entries.values()} | self.state.complete
        for owner in sorted(present & set(owners.OWNERS)):
            for group, kind in owners.OWNERS[owner].kinds:
                if (group, kind) != owners.SETTINGS:
                    self._drift.watch_ours(group, kind)

    def _drifted(self, owner: str, parts: tuple[str, str, str, str], placed: Placed | None, last: str) -> None:
        """An object of ours is not as it was applied; `placed` is None if it is gone, `last` who wrote it last."""
        key = str(DesiredKey(self._name, owner, *parts))
        known = self.state.entries.get(key)
        if known is None:
            if placed is not None and self.state.owned(key, self._clock()):
                self._add([key])
            return
        if known.state is State.WAITING and known.options.fence is not None:
            self._add([key])  # it may be the status that was waited for
        if known.state is not State.APPLIED or self._placed.get(key) in (placed, None):
            return
        self._placed.pop(key)
        self._repairs.drifted(key, last)
        now = self._clock()
        if self.paused:  # it is put right once, when that is over: nobody fights who is not answered
            log.info("an object was changed on the member, which is paused", extra={"key": key, "by": last})
            self.state.disturb(key, now)
            self._changed.set()
            return
        log.info("an object was changed on the member and is put right", extra={"key": key, "by": last})
        if self._repairs.fought(key, now):
            self._settled(key, State.FIGHTING, f"{last or 'somebody'} changes it as often as it is put right")
            after = self._pause(key, 0.0)
            self._controller.add_after(key, after.seconds if after else LONGEST_S)
            return
        self.state.again(key, now)
        self._add([key])

    def _came(self, kind: str, name: str) -> None:
        """A namespace, or a CustomResourceDefinition, is there now: who waited for it is tried."""
        if kind == "CustomResourceDefinition":
            self._objects.forget_kinds()
            names = [each for each in self._waiting if each[0] == kind]
        else:
            names = [(kind, name)]
        for each in names:
            self._again(sorted(self._waiting.pop(each, ())))
