"""The cluster that the host runs in, managed as a direct member is: on a real bus, with a stand-in for its API server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from services.registry import pace
from skerry import subjects
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Write
from skerry.api.meta import Document
from skerry.errors import BadRequest, Conflict, Forbidden, StatusError
from skerry.member.bindings import binding
from tests.fixtures.nats import NatsHost
from tests.member.apiserver import ApiServer
from tests.registry.conftest import HOST_UID, Agent, Client, Running, client_of, connect
from tests.registry.test_direct import condition, given

pytestmark = pytest.mark.integration
MOVED = "skerry.dev/cluster-uid"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once, and what they say is written."""
    monkeypatch.setattr(pace, "TEXT_S", 0.5)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """The cluster that the host runs in. Its UID is not the host's: the host was made on a laptop, or restored there."""
    async with ApiServer(tmp_path / "api", uid=str(uuid.uuid4())) as made:
        yield made


@pytest.fixture
async def client(fresh_nats_host: NatsHost, api: ApiServer) -> AsyncIterator[Client]:
    """Of a host that manages it."""
    async with Running(fresh_nats_host, host_kubeconfig=api.kubeconfig()).running(), client_of(fresh_nats_host) as made:
        yield made


async def ready(client: Client) -> Document:
    """The Cluster of the host, once it is Ready."""
    await condition(client, "host", "Ready", "Connected")
    return await client.cluster("host") or {}


async def say(client: Client, uid: str) -> None:
    """What the administrator does when the host was moved."""
    patch = {"metadata": {"annotations": {MOVED: uid}}}
    write = Write(
        request_id=uuid.uuid4().hex,
        name="host",
        body=msgspec.Raw(msgspec.json.encode(patch)),
        content_type="application/merge-patch+json",
    )
    await client.ask(subjects.write(CLUSTER.owner, CLUSTER.plural, "patch"), write)


async def refusal(client: Client, name: str, api: ApiServer) -> str:
    """Why it does not join directly."""
    with pytest.raises(Conflict) as refused:
        await connect(client, "create", name, given(api))
    return refused.value.message


async def test_it_is_looked_at_as_a_direct_member_is(client: Client, api: ApiServer) -> None:
    document = await ready(client)
    assert document["spec"] == {"role": "host", "connection": {"mode": "in-cluster"}}
    status = document["status"]
    assert (status["uid"], status["clusterUID"]) == (HOST_UID, api.uid)
    assert status["kubernetesVersion"] == api.version
    reasons = {each["type"]: each["reason"] for each in status["conditions"]}
    assert reasons["Joined"] == "HostCluster"
    assert reasons["Reachable"] == "Answers"
    assert reasons["CredentialsValid"] == "NoExpiry"
    assert reasons["RightsComplete"]
    assert set(api.bindings) == {f"skerry:{role}" for role in ("view", "edit", "admin", "cluster-admin")}
    assert api.annotations["skerry.dev/host"] == HOST_UID


async def test_it_cannot_join_besides_directly_or_by_an_agent(
    fresh_nats_host: NatsHost, client: Client, api: ApiServer
) -> None:
    await ready(client)
    says = "is the one that this host runs in, and is managed already: use it as 'host'"
    assert says in await refusal(client, "again", api)
    assert await client.cluster("again") is None
    with pytest.raises(Conflict, match=says):
        await Agent(fresh_nats_host, "again", api.uid).join(await client.token("again"))


async def test_a_cluster_that_is_a_member_is_left_so_and_the_host_says_how_to_manage_it(
    fresh_nats_host: NatsHost, api: ApiServer
) -> None:
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        await connect(client, "create", "mine", given(api))
    async with (
        Running(fresh_nats_host, host_kubeconfig=api.kubeconfig()).running(),
        client_of(fresh_nats_host) as client,
    ):
        told = await condition(client, "host", "Ready", "WrongCluster")
        assert "has joined already, as 'mine'" in told["message"]
        assert "skerry cluster remove mine" in told["message"]
        await client.write(CLUSTER, "delete", "mine")
        await ready(client)


async def test_a_host_that_was_moved_says_so_until_its_administrator_does(client: Client, api: ApiServer) -> None:
    await ready(client)
    before, moved = api.uid, str(uuid.uuid4())
    await api.replaced(moved)
    told = await condition(client, "host", "Ready", "WrongCluster")
    assert f"kubectl annotate cluster host --overwrite {MOVED}={moved}" in told["message"]
    assert ((await client.cluster("host")) or {})["status"]["clusterUID"] == before
    await say(client, moved)
    assert (await ready(client))["status"]["clusterUID"] == moved
    assert "runs in" in await refusal(client, "again", api)
    await api.replaced(before)
    await condition(client, "host", "Ready", "WrongCluster")


async def test_a_uid_that_no_cluster_has_is_not_believed(client: Client, api: ApiServer) -> None:
    await ready(client)
    await api.replaced(str(uuid.uuid4()))
    await condition(client, "host", "Ready", "WrongCluster")
    await say(client, "of another")
    await condition(client, "host", "Ready", "WrongCluster", "runs in (of another)")


async def test_an_api_server_that_is_away_and_a_token_that_is_over_are_said(client: Client, api: ApiServer) -> None:
    await ready(client)
    await api.__aexit__()
    await condition(client, "host", "Reachable", "Unreachable")
    await api.__aenter__()
    await ready(client)
    api.token = "another"
    told = await condition(client, "host", "Ready", "Refused")
    assert "whose token kubelet renews" in told["message"]
    assert "skerry cluster set" not in told["message"]


async def test_rights_that_are_missing_are_named(client: Client, api: ApiServer) -> None:
    await ready(client)
    api.refuse["/version"] = Forbidden("cannot impersonate resource users")
    told = await condition(client, "host", "Ready", "RightsMissing")
    assert "may not impersonate (cannot impersonate resource users)" in told["message"]


async def test_without_a_credential_the_host_works_and_says_what_is_missing(
    fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    async with (
        Running(fresh_nats_host, host_kubeconfig=tmp_path / "absent").running(),
        client_of(fresh_nats_host) as client,
    ):
        told = await condition(client, "host", "Ready", "Unreachable")
        assert f"no way to the host's own cluster: kubeconfig {tmp_path / 'absent'} cannot be read" in told["message"]


async def test_a_host_that_manages_it_no_more_lets_it_join(fresh_nats_host: NatsHost, api: ApiServer) -> None:
    async with (
        Running(fresh_nats_host, host_kubeconfig=api.kubeconfig()).running(),
        client_of(fresh_nats_host) as client,
    ):
        await ready(client)
    async with Running(fresh_nats_host).running(), client_of(fresh_nats_host) as client:
        document = await client.cluster("host") or {}
        assert document["spec"]["connection"] == {"mode": "none"}
        assert set(document["status"]) == {"conditions", "uid"}
        assert [each["reason"] for each in document["status"]["conditions"]] == ["Host"]
        await connect(client, "create", "mine", given(api))
        assert set(api.bindings) == {
            binding(role)["metadata"]["name"] for role in ("view", "edit", "admin", "cluster-admin")
        }


async def test_it_gets_no_other_credential_and_does_not_go(client: Client, api: ApiServer) -> None:
    await ready(client)
    with pytest.raises(StatusError, match="this name belongs to the host itself") as refused:
        await connect(client, "update", "host", given(api))
    assert not isinstance(refused.value, BadRequest)
    with pytest.raises(Forbidden, match="is the host itself"):
        await client.write(CLUSTER, "delete", "host")
