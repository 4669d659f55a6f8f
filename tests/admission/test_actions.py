"""Answers to actions: typed where they come in, and as many as are declared."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from skerry.admission import Actions, Callers
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import CLUSTER
from skerry.api.messages import SIGNATURE, Caller, Write, WriteRequest
from skerry.api.meta import Document
from skerry.bus import Message
from skerry.bus.headers import encode_headers
from skerry.errors import BadRequest, Unauthorized
from skerry.identity import nkey, requests
from skerry.identity.assertion import Signer, make_record
from skerry.identity.nkey import KeyType
from skerry.identity.trust import pinned

ROOT, KEY = nkey.create(KeyType.ACCOUNT), nkey.create(KeyType.USER)
PROXY = Signer("P1", KEY, make_record(ROOT, "P1", KEY.public, int(time.time()) + 3600))
UPDATE = ("connection", "update")


async def answered(request: WriteRequest, body: ClusterConnection) -> Document:
    return {"name": request.name, "user": request.caller.user, "kubeconfig": body.spec.kubeconfig}


ACTS = {(action.subresource, action.verb): answered for action in CLUSTER.actions}


def endpoint(verb: str) -> Callable[[Message], Awaitable[bytes]]:
    acts = Actions("registry", CLUSTER, ACTS)
    return acts.endpoints(Callers(pinned(ROOT.public)))[subject(verb)]


def subject(verb: str) -> str:
    return f"registry.clusters.connection-{verb}"


def sent(data: bytes, verb: str = "create") -> Message:
    signature = requests.sign(PROXY, Caller(user="admin"), subject(verb), data, time.time())
    connection: Any = None
    return Message(connection, subject(verb), "", data, encode_headers({SIGNATURE: signature}))


def message(body: Any, verb: str = "create") -> Message:
    raw = msgspec.Raw(msgspec.json.encode(body))
    return sent(msgspec.json.encode(Write(request_id="r", name="m1", subresource="connection", body=raw)), verb)


@pytest.mark.parametrize("verb", ["create", "update"])
async def test_a_handler_meets_what_the_action_declares(verb: str) -> None:
    answer = await endpoint(verb)(message({"spec": {"kubeconfig": "k", "newer": 1}}, verb))
    named = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Cluster"}
    assert msgspec.json.decode(answer) == named | {"name": "m1", "user": "admin", "kubeconfig": "k"}


@pytest.mark.parametrize("body", [None, [], {}, {"spec": {}}, {"spec": {"kubeconfig": 1}}])
async def test_another_body_is_refused_by_its_name(body: Any) -> None:
    with pytest.raises(BadRequest, match="this is not a ClusterConnection: "):
        await endpoint("create")(message(body))


async def test_what_was_signed_for_another_verb_is_refused() -> None:
    with pytest.raises(Unauthorized, match="of another request"):
        await endpoint("create")(message({"spec": {"kubeconfig": "k"}}, "update"))


async def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(BadRequest, match="this is not a write request: "):
        await endpoint("create")(sent(b"{}"))


def test_every_declared_action_is_answered_and_no_other() -> None:
    with pytest.raises(ValueError, match="kind Cluster: update of connection is declared, and registry has no handler"):
        Actions("registry", CLUSTER, {act: answered for act in ACTS if act != UPDATE})
    with pytest.raises(ValueError, match="kind Cluster: create of desired is not declared"):
        Actions("registry", CLUSTER, {**ACTS, ("desired", "create"): answered})


def test_what_an_action_answers_is_known_by_its_subject() -> None:
    answers = Actions("registry", CLUSTER, ACTS).answers()
    assert {where: answers[where].__name__ for where in (subject("create"), "registry.clusters.desired-get")} == {
        subject("create"): "Cluster",
        "registry.clusters.desired-get": "DesiredEntryList",
    }
