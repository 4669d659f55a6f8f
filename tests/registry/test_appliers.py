"""Direct members get what they should have from the registry's leader: a real bus, real registries, a real API server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.registry import prober
from skerry import subjects
from skerry.api.desired import Options, State
from skerry.api.kinds import CLUSTER
from skerry.api.names import HOST_LABEL, OWNER_LABEL
from skerry.desired.client import DesiredClient, Want
from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.kubeconfig import Target, flattened
from skerry.member.upstream import Upstream
from tests.fixtures.nats import NatsHost
from tests.kube.member import Member
from tests.member.apiserver import ApiServer
from tests.registry.conftest import HOST_UID, Client, Running, client_of, connect
from tests.registry.test_changes import patched

pytestmark = pytest.mark.kube
RBAC = "rbac.authorization.k8s.io"
NAME = "near"
_encode = msgspec.json.encode


class Near:
    """A direct member, the owner tenancy, and the member's own people."""

    def __init__(self, client: Client, desired: DesiredClient, member: Member, upstream: Upstream) -> None:
        self.client, self.desired, self.member, self.upstream = client, desired, member, upstream
        self.namespace = f"near-{uuid.uuid4().hex[:8]}"
        self.path = f"/apis/{RBAC}/v1/namespaces/{self.namespace}/rolebindings/skerry%3Aedit"

    @property
    def wants(self) -> list[Want]:
        """A namespace, and a binding in it."""
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        return [Want(self.binding()), Want(space, Options(withdraw="Delete"))]

    def binding(self, namespace: str = "") -> dict[str, Any]:
        """Of a tenant."""
        return {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "skerry:edit", "namespace": namespace or self.namespace},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "skerry:shop"}],
        }

    async def ask(self, method: str, path: str, document: Any = None) -> Any:
        """A request of the member's own people."""
        answer = await self.upstream.call(method, path, body=_encode(document) if document is not None else b"")
        return answer.document() if answer.status < 400 else answer.status

    async def there(self) -> bool:
        """Whether the binding is."""
        return isinstance(await self.ask("GET", self.path), dict)

    async def gone(self) -> bool:
        """Whether it is not."""
        return not await self.there()

    async def in_place(self, results: Any) -> None:
        """Wait until entries are."""
        for each in results:
            await until(partial(self.desired.in_place, NAME, each.key, each.revision))


async def until(test: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(40):
        while not await test():
            await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prober looks again more often than in production."""
    monkeypatch.setattr(prober, "AGAIN_S", 0.1)


@pytest.fixture
async def client(nats_host: NatsHost) -> AsyncIterator[Client]:
    """A client of a running registry; its members are gone at the end."""
    async with Running(nats_host).running(), client_of(nats_host) as found:
        yield found
        await removed(found)


async def removed(client: Client) -> None:
    """Remove the member, and wait until it is gone."""
    if await client.cluster(NAME) is not None:
        await client.write(CLUSTER, "delete", NAME)
    async with asyncio.timeout(40):
        while await client.cluster(NAME) is not None:
            await asyncio.sleep(0.05)


async def joined(stack: AsyncExitStack, host: NatsHost, client: Client, member: Member) -> Near:
    """The member joins with its administrator's kubeconfig."""
    bus = await stack.enter_async_context(host.bus("tenancy"))
    await bus.ready()
    target = kubeconfig.load(str(member.kubeconfig))
    upstream = Upstream(target, source(target))
    stack.push_async_callback(upstream.close)
    await connect(client, "create", NAME, flattened(target), takeOver=True)
    statuses = await bus.bucket(subjects.DESIRED_STATUS)
    return Near(client, DesiredClient(bus, statuses, "tenancy"), member, upstream)


@pytest.fixture
async def near(nats_host: NatsHost, client: Client, plain_cluster: Member) -> AsyncIterator[Near]:
    async with AsyncExitStack() as stack:
        near = await joined(stack, nats_host, client, plain_cluster)
        yield near
        await near.ask("DELETE", f"/api/v1/namespaces/{near.namespace}")


async def test_what_an_owner_wants_is_there_is_put_right_and_is_taken_away(near: Near) -> None:
    results = await near.desired.settle(NAME, near.wants)
    assert [each.code for each in results] == [0, 0]
    await near.in_place(results)
    found = await near.ask("GET", near.path)
    assert found["metadata"]["labels"] == {OWNER_LABEL: "tenancy", HOST_LABEL: HOST_UID}
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["skerry-tenancy"]
    await near.ask("DELETE", near.path)
    await until(near.there)
    await near.desired.settle(NAME, near.wants[1:])
    await until(near.gone)


async def test_while_its_cluster_is_paused_nothing_is_applied_and_afterwards_all_is(near: Near) -> None:
    async def paused(flag: bool) -> None:
        await patched(near.client, NAME, {"spec": {"paused": flag or None}})

    await paused(True)
    await until(lambda: _reports(near, "registry", "Applied"))
    await near.desired.settle(NAME, near.wants)
    await until(lambda: _reports(near, "tenancy", "Pending"))
    assert not await near.there()
    await paused(False)
    await until(near.there)


async def _reports(near: Near, owner: str, state: str) -> bool:
    report = await near.desired.status(NAME)
    return report is not None and bool(report.counts.get(owner, {}).get(state))


async def test_what_is_not_in_place_is_told_as_by_an_agent(near: Near) -> None:
    result = await near.desired.put(NAME, Want(near.binding("nowhere")))
    await until(lambda: _problem(near, result.key, State.WAITING))
    report = await near.desired.status(NAME)
    assert report is not None
    assert report.problems[0].message == "namespace nowhere does not exist on this cluster"
    assert report.counts == {"tenancy": {"Waiting": 1}}


async def _problem(near: Near, key: str, state: State) -> bool:
    report = await near.desired.status(NAME)
    return report is not None and any((each.key, each.state) == (key, state) for each in report.problems)


async def test_what_is_there_is_withdrawn_before_a_member_goes_and_nothing_that_is_not_ours(near: Near) -> None:
    await near.in_place(await near.desired.settle(NAME, near.wants))
    await near.ask("POST", f"/api/v1/namespaces/{near.namespace}/configmaps", {"metadata": {"name": "theirs"}})
    theirs = {**near.binding("default"), "metadata": {"name": near.namespace}}
    path = f"/apis/{RBAC}/v1/namespaces/default/rolebindings"
    await near.ask("POST", path, theirs)
    await removed(near.client)
    assert not await near.there()
    assert isinstance(await near.ask("GET", f"{path}/{near.namespace}"), dict)
    await near.ask("DELETE", f"{path}/{near.namespace}")


async def test_another_credential_is_used_from_then_on(near: Near) -> None:
    """The first one may do nothing any more once the second is there."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": near.namespace}}
    await near.ask("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    binding = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": near.namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": near.namespace, "namespace": "default"}],
    }
    await near.ask("POST", f"/apis/{RBAC}/v1/clusterrolebindings", binding)
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/default/serviceaccounts/{near.namespace}"
    token = (await near.ask("POST", f"{path}/token", ask))["status"]["token"]
    target = kubeconfig.load(str(near.member.kubeconfig))
    tls = msgspec.structs.replace(target.tls, certificate=b"", key=b"")
    other: Target = msgspec.structs.replace(target, token=token, tls=tls)
    await connect(near.client, "update", NAME, flattened(other))
    await near.in_place(await near.desired.settle(NAME, near.wants))
    await connect(near.client, "update", NAME, flattened(target))
    await near.ask("DELETE", f"/apis/{RBAC}/v1/clusterrolebindings/{near.namespace}")
    await near.ask("DELETE", path)
    await near.ask("DELETE", near.path)
    await until(near.there)


async def test_whoever_leads_keeps_it_in_place_and_nobody_else(nats_host: NatsHost, plain_cluster: Member) -> None:
    """The lease moves with what it is for; what was stored while nobody led is applied."""
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        await first.enter_async_context(Running(nats_host).running())
        await stack.enter_async_context(Running(nats_host).running())
        client = await stack.enter_async_context(client_of(nats_host))
        near = await joined(stack, nats_host, client, plain_cluster)
        await near.in_place(await near.desired.settle(NAME, near.wants))
        await first.aclose()
        await near.desired.settle(NAME, [])
        await until(near.gone)
        await removed(client)


async def test_a_member_that_does_not_answer_or_leaves_has_no_applier(
    nats_host: NatsHost, client: Client, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(ApiServer(tmp_path, uid=str(uuid.uuid4())))
        bus = await stack.enter_async_context(nats_host.bus("tenancy"))
        await bus.ready()
        desired = DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")
        text = flattened(kubeconfig.load(str(api.kubeconfig())))
        await connect(client, "create", NAME, text)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        await desired.put(NAME, Want(space))
        await until(lambda: _asked(api))
        await api.__aexit__()
        await until(lambda: _ready(client, "False"))
        await api.__aenter__()
        await until(lambda: _ready(client, "True"))
        api.seen.clear()
        await until(lambda: _asked(api))
        await client.write(CLUSTER, "delete", NAME)
        await until(lambda: _left(client, api))


async def _asked(api: ApiServer) -> bool:
    """Whether an applier looked what the API server serves."""
    return b"/api/v1" in api.targets


async def _ready(client: Client, status: str) -> bool:
    conditions = (await client.cluster(NAME) or {"status": {"conditions": []}})["status"]["conditions"]
    return any((each["type"], each["status"]) == ("Ready", status) for each in conditions)


async def _left(client: Client, api: ApiServer) -> bool:
    return await client.cluster(NAME) is None and api.connections == 0
