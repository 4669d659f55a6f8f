"""Answers to actions: typed where they come in, and as many as are declared."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from skerry.admission import Actions
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import CLUSTER, Document
from skerry.api.messages import Caller, WriteRequest
from skerry.bus import Message
from skerry.errors import BadRequest

CREATE, UPDATE = ("connection", "create"), ("connection", "update")


async def answered(request: WriteRequest, body: ClusterConnection) -> Document:
    return {"name": request.name, "kubeconfig": body.spec.kubeconfig}


def endpoint(verb: str) -> Callable[[Message], Awaitable[bytes]]:
    return Actions(CLUSTER, {CREATE: answered, UPDATE: answered}).endpoints()[f"registry.clusters.connection-{verb}"]


def sent(data: bytes) -> Message:
    connection: Any = None
    return Message(connection, "registry.clusters.connection-create", "", data, None)


def message(body: Any) -> Message:
    request = WriteRequest(
        request_id="r",
        caller=Caller(user="admin"),
        name="m1",
        subresource="connection",
        body=msgspec.Raw(msgspec.json.encode(body)),
    )
    return sent(msgspec.json.encode(request))


@pytest.mark.parametrize("verb", ["create", "update"])
async def test_a_handler_meets_what_the_action_declares(verb: str) -> None:
    answer = await endpoint(verb)(message({"spec": {"kubeconfig": "k", "newer": 1}}))
    assert msgspec.json.decode(answer) == {"name": "m1", "kubeconfig": "k"}


@pytest.mark.parametrize("body", [None, [], {}, {"spec": {}}, {"spec": {"kubeconfig": 1}}])
async def test_another_body_is_refused_by_its_name(body: Any) -> None:
    with pytest.raises(BadRequest, match="this is not a ClusterConnection: "):
        await endpoint("create")(message(body))


async def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(BadRequest, match="this is not a write request: "):
        await endpoint("create")(sent(b"{}"))


def test_every_declared_action_is_answered_and_no_other() -> None:
    with pytest.raises(ValueError, match="kind Cluster: update of connection is answered by nobody"):
        Actions(CLUSTER, {CREATE: answered})
    with pytest.raises(ValueError, match="kind Cluster: create of desired is not declared"):
        Actions(CLUSTER, {CREATE: answered, UPDATE: answered, ("desired", "create"): answered})
