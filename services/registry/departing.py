"""Before a member goes, what the host's services put there goes from it, if it can be reached and does so in time.

Its applier is given an order, again and again until its report names it: an agent over the bus, signed, that of a direct
member in the process that leads. A Cluster's annotation `skerry.dev/withdraw: Orphan` has everything stay, as nobody's. Nothing waits for a member longer than DEADLINE_S, and for one that is away, is paused, or
is too old for desired state not at all; what stays is said in the condition DesiredApplied, and so in an Event. How many live
requests ended with it is what proxies say that they cut.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from services.registry import clusters, direct
from services.registry.clock import Clock
from services.registry.desired import Desired
from services.registry.model import TAKEN_OVER, PresenceTable, alive
from skerry import subjects
from skerry.api.conditions import CLEANED, DESIRED_APPLIED, STREAMS_CUT, UNMARKED, Verdict, with_condition
from skerry.api.decode import decoder
from skerry.api.desired import Report, WithdrawOrder
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.api.proxyreports import CutReport
from skerry.bus import Bus, Message
from skerry.errors import NotFound
from skerry.informer import View
from skerry.storage import Store

log = logging.getLogger("skerry.registry")

DEADLINE_S = 10.0
"""Unless the Cluster's annotation `skerry.dev/cleanup` says otherwise; at `0s` nothing is waited for, and it can be said at any time."""
AGAIN_S = 0.25
REPORTED_S = 0.2
"""Proxies cut what runs in milliseconds; for so long after a removal began their reports are waited for."""
NAMED = 5
"""Objects that the condition names."""


_cut = decoder(CutReport)


class _Given(NamedTuple):
    order: WithdrawOrder
    since: float
    """By the monotonic clock."""


class Departures:
    """See the module. `order(name, order)` gives an order to the applier of a direct member."""

    def __init__(
        self,
        bus: Bus,
        cache: View,
        desired: Desired,
        store: Store,
        order: Callable[[str, WithdrawOrder], None],
        presence: PresenceTable,
        clock: Clock,
    ) -> None:
        self._bus, self._cache, self._desired, self._store = bus, cache, desired, store
        self._presence = presence
        self._order, self._clock = order, clock
        self._began: dict[str, float] = {}
        """UID of a Cluster that leaves -> when that was seen first, by the monotonic clock."""
        self._streams: Counter[str] = Counter()
        """UID of a Cluster -> live requests to it that proxies cut since it leaves."""
        self._orders: dict[str, _Given | None] = {}
        """UID of a Cluster that leaves -> its order; None once nothing is waited for any more."""

    async def worthwhile(self, document: Document) -> bool:
        """Whether a member that leaves may take away what is on it: it is reached, and knows how. StatusError."""
        name = document["metadata"]["name"]
        if clusters.ready_of(document).status != "True" or (document.get("spec") or {}).get("paused") is True:
            return False
        if clusters.cleanup_s(document, DEADLINE_S) == 0:
            return False
        return self._applies(name, document) or await self._desired.said(name) is not None

    def _applies(self, name: str, document: Document) -> bool:
        """Whether it keeps desired state, also if it has said nothing of it yet: joining wrote on it before."""
        member = self._presence.members.get(name)
        return direct.is_direct(document) or (
            member is not None and any(agent.beat.desired is not None for agent in alive(member, self._clock()))
        )

    async def wait(self, document: Document) -> float | None:
        """In how many seconds to ask again; None when the member may go. StatusError."""
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        self._began.setdefault(uid, self._clock().mono)
        if uid not in self._orders:
            if not await self.worthwhile(document):
                self._orders[uid] = None
                entries = await self._desired.entries(name)
                if entries and clusters.ready_of(document).reason != TAKEN_OVER:
                    waits = clusters.cleanup_s(document, DEADLINE_S) > 0
                    why = "it could not be asked to" if waits else "its credentials were to be revoked at once"
                    await self._tell(document, f"{why}: {entries} entries may be left on it")
                return None
            order = WithdrawOrder(cluster=uid, id=secrets.token_hex(8), keep=clusters.is_kept(document))
            self._orders[uid] = _Given(order, self._clock().mono)
        given = self._orders[uid]
        if given is None:
            return None
        report = await self._desired.said(name)
        if report is not None and report.order == given.order.id:
            self._orders[uid] = None
            await self._tell_cleaned(document, report)
            if report.problems:
                await self._tell(document, _stays(report))
            return None
        cleanup_s = clusters.cleanup_s(document, DEADLINE_S)  # anew: somebody may have lost patience
        if self._clock().mono - given.since > cleanup_s:
            self._orders[uid] = None
            await self._tell(document, f"it did not say that it did within {cleanup_s:.0f} s")
            return None
        await self._send(name, document, given.order)
        return AGAIN_S

    def gone(self, uid: str) -> None:
        """The Cluster went."""
        self._orders.pop(uid, None)
        self._began.pop(uid, None)
        self._streams.pop(uid, None)

    def reported(self, message: Message) -> None:
        """`cut.<m>`: a proxy cut live requests to a member that leaves."""
        try:
            report = _cut(message.data)
        except msgspec.DecodeError as error:
            log.warning("a report of cut requests cannot be read", extra={"reason": str(error)})
            return
        item = self._cache.get(CLUSTER, subjects.member_of(message.subject))
        if item is not None and item.uid == report.uid:
            self._streams[report.uid] += report.streams

    async def tell_cut(self, document: Document) -> None:
        """Say in the Cluster, before it goes, how many live requests ended with it."""
        uid = document["metadata"]["uid"]
        left_s = self._began.get(uid, -REPORTED_S) + REPORTED_S - self._clock().mono
        if left_s > 0:
            await asyncio.sleep(left_s)
        if streams := self._streams.get(uid, 0):
            await self._say(document, STREAMS_CUT, Verdict("True", STREAMS_CUT, f"streams cut: {streams}"))

    async def _send(self, name: str, document: Document, order: WithdrawOrder) -> None:
        if direct.is_direct(document):
            self._order(name, order)
            return
        await self._bus.publish(subjects.desired_order(name), self._desired.order(name, order))

    async def _tell(self, document: Document, why: str) -> None:
        """In its condition, for the Event that is made of it."""
        name = document["metadata"]["name"]
        log.warning("something may be left on a member that goes", extra={"cluster": name, "reason": why})
        done = "given up" if clusters.is_kept(document) else "taken away"
        verdict = Verdict("False", "Left", f"what the host's services put there was not all {done}: {why}")
        await self._say(document, DESIRED_APPLIED, verdict)

    async def _tell_cleaned(self, document: Document, report: Report) -> None:
        """The same of what is gone from it, as it says."""
        done = "left on the member, as nobody's" if clusters.is_kept(document) else "cleaned on the member"
        count = "" if report.withdrawn is None else f": {report.withdrawn} objects"
        reason = UNMARKED if report.unmarked else "Cleaned"
        await self._say(document, CLEANED, Verdict("True", reason, done + count))

    async def _say(self, document: Document, kind: str, verdict: Verdict) -> None:
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        new = clusters.condition(kind, verdict, self._clock())

        def change(stored: Document) -> Document | None:
            if stored["metadata"]["uid"] != uid:
                return None
            status = dict(stored.get("status") or {})
            status["conditions"] = with_condition(status.get("conditions") or [], new)
            return {**stored, "status": status}

        try:
            await self._store.modify(name, change)
        except NotFound:
            return


def _stays(report: Report) -> str:
    """What a member says that it could not take away."""
    named = [f"{key.kind} {key.namespace + '/' if key.namespace else ''}{key.name} ({problem.message or problem.state})"
             for problem in report.problems[:NAMED] for key in (subjects.desired_key(problem.key),)]  # fmt: skip
    more = len(report.problems) + report.more - len(named)
    return ", ".join(named) + (f", and {more} more" if more else "")
