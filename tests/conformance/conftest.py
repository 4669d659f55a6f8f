"""A real API server with the host's kinds as custom resources, beside a host API whose owners have no rules."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from services.proxy.hostapi import Forwarder, HostApi
from skerry import subjects
from skerry.admission import Callers, Rules, Writes
from skerry.admission.lifecycle import checks
from skerry.api.kinds import (
    ACCESS_GRANT,
    ACCESS_REQUEST,
    APP_RELEASE,
    APP_REPOSITORY,
    KINDS,
    SERVED,
    SETTING,
    WORKSPACE,
    Kind,
)
from skerry.api.messages import Caller
from skerry.errors import StatusError
from skerry.http import ClientGone, Exchange, Server
from skerry.identity.trust import pinned
from skerry.informer import Informer
from skerry.storage import Store
from tests.conformance.crd import definition
from tests.conformance.sides import DEADLINE_S, Side, api_server, host_api
from tests.fixtures.nats import NatsHost
from tests.kube.member import Member

COMPARED: tuple[Kind, ...] = (WORKSPACE, ACCESS_GRANT, SETTING, ACCESS_REQUEST, APP_REPOSITORY, APP_RELEASE)
_JSON = {"content-type": "application/json"}
_CALLER = Caller(user="admin", groups=("skerry:cluster-admin",))


class Host(NamedTuple):
    """The host API, and what it serves."""

    side: Side
    cache: Informer
    stores: list[Store]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def apiserver(plain_cluster: Member) -> AsyncIterator[Side]:
    """The oracle: an API server with the CustomResourceDefinitions of the compared kinds."""
    server = api_server(plain_cluster)
    for kind in COMPARED:
        body = msgspec.json.encode(definition(kind))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        made = await server.ask("POST", path, body, _JSON)
        assert made.status in (201, 409), made
    names = ",".join(f"crd/{kind.plural}.{kind.group}" for kind in COMPARED).split(",")
    plain_cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    yield server
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host(served: Host) -> AsyncIterator[Side]:
    """The host API; everything is removed after each test."""
    yield served.side
    await _emptied(served.cache, served.stores)


@pytest.fixture
def lasting_host(served: Host) -> Side:
    """The same, for a module that removes things itself or leaves them to the end of its nats-server."""
    return served.side


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(nats_host: NatsHost) -> AsyncIterator[Host]:
    """The host API over a real bus, for all tests of a module."""
    async with (
        nats_host.bus("proxy") as bus,
        nats_host.bus("tenancy") as owner,
        nats_host.bus("appstore") as app_store,
        asyncio.TaskGroup() as tasks,
    ):
        await nats_host.make_buckets()
        bucket = await owner.bucket(subjects.RESOURCES)
        cache = Informer(KINDS)
        buckets = {"tenancy": bucket, "appstore": await app_store.bucket(subjects.RESOURCES)}
        stores = [Store(buckets[kind.owner], kind) for kind in COMPARED]
        callers = Callers(pinned(nats_host.trust_root))
        services = [
            connection.serve(
                name, "0", _endpoints([each for each in stores if each.kind.owner == name], cache, callers)
            )
            for name, connection in (("tenancy", owner), ("appstore", app_store))
        ]
        feeding = tasks.create_task(cache.feed(await bus.bucket(subjects.RESOURCES)))
        api = HostApi(cache, Forwarder(bus, nats_host.sign), SERVED)

        async def handle(exchange: Exchange) -> None:
            with contextlib.suppress(ClientGone):
                await api.handle(exchange, _CALLER, lambda asked: ())

        server = Server(handle)
        await server.start("127.0.0.1", 0)
        async with asyncio.timeout(DEADLINE_S):
            await owner.ready()
            await cache.filled.wait()
        side = host_api(server.addresses[0][1])
        try:
            yield Host(side, cache, stores)
        finally:
            await side.close()
            await server.close(0)
            for service in services:
                service.stop()
            feeding.cancel()


def _endpoints(stores: list[Store], cache: Informer, callers: Callers) -> dict[str, Any]:
    """The writes of kinds that have no rules of their own."""
    served: dict[str, Any] = {}
    for store in stores:
        view = cache.view("conformance", (WORKSPACE,))
        served |= Writes(store, Rules(), check_namespace=checks(view)).endpoints(callers)
    return served


async def _emptied(cache: Informer, stores: list[Store]) -> None:
    for store in stores:
        for item in cache.list(store.kind):
            with contextlib.suppress(StatusError):
                await store.modify(item.name, _without_finalizers, item.namespace)
                await store.delete(item.name, item.namespace, policy="Background")


def _without_finalizers(document: dict[str, object]) -> dict[str, object]:
    metadata = document["metadata"]
    assert isinstance(metadata, dict)
    return {**document, "metadata": {k: v for k, v in metadata.items() if k != "finalizers"}}
