"""Counting nodes, pods, what is used and what is served."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.api.quantity import NANO
from skerry.api.v1alpha1 import APIVersions
from skerry.demand import Pod
from skerry.inventory.counting import Nodes, ResourceRequests, facts, served, texts, used
from skerry.inventory.limits import EXTRA, NODES, RESOURCES
from skerry.inventory.objects import GroupList, Node, NodeMetricsList

GI = 1 << 30


def node(*, ready: str = "True", labels: dict[str, str] | None = None, provider: str = "", **amounts: Any) -> Node:
    """A node as an API server says it."""
    amounts = amounts or {"cpu": "4", "memory": "8Gi", "pods": "110"}
    document = {
        "metadata": {"name": "n", "labels": labels},
        "spec": {"providerID": provider} if provider else {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": ready}],
            "nodeInfo": {"architecture": "amd64", "osImage": "Debian"},
            "images": [{"names": ["x"]}],
        },
    }
    return msgspec.json.decode(msgspec.json.encode(document), type=Node)


def pod(node_name: str = "n", phase: str = "Running", **requests: Any) -> Pod:
    document = {
        "spec": {"nodeName": node_name, "containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }
    return msgspec.json.decode(msgspec.json.encode(document), type=Pod)


def counted(*nodes: Node) -> Nodes:
    made = Nodes()
    for number, each in enumerate(nodes):
        made.put(str(number), facts(each))
    return made


def test_nodes_are_summed_and_a_node_that_is_not_ready_has_its_room_still() -> None:
    totals = counted(node(), node(ready="False"), node(ready="Unknown")).totals()
    assert (totals.count, totals.ready) == (3, 1)
    assert texts(totals.allocatable) == {"cpu": "12", "memory": "24576Mi", "pods": "330"}
    assert totals.capacity == totals.allocatable


def test_a_node_that_comes_changes_or_goes_is_news_and_one_that_says_the_same_is_none() -> None:
    nodes = Nodes()
    assert nodes.put("a", facts(node()))
    assert not nodes.put("a", facts(node()))
    assert nodes.put("a", facts(node(ready="False")))
    assert nodes.drop("a")
    assert not nodes.drop("a")
    assert nodes.totals().count == 0


def test_equal_nodes_share_their_facts() -> None:
    nodes = counted(node(), node())
    first, second = nodes._facts.values()
    assert first is second


def test_there_is_an_end_to_nodes_that_are_kept() -> None:
    nodes, one = Nodes(), facts(node())
    for number in range(NODES):
        nodes.put(str(number), one)
    assert not nodes.put("one more", one)
    assert nodes.put("0", facts(node(ready="False")))
    assert nodes.totals().count == NODES


def test_the_platform_is_what_most_nodes_say() -> None:
    frankfurt, dublin = ({"topology.kubernetes.io/region": name} for name in ("eu-central-1", "eu-west-1"))
    nodes = counted(
        node(labels={**frankfurt, "kubernetes.io/arch": "arm64"}, provider="aws:///a/i-1"),
        node(labels=frankfurt, provider="aws:///a/i-2"),
        node(labels=dublin, provider="aws:///b/i-3"),
        node(),
    )
    found = nodes.totals().platform("v1.33.1-eks-b9364f6")
    assert (found.provider, found.region, found.distribution) == ("aws", "eu-central-1", "eks")
    assert (found.arch, found.source) == (["amd64", "arm64"], "nodes")


def test_what_is_no_amount_counts_as_nothing() -> None:
    totals = counted(node(cpu="many"), node(cpu="4")).totals()
    assert texts(totals.capacity) == {"cpu": "4"}


def test_pods_that_have_a_node_and_are_not_over_take_room() -> None:
    requests = ResourceRequests()
    requests.add(
        [pod(cpu="500m", memory="1Gi"), pod(cpu="1"), pod("", cpu="9"), pod(phase="Failed", cpu="9"), pod(cpu="much")]
    )
    assert texts(requests.total, up=True) == {"cpu": "1500m", "memory": "1024Mi", "pods": "3"}


def test_what_nodes_use_is_summed() -> None:
    document = {"items": [{"usage": {"cpu": "123456789n", "memory": "1000Ki"}}, {"usage": {"cpu": "1"}}, {}]}
    found = msgspec.json.decode(msgspec.json.encode(document), type=NodeMetricsList)
    assert texts(used(found.items), up=True) == {"cpu": "1124m", "memory": "1Mi"}


def test_groups_that_are_not_kubernetes_own_are_named() -> None:
    names = ["apps/v1", "gateway.networking.k8s.io/v1", "example.com/v1", "metrics.k8s.io/v1beta1"]
    groups = GroupList(groups=msgspec.convert([{"versions": [{"groupVersion": name}]} for name in names], list[Any]))
    groups = msgspec.convert(msgspec.to_builtins(groups), GroupList)
    found = served(groups)
    assert found.count == 5
    assert found.extra == ["example.com/v1", "gateway.networking.k8s.io/v1", "metrics.k8s.io/v1beta1"]
    assert (found.digest, len(found.digest)) == (served(groups).digest, 16)
    assert served(GroupList()) == APIVersions(count=1, digest=served(GroupList()).digest)


def test_no_more_than_fifty_are_named() -> None:
    document = {"groups": [{"versions": [{"groupVersion": f"g{number}.example.com/v1"}]} for number in range(99)]}
    assert len(served(msgspec.convert(document, GroupList)).extra) == EXTRA


@pytest.mark.parametrize(
    ("name", "nano", "down", "up"),
    [
        ("memory", 3 * GI * NANO, "3072Mi", "3072Mi"),
        ("memory", (GI + 1) * NANO, "1024Mi", "1025Mi"),
        ("memory", 1, "0", "1Mi"),
        ("hugepages-2Mi", 4 * GI * NANO, "4096Mi", "4096Mi"),
        ("cpu", 96 * NANO, "96", "96"),
        ("cpu", 1_234_567_890, "1234m", "1235m"),
        ("nvidia.com/gpu", 4 * NANO, "4", "4"),
    ],
)
def test_a_need_is_rounded_up_and_what_there_is_down(name: str, nano: int, down: str, up: str) -> None:
    assert (texts({name: nano}), texts({name: nano}, up=True)) == ({name: down}, {name: up})


def test_what_nobody_has_is_left_out_and_what_everybody_has_comes_first() -> None:
    total = {"a.example.com/x": NANO, "memory": 0, "cpu": 0, "pods": 0, "hugepages-1Gi": 0, "ephemeral-storage": NANO}
    assert list(texts(total)) == ["cpu", "memory", "pods", "ephemeral-storage", "a.example.com/x"]
    many = {f"example.com/{number}": NANO for number in range(100)} | {"cpu": NANO}
    assert len(texts(many)) == RESOURCES
    assert "cpu" in texts(many)
