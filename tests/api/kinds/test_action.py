"""What an action takes and answers, by its verb; what cannot be served is said."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api import v1alpha1
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import Action
from skerry.api.meta import Struct


class Depth(Struct, frozen=True, kw_only=True):
    """Parameters of a query."""

    unit: str = ""
    at_most: int | None = None
    exact: bool = False


class Nested(Struct, frozen=True, kw_only=True):
    """What no query can hold."""

    depth: Depth = Depth()
    names: list[str] = []


def problems(verb: str, **more: Any) -> list[str]:
    return list(Action(subresource="tow", verb=verb, **more).problems())


BODY, ANSWER = {"request": ClusterConnection}, {"answer": v1alpha1.Cluster}


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("create", BODY | ANSWER),
        ("update", BODY | ANSWER),
        ("get", ANSWER),
        ("get", {"request": Depth} | ANSWER),
        ("delete", ANSWER),
        ("create", {"streaming": True, "max_bytes": 1} | ANSWER),
        ("update", {"streaming": True, "max_bytes": 1, "timeout_s": 60.0} | ANSWER),
        ("get", {"streaming": True}),
        ("get", {"streaming": True, "request": Depth}),
    ],
)
def test_what_can_be_served(verb: str, more: dict[str, Any]) -> None:
    assert problems(verb, **more) == []


@pytest.mark.parametrize(
    ("verb", "more", "said"),
    [
        ("patch", BODY | ANSWER, ["verb patch is none of get, create, update, delete"]),
        ("create", ANSWER, ["create has no type for its request"]),
        ("update", BODY, ["update has no type for its answer"]),
        ("update", {"request": dict} | ANSWER, ["update has no type for its request"]),
        ("get", {}, ["get has no type for its answer"]),
        ("get", {"request": dict} | ANSWER, ["get has no type for its request"]),
        (
            "get",
            {"request": Nested} | ANSWER,
            [f"get: {name} cannot stand in a query, which has string, boolean, integer" for name in ("depth", "names")],
        ),
        ("delete", {}, ["delete has no type for its answer"]),
        ("delete", BODY | ANSWER, ["delete takes nothing"]),
        ("delete", {"streaming": True} | ANSWER, ["delete takes nothing"]),
        (
            "create",
            {"streaming": True, "max_bytes": 1} | BODY | ANSWER,
            ["create streams its request, which so has no type"],
        ),
        *(
            (
                "create",
                {"streaming": True, "max_bytes": most} | ANSWER,
                ["create streams its request, which so has max_bytes, at most 268435456"],
            )
            for most in (0, -1, 268435457)
        ),
        ("get", {"streaming": True, "max_bytes": 1}, ["get streams no request, and has max_bytes"]),
        ("create", {"max_bytes": 1} | BODY | ANSWER, ["create streams no request, and has max_bytes"]),
        ("get", {"timeout_s": 61.0} | ANSWER, ["61 s are no time to wait for: more than 0, at most 60"]),
        ("get", {"timeout_s": 0.0} | ANSWER, ["0 s are no time to wait for: more than 0, at most 60"]),
        ("get", {"streaming": True} | ANSWER, ["get streams its answer, which so has no type"]),
    ],
)
def test_what_cannot(verb: str, more: dict[str, Any], said: list[str]) -> None:
    assert problems(verb, **more) == said
