"""What administrators may change in a Cluster, and what not; on a real bus."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Write, WriteAnswer, WriteOptions
from skerry.api.names import WITHDRAW
from skerry.errors import Forbidden, Invalid, NotFound
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client

pytestmark = pytest.mark.integration

MERGE = "application/merge-patch+json"


async def patched(client: Client, name: str, patch: Any, media: str = MERGE) -> dict[str, Any]:
    """The Cluster after a patch."""
    write = Write(
        request_id=uuid.uuid4().hex,
        name=name,
        content_type=media,
        body=msgspec.Raw(msgspec.json.encode(patch)),
        options=WriteOptions(field_manager="test"),
    )
    answer = await client.ask(subjects.write(CLUSTER.owner, CLUSTER.plural, "patch"), write)
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.decode(answer, type=WriteAnswer).object)
    return found


async def test_labels_provider_region_and_paused_change(nats_host: NatsHost, client: Client) -> None:
    await Agent(nats_host, "changes").join(await client.token("changes"))
    spec = {"provider": "eks", "region": "eu", "paused": True}
    after = await patched(client, "changes", {"metadata": {"labels": {"env": "prod"}}, "spec": spec})
    assert after["metadata"]["labels"] == {"env": "prod"}
    assert after["spec"] == {"role": "member", "connection": {"mode": "agent"}, **spec}


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"spec": {"role": "host"}}, "spec.role"),
        ({"spec": {"connection": {"mode": "direct"}}}, "spec.connection"),
        ({"metadata": {"finalizers": None}}, "metadata.finalizers"),
        ({"metadata": {"finalizers": ["skerry.dev/account", "skerry.dev/more"]}}, "metadata.finalizers"),
        ({"metadata": {"annotations": {WITHDRAW: "Keep"}}}, f"metadata.annotations[{WITHDRAW}]"),
    ],
)
async def test_how_it_joined_does_not(nats_host: NatsHost, client: Client, patch: Any, field: str) -> None:
    name = f"fixed-{uuid.uuid4().hex[:8]}"
    await Agent(nats_host, name).join(await client.token(name))
    with pytest.raises(Invalid) as caught:
        await patched(client, name, patch)
    assert [cause.field for cause in caught.value.details.causes] == [field]


async def test_a_status_in_a_patch_changes_nothing(nats_host: NatsHost, client: Client) -> None:
    await Agent(nats_host, "observed").join(await client.token("observed"))
    after = await patched(client, "observed", {"status": {"uid": "forged", "conditions": []}})
    assert after["status"]["uid"] != "forged"
    assert after["status"]["conditions"]


async def test_nobody_makes_a_cluster_by_applying_it(client: Client) -> None:
    document = {
        "apiVersion": CLUSTER.api_version,
        "kind": "Cluster",
        "metadata": {"name": "invented"},
        "spec": {"role": "member", "connection": {"mode": "agent"}},
    }
    with pytest.raises(NotFound):
        await patched(client, "invented", document, "application/apply-patch+yaml")


async def test_the_host_outlives_an_owner_that_somebody_gave_it(client: Client) -> None:
    owner = {"apiVersion": CLUSTER.api_version, "kind": "Cluster", "name": "nobody", "uid": "1-2"}
    await patched(client, "host", {"metadata": {"ownerReferences": [owner]}})
    with pytest.raises(Forbidden):
        await client.write(CLUSTER, "delete", "host")
    found = await patched(client, "host", {"metadata": {"ownerReferences": None}})
    assert "deletionTimestamp" not in found["metadata"]


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_pause_in_the_past_is_refused_with_the_rule(nats_host: NatsHost, client: Client) -> None:
    await Agent(nats_host, "late").join(await client.token("late"))
    with pytest.raises(Invalid, match=r"spec.pause.until: .*must be in the future by the host's clock"):
        await patched(client, "late", {"spec": {"paused": True, "pause": {"until": soon(-60)}}})


async def test_the_host_is_not_paused(client: Client) -> None:
    with pytest.raises(Invalid, match="this is the host itself, and only members can be paused"):
        await patched(client, "host", {"spec": {"paused": True}})


async def test_a_pause_ends_in_time_and_a_cordon_without_an_end_stays(nats_host: NatsHost, client: Client) -> None:
    """The fields that nobody owns any more are in no managedFields, so that the next may apply them without a conflict."""
    await Agent(nats_host, "brief").join(await client.token("brief"))
    spec = {"paused": True, "pause": {"until": soon(3), "reason": "an upgrade"}, "unschedulable": True}
    document = {"apiVersion": CLUSTER.api_version, "kind": "Cluster", "metadata": {"name": "brief"}, "spec": spec}
    held = await patched(client, "brief", document, "application/apply-patch+yaml")
    assert held["spec"]["pause"]["reason"] == "an upgrade"

    async with asyncio.timeout(60):
        while "paused" in (after := await client.cluster("brief") or held)["spec"]:
            await asyncio.sleep(0.05)
    assert after["spec"] == {"role": "member", "connection": {"mode": "agent"}, "unschedulable": True}
    assert after["metadata"]["generation"] == held["metadata"]["generation"] + 1
    owned = set().union(*(each["fieldsV1"].get("f:spec", {}) for each in after["metadata"]["managedFields"]))
    assert owned == {".", "f:connection", "f:role", "f:unschedulable"}


async def test_a_pause_that_is_taken_back_takes_its_end_with_it(nats_host: NatsHost, client: Client) -> None:
    await Agent(nats_host, "undone").join(await client.token("undone"))
    await patched(client, "undone", {"spec": {"paused": True, "pause": {"until": soon(3600)}}})
    after = await patched(client, "undone", {"spec": {"paused": None}})
    assert after["spec"] == {"role": "member", "connection": {"mode": "agent"}}
