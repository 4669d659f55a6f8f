"""AccessRequests: what is told of them, and what their table says."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.kinds import ACCESS_REQUEST
from skerry.api.kinds.requests import describe_request, wanted
from skerry.api.meta import Document


def request(state: str, *approvals: Document, **status: Any) -> Document:
    spec = {"clusters": {"names": ["m1"]}, "role": "edit", "namespaces": ["shop"], "duration": "2h", "reason": "INC-1"}
    whole = {"state": state, "requestedBy": "alice", "approvals": list(approvals), **status}
    return {"metadata": {"name": "req-1"}, "spec": spec, "status": whole}


BOB, OWN = {"by": "bob", "at": "t", "comment": "go"}, {"by": "alice", "at": "t", "own": True}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({}, request("Pending"), [("Requested", "alice asks for edit in namespace shop on m1 for 2h: INC-1", False)]),
        (request("Pending"), request("Pending"), []),
        (request("Pending"), request("Pending", BOB), [("ApprovedBy", "approved by bob: go", False)]),
        (
            request("Pending", BOB),
            request("Approved", BOB, OWN, ends="T"),
            [
                ("ApprovedBy", "approved by alice, who asked for it: Setting access.self-approval is true", True),
                ("Approved", "until T", False),
            ],
        ),
        (request("Approved", BOB), request("Approved", BOB, grant="req-1"), []),
        (
            request("Approved", BOB),
            request("Ended", BOB, message="its time is over"),
            [("Ended", "its time is over", False)],
        ),
        (request("Pending"), request("Denied", message="denied by bob"), [("Denied", "denied by bob", False)]),
        (request("Pending"), {}, [("Deleted", "deleted", False)]),
    ],
)
def test_who_asks_and_who_decides_is_told(old: Document, new: Document, told: list[tuple[str, str, bool]]) -> None:
    assert [tuple(each) for each in describe_request(old, new)] == told


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"role": "view", "clusters": {"names": ["a", "b"]}}, "view on a,b"),
        ({"role": "edit", "namespaces": ["x", "y"], "clusters": {"names": ["a"]}}, "edit in namespaces x, y on a"),
        ({"role": "admin", "clusters": {"selector": {"matchLabels": {"env": "prod"}}}}, "admin on env=prod"),
    ],
)
def test_what_is_wanted_is_said_in_words(spec: Document, text: str) -> None:
    assert wanted(spec) == text


def test_the_table_is_who_what_where_and_until_when() -> None:
    document = request("Approved", ends="T")
    whole = {**document, "spec": {key: each for key, each in document["spec"].items() if key != "namespaces"}}
    shown = [column for column in ACCESS_REQUEST.columns if not column.priority]
    assert [column.name for column in shown] == [
        "Name",
        "Who",
        "Role",
        "Clusters",
        "Namespaces",
        "State",
        "Ends",
        "Reason",
    ]
    assert [column.read(document) for column in shown] == [
        "req-1",
        "alice",
        "edit",
        "m1",
        "shop",
        "Approved",
        "T",
        "INC-1",
    ]
    assert shown[4].read(whole) == "*"
