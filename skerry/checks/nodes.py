"""The nodes of a cluster, and what of each nobody has asked for."""

from __future__ import annotations

from skerry.demand import Amounts, add
from skerry.inventory.counting import readable, requested_by
from skerry.inventory.objects import Node
from skerry.member.inventory import NODE_PAGE, NODES, pod_pages
from skerry.member.upstream import Upstream
from skerry.member.watch import CollectionWatch
from skerry.room import free
from skerry.scheduling import UNSCHEDULABLE, NodeRoom, Taint

_CORDONED = Taint(UNSCHEDULABLE, "", "NoSchedule")


async def nodes_left(upstream: Upstream) -> list[NodeRoom]:
    """All of them, also those that take no pods. Forbidden, NotFound, BadGateway."""
    nodes: dict[str, Node] = {}
    async for seen in CollectionWatch(upstream, NODES, Node, _itself, page=NODE_PAGE).listed():
        if seen.object is not None:
            nodes[seen.name] = seen.object
    requested: dict[str, Amounts] = {name: {} for name in nodes}
    async for page in pod_pages(upstream):
        for pod in page.items:
            if pod.placed and pod.spec.node_name in requested:
                add(requested[pod.spec.node_name], requested_by(pod))
    return [_room(name, node, requested[name]) for name, node in nodes.items()]


def _itself(node: Node) -> Node:
    return node


def _room(name: str, node: Node, requested: Amounts) -> NodeRoom:
    taints = [Taint(each.key, each.value, each.effect) for each in node.spec.taints or ()]
    if node.spec.unschedulable and _CORDONED not in taints:
        taints.insert(0, _CORDONED)
    ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or ())
    left = free(readable(node.status.allocatable), requested)
    return NodeRoom(name, node.metadata.labels or {}, tuple(taints), ready, left)
