"""The registry's gate of desired state on a real bus, without the rest of a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from services.registry.desired import Buckets, Desired
from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.desired import (
    Batch,
    CompleteAnswer,
    CompleteRequest,
    DesiredItem,
    Heard,
    KeysRequest,
    Options,
    Report,
    SyncRequest,
)
from skerry.bus import Bus, Message
from skerry.desired.client import DesiredClient, Want
from skerry.identity import nkey
from skerry.storage import make_all
from tests.fixtures.nats import NatsHost

ROOT = nkey.create(nkey.KeyType.ACCOUNT)
CLUSTERS = {"m1": "uid-1", "m2": "uid-2"}
_encode = msgspec.json.encode


def verify(data: bytes, signature: bytes) -> bool:
    """By the root."""
    return nkey.verify(ROOT.public, data, signature)


def space(name: str = "shop", **metadata: Any) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}


def item(member: str = "m1", document: Any = None, **more: Any) -> DesiredItem:
    """A put."""
    return DesiredItem(member=member, object=msgspec.Raw(_encode(space() if document is None else document)), **more)


class Gate:
    """The registry's part, served as the registry serves it, and a clock that stands still."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.now = 100.0
        self.desired: Desired

    async def start(self) -> None:
        """Open the buckets and serve the owner `tenancy`."""
        await self.start_anew()
        self.statuses = await self.bus.bucket(subjects.DESIRED_STATUS)
        endpoints = {
            subjects.desired_owner("tenancy"): self._batch,
            subjects.desired_keys("tenancy"): self._keys,
            subjects.desired_complete("tenancy"): self._complete,
            subjects.DESIRED_SYNCS: self._sync,
            subjects.DESIRED_REPORTS: self._report,
        }
        self.bus.serve("registry", "0", endpoints, description="")
        await self.bus.ready()
        self.client = DesiredClient(self.bus, self.statuses, "tenancy")

    async def start_anew(self) -> None:
        """Open the buckets, or make them."""
        await make_all(self.bus)
        self.desired = Desired(await Buckets.open(self.bus), CLUSTERS.get, ROOT.sign, verify, lambda: self.now)

    async def _batch(self, message: Message) -> bytes:
        return _encode(await self.desired.batch("tenancy", decoded(message.data, Batch)))

    async def _keys(self, message: Message) -> bytes:
        return _encode(await self.desired.keys("tenancy", decoded(message.data, KeysRequest)))

    async def _complete(self, message: Message) -> bytes:
        request = decoded(message.data, CompleteRequest)
        return _encode(CompleteAnswer(revision=await self.desired.complete("tenancy", request.member)))

    async def _sync(self, message: Message) -> bytes:
        request = decoded(message.data, SyncRequest)
        return _encode(await self.desired.sync(subjects.member_of(message.subject), request))

    async def _report(self, message: Message) -> bytes:
        await self.desired.report(subjects.member_of(message.subject), decoded(message.data, Report))
        return _encode(Heard())

    async def apply(self, *items: DesiredItem) -> list[tuple[int, str]]:
        """(code, message) of each item."""
        answer = await self.desired.batch("tenancy", Batch(request_id="r", items=items))
        return [(each.code, each.message) for each in answer.results]

    async def put(self, document: dict[str, Any], **options: Any) -> Any:
        """One put that is taken."""
        result = await self.client.put("m1", Want(document, Options(**options)))
        assert result.code == 0, result.message
        return result


@asynccontextmanager
async def opened_gate(host: NatsHost) -> AsyncIterator[Gate]:
    """A gate; its buckets are gone at the end."""
    async with host.open_bus("registry") as bus:
        made = Gate(bus)
        await made.start()
        yield made
        for name in (subjects.DESIRED, subjects.DESIRED_STATUS):
            await (await bus.bucket(name)).destroy()
