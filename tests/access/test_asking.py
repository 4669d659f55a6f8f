"""Who could give what somebody asks for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.access.asking import asked_grant, could_give, giving_refusal
from skerry.api.messages import Caller
from skerry.api.meta import Document
from tests.access.grants import access, grant

BOB = Caller(user="bob")
BOBS: list[dict[str, str]] = [{"kind": "User", "name": "bob"}]


def asked(**spec: Any) -> Document:
    base = {"clusters": {"names": ["m1"]}, "namespaces": ["shop"], "role": "edit"}
    return {"spec": {**base, **spec}, "status": {"requestedBy": "alice"}}


def test_a_grant_is_for_the_requester_alone_and_ends() -> None:
    assert asked_grant(asked()["spec"], "alice", "T") == {
        "subjects": [{"kind": "User", "name": "alice"}],
        "clusters": {"names": ["m1"]},
        "role": "edit",
        "namespaces": ["shop"],
        "expires": "T",
    }
    account = asked_grant(asked(namespaces=[])["spec"], "serviceaccount:shop:ci", "T")
    assert account["subjects"] == [{"kind": "ServiceAccount", "name": "shop:ci"}]
    assert "namespaces" not in account


@pytest.mark.parametrize(
    ("request_", "ends", "may"),
    [
        (asked(), 100.0, True),
        (asked(), 5000.0, False),
        (asked(role="cluster-admin"), 100.0, False),
        (asked(clusters={"names": ["m1", "m2"]}), 100.0, False),
        (asked(clusters={"selector": {}}), 100.0, False),
        (asked(clusters={"names": ["host"]}, namespaces=[]), 100.0, False),
    ],
    ids=["what is held", "longer", "stronger", "elsewhere too", "by a selector", "on the host"],
)
def test_who_holds_it_for_as_long_could_give_it(request_: Document, ends: float, *, may: bool) -> None:
    compiled = access(grant("bob", subjects=BOBS, role="admin", expires="1970-01-01T01:00:00Z"))
    assert (giving_refusal(BOB, request_, ends, compiled, 0.0) is None) is may
    assert giving_refusal(Caller(user="alice"), request_, ends, compiled, 0.0) is not None


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"spec": None},
        {"spec": {}},
        {"spec": []},
        asked(role=1),
        asked(clusters="m1"),
        asked(namespaces=[1]),
        asked(namespaces="x"),
    ],
    ids=["nothing", "null", "empty", "a list", "no role", "no clusters", "no namespaces", "a text"],
)
def test_of_what_cannot_be_read_nobody_could(request_: Document) -> None:
    root = Caller(user="root", groups=("skerry:cluster-admin",))
    assert giving_refusal(root, request_, 1.0, access(), 0.0) is not None
    assert not could_give(root, request_, access(), 0.0)


@pytest.mark.parametrize(
    ("spec", "may"),
    [
        ({}, True),
        ({"expires": "2030-01-01T00:00:00Z"}, True),
        ({"role": "cluster-admin"}, False),
        ({"clusters": {"names": ["m2"]}}, False),
        ({"clusters": {"selector": {}}}, False),
        ({"role": None, "groups": ["dba"]}, False),
        ({"role": 3}, False),
    ],
    ids=["what is held", "longer", "stronger", "elsewhere", "by a selector", "a group", "unreadable"],
)
def test_who_could_take_a_grant_away_could_give_it(spec: dict[str, Any], *, may: bool) -> None:
    compiled = access(grant("bob", subjects=BOBS, role="admin", expires="1970-01-01T01:00:00Z"))
    document = msgspec.to_builtins(grant("a"))
    document["spec"] = {key: each for key, each in {**document["spec"], **spec}.items() if each is not None}
    assert could_give(BOB, document, compiled, 0.0) is may
    assert could_give(BOB, asked(), compiled, 0.0)
    assert not could_give(BOB, document, compiled, 3600.0)
