"""What a front door under test recorded, read as auditors do."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from skerry import subjects
from skerry.api.kinds import AUDIT_POLICY
from skerry.audit.export import ExportedBatch, ExportHead
from skerry.audit.verify import Verification, WriterReport
from skerry.identity.assertion import check_record
from skerry.storage import Store
from tests.fixtures.nats import eventually
from tests.proxy.conftest import World


async def records(host: World, query: bytes = b"", *, count: int = 1) -> list[dict[str, Any]]:
    """The records of `/audit` with a query, once there are so many; its own reading left out."""
    async with asyncio.timeout(10):
        while True:
            answer = await host.ask(b"/audit?" + query)
            assert answer.status == 200, answer.body
            found = [msgspec.json.decode(line) for line in answer.body.splitlines()]
            found = [each for each in found if not each["requestURI"].startswith("/audit")]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def export(host: World) -> tuple[ExportHead, list[ExportedBatch]]:
    """All that is stored."""
    answer = await host.ask(b"/audit/batches")
    assert answer.status == 200, answer.body
    first, *rest = answer.body.splitlines()
    return msgspec.json.decode(first, type=ExportHead), [msgspec.json.decode(each, type=ExportedBatch) for each in rest]


def verified(head: ExportHead, batches: list[ExportedBatch], now: float) -> list[WriterReport]:
    """What verification says of an export."""
    verification = Verification(lambda text: check_record(head.roots, text, 0.0), first_sequence=head.first)
    for batch in batches:
        verification.take(batch.stored_batch())
    return verification.reports(now)


async def use(host: World, *rules: dict[str, Any]) -> None:
    """Store the policy, and wait until the front door decides by it."""
    before = host.proxy.audit.auditor.policy
    async with host.nats.bus("audit") as bus:
        store = Store(await bus.bucket(subjects.RESOURCES), AUDIT_POLICY)
        await store.create({"metadata": {"name": "default"}, "spec": {"rules": list(rules)}})
    await eventually(lambda: host.proxy.audit.auditor.policy is not before)
