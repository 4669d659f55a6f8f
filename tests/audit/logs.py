"""Audit logs for tests: written by the real chain with a real key, as a front door's writer does."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.audit import event, marks
from skerry.audit.batch import Batch, Chain
from skerry.audit.event import micro_time, note
from skerry.audit.marks import Mark
from skerry.audit.meaning import meaning_of
from skerry.audit.verify import StoredBatch, Verification, WriterReport
from skerry.identity import nkey
from skerry.identity.assertion import check_record, make_record
from skerry.identity.nkey import KeyType

ROOT = nkey.create(KeyType.ACCOUNT)
NOW = 1_795_000_000.0
"""Unix time of the first batch."""
ID = "6f0c1d52-8a3b-4e57-9d1c-0a7b5c3e2f10"


def record(
    user: str = "alice",
    cluster: str = "m1",
    code: int = 200,
    at: float = NOW,
    target: str = "/api/v1/namespaces/a/pods/p",
    verb: str = "get",
) -> tuple[bytes, str, str, str]:
    """A record, as a batch takes it."""
    method = {"get": b"GET", "list": b"GET", "create": b"POST", "delete": b"DELETE"}[verb]
    parts = f"{meaning_of(method, target.encode()).said},{event.who(user, (), '10.0.0.1', '')}{event.code(code)}"
    stamp = micro_time(at)
    line = event.line("Metadata", ID, "ResponseComplete", parts, stamp, stamp, note(event.CLUSTER, cluster))
    return line, stamp, user, cluster


class Log:
    """One writer's log, as it is stored."""

    def __init__(self, writer: str = "P1", *, certified: bool = True) -> None:
        self.writer, self.key = writer, nkey.create(KeyType.USER)
        self.chain = Chain(writer, self.key.sign)
        self.batches: list[StoredBatch] = []
        root = ROOT if certified else nkey.create(KeyType.ACCOUNT)
        self.certificate = make_record(root, writer, self.key.public, int(NOW) + 3600)

    def start(self) -> None:
        """The first batch."""
        self.mark(Mark(type="Start", at=micro_time(NOW), writer=self.writer, certificate=self.certificate))

    def mark(self, *said: Mark) -> None:
        """A batch of marks."""
        batch = Batch()
        for each in said:
            batch.add(marks.line(each), each.at)
        self.store(batch)

    def write(self, *users: str, at: float = 0.0) -> None:
        """A batch of one record of each user."""
        batch = Batch()
        for user in users:
            batch.add(*record(user, at=NOW + (at or len(self.batches))))
        self.store(batch)

    def store(self, batch: Batch) -> None:
        """A batch, signed and chained."""
        stored, sequence = NOW + len(self.batches), len(self.batches) + 1
        head = self.chain.seal(batch)
        headers = {name: value for name, value in head.headers().items() if name.startswith("Skerry-")}
        self.batches.append(StoredBatch.of(sequence, self.writer, headers, bytes(batch.body), stored))

    def end(self) -> None:
        """The last batch."""
        self.mark(Mark(type="End", at=micro_time(NOW + len(self.batches))))


def whole(batches: int = 4, writer: str = "P1") -> Log:
    """A log with a start, so many batches of two records, and an end."""
    log = Log(writer)
    log.start()
    for _ in range(batches):
        log.write("alice", "bob")
    log.end()
    return log


def verified(*batches: StoredBatch, now: float = NOW + 10, **how: object) -> list[WriterReport]:
    """What verification says."""
    verification = Verification(lambda text: check_record((ROOT.public,), text, NOW), **how)  # type: ignore[arg-type]
    for batch in batches:
        verification.take(batch)
    return verification.reports(now)


def state(*batches: StoredBatch, now: float = NOW + 10, **how: object) -> str:
    """The state of the one log that these are."""
    (report,) = verified(*batches, now=now, **how)
    return report.state


def interleaved(*logs: Log) -> Iterator[StoredBatch]:
    """The batches of several logs in one stream, in turn."""
    sequence = 0
    for at in range(max(len(log.batches) for log in logs)):
        for log in logs:
            if at < len(log.batches):
                sequence += 1
                yield log.batches[at]._replace(sequence=sequence)
