"""The log as it is carried away: a line that says where it is from, then each message as it is stored. JSON lines."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from skerry.api.decode import decoded
from skerry.audit.verify import AnchoredHead, StoredBatch

MEDIA = "application/x-ndjson"
ANCHOR, PREVIOUS = "anchor", "previous"
"""Details of the event that tells an anchor: its JSON, and the SHA-256 of the one before it."""


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
    roots: tuple[str, ...] = ()
    """Public keys that certified the writers: what is verified with the anchor believes these; without any, those that the log names."""
    at: str
    heads: tuple[AnchoredHead, ...]


def anchor_of(data: bytes) -> AuditAnchor:
    """What `skerry audit anchor` wrote, or all that events of anchors tell: as a webhook brought them (JSON, one or a line each), or as
    `skerry events -o json` lists them. ValueError if it is neither, or of several hosts.
    """
    with contextlib.suppress(msgspec.DecodeError):
        return decoded(data, AuditAnchor)
    anchors = [decoded(text.encode(), AuditAnchor) for text in _told(data)]
    if not anchors or len({each.host for each in anchors}) > 1:
        raise ValueError("it holds no anchor, or those of several hosts")
    heads: dict[str, AnchoredHead] = {}
    for head in (head for each in anchors for head in each.heads):
        if head.writer not in heads or heads[head.writer].last < head.last:
            heads[head.writer] = head
    return AuditAnchor(host=anchors[0].host, at=max(each.at for each in anchors), heads=tuple(heads.values()))


def _told(data: bytes) -> Iterator[str]:
    """The anchors in events."""
    try:
        whole = decoded(data)
        events = whole if isinstance(whole, list) else [whole]
    except msgspec.DecodeError:
        events = [decoded(line) for line in data.splitlines() if line.strip()]
    for event in events:
        content = event.get("data") if isinstance(event, dict) else None
        details = content.get("details") if isinstance(content, dict) else None
        if isinstance(details, dict) and isinstance(details.get(ANCHOR), str):
            yield details[ANCHOR]


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
