"""A service with a namespaced kind beside tenancy, each in its own process: objects live and die with their namespaces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.proxy.hostapi import Forwarder, HostApi
from services.tenancy import service as tenancy
from services.tenancy.settings import TenancySettings
from skerry import subjects
from skerry.admission import Rules
from skerry.api.kinds import KINDS, SERVED
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.errors import Forbidden, NotFound
from skerry.http import ClientGone, Exchange, Server
from skerry.informer import Informer
from skerry.service import Service
from skerry.storage import Item, Store
from tests.fixtures.nats import NatsHost
from tests.fixtures.service import serving
from tests.hostapi.berths import BERTH
from tests.hostapi.conftest import ADMIN, Answer, World
from tests.service.harbour import NoSettings

pytestmark = pytest.mark.integration

API = "/apis/skerry.dev/v1alpha1"
WORKSPACES = f"{API}/workspaces"


class Moored(Rules):
    """A berth with a ship is not deleted."""

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Forbidden while a ship is there."""
        if current.document()["spec"].get("ship"):
            raise Forbidden("a ship lies there")


async def unanswered(context: Any, request: WriteRequest, body: Any) -> Document:
    raise NotImplementedError


HARBOUR = Service(
    name="harbour",
    settings=NoSettings,
    rules={BERTH: Moored},
    actions={(BERTH, each.subresource, each.verb): unanswered for each in BERTH.actions},
)


class Port(World):
    """The host API, the two services behind it, and a store of berths."""

    berths: Store

    async def workspace(self, name: str) -> Any:
        """One that is there."""
        answer = await self.ask(WORKSPACES, "POST", manifest("Workspace", name))
        assert answer.status == 201, answer.body
        return answer.json()["metadata"]

    async def berth(self, namespace: str, name: str, ship: str = "", dry: bool = False) -> Answer:
        """The answer to a create."""
        query = "?dryRun=All" if dry else ""
        return await self.ask(f"{API}/namespaces/{namespace}/berths{query}", "POST", manifest("Berth", name, ship=ship))

    async def names(self, namespace: str) -> list[str]:
        """Of the berths that are there."""
        answer = await self.ask(f"{API}/namespaces/{namespace}/berths")
        assert answer.status == 200, answer.body
        return [each["metadata"]["name"] for each in answer.json()["items"]]

    async def gone(self, path: str) -> None:
        """Wait until an object is there no more."""
        async with asyncio.timeout(10):
            while (await self.ask(path)).status != 404:
                await asyncio.sleep(0.02)


def manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": BERTH.api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def remaining(answer: Answer) -> tuple[str, str] | None:
    """Reason and message of what a Workspace says is left in it."""
    conditions = (answer.json().get("status") or {}).get("conditions") or []
    found = [each for each in conditions if each["type"] == "NamespaceContentRemaining"]
    return (found[0]["reason"], found[0]["message"]) if found else None


@pytest.fixture
async def port(nats_host: NatsHost) -> AsyncIterator[Port]:
    async with (
        serving(nats_host, (tenancy.SERVICE, TenancySettings())),
        serving(nats_host, (HARBOUR, NoSettings()), user="anybody"),
        nats_host.open_bus("proxy") as bus,
        asyncio.TaskGroup() as tasks,
    ):
        cache, bucket = Informer((*KINDS, BERTH)), await bus.bucket(subjects.RESOURCES)
        feeding = tasks.create_task(cache.feed(bucket))
        found = Port(cache, None)  # type: ignore[arg-type]
        found.berths = Store(bucket, BERTH)
        api = HostApi(cache, Forwarder(bus, nats_host.sign), (*SERVED, BERTH))

        async def handle(exchange: Exchange) -> None:
            with contextlib.suppress(ClientGone):
                await api.handle(exchange, ADMIN, found.authorize)

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        found.port = server.addresses[0][1]
        await asyncio.wait_for(cache.filled.wait(), 10)
        yield found
        for item in cache.list(BERTH):
            with contextlib.suppress(NotFound):
                await found.berths.delete(item.name, item.namespace)
        await server.close(0)
        feeding.cancel()


async def test_nothing_is_made_in_a_namespace_that_there_is_not(port: Port) -> None:
    for dry in (False, True):
        answer = await port.berth("nowhere", "north", dry=dry)
        assert (answer.status, answer.json()["message"]) == (404, 'namespaces "nowhere" not found')
        assert answer.json()["details"] == {"name": "nowhere", "kind": "namespaces"}
    wrong = {**manifest("Berth", "north"), "metadata": {"name": "north", "labels": {"-": "x"}}}
    assert (await port.ask(f"{API}/namespaces/nowhere/berths", "POST", wrong)).status == 404
    assert (await port.ask(f"{API}/namespaces/default/berths", "POST", wrong)).status == 422
    assert (await port.ask(f"{API}/namespaces/nowhere/berths", "POST", [])).status == 400
    assert await port.names("nowhere") == []
    assert (await port.ask(f"{API}/berths", "POST", manifest("Berth", "north"))).status == 405
    applied = await port.ask(
        f"{API}/namespaces/nowhere/berths/north?fieldManager=t",
        "PATCH",
        manifest("Berth", "north"),
        {"content-type": "application/apply-patch+yaml"},
    )
    assert applied.status == 404


@pytest.mark.parametrize("namespace", ["default", "skerry-apps"])
async def test_namespaces_that_are_always_there_take_objects(port: Port, namespace: str) -> None:
    assert (await port.berth(namespace, "north")).status == 201
    assert await port.names(namespace) == ["north"]


async def test_a_deleted_workspace_takes_along_what_is_in_it_and_nothing_else(port: Port) -> None:
    for name in ("shop", "shop-2"):
        await port.workspace(name)
    for number in range(40):
        assert (await port.berth("shop", f"b{number}")).status == 201
    assert (await port.berth("shop-2", "b0")).status == 201
    answer = await port.ask(f"{WORKSPACES}/shop", "DELETE")
    assert answer.json()["metadata"]["finalizers"] == ["skerry.dev/contents"]
    await port.gone(f"{WORKSPACES}/shop")
    assert (await port.names("shop"), await port.names("shop-2")) == ([], ["b0"])
    await port.ask(f"{WORKSPACES}/shop-2", "DELETE")
    await port.gone(f"{WORKSPACES}/shop-2")


async def test_an_empty_workspace_is_gone_at_once_and_a_dry_run_says_what_would_wait(port: Port) -> None:
    await port.workspace("shop")
    assert (await port.berth("shop", "north")).status == 201
    dry = await port.ask(f"{WORKSPACES}/shop?dryRun=All", "DELETE")
    assert dry.json()["metadata"]["finalizers"] == ["skerry.dev/contents"]
    assert "finalizers" not in (await port.ask(f"{WORKSPACES}/shop")).json()["metadata"]
    assert (await port.ask(f"{API}/namespaces/shop/berths/north", "DELETE")).status == 200
    gone = await port.ask(f"{WORKSPACES}/shop", "DELETE")
    assert gone.json()["status"] == "Success", "what was deleted in it does not count"
    assert (await port.ask(f"{WORKSPACES}/shop")).status == 404


async def test_a_workspace_that_waits_names_what_is_left_and_takes_nothing_new(port: Port) -> None:
    await port.workspace("shop")
    for name, ship in (("north", "Rover"), ("south", "")):
        assert (await port.berth("shop", name, ship)).status == 201
    await port.ask(f"{WORKSPACES}/shop", "DELETE")
    async with asyncio.timeout(10):
        while (left := remaining(await port.ask(f"{WORKSPACES}/shop"))) != (
            "SomeResourcesRemain",
            "Some resources are remaining: berth north",
        ):
            assert left is None or left[0] == "SomeResourcesRemain"
            await asyncio.sleep(0.05)
    refused = await port.berth("shop", "west")
    assert refused.status == 403
    assert refused.json()["message"] == (
        'berths.skerry.dev "west" is forbidden: unable to create new content in namespace shop because it is being terminated'
    )
    assert [each["reason"] for each in refused.json()["details"]["causes"]] == ["NamespaceTerminating"]
    assert (await port.ask("/api/v1/namespaces/shop")).json()["status"] == {"phase": "Terminating"}
    sailed = await port.ask(
        f"{API}/namespaces/shop/berths/north",
        "PATCH",
        {"spec": {"ship": ""}},
        {"content-type": "application/merge-patch+json"},
    )
    assert sailed.status == 200
    await port.gone(f"{WORKSPACES}/shop")
    assert await port.names("shop") == []


async def test_of_much_that_is_left_the_first_are_named(port: Port) -> None:
    await port.workspace("shop")
    names = [f"b{number:02}" for number in range(13)]
    for name in names:
        assert (await port.berth("shop", name, "Rover")).status == 201
    await port.ask(f"{WORKSPACES}/shop", "DELETE")
    wanted = f"Some resources are remaining: {', '.join(f'berth {name}' for name in names[:10])} and more"
    async with asyncio.timeout(10):
        while remaining(await port.ask(f"{WORKSPACES}/shop")) != ("SomeResourcesRemain", wanted):
            await asyncio.sleep(0.05)
    for name in names:
        await port.ask(
            f"{API}/namespaces/shop/berths/{name}",
            "PATCH",
            {"spec": {"ship": ""}},
            {"content-type": "application/merge-patch+json"},
        )
    await port.gone(f"{WORKSPACES}/shop")


async def test_what_was_made_while_its_workspace_went_goes_too(port: Port) -> None:
    await port.berths.create({"metadata": {"name": "late", "namespace": "ghost"}, "spec": {}})
    await port.cache.current()
    await port.gone(f"{API}/namespaces/ghost/berths/late")


async def test_what_lies_in_no_namespace_takes_nothing_along(port: Port) -> None:
    """As an object of a version for which the kind was not namespaced."""
    await port.workspace("shop")
    assert (await port.berth("shop", "north")).status == 201
    await port.berths.create({"metadata": {"name": "astray"}, "spec": {}})
    await port.berths.create({"metadata": {"name": "late", "namespace": "ghost"}, "spec": {}})
    await port.gone(f"{API}/namespaces/ghost/berths/late")
    assert await port.names("shop") == ["north"]
    await port.ask(f"{WORKSPACES}/shop", "DELETE")
    await port.gone(f"{WORKSPACES}/shop")


async def test_a_workspace_that_is_made_again_begins_empty(port: Port) -> None:
    first = await port.workspace("shop")
    assert (await port.berth("shop", "north")).status == 201
    await port.ask(f"{WORKSPACES}/shop", "DELETE")
    await port.gone(f"{WORKSPACES}/shop")
    second = await port.workspace("shop")
    assert second["uid"] != first["uid"]
    assert await port.names("shop") == []
    assert (await port.berth("shop", "north")).status == 201
    await port.ask(f"{WORKSPACES}/shop", "DELETE")
    await port.gone(f"{WORKSPACES}/shop")


async def test_kubectl_lives_with_it(port: Port, tmp_path: Path) -> None:
    manifests = [
        manifest("Workspace", "shop"),
        {**manifest("Berth", "north"), "metadata": {"name": "north", "namespace": "shop"}},
    ]
    text = msgspec.json.encode({"apiVersion": "v1", "kind": "List", "items": manifests}).decode()
    code, out, err = await port.kubectl("apply", "-f", "-", home=tmp_path, stdin=text)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["workspace.skerry.dev/shop created", "berth.skerry.dev/north created"]
    code, out, err = await port.kubectl("get", "berths", "-A", home=tmp_path)
    assert out.split() == ["NAMESPACE", "NAME", "shop", "north"]
    text = msgspec.json.encode(manifest("Berth", "north")).decode()
    code, out, err = await port.kubectl("create", "-n", "nowhere", "-f", "-", home=tmp_path, stdin=text)
    assert (code, 'namespaces "nowhere" not found' in err) == (1, True)
    code, out, err = await port.kubectl("get", "berths", "-n", "nowhere", home=tmp_path)
    assert (code, err.strip()) == (0, "No resources found in nowhere namespace.")
    code, out, err = await port.kubectl("delete", "workspace", "shop", home=tmp_path)
    assert (code, out.strip()) == (0, 'workspace.skerry.dev "shop" deleted'), "it waits until all is gone"
    code, out, err = await port.kubectl("get", "berths", "-A", home=tmp_path)
    assert err.strip() == "No resources found"
