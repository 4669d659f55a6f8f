"""Nodes on which a pod may run: rule by rule, as the scheduler reads them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.scheduling import NodeRoom, PodRules, Taint, refusals, repelled, selected

GPU = Taint("gpu", "yes", "NoSchedule")


def rules(**fields: Any) -> PodRules:
    """As a chart's values have them."""
    return msgspec.convert(fields, PodRules)


def node(*taints: Taint, ready: bool = True, **labels: str) -> NodeRoom:
    return NodeRoom(
        "n1", {key.replace("__", "/").replace("_io", ".io"): value for key, value in labels.items()}, taints, ready, {}
    )


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({}, False),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu"}, False),
        ({"key": "gpu", "value": "yes", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Gt", "value": "yes"}, False),
    ],
)
def test_a_taint_is_tolerated_or_it_repels(toleration: dict[str, str], tolerated: bool) -> None:
    reason = repelled(rules(tolerations=[toleration]))(node(GPU))
    assert reason == ("" if tolerated else "taint gpu=yes:NoSchedule")


def test_what_is_only_preferred_repels_nobody() -> None:
    assert repelled(PodRules())(node(Taint("gpu", "", "PreferNoSchedule"))) == ""


def test_nodes_that_are_not_ready_or_cordoned_are_no_place() -> None:
    assert repelled(PodRules())(node(ready=False)) == "not ready"
    cordoned = node(Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"))
    assert repelled(PodRules())(cordoned) == "cordoned"
    assert repelled(rules(tolerations=[{"operator": "Exists"}]))(cordoned) == ""


def test_images_are_for_some_platforms() -> None:
    admits = selected(PodRules())
    assert admits(node(kubernetes_io__os="windows")) == "operating system windows"
    assert admits(node(kubernetes_io__arch="s390x")) == "architecture s390x"
    assert admits(node(kubernetes_io__os="linux", kubernetes_io__arch="arm64")) == ""
    assert admits(node()) == ""


def test_a_node_selector_names_labels() -> None:
    assert selected(rules(nodeSelector={"disk": "ssd"}))(node(disk="hdd")) == "no label disk=ssd"
    assert selected(rules(nodeSelector={"disk": "ssd"}))(node(disk="ssd")) == ""


@pytest.mark.parametrize(
    ("terms", "admitted"),
    [
        ([], False),
        ([{}], False),
        ([{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}], True),
        ([{"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]}], False),
        ([{}, {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}], True),
        ([{"matchExpressions": [{"key": "tape", "operator": "DoesNotExist"}]}], True),
        ([{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["7"]}]}], True),
        ([{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]}], False),
        ([{"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["9"]}]}], True),
        ([{"matchExpressions": [{"key": "disk", "operator": "Gt", "values": ["7"]}]}], False),
        ([{"matchExpressions": [{"key": "cores", "operator": "Lt", "values": []}]}], False),
        ([{"matchExpressions": [{"key": "tape", "operator": "Lt", "values": ["1"]}]}], False),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}], True),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}], False),
        ([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
           "matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]}], False),
    ],
)  # fmt: skip
def test_of_the_terms_of_a_node_affinity_one_must_hold(terms: list[dict[str, Any]], admitted: bool) -> None:
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    reason = selected(rules(affinity=affinity))(node(disk="ssd", cores="8"))
    assert reason == ("" if admitted else "node affinity")


def test_an_affinity_that_is_only_preferred_refuses_nobody() -> None:
    preferred: dict[str, Any] = {"preferredDuringSchedulingIgnoredDuringExecution": []}
    some = rules(affinity={"nodeAffinity": preferred, "podAffinity": preferred, "podAntiAffinity": preferred})
    assert selected(some)(node()) == ""
    assert (some.beside, some.apart_from) == ([], [])
    assert (PodRules().beside, PodRules().apart_from) == ([], [])


def test_refusals_are_counted_by_reason() -> None:
    nodes = [node(GPU), node(GPU), node(ready=False), node(disk="ssd"), node()]
    counted = refusals(nodes, [repelled(PodRules()), selected(rules(nodeSelector={"disk": "ssd"}))])
    assert counted == {"taint gpu=yes:NoSchedule": 2, "not ready": 1, "no label disk=ssd": 1}
