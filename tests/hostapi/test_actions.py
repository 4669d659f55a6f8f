"""What is asked below an object goes to the owner of its kind, typed and signed, and its answer comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.proxy.hostapi.forward import Forwarder
from services.proxy.hostapi.request import Query, Target
from skerry.admission import Actions, Callers
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import CLUSTER, Document
from skerry.api.messages import Caller, WriteRequest
from skerry.errors import GatewayTimeout
from tests.fixtures.nats import NatsHost
from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

PATH = "/apis/skerry.dev/v1alpha1/clusters/m1/connection"
BODY = {"spec": {"kubeconfig": "k"}}
JSON = {"content-type": "application/json"}


async def answered(request: WriteRequest, body: ClusterConnection) -> Document:
    return {
        "name": request.name,
        "user": request.caller.user,
        "dry": request.options.dry_run,
        "k": body.spec.kubeconfig,
    }


async def silent(request: WriteRequest, body: ClusterConnection) -> Document:
    await asyncio.Event().wait()
    return {}


@contextlib.asynccontextmanager
async def owner(host: NatsHost, act: Any = answered) -> AsyncIterator[None]:
    """A registry that answers the actions of Clusters."""
    actions = Actions(CLUSTER, {("connection", "create"): act, ("connection", "update"): act})
    async with host.bus("registry") as bus:
        registration = bus.serve("registry", "1.0.0", actions.endpoints(Callers(host.trust_root)))
        await bus.ready()
        yield
        registration.stop()


@pytest.mark.parametrize(("method", "status"), [("POST", 201), ("PUT", 200)])
async def test_the_owner_answers(world: World, nats_host: NatsHost, method: str, status: int) -> None:
    async with owner(nats_host):
        answer = await world.ask(f"{PATH}?dryRun=All", method, BODY, JSON)
    assert (answer.status, answer.json()) == (status, {"name": "m1", "user": "admin", "dry": True, "k": "k"})


@pytest.mark.parametrize("body", [{}, {"spec": {}}, [], {"spec": {"kubeconfig": 7}}])
async def test_what_is_not_the_declared_type_is_400_by_its_name(world: World, nats_host: NatsHost, body: Any) -> None:
    async with owner(nats_host):
        answer = await world.ask(PATH, "POST", body, JSON)
    assert (answer.status, answer.json()["reason"]) == (400, "BadRequest")
    assert "ClusterConnection" in answer.json()["message"]


async def test_an_owner_that_is_away_is_503(world: World) -> None:
    answer = await world.ask(PATH, "POST", BODY, JSON)
    assert (answer.status, "nothing was changed" in answer.json()["message"]) == (503, True)


async def test_another_format_is_415(world: World) -> None:
    answer = await world.ask(PATH, "POST", b"spec: {}", {"content-type": "application/yaml"})
    assert answer.status == 415


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_what_is_not_declared_is_not_there(world: World, method: str) -> None:
    assert (await world.ask(PATH, method)).status == 404
    assert (await world.ask(PATH.replace("connection", "desired"), "POST", BODY, JSON)).status == 404


async def test_an_action_has_its_own_time(nats_host: NatsHost) -> None:
    action = replace(CLUSTER.actions[0], timeout_s=1.0)
    target = Target((), CLUSTER, name="m1", subresource="connection")
    async with owner(nats_host, silent), nats_host.bus("proxy") as bus:
        forwarder = Forwarder(bus, nats_host.sign)
        with pytest.raises(GatewayTimeout, match=r"did not answer within 1 s.* is unknown"):
            await forwarder.act(target, action, Caller(user="admin"), Query(""), "", b'{"spec": {"kubeconfig": "k"}}')
