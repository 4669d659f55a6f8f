"""Quarantine: a member that floods is left alone by all proxies for a while, and its Cluster says so.

A proxy cuts a flooding member off by itself, at once (skerry/link/dialer.py); what it tells the registries makes the
others do the same before they are flooded too, and makes it visible. Too many heartbeats are counted by both. The hold is
short and lifts itself: an agent with a bug comes back without a hand, a hostile one is cut again at its next flood.
Who floods the registry is held by the bus's servers, which cut his connections and take none: what waits in front of the
registry is others' too. The condition is stored first and the account follows from it; at the end it is let in first and then
the condition goes, so that whoever leads next knows whom to let in.
A request is answered by one replica, which may not be the one that writes: whoever counts a flood tells all of them, as proxies do.
Level-triggered: what should be is compared with what is stored, so a lost message or a restart leaves nothing behind.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from services.registry import clusters
from services.registry.clock import Clock, wall_and_mono
from services.registry.model import Now
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from services.registry.writer import StatusWriter
from skerry import subjects
from skerry.api.conditions import NO_VERDICT, QUARANTINED, Verdict, condition_of, with_condition
from skerry.api.decode import decoded
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.api.proxyreports import FloodReport
from skerry.bus import Message
from skerry.controller.controller import After
from skerry.informer import Change
from skerry.service import Context

log = logging.getLogger("skerry.registry")

HOLD_S = 60.0
"""After the last report."""
TUNNEL = Verdict(
    "True",
    "TunnelFlood",
    "its agent sent proxies hundreds of frames that belong to nothing; requests to it are refused for a minute after "
    "the last report. Look at who holds the agent's credential, and at the agent's version",
)
HEARTBEATS = Verdict(
    "True",
    "HeartbeatFlood",
    "its agents sent hundreds of heartbeats beyond the rate that is handled; the bus takes no connection of them for a "
    "minute after the last report. Look at who holds the agent's credential, and at how many agents run",
)
REQUESTS = Verdict(
    "True",
    "RequestFlood",
    "its agents asked the registry hundreds of times beyond the rate that is handled; the bus takes no connection of them "
    "for a minute after the last report. Look at who holds the agent's credentials, and at how many agents run",
)
_FLOODS = {"heartbeats": HEARTBEATS, "requests": REQUESTS}
LIFTED = Verdict("False", "Lifted", "nothing was reported for a minute")


class Quarantine:
    """Who is quarantined, and until when."""

    def __init__(
        self,
        context: Context[RegistrySettings, Any],
        registry: RegistryStore,
        writer: StatusWriter,
        clock: Clock = wall_and_mono,
        *,
        hold_s: float = HOLD_S,
    ) -> None:
        self._registry, self._writer, self._clock, self._hold_s = registry, writer, clock, hold_s
        self._until: dict[str, tuple[float, Verdict]] = {}
        self._holds: dict[str, bool] = {}
        """Of these, what this process had the bus do last."""
        self._bus, self._recorder = context.bus, context.recorder
        self.controller = context.controller("quarantine", self.reconcile, leader=True)
        self.reports = context.controller("floods", self._report)
        context.closing.callback(registry.cache.add_event_handler(CLUSTER, self._seen))
        for item in registry.members():
            self._seen(Change(item.revision, None, item))

    def reported(self, message: Message) -> None:
        """`quarantine.<m>`: a proxy was flooded by a member."""
        self._impose(subjects.member_of(message.subject), _reported(message.data))

    def flooded(self, name: str, of: str) -> None:
        """A member sends too many `heartbeats`, or `requests` to the registry."""
        self._impose(name, _FLOODS[of])
        self.reports.add((name, of))
        self._recorder.system("Flooded", name, f"too many {of} of its agents", cluster=name)

    def is_cut(self, name: str) -> bool:
        """Whether the bus is told, or will be at once, to cut a member that floods this host."""
        until, verdict = self._until.get(name, (float("-inf"), LIFTED))
        return verdict.reason in clusters.HOLDING and until > self._clock().mono

    async def _report(self, flood: tuple[str, str]) -> None:
        """Tell all replicas, of which another one may lead. StatusError."""
        name, of = flood
        await self._bus.publish(subjects.quarantine(name), msgspec.json.encode(FloodReport(of=of)))

    def _seen(self, change: Change) -> None:
        """What another process imposed is lifted by the one that leads then, whatever that has heard of it."""
        if change.new is None or _is_quarantined(change.before()) or not _is_quarantined(change.after()):
            return
        until, _ = self._until.get(change.new.name, (float("-inf"), LIFTED))
        if until <= self._clock().mono:
            self._impose(change.new.name, condition_of(change.after(), QUARANTINED))

    def _impose(self, name: str, verdict: Verdict) -> None:
        item = self._registry.cache.get(CLUSTER, name)
        if item is not None and clusters.is_member(item.document()):
            self._until[name] = (self._clock().mono + self._hold_s, verdict)
            self.controller.add(name)

    async def reconcile(self, name: str) -> After | None:
        """Write what should be, and come again when it is to be lifted."""
        if name not in self._until:
            return None
        now = self._clock()
        until, verdict = self._until[name]
        over = until <= now.mono
        item = self._registry.cache.get(CLUSTER, name)
        if item is not None:
            condition = LIFTED if over else verdict
            cluster = _with(item.document(), condition, now)
            if over:
                await self._tell(name, cluster, lift=True)
            again_s = await self._writer.write(
                name, item.uid, lambda document: _with(document, condition, now), at_once=not over
            )
            if again_s is not None:
                return After(again_s)
            if not over:
                await self._tell(name, cluster)
                if not _is_quarantined(item.document()):
                    self._recorder.system("Quarantined", name, verdict.message, cluster=name)
        if not over:
            return After(max(until - self._clock().mono, 0.0))
        if self._until[name][0] == until:
            del self._until[name]
            self._holds.pop(name, None)
        return None

    async def _tell(self, name: str, document: Document, *, lift: bool = False) -> None:
        """Have the bus hold the member's account, or, with `lift` whoever held it, not any more. StatusError."""
        holds = clusters.is_held(document)
        if not clusters.has_agent(document) or (not lift and self._holds.get(name, False) is holds):
            return
        secret = await self._registry.secret_of(name, document)
        if secret is None or clusters.is_leaving(document):
            return
        await self._registry.resolver.push(self._registry.account(document, secret).jwt)
        self._holds[name] = holds
        log.log(logging.WARNING if holds else logging.INFO, "connections of a member",
                extra={"cluster": name, "are": "refused: it floods this host" if holds else "taken"})  # fmt: skip


def _reported(data: bytes) -> Verdict:
    """What a proxy's report says; an empty one is an older proxy's, of frames."""
    try:
        report = decoded(data or b"{}", FloodReport)
    except msgspec.DecodeError:
        return TUNNEL
    return _FLOODS.get(report.of, TUNNEL)


def _is_quarantined(document: Document) -> bool:
    return condition_of(document, QUARANTINED).status == "True"


def _with(document: Document, verdict: Verdict, now: Now) -> Document:
    """`document` with the condition; what was never imposed is not lifted."""
    if verdict == LIFTED and condition_of(document, QUARANTINED) == NO_VERDICT:
        return document
    status = dict(document.get("status", {}))
    conditions = status.get("conditions", [])
    status["conditions"] = with_condition(conditions, clusters.condition(QUARANTINED, verdict, now))
    return {**document, "status": status}
