"""The inside of a registry, as `nats micro info` and `nats request` show it: by the protocol of NATS micro services."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from skerry import subjects
from skerry.api.desired import Batch, Report, SyncAnswer
from skerry.api.fleet import FleetRequest, FleetSummary
from skerry.bus import Bus
from skerry.errors import BadRequest, Forbidden
from skerry.service.endpoints import described
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Agent, Client

pytestmark = pytest.mark.integration


async def asked(bus: Bus, subject: str, payload: bytes = b"") -> Any:
    """The answer to a request of an operator."""
    return json.loads((await bus.request(subject, payload, timeout_s=DEADLINE_S)).data)


async def test_each_endpoint_is_shown_with_the_schemas_of_its_request_and_answer(
    nats_host: NatsHost, client: Client
) -> None:
    async with nats_host.open_bus("operator") as bus:
        await bus.ready()
        info = await asked(bus, "$SRV.INFO.registry")
    assert info["type"] == "io.nats.micro.v1.info_response"
    endpoints = {each["subject"]: each for each in info["endpoints"]}
    for each in endpoints.values():
        assert json.loads(each["metadata"]["request"])["$ref"].startswith("#/$defs/")
        assert json.loads(each["metadata"]["answer"])
        assert each["metadata"]["description"]
    assert endpoints[subjects.FLEET]["metadata"] == described(
        "Somebody looks how the members are.", FleetRequest, FleetSummary
    )
    assert endpoints[subjects.FLEET]["queue_group"] == "registry"
    shown = {
        (subject, side): json.loads(endpoints[subject]["metadata"][side])["$ref"].rpartition("/")[2]
        for subject, side in (
            (subjects.DESIRED_SYNCS, "answer"),
            (subjects.DESIRED_REPORTS, "request"),
            (subjects.desired_owner("tenancy"), "request"),
        )
    }
    assert list(shown.values()) == [SyncAnswer.__name__, Report.__name__, Batch.__name__]


async def test_members_are_told_by_state_and_who_leads_as_the_schema_says(nats_host: NatsHost, client: Client) -> None:
    well, ill = Agent(nats_host, "well"), Agent(nats_host, "ill")
    answers = [await each.join(await client.token(each.name)) for each in (well, ill)]
    async with (
        nats_host.connection(well.credentials(answers[0])) as one,
        nats_host.connection(ill.credentials(answers[1])) as other,
        nats_host.open_bus("operator") as bus,
    ):
        await bus.ready()
        await well.beat(one)
        await ill.beat(other, healthy=False, message="refused")
        await client.ready("well", "True")
        await client.ready("ill", "False")
        summary = FleetSummary()
        async with asyncio.timeout(DEADLINE_S):
            while (summary.total, summary.ready) != (2, 1):
                summary = msgspec.convert(await asked(bus, subjects.FLEET, b"{}"), FleetSummary)
        leaders = await holder(nats_host)
        assert (summary.states, summary.desired.entries, summary.leader) == ({"APIServerUnreachable": 1}, 0, leaders)
        with pytest.raises(BadRequest, match="this is not a FleetRequest"):
            await bus.request(subjects.FLEET, b"[]", timeout_s=DEADLINE_S)


async def holder(host: NatsHost) -> str:
    """Who has the lease of the registry, as its bucket has it."""
    async with host.bus("registry") as bus:
        await bus.ready()
        entry = await (await bus.bucket(subjects.LEADERS)).get("registry")
        assert entry is not None
        assert entry.value is not None
        return str(json.loads(entry.value)["holder"])


async def test_a_proxy_may_not_ask_how_all_members_are(client: Client) -> None:
    with pytest.raises(Forbidden, match="may not publish"):
        await client.bus.request(subjects.FLEET, b"{}", timeout_s=DEADLINE_S)
