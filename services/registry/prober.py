"""The prober: looks at every direct member every 10 s, with the credential that requests use, as nobody else.

Only the replica that has the registry's lease does: two hosts' networks may see a member differently, and would take turns
in saying so.

One look is two calls: is it ready, and is it still the cluster that joined. Each minute it is also looked at whether what
joining made is still there (skerry/member/membership.py). A failure is tried once more after 2 s before
it is believed. That it answered is told to the proxies at once (the cells RTT and LAST HEARTBEAT), and written only when
a condition changes. A member's trouble is its own: looks run side by side, each with its own deadline.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

import skerry
from services.registry import clusters, direct
from services.registry.clock import Clock, wall_and_mono
from services.registry.direct import ProbeResult, ProbeState
from services.registry.model import at
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from services.registry.upstreams import Upstreams
from services.registry.writer import StatusWriter
from skerry import subjects
from skerry.api.conditions import REPAIRED, RIGHTS_COMPLETE, RIGHTS_MISSING, condition_of
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Heartbeat, Inventory
from skerry.api.meta import Document
from skerry.controller.controller import After
from skerry.errors import SkerryError, StatusError, Unauthorized
from skerry.informer import Change
from skerry.member import probe
from skerry.member.identity import RightsMissing, TakenOver, Unproved, WrongCluster, app_store_of
from skerry.member.inventory import InventoryCollector
from skerry.member.membership import MembershipCheck
from skerry.member.upstream import Upstream
from skerry.service import Context
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

AGAIN_S = 2.0
"""After a look that failed; sooner where looks are more frequent than that."""
STAND_S = 60.0
"""For the look at rights and bindings: seven calls, once a minute."""
CONNECTIONS = 6
"""Of one member: looks, the collector of its inventory, its watch of nodes."""
SIDE_BY_SIDE = 64
"""Looks wait for API servers of others, so there are more at once than writes of statuses."""
VERSION_EVERY = 30
"""The version is asked at the first and every 30th good look: 5 minutes."""
PROBER = "prober"
"""The name of the one that is heard, where agents have keys."""


@dataclass(slots=True)
class Watched:
    """One direct member, as this process looks at it."""

    uid: str
    """Of the Cluster object."""
    revision: int = 0
    upstream: Upstream | None = None
    expires: float | None = None
    membership: MembershipCheck | None = None
    look_due: float = 0.0
    """Loop time of the next look at its rights and bindings."""
    missing: str = ""
    repaired: str = ""
    """What the last such look found, and what one of them repaired."""
    failed: int = 0
    looks: int = 0
    collector: InventoryCollector | None = None
    collecting: asyncio.Task[None] | None = None


class Prober:
    """Looks at direct members."""

    def __init__(
        self,
        context: Context[RegistrySettings, Any],
        registry: RegistryStore,
        upstreams: Upstreams,
        writer: StatusWriter,
        kept: Callable[[str, str], bool],
        clock: Clock = wall_and_mono,
    ) -> None:
        """`kept(member, name)` says whether an entry keeps a ClusterRoleBinding of a member in place."""
        self._registry, self._bus, self._writer, self._clock = registry, context.bus, writer, clock
        self._kept, self._upstreams = kept, upstreams
        self._every_s = registry.settings.probe_s
        self._present: dict[str, tuple[str, int]] = {}
        """uid and revision of the direct members that there are."""
        self._watched: dict[str, Watched] = {}
        self._lease = context.lease
        self._group: asyncio.TaskGroup | None = None
        self.controller = context.controller(
            "prober", self.reconcile, workers=SIDE_BY_SIDE, leader=True, finishes=False
        )
        context.closing.push_async_callback(self._close)
        context.closing.callback(registry.cache.add_event_handler(CLUSTER, self._seen))
        for item in registry.cache.list(CLUSTER):
            self._seen(Change(item.revision, None, item))

    async def run(self) -> None:
        """Let inventories be collected where the lease is, until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                if not self._lease.held:
                    await self._close()
                await self._lease.changed()

    def changed(self, name: str) -> None:
        """Look at this member at once."""
        self.controller.add(name)

    async def leaves(self, name: str) -> None:
        """A member is removed: when this returns nothing is being made right on it, and nothing will be."""
        watched = self._watched.get(name)
        if watched is not None and watched.membership is not None:
            await watched.membership.end()

    def _seen(self, change: Change) -> None:
        """Called inline by the cache: an object is read once per change, by whoever asks first what it is."""
        item = change.new or change.old
        if item is None:
            return
        name, revision = item.name, None if change.new is None else _watchable(change.after())
        before = self._present.get(name)
        if change.new is None or revision is None:
            self._present.pop(name, None)
        else:
            self._present[name] = (change.new.uid, revision)
        if self._present.get(name) != before:
            self.controller.add(name)

    async def reconcile(self, name: str) -> After | None:
        """One look, and when the next is due; None for what is no direct member any more."""
        uid = self._present.get(name, ("", 0))[0]
        watched = self._watched.get(name)
        if watched is not None and watched.uid != uid:
            await _closed(self._watched.pop(name))
        item = self._registry.cache.get(CLUSTER, name)
        if item is None or item.uid != uid:
            return None
        started = asyncio.get_running_loop().time()
        again_s = await self._look(name, self._watched.setdefault(name, Watched(uid)))
        return After(max(again_s - (asyncio.get_running_loop().time() - started), 0.0))

    async def _close(self) -> None:
        for watched in list(self._watched.values()):
            await _closed(watched)

    async def _look(self, name: str, watched: Watched) -> float:
        """Look at a member; seconds from the look's beginning to the next one's."""
        item = self._registry.cache.get(CLUSTER, name)
        outcome = None if item is None or item.uid != watched.uid else await self._asked(item, watched)
        if item is None or outcome is None:
            return self._every_s
        if outcome.state is ProbeState.READY:
            watched.failed = 0
            watched.looks += 1
            outcome = outcome._replace(inventory=self._collected(name, watched))
            await self._tell(name, item, outcome)
        else:
            watched.failed += 1
            if watched.failed == 1:
                return min(AGAIN_S, self._every_s)
        now, upstream = self._clock(), watched.upstream
        outcome = outcome._replace(certificates=None if upstream is None else upstream.certificate_ends)
        again_s = await self._writer.write(
            name, watched.uid, lambda document: direct.observed(document, outcome, watched.expires, now)
        )
        return self._every_s if again_s is None else min(again_s, self._every_s)

    def _collected(self, name: str, watched: Watched) -> Inventory | None:
        """What it has, as far as that is known; from now on it is collected."""
        if watched.collector is None and watched.upstream is not None and self._group is not None and self._lease.held:
            watched.collector = InventoryCollector(watched.upstream, partial(self.changed, name))
            watched.collecting = self._group.create_task(watched.collector.run(), name=f"inventory of {name}")
        return None if watched.collector is None else watched.collector.inventory

    async def _ready_to_look(self, item: Item, watched: Watched) -> bool:
        """Whether there is a way: made at first, and anew when the Cluster counts another credential."""
        revision = direct.revision_of(item.document())
        if watched.upstream is not None and watched.revision >= revision:
            return True
        uid = await self._upstreams.located(item)
        connection = await self._upstreams.opened(item, uid, connections=CONNECTIONS)
        if connection is None:
            return False
        await _closed(watched)
        settings = self._registry.settings
        watched.upstream, watched.revision, watched.expires = connection
        watched.membership = MembershipCheck(
            watched.upstream, settings.host_name, settings.host_uid, partial(self._kept, item.name)
        )
        watched.look_due = 0.0
        stored = condition_of(item.document(), RIGHTS_COMPLETE)
        watched.missing = stored.message if stored.reason == RIGHTS_MISSING else ""
        watched.repaired = stored.message if stored.reason == REPAIRED else ""
        watched.looks = 0
        return True

    async def _asked(self, item: Item, watched: Watched) -> ProbeResult | None:
        """None if there is no way to it."""
        try:
            if not await self._ready_to_look(item, watched) or watched.upstream is None:
                return None
            outcome = await _outcome(watched.upstream, watched.looks)
            if outcome.state is ProbeState.READY:
                await self._stand(item.name, watched)
        except Unauthorized as error:
            return ProbeResult(ProbeState.REFUSED, error.message)
        except TakenOver as error:
            return ProbeResult(ProbeState.TAKEN_OVER, error.message)
        except WrongCluster as error:
            if clusters.is_host(item.document()):
                await _closed(watched)  # an administrator may say that the host was moved
            return ProbeResult(ProbeState.WRONG, error.message)
        except Unproved as error:
            return ProbeResult(ProbeState.UNREADY, error.message)
        except RightsMissing as error:
            outcome, watched.missing = ProbeResult(ProbeState.READY), error.message
        except StatusError as error:
            return ProbeResult(ProbeState.UNREACHABLE, f"this host cannot reach it: {error.message}")
        except SkerryError as error:
            return ProbeResult(ProbeState.UNREACHABLE, str(error))
        return outcome._replace(missing=watched.missing, repaired=watched.repaired)

    async def _stand(self, name: str, watched: Watched) -> None:
        """Each minute, of a member that answers: is what joining made still there? Slow calls are no outage."""
        now = asyncio.get_running_loop().time()
        if watched.membership is None or now < watched.look_due:
            return
        try:
            async with asyncio.timeout(STAND_S):
                findings = await watched.membership.look()
        except TimeoutError:
            log.warning("rights on a direct member could not be looked at", extra={"cluster": name})
            return
        watched.look_due, watched.missing = now + self._registry.settings.look_s, findings.missing
        if findings.repaired:
            watched.repaired = (
                f"{findings.repaired} was missing or changed, and was made right at {at(self._clock().wall)}"
            )
            log.warning("something was taken away on a direct member and is repaired",
                        extra={"cluster": name, "what": findings.repaired})  # fmt: skip

    async def _tell(self, name: str, item: Item, outcome: ProbeResult) -> None:
        beat = Heartbeat(
            agent=PROBER, epoch="", version=skerry.__version__, cluster_uid=clusters.uid_of(item.document()),
            rtt_ms=outcome.rtt_ms,
        )  # fmt: skip
        await self._bus.publish(subjects.probe(name), msgspec.json.encode(beat))


async def _outcome(upstream: Upstream, looks: int) -> ProbeResult:
    """One look. Each answer has its time, and the look no other: who is slow is not away. Unauthorized, BadGateway, CredentialError,
    WrongCluster, Unproved, RightsMissing."""
    if not looks % VERSION_EVERY:
        upstream.reconnect()
    started = time.perf_counter()
    unready = await probe.unready(upstream)
    rtt_ms = round((time.perf_counter() - started) * 1000, 3)
    if unready:
        return ProbeResult(ProbeState.UNREADY, unready)
    app_store = app_store_of(await upstream.identify())
    if looks % VERSION_EVERY:
        return ProbeResult(ProbeState.READY, rtt_ms=rtt_ms, app_store=app_store)
    facts = await probe.facts(upstream)
    clock_s = None if facts.date is None else facts.date - time.time()
    return ProbeResult(ProbeState.READY, version=facts.version, clock_s=clock_s, rtt_ms=rtt_ms, app_store=app_store)


def _watchable(document: Document) -> int | None:
    """The number of the credential of a Cluster that the host reaches itself, and that is not leaving; None for any other."""
    return direct.revision_of(document) if direct.is_direct(document) and not clusters.is_leaving(document) else None


async def _closed(watched: Watched) -> None:
    if watched.collecting is not None:
        watched.collecting.cancel()
        watched.collecting = watched.collector = None
    if watched.upstream is not None:
        upstream, watched.upstream = watched.upstream, None
        await upstream.close()
