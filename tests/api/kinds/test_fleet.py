"""Cells of the table of clusters, from documents as they may be stored."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.kinds import CLUSTER
from skerry.api.kinds.fleet import readiness, until_and_why

READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


@pytest.mark.parametrize(
    ("spec", "cell"),
    [
        ({}, "True"),
        ({"paused": False, "unschedulable": False}, "True"),
        ({"paused": True}, "True,Paused"),
        ({"unschedulable": True}, "True,SchedulingDisabled"),
        ({"unschedulable": True, "paused": True}, "True,Paused,SchedulingDisabled"),
        ({"paused": "yes"}, "True"),
        (None, "True"),
    ],
)
def test_ready_says_what_is_held_back_as_kubectl_shows_nodes(spec: Any, cell: str) -> None:
    assert readiness({**READY, "spec": spec}) == cell


def test_a_cluster_that_nobody_heard_of_is_unknown_and_may_be_held_back() -> None:
    assert readiness({"spec": {"unschedulable": True}}) == "Unknown,SchedulingDisabled"


@pytest.mark.parametrize(
    ("hold", "text"),
    [
        (None, ""),
        ({}, ""),
        ({"reason": "an upgrade"}, ": an upgrade"),
        ({"until": "2026-01-01T00:00:00Z"}, " until 2026-01-01T00:00:00Z"),
        ({"until": "2026-01-01T00:00:00Z", "reason": "an upgrade"}, " until 2026-01-01T00:00:00Z: an upgrade"),
    ],
)
def test_a_hold_says_until_when_and_why(hold: Any, text: str) -> None:
    assert until_and_why(hold) == text


def test_the_table_shows_it() -> None:
    column = next(each for each in CLUSTER.columns if each.name == "Ready")
    assert column.read({**READY, "spec": {"paused": True}}) == "True,Paused"
