"""Records on their way into the log: lines of JSON under a hash that covers all before them, signed by who wrote them.

hash = SHA-256(hash of the batch before ‖ body). The signature covers writer, number of the first record and hash, so one good
signature vouches for everything before it: whoever verifies needs one a writer. Headers repeat what the body says, so that
who looks for something can leave out batches that cannot have it; verification holds them against the body.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from skerry.api.decode import decoded

MESSAGE_ID = "Nats-Msg-Id"
PREFIX = "Skerry-Audit-"
FIRST, COUNT, PREVIOUS, HASH, SIGNATURE, SINCE, UNTIL, USERS, CLUSTERS = (
    f"{PREFIX}{name}"
    for name in ("First", "Count", "Previous", "Hash", "Signature", "Since", "Until", "Users", "Clusters")
)
NOTHING = "0" * 64
"""The hash before the first batch."""
MOST_RECORDS, MOST_BYTES = 512, 256 * 1024
"""Of one batch; a single record may be larger."""
NAMED = 32
"""Users, and clusters, that headers name; of more they say that it is any."""
ANY = "*"
_CONTEXT = b"skerry-audit-batch-1"

Sign = Callable[[bytes], bytes]


class Garbled(ValueError):
    """Headers that are not those of a batch."""


class Batch:
    """Records that travel together, while they are gathered."""

    __slots__ = ("body", "clusters", "records", "since", "until", "users")

    def __init__(self) -> None:
        self.body = bytearray()
        """Lines of JSON."""
        self.records = 0
        self.since = self.until = ""
        self.users: set[str] = set()
        self.clusters: set[str] = set()

    def add(self, line: bytes, at: str, user: str = "", cluster: str = "") -> None:
        """One more; `line` ends with a newline."""
        self.body += line
        self.records += 1
        if at > self.until:
            self.until = at
        if not self.since or at < self.since:
            self.since = at
        self.users.add(user)
        self.clusters.add(cluster)

    def extend(self, other: Batch) -> None:
        """All of another, behind these."""
        if not other.records:
            return
        self.body += other.body
        self.records += other.records
        self.since = min(self.since or other.since, other.since)
        self.until = max(self.until, other.until)
        self.users |= other.users
        self.clusters |= other.clusters


class BatchHead(NamedTuple):
    """What headers say of a batch."""

    writer: str
    first: int
    """Number of its first record; a log begins with 1."""
    records: int
    previous: str
    hash: str
    signature: bytes
    since: str
    until: str
    users: tuple[str, ...]
    clusters: tuple[str, ...]
    """Whom its records are about: ANY alone if these are too many. The host's own API is an empty name."""

    @property
    def last(self) -> int:
        """Number of its last record."""
        return self.first + self.records - 1

    def headers(self) -> dict[str, str]:
        """As they travel."""
        return {
            MESSAGE_ID: f"{self.writer}:{self.first}",
            FIRST: str(self.first),
            COUNT: str(self.records),
            PREVIOUS: self.previous,
            HASH: self.hash,
            SIGNATURE: base64.b64encode(self.signature).decode(),
            SINCE: self.since,
            UNTIL: self.until,
            USERS: _ascii(self.users),
            CLUSTERS: _ascii(self.clusters),
        }

    @classmethod
    def of(cls, writer: str, headers: Mapping[str, str]) -> BatchHead:
        """Of the headers of a stored message. Garbled."""
        try:
            return cls(
                writer,
                int(headers[FIRST]),
                int(headers[COUNT]),
                headers[PREVIOUS],
                headers[HASH],
                base64.b64decode(headers[SIGNATURE], validate=True),
                headers[SINCE],
                headers[UNTIL],
                decoded(headers[USERS].encode(), tuple[str, ...]),
                decoded(headers[CLUSTERS].encode(), tuple[str, ...]),
            )
        except (KeyError, ValueError, msgspec.DecodeError) as error:
            raise Garbled(f"the headers of a batch of {writer} cannot be read: {error}") from error


def _ascii(names: tuple[str, ...]) -> str:
    """JSON that a header can hold."""
    return json.dumps(names, separators=(",", ":"))


def named(names: set[str]) -> tuple[str, ...]:
    """As headers name them."""
    return tuple(sorted(names)) if len(names) <= NAMED else (ANY,)


def digest(previous: str, body: bytes | bytearray) -> str:
    """The hash of a batch, hexadecimal."""
    sha256 = hashlib.sha256(bytes.fromhex(previous))
    sha256.update(body)
    return sha256.hexdigest()


def signed_text(writer: str, first: int, hashed: str) -> bytes:
    """What a signature covers."""
    return b"\0".join((_CONTEXT, writer.encode(), str(first).encode(), hashed.encode()))


class Chain:
    """The batches of one writer. Used by one task."""

    def __init__(self, writer: str, sign: Sign) -> None:
        self.writer = writer
        self._sign = sign
        self.next = 1
        """Number of the next record."""
        self.head = NOTHING

    def seal(self, batch: Batch) -> BatchHead:
        """The head of the next batch, in which there must be a record; nothing is added to it any more."""
        hashed = digest(self.head, batch.body)
        head = BatchHead(
            self.writer,
            self.next,
            batch.records,
            self.head,
            hashed,
            self._sign(signed_text(self.writer, self.next, hashed)),
            batch.since,
            batch.until,
            named(batch.users),
            named(batch.clusters),
        )
        self.next += batch.records
        self.head = hashed
        return head
