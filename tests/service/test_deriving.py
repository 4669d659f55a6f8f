"""A service tells what happens to its objects, with the rights of its row: who did it, on a request, once."""

from __future__ import annotations

import asyncio
import uuid

import msgspec
import pytest

from services.tenancy import service as tenancy
from services.tenancy.settings import TenancySettings
from skerry import cloudevents, subjects
from skerry.api.kinds import CLUSTER, WORKSPACE
from skerry.api.messages import AUDIT_ID, HOST, SIGNATURE, Caller, Write
from skerry.bus import BucketConfig, Stream
from skerry.cloudevents import CloudEvent
from skerry.storage import Store
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving

pytestmark = pytest.mark.integration
AUDIT = "0b5c7c3e-1111-4222-8333-000000000001"
ADMIN = Caller(user="alice", groups=("skerry:cluster-admin",))


async def test_a_write_is_told_with_who_asked_for_it(nats_host: NatsHost) -> None:
    async with nats_host.bus("registry") as registry:
        resources = await registry.bucket(subjects.RESOURCES, create=BucketConfig(history=8))
        await Store(resources, CLUSTER).create({"metadata": {"name": HOST}, "status": {"uid": "u-1"}})
        async with serving(nats_host, (tenancy.SERVICE, TenancySettings())), nats_host.bus("proxy") as proxy:
            subject = subjects.write("tenancy", WORKSPACE.plural, "create")
            body = {"apiVersion": WORKSPACE.api_version, "kind": "Workspace", "metadata": {"name": "shop"}, "spec": {}}
            write = Write(request_id=uuid.uuid4().hex, body=msgspec.Raw(msgspec.json.encode(body)))
            payload = msgspec.json.encode(write)
            headers = {SIGNATURE: nats_host.sign(ADMIN, subject, payload), AUDIT_ID: AUDIT}
            await proxy.request(subject, payload, headers=headers)
            event = await told(Stream(proxy, subjects.EVENT_STREAM), "event.workspace.shop.created")
    assert (event.actor, event.auditid, event.source) == ("alice", AUDIT, "/hosts/u-1/tenancy")
    assert (event.type, event.subject) == ("dev.skerry.workspace.created", "workspace/shop")


async def told(stream: Stream, subject: str) -> CloudEvent:
    """The one event on a subject, once it is there."""
    async with asyncio.timeout(15):
        while not (page := await stream.read(subject)).messages:
            await asyncio.sleep(0.02)
    (message,) = page.messages
    return cloudevents.from_message(message.headers, message.data)
