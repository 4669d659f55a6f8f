"""Where the logs of all writers end, told each minute as an event: who carries it away can show later that nothing was rewritten.

An anchor names the logs that went on since the one before it, and the digest of that one, so that none is missing unseen. It has no
signature of its own: what vouches for it is that it left, signed as every webhook is. `skerry audit verify --anchor` reads it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec

from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.happened import SYSTEM
from skerry.audit.batch import BatchHead, Garbled
from skerry.audit.event import micro_time
from skerry.audit.export import ANCHOR, PREVIOUS, AuditAnchor
from skerry.audit.verify import AnchoredHead
from skerry.bus import Bus, Stream
from skerry.cloudevents import EventData, verb_of
from skerry.controller.controller import After
from skerry.controller.recorder import Recorder

log = logging.getLogger("skerry.audit")

PERIOD_S = 60.0
MOST_HEADS = 256
"""Of one anchor; of more logs there are several."""
NAME, REASON = "audit", "AuditAnchor"
_encode = msgspec.json.Encoder().encode


class Anchors:
    """See the module. `source` gives `/hosts/<uid>/…`."""

    def __init__(
        self,
        bus: Bus,
        recorder: Recorder,
        source: Callable[[], Awaitable[str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._logs, self._events = Stream(bus, subjects.AUDIT), Stream(bus, subjects.EVENT_STREAM)
        self._recorder, self._source, self._clock = recorder, source, clock
        self._counts: dict[str, int] = {}
        self._previous: str | None = None

    async def reconcile(self, key: str) -> After:
        """Tell where logs end that went on, and look again in a minute. StatusError."""
        host = (await self._source()).split("/")[2]
        counts = await self._messages()
        moved = [subject for subject, count in counts.items() if self._counts.get(subject) != count]
        heads = [head for subject in sorted(moved) if (head := await self._head(subject)) is not None]
        for part in _parts(heads):
            await self._tell(host, part)
        self._counts = counts
        return After(PERIOD_S)

    async def _messages(self) -> dict[str, int]:
        state = (await self._logs.info(subjects.AUDIT_LOGS))["state"]
        return dict(state.get("subjects") or {})

    async def _head(self, subject: str) -> AnchoredHead | None:
        message = await self._logs.last(subject)
        if message is None:
            return None
        writer = subject.rpartition(".")[2]
        try:
            head = BatchHead.of(writer, message.headers)
        except Garbled as error:
            log.warning("a batch of the audit log has no head: it cannot be anchored", extra={"error": str(error)})
            return None
        return AnchoredHead(writer=writer, last=head.last, hash=head.hash, stored=message.created)

    async def _tell(self, host: str, heads: tuple[AnchoredHead, ...]) -> None:
        if self._previous is None:
            self._previous = await self._last()
        now = micro_time(self._clock())
        text = _encode(AuditAnchor(host=host, at=now, heads=heads)).decode()
        details = {ANCHOR: text, PREVIOUS: self._previous}
        message = f"{len(heads)} audit logs went on until {now}"
        self._recorder.system(REASON, NAME, message, warning=False, details=details)
        self._previous = digest(text)

    async def _last(self) -> str:
        """Digest of the last anchor that anybody told; empty if there is none any more."""
        message = await self._events.last(subjects.event(SYSTEM, "", NAME, verb_of(REASON)))
        text: Any = "" if message is None else decoded(message.data, EventData).details.get(ANCHOR, "")
        return digest(text) if text else ""


def digest(text: str) -> str:
    """How the next anchor names this one."""
    return hashlib.sha256(text.encode()).hexdigest()


def _parts(heads: list[AnchoredHead]) -> Iterator[tuple[AnchoredHead, ...]]:
    for at in range(0, len(heads), MOST_HEADS):
        yield tuple(heads[at : at + MOST_HEADS])
