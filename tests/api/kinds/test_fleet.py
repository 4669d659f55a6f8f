"""Cells of the table of clusters, from documents as they may be stored."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.kinds import CLUSTER
from skerry.api.kinds.fleet import agents, ceiling, cpu, memory, nodes_ready, platform, readiness, until_and_why

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


@pytest.mark.parametrize(
    ("cell", "part", "text"),
    [
        (platform, {"provider": "aws", "region": "eu-central-1", "distribution": "eks"}, "aws/eu-central-1/eks"),
        (platform, {"distribution": "k3s", "arch": ["arm64"]}, "k3s"),
        (platform, None, ""),
        (agents, {"version": "0.2.0", "replicas": 1}, "0.2.0"),
        (agents, {"version": "0.2.0", "replicas": 3}, "0.2.0 (3)"),
        (agents, {"version": "0.2.0", "replicas": 0}, "0.2.0 (0)"),
        (agents, None, ""),
        (nodes_ready, {"nodes": 12, "nodesReady": 11}, "11/12"),
        (nodes_ready, {"nodes": 12}, ""),
        (nodes_ready, None, ""),
        (cpu, {"requested": {"cpu": "47500m"}, "allocatable": {"cpu": "96"}}, "47.5/96"),
        (cpu, {"allocatable": {"cpu": "96"}}, "?/96"),
        (cpu, {"requested": {"cpu": "many"}, "allocatable": {}}, ""),
        (cpu, None, ""),
        (memory, {"requested": {"memory": "512Mi"}, "allocatable": {"memory": "393216Mi"}}, "0.5Gi/384Gi"),
        (ceiling, {"readOnly": False, "noExec": False, "namespaces": [], "desired": "All"}, ""),
        (ceiling, {"noExec": True, "desired": "None", "future": 1}, "no exec, desired None"),
        (
            ceiling,
            {"namespaces": [f"team-{number}" for number in range(9)]},
            "namespaces team-0 team-1 team-2 team-3 team-4 team-5 team-6…",
        ),
        (ceiling, None, ""),
    ],
)
def test_wide_columns_say_what_it_is_and_what_is_taken(cell: Any, part: Any, text: str) -> None:
    assert cell(part) == text
