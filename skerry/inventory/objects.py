"""What an API server lists, as far as an inventory reads it. Pods are in skerry/demand.py."""

from __future__ import annotations

import msgspec

from skerry.api.meta import ListMeta, Struct
from skerry.demand import Pod, Texts


class NodeMeta(Struct, frozen=True, kw_only=True, gc=False):
    """meta/v1 ObjectMeta, the part of it."""

    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class Taint(Struct, frozen=True, kw_only=True, gc=False):
    """core/v1 Taint."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Struct, frozen=True, kw_only=True, gc=False):
    """core/v1 NodeSpec."""

    provider_id: str | None = msgspec.field(name="providerID", default=None)
    unschedulable: bool = False
    taints: list[Taint] | None = None


class NodeInfo(Struct, frozen=True, kw_only=True, gc=False):
    """core/v1 NodeSystemInfo."""

    architecture: str = ""
    os_image: str = ""


class NodeCondition(Struct, frozen=True, kw_only=True, gc=False):
    """core/v1 NodeCondition."""

    type: str = ""
    status: str = ""


class NodeStatus(Struct, frozen=True, kw_only=True, gc=False):
    """core/v1 NodeStatus."""

    capacity: Texts | None = None
    allocatable: Texts | None = None
    conditions: list[NodeCondition] | None = None
    node_info: NodeInfo = NodeInfo()


class Node(Struct, frozen=True, kw_only=True, gc=False):
    """core/v1 Node."""

    metadata: NodeMeta = NodeMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class PodList(Struct, frozen=True, kw_only=True):
    """core/v1 PodList."""

    metadata: ListMeta = ListMeta()
    items: list[Pod] = []


class NodeMetrics(Struct, frozen=True, kw_only=True):
    """metrics.k8s.io NodeMetrics."""

    usage: Texts | None = None


class NodeMetricsList(Struct, frozen=True, kw_only=True):
    """metrics.k8s.io NodeMetricsList."""

    items: list[NodeMetrics] = []


class GroupVersion(Struct, frozen=True, kw_only=True):
    """meta/v1 GroupVersionForDiscovery."""

    group_version: str = ""


class Group(Struct, frozen=True, kw_only=True):
    """meta/v1 APIGroup."""

    versions: list[GroupVersion] = []


class GroupList(Struct, frozen=True, kw_only=True):
    """meta/v1 APIGroupList."""

    groups: list[Group] = []
