"""What cells are made of, from documents as a client may have written them."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.kinds import Column, at, columns


@pytest.mark.parametrize("document", [{}, {"spec": None}, {"spec": []}, {"spec": {"a": "text"}}])
def test_what_is_absent_is_none(document: dict[str, Any]) -> None:
    assert at("spec.a.b")(document) is None


def test_a_cell_is_the_value_or_what_is_made_of_it() -> None:
    document = {"spec": {"members": ["a", "b"]}}
    assert Column(name="Members", path="spec.members").read(document) == ["a", "b"]
    assert Column(name="Members", path="spec.members", cell=columns.count).read(document) == 2


READY = {"type": "Ready", "status": "True", "reason": "Connected", "message": "it answers"}
AWAY = {"type": "Ready", "status": "False", "reason": "Away"}


def test_conditions_are_told_by_status_and_by_why_not() -> None:
    status, why = columns.condition("Ready"), columns.why_not("Ready")
    assert (columns.condition("Ready", "")(None), columns.condition("Ready", "")([])) == ("", "")
    assert (status([READY]), why([READY])) == ("True", "")
    assert (status([AWAY]), why([AWAY])) == ("False", "Away")
    assert why([{**AWAY, "message": "no heartbeat"}]) == "no heartbeat"
    for none in (None, [], [{**READY, "type": "Joined"}]):
        assert (status(none), why(none)) == ("Unknown", "")


@pytest.mark.parametrize(
    ("selection", "shown"),
    [
        (None, ""),
        ({}, ""),
        ({"names": ["m1", "m2"]}, "m1,m2"),
        ({"selector": {}}, "*"),
        ({"selector": None}, "*"),
        (
            {"selector": {"matchLabels": {"env": "prod"}, "matchExpressions": [{"key": "eu", "operator": "Exists"}]}},
            "env=prod,eu Exists",
        ),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}}, "a In b,c"),
    ],
)
def test_clusters_are_shown_by_name_or_by_what_selects_them(selection: Any, shown: str) -> None:
    assert columns.clusters(selection) == shown


def test_who_and_what() -> None:
    assert (
        columns.subjects([{"kind": "User", "name": "bob"}, {"kind": "Group", "name": "shop"}]) == "User:bob,Group:shop"
    )
    assert columns.about({"kind": "Cluster", "name": "m1"}) == "cluster/m1"
    assert columns.about(None) == "/"
    assert columns.role({"role": "edit"}) == "edit"
    assert columns.role({"groups": ["auditor", "monitor"]}) == "auditor,monitor"
    assert (columns.role(None), columns.joined(None), columns.count(None)) == ("", "", 0)
