"""The log as it is carried away: a line that says where it is from, then each message as it is stored. JSON lines."""

from __future__ import annotations

from typing import Literal

import msgspec

from skerry.audit.verify import AnchoredHead, StoredBatch

MEDIA = "application/x-ndjson"


class ExportHead(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where an export is from."""

    kind: Literal["AuditExport"] = "AuditExport"
    host: str
    """UID of the host."""
    roots: tuple[str, ...]
    """Public keys that certify writers, as the host says itself."""
    first: int
    last: int
    """Sequences of the oldest and the newest message that there are."""
    at: str


class AuditAnchor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The ends of all logs at a time, to be kept where the host's administrators cannot write."""

    kind: Literal["AuditAnchor"] = "AuditAnchor"
    host: str
    roots: tuple[str, ...]
    """Public keys that certified the writers: what is verified with the anchor believes these."""
    at: str
    heads: tuple[AnchoredHead, ...]


class ExportedBatch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message of the stream."""

    sequence: int
    writer: str
    stored: float
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, batch: StoredBatch) -> ExportedBatch:
        """A message that is stored."""
        return cls(
            sequence=batch.sequence,
            writer=batch.writer,
            stored=batch.stored,
            headers=dict(batch.headers),
            body=batch.body,
        )

    def stored_batch(self) -> StoredBatch:
        """As verification takes it."""
        return StoredBatch.of(self.sequence, self.writer, self.headers, self.body, self.stored)
