"""Whether an audit log is whole: each writer by itself, batch after batch, with one signature that vouches for all before it.

What cannot be told without an anchor is told as what it may be: a log that ends without saying so was cut by a crash, or by
somebody. An anchor (heads of all writers at a time, signed, kept elsewhere) tells the two apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from skerry.api.decode import decoded
from skerry.audit.batch import NOTHING, BatchHead, Garbled, digest, named, signed_text
from skerry.audit.marks import Mark, is_mark
from skerry.audit.query import facts_of
from skerry.errors import Unauthorized
from skerry.identity import nkey
from skerry.identity.assertion import SigningCertificate

QUIET_S = 150.0
"""A writer that lives says so each minute: one that was silent for so long is gone."""

CheckCertificate = Callable[[str], SigningCertificate]
"""The certificate in a start, if one of the host's trust roots signed it. Unauthorized."""


class StoredBatch(NamedTuple):
    """A message of the log, as it is stored or was exported."""

    sequence: int
    writer: str
    head: BatchHead | Garbled
    headers: Mapping[str, str]
    body: bytes
    stored: float
    """Unix seconds."""

    @classmethod
    def of(cls, sequence: int, writer: str, headers: Mapping[str, str], body: bytes, stored: float) -> StoredBatch:
        """Of a message's headers, whatever they are."""
        head: BatchHead | Garbled
        try:
            head = BatchHead.of(writer, headers)
        except Garbled as error:
            head = error
        return cls(sequence, writer, head, headers, body, stored)


@dataclass
class WriterReport:
    """What is known of one writer's log."""

    writer: str
    first: int = 0
    last: int = 0
    records: int = 0
    gaps: int = 0
    """Records that it says are missing."""
    problem: str = ""
    """What is broken, and where."""
    behind: str = ""
    """How an anchor contradicts it."""
    ended: bool = False
    cut: bool = False
    signed: bool = False
    """Whether a signature vouches for it: where the part that was read does not say by which key, its hashes alone do."""
    since: str = ""
    until: str = ""
    head: str = NOTHING

    @property
    def state(self) -> str:
        """ok, cut, gap, or what is wrong with it."""
        if self.problem:
            return f"broken {self.problem}"
        if self.behind:
            return f"behind anchor: {self.behind}"
        if self.cut:
            return "cut"
        if self.gaps:
            return "gap"
        return "ok" if self.signed else "ok by hashes alone"

    @property
    def trusted(self) -> bool:
        """True if nothing contradicts it."""
        return not self.problem and not self.behind


class AnchoredHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a writer's log at the time of an anchor."""

    writer: str
    last: int
    hash: str
    stored: float = 0.0
    """When its last message was stored, Unix seconds."""


@dataclass
class _Log:
    """One writer's log while it is read."""

    report: WriterReport
    key: str = ""
    """Public; empty while no good start was read."""
    heads: list[tuple[BatchHead, int]] = field(default_factory=list)
    """Of all batches, with their sequences: looked at again only if the last signature is not good."""
    hashes: dict[int, str] = field(default_factory=dict)
    stored: float = 0.0

    def broken(self, number: int, why: str) -> None:
        if not self.report.problem:
            self.report.problem = f"at {number}: {why}"


class Verification:
    """A whole log, read batch by batch in the order of the stream."""

    def __init__(
        self, check: CheckCertificate, *, first_sequence: int = 1, anchored: Iterable[AnchoredHead] = ()
    ) -> None:
        """`first_sequence` is that of the oldest message which the stream still has: what was before it has gone by age."""
        self._check, self._first_sequence = check, first_sequence
        self._anchored = {each.writer: each for each in anchored}
        self._logs: dict[str, _Log] = {}
        self._began: float | None = None

    def take(self, batch: StoredBatch) -> None:
        """The next batch."""
        if self._began is None:
            self._began = batch.stored
        log = self._logs.get(batch.writer)
        if log is None:
            log = self._logs[batch.writer] = _Log(WriterReport(batch.writer))
        report, head = log.report, batch.head
        if isinstance(head, Garbled):
            log.broken(report.last + 1, str(head))
            return
        if log.heads and head.hash == log.heads[-1][0].hash and head.first == log.heads[-1][0].first:
            return  # stored twice: the answer to the first was lost
        self._follow(log, batch, head)
        self._content(log, head, batch.body)
        log.heads.append((head, batch.sequence))
        log.stored = batch.stored
        report.last, report.head = head.last, head.hash
        anchor = self._anchored.get(report.writer)
        if anchor is not None and head.first <= anchor.last <= head.last:
            log.hashes[anchor.last] = head.hash if head.last == anchor.last else ""
        report.records += head.records
        report.until = max(report.until, head.until)

    def _follow(self, log: _Log, batch: StoredBatch, head: BatchHead) -> None:
        """Whether a batch goes on where the one before it ended."""
        report = log.report
        if not log.heads:
            report.first, report.since = head.first, head.since
            if head.first != 1 and not self._aged(batch):
                log.broken(1, f"its first {head.first - 1} records are missing")
            if head.first == 1 and head.previous != NOTHING:
                log.broken(1, "it begins behind something else")
            return
        if report.ended:
            log.broken(head.first, "there are records behind its end")
        elif head.first != report.last + 1:
            missing = head.first - report.last - 1
            if missing > 0:
                log.broken(report.last + 1, f"{missing} records are missing")
            else:
                log.broken(head.first, "it stands behind later records")
        elif head.previous != report.head:
            log.broken(head.first, "it does not follow what is before it")

    def _aged(self, batch: StoredBatch) -> bool:
        """True if what was before a log's first batch can have gone by age: then that batch is among the oldest there are."""
        return self._first_sequence > 1 and self._began is not None and batch.stored - self._began < QUIET_S

    def _content(self, log: _Log, head: BatchHead, body: bytes) -> None:
        if digest(head.previous, body) != head.hash:
            log.broken(head.first, "the records are not those of its hash")
            return
        lines = body.splitlines()
        if len(lines) != head.records:
            log.broken(head.first, f"there are {len(lines)} records where its headers say {head.records}")
        users, clusters, times = set(), set(), []
        for number, line in enumerate(lines, head.first):
            try:
                if is_mark(line):
                    mark = decoded(line, Mark)
                    users.add("")
                    clusters.add("")
                    times.append(mark.at)
                    self._mark(log, number, mark)
                else:
                    facts = facts_of(line)
                    users.add(facts.username)
                    clusters.add(facts.cluster)
                    times.append(facts.at)
            except msgspec.DecodeError:
                log.broken(number, "this is no record")
                return
        if (min(times, default=""), max(times, default=""), named(users), named(clusters)) != head[6:]:
            log.broken(head.first, "its headers do not say what its records say")

    def _mark(self, log: _Log, number: int, mark: Mark) -> None:
        report = log.report
        if mark.type == "Start" and (number != 1 or mark.writer != report.writer):
            log.broken(number, "a start that is not its own")
        elif mark.certificate:
            self._certify(log, number, mark.certificate)
        elif mark.type == "Gap":
            report.gaps += mark.records
        elif mark.type == "End":
            report.ended = True

    def _certify(self, log: _Log, number: int, text: str) -> None:
        """By which key a log is signed: it says so at its start, and now and then, since that may have gone by age."""
        try:
            certificate = self._check(text)
        except Unauthorized as error:
            log.broken(number, error.message)
            return
        if certificate.proxy != log.report.writer.partition("-")[0]:
            log.broken(number, f"its key is that of {certificate.proxy}")
        elif log.key and log.key != certificate.key:
            log.broken(number, "it has another key than before")
        else:
            log.key = certificate.key

    def reports(self, now: float) -> list[WriterReport]:
        """Of all writers, in the order of their first records. `now` is Unix time in seconds."""
        for log in self._logs.values():
            self._signed(log)
            log.report.cut = not log.report.ended and now - log.stored > QUIET_S
            self._anchor(log)
        missing = [
            self._gone(anchor)
            for name, anchor in self._anchored.items()
            if name not in self._logs and not self._went(anchor)
        ]
        return sorted([*(log.report for log in self._logs.values()), *missing], key=lambda each: each.since)

    def heads(self) -> list[AnchoredHead]:
        """The ends of all logs: an anchor, if nothing contradicts them."""
        return [
            AnchoredHead(writer=name, last=log.report.last, hash=log.report.head, stored=log.stored)
            for name, log in self._logs.items()
        ]

    def _went(self, anchor: AnchoredHead) -> bool:
        """True if all of a log can have gone by age."""
        return self._first_sequence > 1 and self._began is not None and anchor.stored < self._began

    @staticmethod
    def _gone(anchor: AnchoredHead) -> WriterReport:
        return WriterReport(anchor.writer, behind=f"it had {anchor.last} records, and is not there")

    def _signed(self, log: _Log) -> None:
        """One good signature at the end vouches for all that is before it; where it is not good, the first that is not is named."""
        if log.report.problem or not log.heads:
            return
        if not log.key:
            if log.report.first == 1:
                log.broken(1, "it does not begin with a start")
            return
        if not _is_signed(log.key, log.heads[-1][0]):
            bad = next(head for head, _ in log.heads if not _is_signed(log.key, head))
            log.broken(bad.first, "it was not signed by the writer")
        log.report.signed = True

    def _anchor(self, log: _Log) -> None:
        anchor = self._anchored.get(log.report.writer)
        if anchor is None or log.report.problem or anchor.last < log.report.first:
            return
        if log.report.last < anchor.last:
            log.report.behind = f"it had {anchor.last} records, and has {log.report.last}"
        elif log.hashes.get(anchor.last) != anchor.hash:
            log.report.behind = f"record {anchor.last} is another than it was"


def _is_signed(key: str, head: BatchHead) -> bool:
    return nkey.verify(key, signed_text(head.writer, head.first, head.hash), head.signature)
