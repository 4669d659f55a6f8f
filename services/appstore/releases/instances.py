"""A release on one cluster at work: looked at, taken a step further, looked at again. What decides is `machine`.

Level-triggered: whatever happened, the cluster is looked at first. Operations run beside, one for an instance at a time, each
written down before it begins; who leads no more ends those that run, and the next leader finds what they left.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from services.appstore.helm.engine import HelmError
from services.appstore.helm.leftovers import Leftover
from services.appstore.releases import choosing, helmsecrets, machine, statuses, wording
from services.appstore.releases.frontdoor import FrontDoor, MemberAccess
from services.appstore.releases.helmsecrets import HelmSecrets
from services.appstore.releases.machine import Block, Drop, Operate, Pause, Progress, Watch
from services.appstore.releases.observing import Inventory, Observer, summary, why_not
from services.appstore.releases.operations import Job, Operator, reason_of
from services.appstore.releases.staying import staying
from services.appstore.releases.subject import InstanceSubject, subject_of
from services.appstore.switching import Switch
from skerry.api.kinds import APP_INSTANCE
from skerry.api.meta import Document
from skerry.controller.controller import After, Controller
from skerry.errors import Conflict, NotFound, StatusError
from skerry.informer import View
from skerry.storage import Item, Store

log = logging.getLogger("skerry.appstore")

SOON_S = 2.0
"""Between two looks while something is on its way."""
UNREACHABLE_S = 15.0
TURN_S = 5.0
"""Between two looks at what has not had its turn."""
JITTER_S = 3.0
"""Members that come back all at once are not looked at in one moment."""


class Running(NamedTuple):
    """An operation at work."""

    job: Job
    task: asyncio.Task[None]


class Instances:
    """See the module. `look_s` is between two looks when nothing is on its way, and at what refuses us; `now` is Unix time in
    seconds, `chance` as random.uniform."""

    def __init__(
        self,
        store: Store,
        informer: View,
        switch: Switch,
        door: FrontDoor,
        operator: Operator,
        observer: Observer,
        *,
        look_s: float,
        now: Callable[[], float] = time.time,
        chance: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._store, self._informer, self._switch = store, informer, switch
        self._door, self._operator, self._observer = door, operator, observer
        self._look_s, self._now, self._chance = look_s, now, chance
        self._running: dict[str, Running] = {}
        self.again: Callable[[str], None] = lambda key: None
        """Called with the key of an instance whose operation has ended."""

    # One look

    async def reconcile(self, key: str) -> After | None:
        """Look at one instance, and take it a step further. StatusError of the store."""
        namespace, _, name = key.partition("/")
        item = self._informer.get(APP_INSTANCE, name, namespace)
        if item is None:
            self._forget(key)
            return None
        subject = subject_of(self._informer, item)
        if subject is None:  # also what is at work there ends: nobody would hear what became of it
            await self._orphan(key, item)
            return None
        if key in self._running:
            return await self._at_work(subject, self._running[key])
        if subject.wanted.gone and subject.wanted.orphan:
            await self._drop(key, item)
            return None
        if waiting := subject.waits:
            await self._wait(subject, waiting)
            return None
        if subject.instance.status.phase == "Waiting":  # the members of a region come back together
            await self._write(subject, subject.progress.anew(0, "Pending", self._now()), "")
            return After(self._chance(0.0, JITTER_S))
        return await self._look(subject)

    async def _at_work(self, subject: InstanceSubject, running: Running) -> After | None:
        """What an operation waits for is said, and one that is of no use any more is ended: its hook may never end."""
        if subject.wanted.gone and running.job.step.operation != "Uninstall":
            if not running.task.cancelling():  # once: Helm is given time to write down that it was stopped
                running.task.cancel()
            return None
        waits = self._operator.waits(running.job)
        await self._modify(subject, lambda status: statuses.with_waiting(status, waits))
        return After(TURN_S) if waits else None

    def is_wanted(self, item: Item) -> bool:
        """True if an instance is of a release that is wanted on a cluster that is there."""
        subject = subject_of(self._informer, item)
        return subject is not None and not subject.wanted.gone

    async def _wait(self, subject: InstanceSubject, why: str) -> None:
        before = subject.progress
        since = before.since if before.phase == "Waiting" else self._now()
        await self._write(subject, before.anew(before.revision, "Waiting", since), why)

    async def _orphan(self, key: str, item: Item) -> None:
        """Its cluster is removed, or its release is gone: it is told once, and dropped."""

        def orphaned(document: Document) -> Document | None:
            status = document.get("status") or {}
            if document["metadata"]["uid"] != item.uid or status.get("phase") == "Orphaned":
                return None
            cluster = (document.get("spec") or {}).get("cluster", "")
            text = f"{cluster} is no member any more: what was installed there stays, and is nobody's"
            return {**document, "status": statuses.with_progress(status, Progress(0, "Orphaned", self._now()), text)}

        await self._changed(item, orphaned)
        await self._drop(key, item)

    async def _look(self, subject: InstanceSubject) -> After | None:
        try:
            access = await self._door.access(subject.delegation, subject.cluster.name)
            secrets = await helmsecrets.read(self._door, access, subject.place)
            return await self._step(subject, access, secrets)
        except StatusError as error:
            return await self._refused(subject, error)

    async def _refused(self, subject: InstanceSubject, error: StatusError) -> After | None:
        """The cluster could not be looked at."""
        progress, now = subject.progress, self._now()
        reason, message, final = reason_of(error)
        if not final:
            if isinstance(error, Conflict):
                raise error
            await self._write(subject, progress, statuses.error_message(subject.status) or message)
            return After(error.details.retry_after_seconds or min(UNREACHABLE_S, self._look_s))
        if subject.wanted.gone and not (progress.revision or subject.status.get("helm")):
            await self._drop(subject.key, subject.item)  # nothing was ever done there, so nothing is left behind
            return None
        was, user = progress.phase == "Blocked", subject.delegation.user
        since, pause_s = progress.since if was else now, self._look_s if was else machine.ONCE_MORE_S
        blocked = progress._replace(phase="Blocked", since=since, reason=reason, again=now + pause_s)
        leaves = subject.cluster.name if subject.wanted.gone else ""
        await self._write(subject, blocked, wording.refused(message, user, subject.name, leaves))
        return After(pause_s)

    # A step

    async def _step(self, subject: InstanceSubject, access: MemberAccess, secrets: HelmSecrets) -> After | None:
        now, wanted, progress = self._now(), subject.wanted, subject.progress
        present = secrets.present(subject.release.metadata.uid, wanted.revision, now)
        match machine.step(wanted, present, progress, now):
            case Drop():
                await self._drop(subject.key, subject.item)
                return None
            case Block(reason):
                return await self._block(subject, reason)
            case Operate() as step:
                return await self._begin(subject, access, secrets, step)
            case Pause(seconds, message):
                await self._observe(subject, access, secrets, in_place=False, message=message)
                return After(min(max(seconds, 0.1), self._look_s))
            case Watch():
                in_place = present.state == "Deployed" and present.revision == wanted.revision
                return await self._observe(subject, access, secrets, in_place=in_place)

    async def _block(self, subject: InstanceSubject, reason: str) -> After:
        where, before, now = subject.place, subject.progress, self._now()
        cluster = subject.cluster.name
        if reason == machine.BY_HAND:
            message = wording.changed_by_hand(cluster, where, subject.name)
            blocked = before.anew(subject.wanted.revision, "Blocked", now)._replace(reason=reason)
            await self._write(subject, blocked, message)
            return After(SOON_S)
        message = wording.exists(cluster, where)
        since = before.since if before.phase == "Blocked" else now
        blocked = before.anew(before.revision, "Blocked", since)._replace(reason=reason, again=now + self._look_s)
        await self._write(subject, blocked, message)
        return After(self._look_s)

    async def _begin(
        self, subject: InstanceSubject, access: MemberAccess, secrets: HelmSecrets, step: Operate
    ) -> After | None:
        if step.operation in ("Install", "Upgrade") and (why := self._why_not_now(subject)):
            await self._wait(subject, why)
            return After(self._look_s)
        latest, inventory = secrets.state.latest, None
        ends = step.operation == "Uninstall" and step.phase in ("Uninstalling", "RollingBack")
        if latest is not None and (ends or subject.release.spec.conflicts == "Take"):
            inventory = await self._observer.inventory(subject.key, access, subject.place, latest)
        stays: tuple[Leftover, ...] = ()
        if inventory is not None and ends:
            stays = await staying(
                self._door, self._operator, self._observer, access, subject.release, subject.place, inventory
            )
        began = machine.began(subject.wanted, subject.progress, step, self._now())

        def change(status: Document) -> Document:
            after = statuses.with_progress(status, began, statuses.error_message(status))
            return statuses.with_leftovers(after, stays)

        if not await self._modify(subject, change):
            return After(0.1)
        job = Job(
            release=subject.release,
            cluster=subject.cluster.name,
            labels=subject.cluster.labels,
            kube_version=str((subject.cluster.document().get("status") or {}).get("kubernetesVersion") or ""),
            place=subject.place,
            access=access,
            step=step,
            server_side=inventory is not None and inventory.revision.server_side,
        )
        task = asyncio.get_running_loop().create_task(self._operate(subject, began, job), name=f"helm {subject.key}")
        self._running[subject.key] = Running(job, task)
        task.add_done_callback(lambda ended: self._ended(subject.key, ended))
        return After(TURN_S)

    def _why_not_now(self, subject: InstanceSubject) -> str:
        """Why nothing new is begun; what runs, runs on, and what is to go, goes."""
        state = self._switch.state()
        return choosing.withdrawn(self._informer, subject.document) if state.usable else state.message

    async def _observe(
        self, subject: InstanceSubject, access: MemberAccess, secrets: HelmSecrets, *, in_place: bool, message: str = ""
    ) -> After:
        """See how what is there is, and say so."""
        latest, progress = secrets.state.latest, subject.progress
        if latest is None:
            await self._modify(
                subject,
                lambda status: statuses.with_helm(
                    statuses.with_progress(status, progress, statuses.error_message(status) or message),
                    subject.place,
                    None,
                ),
            )
            return After(self._look_s)
        inventory = await self._observer.inventory(subject.key, access, subject.place, latest)
        settled = progress.phase not in machine.WORKING
        seen = await self._observer.look(subject.key, access, subject.place, inventory, all_of_it=settled)
        word, counted = summary(seen)
        after = machine.judged(subject.wanted, progress, healthy=word == "Healthy", in_place=in_place, now=self._now())
        why = message or statuses.error_message(subject.status)
        if after.reason == machine.NOT_HEALTHY and progress.reason != machine.NOT_HEALTHY:
            why = f"not healthy after {subject.release.spec.timeout}: {why_not(counted.not_ready)}"
        elif not after.reason and not message:
            why = why_not(counted.not_ready) or (_by_hand(subject, inventory) if secrets.by_hand else "")

        def change(status: Document) -> Document:
            with_helm = statuses.with_helm(status, subject.place, inventory.revision, by_hand=secrets.by_hand)
            return statuses.with_progress(statuses.with_objects(with_helm, word, counted), after, why)

        await self._modify(subject, change)
        on_its_way = after.phase in (*machine.WORKING, "Pending") or (
            after.reason == machine.NOT_HEALTHY and subject.wanted.rollback
        )
        return After(SOON_S if on_its_way else self._look_s)

    # Operations

    async def _operate(self, subject: InstanceSubject, began: Progress, job: Job) -> None:
        """One operation, and what became of it."""
        after, message = await self._outcome(subject, began, job)
        await self._write(subject, after, message)
        await self._informer.current()  # what is looked at next is what was written here

    async def _outcome(self, subject: InstanceSubject, began: Progress, job: Job) -> tuple[Progress, str]:
        try:
            await self._operator.run(job)
        except (HelmError, StatusError) as error:
            reason, message, final = reason_of(error)
            if final:
                names = subject.delegation.user, subject.name
                of_member = isinstance(error, StatusError)
                message = wording.refused(message, *names) if of_member else wording.failed(reason, message, *names)
        except Exception:
            log.exception("an operation ended by a bug", extra={"instance": subject.key})
            reason, message, final = "InternalError", "it failed by a bug; the log of the App Store has it", False
        else:
            after = machine.succeeded(subject.wanted, began, job.step, self._now())
            return after, wording.undone(statuses.error_message(subject.status), job.step) if after.reason else ""
        if began.phase == "RollingBack" and began.reason:
            message = wording.not_undone(statuses.error_message(subject.status), message)
        return machine.failed(subject.wanted, began, reason, self._now(), final=final), message

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if (running := self._running.get(key)) and running.task is task:
            del self._running[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("what became of an operation could not be stored", extra={"instance": key, "error": str(error)})
        self.again(key)

    async def halt(self) -> None:
        """End all operations: somebody else leads, or this ends."""
        tasks = [each.task for each in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What is stored

    async def _write(self, subject: InstanceSubject, progress: Progress, message: str) -> None:
        await self._modify(subject, lambda status: statuses.with_progress(status, progress, message))

    async def _modify(self, subject: InstanceSubject, change: Callable[[Document], Document]) -> bool:
        """True if the instance is still there."""

        def changed(document: Document) -> Document:
            status = change(document.get("status") or {})
            return {**document, "status": {**status, "observedChanges": subject.release.status.changes}}

        return await self._changed(subject.item, changed)

    async def _changed(self, item: Item, change: Callable[[Document], Document | None]) -> bool:
        def same(document: Document) -> Document | None:
            return change(document) if document["metadata"]["uid"] == item.uid else None

        try:
            after = await self._store.modify(item.name, same, item.namespace)
        except NotFound:
            return False
        return after.uid == item.uid

    async def _drop(self, key: str, item: Item) -> None:
        with suppress(NotFound, Conflict):
            await self._store.delete(item.name, item.namespace, uid=item.uid)
        self._forget(key)

    def _forget(self, key: str) -> None:
        self._observer.forget(key)
        if running := self._running.get(key):
            running.task.cancel()


def _by_hand(subject: InstanceSubject, inventory: Inventory) -> str:
    return wording.upgraded_by_hand(subject.cluster.name, inventory.revision, subject.name)


def controlled(work: Instances, controller: Controller[str]) -> None:
    """Have instances looked at again by a controller when their operations have ended."""
    work.again = controller.add
