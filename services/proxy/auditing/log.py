"""The audit log of one front door, put together: records, their way into the stream, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import msgspec

from services.proxy.auditing.queue import RecordQueue
from services.proxy.auditing.reading import AuditReader
from services.proxy.auditing.records import Auditor
from services.proxy.auditing.stream import AuditStream
from services.proxy.auditing.writer import AuditSigner, AuditWriter
from services.proxy.metrics import Metrics
from services.proxy.record import RequestRecord
from skerry.api.auditpolicy import DEFAULT, AuditPolicy
from skerry.api.decode import decoder
from skerry.api.kinds import AUDIT_POLICY, CLUSTER
from skerry.api.messages import Caller
from skerry.audit.policy import AuditDecision, Policy
from skerry.bus import Bus
from skerry.controller.recorder import Recorder
from skerry.http import Exchange
from skerry.informer import Change, Informer

log = logging.getLogger("skerry.proxy")

COUNTED_S = 1.0
"""So often refusals that were only counted are recorded."""
CLOSE_S = 3.0
SERVICE = "proxy"
NOT_RECORDED = AuditDecision("None")
"""Of what nobody has to be known for."""

_decode = decoder(AuditPolicy)


class RootedSigner(AuditSigner, Protocol):
    """Knows, too, who certified it."""

    @property
    def root(self) -> str: ...


class AuditLog:
    """Made before the first request; `keep` runs until the last is over, then `close`."""

    def __init__(
        self,
        bus: Bus,
        name: str,
        host_uid: str,
        signer: RootedSigner,
        metrics: Metrics,
        cache: Informer,
        recorder: Recorder,
    ) -> None:
        """The policy is that of `cache`; `recorder` tells that records were given up."""
        self._name, self._recorder = name, recorder
        stream = AuditStream(bus)
        self._cache, self._metrics = cache, metrics
        self.queue = RecordQueue(self._lost)
        self._writer = AuditWriter(stream, SERVICE, name, signer, self.queue, stored=self._stored)
        self.auditor = Auditor(self.queue)
        self.reader = AuditReader(stream, host_uid, lambda: (signer.root,) if signer.root else ())
        metrics.watch_audit(lambda: float(self.queue.bytes))
        cache.add_event_handler(AUDIT_POLICY, lambda change: self._decide_anew())
        cache.add_event_handler(CLUSTER, self._relabelled)

    async def begin(
        self, record: RequestRecord, exchange: Exchange, caller: Caller, cluster: str, target: bytes
    ) -> None:
        """It is known who asks for what. ServiceUnavailable if that must be recorded before it is executed, and cannot be."""
        if self.auditor.begin(record, exchange, caller, cluster, target).required:
            await self._writer.required(*self.auditor.intent(record, exchange))

    @property
    def problem(self) -> str:
        """Why requests cannot be recorded that must be, for people; empty if they can."""
        return f"audit log: {self._writer.reason}" if self.auditor.policy.requires and self._writer.reason else ""

    async def keep(self) -> None:
        """Write what comes, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._writer.keep())
            group.create_task(self._tell_counted())

    async def close(self) -> None:
        """Write what waits, and the end. `keep` has ended."""
        self.auditor.tell_counted()
        await self._writer.close(CLOSE_S)

    async def _tell_counted(self) -> None:
        while True:
            await asyncio.sleep(COUNTED_S)
            self.auditor.tell_counted()

    def _lost(self, records: int) -> None:
        self._metrics.audit_lost.value += records
        self._recorder.system("AuditGap", self._name, "the audit log could not be written: records were given up")

    def _stored(self, records: int) -> None:
        self._metrics.audit_records.value += records

    def _relabelled(self, change: Change) -> None:
        """What was decided by labels is to be decided anew where a cluster has others."""
        old, new = (None if each is None else each.labels for each in (change.old, change.new))
        if old != new and self.auditor.policy.selects:
            self._decide_anew()

    def _decide_anew(self) -> None:
        item = self._cache.get(AUDIT_POLICY, DEFAULT)
        try:
            policy = Policy(None if item is None else _decode(item.body).spec, self._labels)
        except (msgspec.DecodeError, ValueError):
            log.exception("the audit policy cannot be read, since a newer version wrote it: the one before it stays")
            return
        self.auditor.use(policy)

    def _labels(self, cluster: str) -> dict[str, str] | None:
        item = self._cache.get(CLUSTER, cluster)
        return None if item is None else item.labels
