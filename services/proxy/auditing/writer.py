"""The way of this process's records into the log: batches, each acknowledged before the next is sent.

A batch whose acknowledgement was lost is sent again under the number that the server expects next of this writer, so it is stored
once. If somebody else wrote into the log, it goes on as another: what is before stays as it is, for `verify` to name.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from services.proxy.auditing.queue import GATHER_S, UNWRITABLE, Group, RecordQueue
from services.proxy.auditing.stream import LastBatch
from skerry import subjects
from skerry.audit import marks
from skerry.audit.batch import Batch, BatchHead, Chain
from skerry.audit.event import micro_time
from skerry.audit.marks import Mark
from skerry.backoff import Backoff
from skerry.errors import Conflict, ServiceUnavailable, StatusError

log = logging.getLogger("skerry.proxy")

REQUIRED_S = 2.0
"""How long a request waits until it is recorded that it was asked for."""
ALIVE_S = 60.0
"""So often a log says that its writer lives."""
CERTIFIED_S = 3600.0
"""And so often by which key it is signed: the start may have gone by age."""


class AuditSigner(Protocol):
    """The key that signs this process's log."""

    @property
    def ready(self) -> bool: ...
    @property
    def record(self) -> str: ...
    def sign_audit(self, data: bytes) -> bytes: ...


class AuditStore(Protocol):
    """The stream of all logs."""

    async def append(self, subject: str, body: bytes, headers: dict[str, str], after: int) -> int:
        """Sequence of the message, stored if `after` is that of the last one with its subject. Conflict, any other StatusError."""
        ...

    async def last(self, subject: str) -> LastBatch:
        """The last message with a subject; (0, "") if there is none. StatusError."""
        ...


class _Sealed(NamedTuple):
    """A batch on its way."""

    head: BatchHead
    batch: Batch
    group: Group
    """What was taken from the queue for it."""
    content: Batch
    """The same, with what the log says of it; the batch may begin with more."""


class AuditWriter:
    """One process's log, from when its key is certified until `close`. Used on one event loop."""

    def __init__(
        self,
        store: AuditStore,
        service: str,
        name: str,
        signer: AuditSigner,
        queue: RecordQueue,
        now: Callable[[], float] = time.time,
        stored: Callable[[int], None] = lambda records: None,
    ) -> None:
        """`stored` is told how many records were."""
        self._store, self._service, self._name, self._signer = store, service, name, signer
        self._queue, self._now, self._tell_stored = queue, now, stored
        self._chain = Chain(name, signer.sign_audit)
        self._logs, self._sequence, self._certified = 1, 0, 0.0
        self._sending: _Sealed | None = None
        self.reason = "nothing was written yet"
        """Why the log cannot be written, for people; empty if it can."""

    async def required(self, line: bytes, at: str, user: str, cluster: str) -> None:
        """One record that must be stored before anything happens. ServiceUnavailable if it is not within REQUIRED_S."""
        try:
            async with asyncio.timeout(REQUIRED_S):
                await self._queue.required(line, at, user, cluster)
        except TimeoutError as error:
            raise ServiceUnavailable(UNWRITABLE, retry_after_s=1) from error

    async def keep(self) -> None:
        """Write what comes, for ever; ends only by being cancelled."""
        while not self._signer.ready:  # noqa: ASYNC110 - a second at its start
            await asyncio.sleep(GATHER_S)
        await self._write(Group())
        while True:
            if await self._queue.due(ALIVE_S):
                while (group := self._queue.take()) is not None:
                    await self._write(group)
            else:
                await self._write(Group())

    async def close(self, within_s: float) -> None:
        """Write what waits and that this is the end; gives up after so long. `keep` has ended."""
        if not self._signer.ready:
            return
        try:
            async with asyncio.timeout(within_s):
                await self._send()
                while (group := self._queue.take()) is not None:
                    await self._write(group)
                await self._write(Group(), end=True)
        except TimeoutError:
            log.warning("the audit log has no end: it could not be written", extra={"error": self.reason})

    async def _write(self, group: Group, *, end: bool = False) -> None:
        """Store one group, however long that takes; of an empty one, that the writer lives."""
        gap, at = self._queue.take_gap(), micro_time(self._now())
        self._seal(group, _around(group, gap, Mark(type="End", at=at) if end else None))
        await self._send()

    def _seal(self, group: Group, content: Batch) -> None:
        batch = _around(content, self._said(alive=not content.records))
        self._sending = _Sealed(self._chain.seal(batch), batch, group, content)

    def _said(self, *, alive: bool) -> Mark | None:
        """What the log says of itself before the next records."""
        now = self._now()
        start, certify = self._chain.next == 1, now - self._certified > CERTIFIED_S and self._signer.ready
        if not (start or certify or alive):
            return None
        if start or certify:
            self._certified = now
        return Mark(
            type="Start" if start else "Alive",
            at=micro_time(now),
            writer=self._chain.writer if start else "",
            certificate=self._signer.record if start or certify else "",
        )

    async def _send(self) -> None:
        """Until it is stored."""
        backoff = Backoff(0.05, 2.0)
        while (sealed := self._sending) is not None:
            try:
                await self._attempt(sealed)
            except StatusError as error:
                if self.reason != error.message:
                    log.warning("the audit log cannot be written", extra={"error": error.message})
                self.reason = error.message
                await asyncio.sleep(backoff.next())

    async def _attempt(self, sealed: _Sealed) -> None:
        subject = subjects.audit_log(self._service, sealed.head.writer)
        try:
            self._sequence = await self._store.append(
                subject, bytes(sealed.batch.body), sealed.head.headers(), self._sequence
            )
        except Conflict:
            await self._settle(sealed, subject)
        else:
            self._done(sealed)

    async def _settle(self, sealed: _Sealed, subject: str) -> None:
        """Another message is the last of this log than was thought: this batch itself, the one before it, or somebody else's."""
        sequence, last = await self._store.last(subject)
        if last == sealed.head.hash:
            self._sequence = sequence
            self._done(sealed)
        elif last in ("", sealed.head.previous):
            self._sequence = sequence
        else:
            log.critical(
                "somebody else wrote into this audit log: it goes on as another", extra={"log": sealed.head.writer}
            )
            self._logs += 1
            self._chain, self._sequence = Chain(f"{self._name}-{self._logs}", self._signer.sign_audit), 0
            self._seal(sealed.group, sealed.content)

    def _done(self, sealed: _Sealed) -> None:
        self._sending, self.reason = None, ""
        self._queue.written(sealed.group)
        self._tell_stored(sealed.group.records)


def _around(content: Batch, before: Mark | None, behind: Mark | None = None) -> Batch:
    """A batch with marks around it; itself if there are none."""
    if before is None and behind is None:
        return content
    batch = Batch()
    for part in (before, content, behind):
        if isinstance(part, Mark):
            batch.add(marks.line(part), part.at)
        elif part is not None:
            batch.extend(part)
    return batch
