"""From a request to its records: how much of it is to be recorded is decided when it is known who asks, and what was asked.

A request is recorded when it is over; one that lasts also when its answer begins; one that a rule requires also before anything
of it is executed. This is the hot path: what repeats (users, targets, decisions) is worked out and written as JSON once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from msgspec import structs

from services.proxy.auditing.refusals import Refusals
from services.proxy.metrics import CUT, GONE
from services.proxy.record import NOBODY, RequestRecord, audit_id
from services.proxy.recording.demand import Demand
from skerry.access.holdings import Basis
from skerry.api.messages import Caller
from skerry.audit import event, shown
from skerry.audit.event import Stage, micro_time, note
from skerry.audit.meaning import REMEMBERED, Meaning, meaning_of
from skerry.audit.policy import BODIES, Asked, AuditDecision, Policy, is_command
from skerry.audit.tap import Tap
from skerry.http import Exchange

FORBIDDEN = "403"
CLIENT_GONE = 499
"""The code of a request whose client left before it was answered, as some servers have it."""


class Recorder(Protocol):
    """Where records go: lines of JSON, when they were made, of which user, about which cluster."""

    def add(self, line: bytes, at: str, user: str, cluster: str) -> None: ...


class Auditor:
    """Makes the records of all requests of a process. Used on one event loop."""

    def __init__(self, recorder: Recorder, now: Callable[[], float] = time.time) -> None:
        self._recorder, self._now = recorder, now
        self._refusals = Refusals()
        self.use(Policy(None, lambda cluster: None))

    def use(self, policy: Policy) -> None:
        """From now on requests are recorded by these rules."""
        self.policy = policy

        def decided(caller: Caller, cluster: str, method: bytes, target: bytes) -> tuple[Meaning, AuditDecision]:
            meaning = meaning_of(method, target)
            return meaning, policy.decide(Asked(caller.user, caller.groups, cluster, meaning.info))

        self._decided, self._known = decided, lru_cache(maxsize=1024)(decided)

    def begin(
        self, record: RequestRecord, exchange: Exchange, caller: Caller, cluster: str, target: bytes
    ) -> AuditDecision:
        """It is known who asks for what: `target` is raw, of a member as it gets it."""
        decide = self._known if len(target) <= REMEMBERED else self._decided
        record.meaning, record.decision = meaning, decision = decide(caller, cluster, exchange.head.method, target)
        record.cluster = cluster
        if decision.record:
            record.demand = Demand(required=decision.required)
        if decision.level != "None":
            if meaning.lasts:
                exchange.when_started = lambda: self._add(record, exchange, "ResponseStarted")
            if decision.level in BODIES or meaning.info.verb == "create":
                exchange.tap = record.tap = Tap(exchange.head.headers, response=decision.level == "RequestResponse")
        return decision

    def intent(self, record: RequestRecord, exchange: Exchange) -> tuple[bytes, str, str, str]:
        """The record that a request was asked for, as a recorder takes it: of one that is not executed yet."""
        at = micro_time(self._now())
        return self._line(record, exchange, "RequestReceived", at, 0.0), at, record.user, record.cluster

    def end(self, record: RequestRecord, exchange: Exchange) -> None:
        """A request is over."""
        decision = record.decision
        if decision is None:
            self._refused(record, exchange)
        elif decision.level != "None":
            self._add(record, exchange, "ResponseComplete")

    def _refused(self, record: RequestRecord, exchange: Exchange) -> None:
        """It is not known who asked."""
        address = exchange.peer[0]
        if self._refusals.admits(address, self._now()):
            agent = (exchange.head.get(b"user-agent") or b"").decode("latin-1")
            record.user, record.who = NOBODY.user, event.who(*_nobody(), address, shown.clean(agent))
            record.meaning, record.decision = meaning_of(exchange.head.method, exchange.head.target), AuditDecision()
            self._add(record, exchange, "ResponseComplete")

    def tell_counted(self) -> None:
        """Record how many refusals were only counted, by address."""
        for address, count in self._refusals.take().items():
            at = micro_time(self._now())
            parts = f"{event.what('', '', None)},{event.who(*_nobody(), address, '')}{event.code(401)}"
            line = event.line("Metadata", audit_id(), "ResponseComplete", parts, at, at, note(event.COUNT, str(count)))
            self._recorder.add(line, at, NOBODY.user, "")

    def _add(self, record: RequestRecord, exchange: Exchange, stage: Stage) -> None:
        if record.decision is not None and stage not in record.decision.omits:
            now = self._now()
            at = micro_time(now)
            line = self._line(record, exchange, stage, at, now)
            self._recorder.add(line, at, record.user, record.cluster)

    @staticmethod
    def _line(record: RequestRecord, exchange: Exchange, stage: Stage, at: str, now: float) -> bytes:
        meaning, decision = record.meaning, record.decision
        if meaning is None or decision is None:
            raise AssertionError("a request is recorded of which nothing is known")
        seconds = time.perf_counter() - record.started
        seen = record.impersonated
        parts = (
            f"{meaning.said},{record.who}"
            if seen is None
            else f"{meaning.said},{record.who}{event.impersonated(*seen)}"
        )
        notes = note(event.CREDENTIAL, record.credential) if record.credential else ""
        if record.cluster:
            notes += note(event.CLUSTER, record.cluster)
        if stage == "ResponseComplete":
            parts += _status(record, exchange)
            notes += _notes(record, exchange, seconds)
            if record.tap is not None:
                parts, more = _with_bodies(record, meaning, decision, parts)
                notes += more
        elif stage == "ResponseStarted":
            parts += event.code(exchange.status)
        if is_command(meaning.info) and decision.level in BODIES:
            parts += f',"requestObject":{shown.command(meaning.info, meaning.query).decode()}'
        received = micro_time(now - seconds) if now else at
        return event.line(decision.level, record.stream, stage, parts, received, at, notes)


def _nobody() -> tuple[str, tuple[str, ...]]:
    return NOBODY.user, NOBODY.groups


def _notes(record: RequestRecord, exchange: Exchange, seconds: float) -> str:
    notes = (
        f'"{event.SENT}":"{exchange.sent}","{event.RECEIVED}":"{exchange.received}","{event.MS}":"{seconds * 1000:.1f}",'
        f"{_decision(record.allowed if record.allowed or record.code == FORBIDDEN else None, record.basis)}"
    )
    if record.via:
        notes += note(event.VIA, record.via)
    if record.recording is not None:
        notes += note(event.SESSION, record.recording.about.id)
        if summary := record.recording.summary:
            notes += note(event.RECORDING, summary)
    if record.code in (CUT, GONE):
        notes += note(event.ENDED, record.code)
    return notes


@lru_cache(maxsize=1024)
def _decision(allowed: bool | None, basis: tuple[Basis, ...]) -> str:
    decided = {None: "", True: note(event.DECISION, "allow"), False: note(event.DECISION, "forbid")}[allowed]
    return decided + (note(event.REASON, shown.clean("; ".join(map(str, basis)))) if basis else "")


def _status(record: RequestRecord, exchange: Exchange) -> str:
    if record.code == CUT:
        return event.failure(exchange.status, "Cut", shown.clean(record.reason))
    if record.code == GONE:
        return event.failure(exchange.status or CLIENT_GONE, "ClientGone", "the client left")
    error = record.error
    if error is not None:
        return event.failure(error.code, error.reason, shown.clean(error.message))
    return event.code(int(record.code or 0))


def _with_bodies(record: RequestRecord, meaning: Meaning, decision: AuditDecision, parts: str) -> tuple[str, str]:
    """Members and annotations with what was sent and answered, as far as it is recorded, and the name of what was made."""
    tap = record.tap
    if tap is None:
        return parts, ""
    reference = meaning.reference
    if reference is not None and meaning.info.verb == "create" and not reference.name and (name := tap.name()):
        named = structs.replace(reference, name=name[: shown.TEXT])
        parts = parts.replace(meaning.said, event.what(meaning.uri, meaning.info.verb, named), 1)
    if decision.level not in BODIES or is_command(meaning.info):
        return parts, ""
    request, response = tap.request(), tap.response()
    if request.json:
        parts += f',"requestObject":{request.json.decode()}'
    if response.json:
        parts += f',"responseObject":{response.json.decode()}'
    omitted = [
        f"{what}: {body.omitted}" for what, body in (("request", request), ("response", response)) if body.omitted
    ]
    return parts, note(event.OMITTED, ", ".join(omitted)) if omitted else ""
