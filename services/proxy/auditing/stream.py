"""The stream AUDIT as this process writes and reads it: appended to under compare-and-set, read without a consumer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from skerry import subjects
from skerry.audit.batch import HASH, PREFIX
from skerry.audit.verify import StoredBatch
from skerry.bus import Bus, StoredMessage, Stream

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
PAGE, PAGE_BYTES = 256, 2 * 1024 * 1024
"""Messages and bytes of one read."""


class LastBatch(NamedTuple):
    """The end of one log, as it is stored."""

    sequence: int
    hash: str


class AuditStream:
    """All logs of the host."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def append(self, subject: str, body: bytes, headers: dict[str, str], after: int) -> int:
        """Sequence of the message, stored if `after` is that of the last one with its subject. Conflict, or any StatusError: of a
        GatewayTimeout it may have been stored."""
        stream = Stream(self._bus, subjects.AUDIT)
        return (await stream.publish(subject, body, headers={**headers, _EXPECTED: str(after)})).sequence

    async def last(self, subject: str) -> LastBatch:
        """The last message with a subject; (0, "") if there is none."""
        message = await Stream(self._bus, subjects.AUDIT).last(subject)
        return LastBatch(0, "") if message is None else LastBatch(message.sequence, message.headers.get(HASH, ""))

    async def state(self) -> tuple[int, int]:
        """Sequences of the oldest and of the newest message. StatusError."""
        state = (await Stream(self._bus, subjects.AUDIT).info())["state"]
        return int(state["first_seq"]), int(state["last_seq"])

    async def batches(self, after: int = 0, since: float | None = None) -> AsyncIterator[StoredBatch]:
        """All batches behind a sequence, or else those that were stored since a time (Unix seconds), up to the newest there is.
        StatusError."""
        stream = Stream(self._bus, subjects.AUDIT)
        while True:
            page = await stream.read(
                subjects.AUDIT_LOGS, after=after, since=None if after else since, limit=PAGE, max_bytes=PAGE_BYTES
            )
            for message in page.messages:
                after = message.sequence
                yield stored(message)
            if not page.more:
                return


def stored(message: StoredMessage) -> StoredBatch:
    """A message as the stream has it."""
    headers = {name: value for name, value in message.headers.items() if name.startswith(PREFIX)}
    writer = message.subject.rpartition(".")[2]
    return StoredBatch.of(message.sequence, writer, headers, message.data, message.created)
