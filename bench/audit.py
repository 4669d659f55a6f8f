"""The audit log, measured: what a record costs, how fast records are stored, what `required` adds, how long a look and a verification take.

Records are made, gathered and signed by the front door's own code, in this process, and go into a real nats-server that syncs as in
production. Costs, looks and verification are CPU time of this process, which reads what the server sends; looks and verification are run with two
sizes, so that a million follows from their slope.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console
from rich.table import Table

from services.proxy.auditing.queue import QUEUE_BYTES, RecordQueue
from services.proxy.auditing.reading import AuditReader
from services.proxy.auditing.records import Auditor
from services.proxy.auditing.stream import AuditStream
from services.proxy.auditing.writer import AuditWriter
from services.proxy.record import RequestRecord, audit_id
from skerry.access.holdings import Basis
from skerry.api.messages import Caller
from skerry.audit import event
from skerry.audit.query import AuditQuery
from skerry.audit.verify import Verification
from skerry.http import Exchange
from skerry.httpwire.head import RequestHead
from skerry.identity import nkey
from skerry.identity.assertion import check_record, make_record
from skerry.identity.nkey import KeyType
from tests.fixtures.nats import NatsHost, running_host

REQUESTS, STORED, REQUIRED = 20_000, 40_000, 200
SIZES = (20_000, 80_000)
MILLION = 1_000_000
CALLER = Caller(user="alice", groups=("skerry:edit", "shop"))
BASIS = (Basis("AccessGrant", "ops"),)


class Requests:
    """The requests of one client, without what carries them."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        head = RequestHead(method=b"GET", target=b"/api/v1/namespaces/shop/pods/web", headers=[])
        plain = SimpleNamespace(
            head=head, sent=1234, received=0, status=200, tap=None, when_started=None, peer=("10.0.0.1", 1)
        )
        self._exchange = cast(Exchange, plain)
        self._who = event.who(CALLER.user, CALLER.groups, "10.0.0.1", "kubectl/v1.37")

    def one(self) -> None:
        """A request that is begun, allowed and answered."""
        record = RequestRecord(audit_id())
        record.user, record.credential, record.who = CALLER.user, "0" * 32, self._who
        self._auditor.begin(record, self._exchange, CALLER, "m1", self._exchange.head.target)
        record.allowed, record.basis, record.impersonated, record.code = (
            True,
            BASIS,
            ("skerry:alice", ("skerry:edit",)),
            "200",
        )
        self._auditor.end(record, self._exchange)


class Key:
    """A key that the host certified."""

    def __init__(self, host: NatsHost) -> None:
        self._key = nkey.create(KeyType.USER)
        self.ready = True
        self.record = make_record(host.authority.assertion_root, "P1", self._key.public, int(time.time()) + 3600)

    def sign_audit(self, data: bytes) -> bytes:
        return self._key.sign(data)


def measure(rounds: int) -> dict[str, Any]:
    """All figures."""
    with running_host() as host:
        return asyncio.run(_measured(host, rounds))


async def _measured(host: NatsHost, rounds: int) -> dict[str, Any]:
    await host.make_buckets()
    async with host.bus("proxy") as bus:
        stream, queue = AuditStream(bus), RecordQueue()
        writer = AuditWriter(stream, "proxy", "P1", Key(host), queue)
        requests = Requests(Auditor(queue))
        writing = asyncio.create_task(writer.keep())
        figures: dict[str, Any] = {"cpu_us": await _cost(requests, queue, rounds)}
        figures |= await _stored(requests, queue)
        figures["required_ms"] = await _required(writer)
        figures |= await _read(host, stream, requests, queue)
        writing.cancel()
        await asyncio.wait((writing,))
        return figures


async def _made(requests: Requests, queue: RecordQueue, count: int) -> int:
    """Make and store so many records, as fast as they are stored; the most bytes that waited."""
    most = 0
    for number in range(count):
        requests.one()
        if number % 500 == 0:
            most = max(most, queue.bytes)
            while queue.bytes > QUEUE_BYTES // 2:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
    await _emptied(queue)
    return most


async def _cost(requests: Requests, queue: RecordQueue, rounds: int) -> float:
    """CPU microseconds of a request's record in this process, made, gathered, hashed, signed and sent; without its Audit-ID."""
    costs = []
    for _ in range(rounds + 1):
        started = time.process_time()
        await _made(requests, queue, REQUESTS)
        whole, started = time.process_time() - started, time.process_time()
        for _ in range(REQUESTS):
            RequestRecord(audit_id())
        costs.append((whole - (time.process_time() - started)) / REQUESTS * 1e6)
    return statistics.median(costs[1:])


async def _stored(requests: Requests, queue: RecordQueue) -> dict[str, float]:
    started, used = time.perf_counter(), time.process_time()
    most = await _made(requests, queue, STORED)
    taken, cpu = time.perf_counter() - started, time.process_time() - used
    return {"stored_per_s": STORED / taken, "stored_per_cpu_s": STORED / cpu, "waiting_mib": most / 2**20}


async def _emptied(queue: RecordQueue) -> None:
    while queue.bytes:
        await asyncio.sleep(0.002)


async def _required(writer: AuditWriter) -> float:
    """Median milliseconds until one record is stored, one after the other."""
    at, taken = "2026-11-28T10:00:00.000000Z", []
    parts = f"{event.what('/api/v1/pods', 'list', None)},{event.who('alice', (), '10.0.0.1', '')}"
    for _ in range(REQUIRED):
        started = time.perf_counter()
        line = event.line("Metadata", audit_id(), "RequestReceived", parts, at, at, "")
        await writer.required(line, at, "alice", "")
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


async def _read(host: NatsHost, stream: AuditStream, requests: Requests, queue: RecordQueue) -> dict[str, float]:
    """CPU seconds of a million records, by the slope of two sizes: a look for a user who is not there by headers, one that decodes all, and
    a verification."""
    reader, root = AuditReader(stream, "", lambda: ()), host.authority.assertion_root.public
    figures: dict[str, float] = {}
    points: dict[str, list[tuple[float, float]]] = {"look_rare_s": [], "look_all_s": [], "verify_s": []}
    for size in SIZES:
        await _made(requests, queue, size)
        records = 0
        started = time.process_time()
        verification = Verification(lambda text: check_record((root,), text, 0.0))
        async for batch in stream.batches():
            verification.take(batch)
            records += batch.body.count(b"\n")
        (report,) = verification.reports(time.time())
        points["verify_s"].append((records, time.process_time() - started))
        figures["trusted"] = float(report.trusted)
        for name, query in (("look_rare_s", AuditQuery(user="nobody")), ("look_all_s", AuditQuery(code="4xx"))):
            started = time.process_time()
            async for _ in reader.stored_records(query):
                pass
            points[name].append((records, time.process_time() - started))
    for name, ((few, fast), (many, slow)) in points.items():
        figures[name] = (slow - fast) / (many - few) * MILLION
    return figures


ROWS = (
    ("CPU of a request's record", "cpu_us", "{:.1f} us", "<= 10"),
    ("records stored in a second, on this machine now", "stored_per_s", "{:,.0f}", ""),
    ("records stored in a second of CPU of the front door", "stored_per_cpu_s", "{:,.0f}", ">= 20,000"),
    ("records that wait meanwhile, at most", "waiting_mib", "{:.1f} MiB", "<= 16"),
    ("`required` adds, median", "required_ms", "{:.2f} ms", "<= 1.5"),
    ("a look at a million, nothing found by headers", "look_rare_s", "{:.1f} s CPU", "<= 5"),
    ("a look at a million, every record decoded", "look_all_s", "{:.1f} s CPU", "<= 5"),
    ("verification of a million", "verify_s", "{:.1f} s CPU", "<= 10"),
)


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The table that people read."""
    table = Table(title="The audit log", title_justify="left")
    for column in ("what", "measured", "aim"):
        table.add_column(column)
    for name, key, form, aim in ROWS:
        table.add_row(name, form.format(figures[key]), aim)
    console.print(table)
