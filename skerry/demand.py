"""What pods ask for, counted as the scheduler does (k8s.io/component-helpers, resource.PodRequests). Pure.

A list of pods is read as it comes from the API server, and only what matters here is decoded: thousands of them a page, in
a process that has little memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec

from skerry.api.quantity import NANO, Quantity, quantity

Amounts = dict[str, int]
"""Resource name -> billionths of its unit."""

PODS = "pods"
_ALWAYS, _PENDING, _INFEASIBLE = "Always", "PodResizePending", "Infeasible"
_OVER = ("Succeeded", "Failed")
_POD_LEVEL = ("cpu", "memory")
_HUGE_PAGES = "hugepages-"
_BINARY = ("memory", "ephemeral-storage", "storage", _HUGE_PAGES)

Texts = dict[str, str | int | float]


class _PodPart(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """The part of a Kubernetes object that is read here."""


class Resources(_PodPart, frozen=True, kw_only=True):
    """core/v1 ResourceRequirements."""

    requests: Texts | None = None
    limits: Texts | None = None


class Container(_PodPart, frozen=True, kw_only=True):
    """core/v1 Container."""

    name: str = ""
    resources: Resources | None = None
    restart_policy: str | None = None


class PodSpec(_PodPart, frozen=True, kw_only=True):
    """core/v1 PodSpec."""

    node_name: str | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    overhead: Texts | None = None
    resources: Resources | None = None


class _PodCondition(_PodPart, frozen=True, kw_only=True):
    """core/v1 PodCondition."""

    type: str = ""
    reason: str | None = None


class ContainerStatus(_PodPart, frozen=True, kw_only=True):
    """core/v1 ContainerStatus."""

    name: str = ""
    resources: Resources | None = None
    allocated_resources: Texts | None = None


class PodStatus(_PodPart, frozen=True, kw_only=True):
    """core/v1 PodStatus."""

    phase: str | None = None
    conditions: list[_PodCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(_PodPart, frozen=True, kw_only=True):
    """core/v1 Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def placed(self) -> bool:
        """True if it has a node and takes room there: it is not over."""
        return bool(self.spec.node_name) and self.status.phase not in _OVER


def amounts(texts: Mapping[str, str | int | float] | None) -> Amounts:
    """A ResourceList as numbers. ValueError names what is no amount."""
    return {name: _nano(text) for name, text in texts.items()} if texts else {}


@lru_cache(maxsize=4096)
def _nano(text: str | int | float) -> int:
    """The same few texts stand in thousands of pods."""
    return quantity(text).nano


def written(resource: str, nano: int) -> str:
    """An amount as people write it for that resource: bytes in binary, all else in decimal."""
    return str(Quantity(nano, "binary" if resource.startswith(_BINARY) else "decimal"))


def add(total: Amounts, more: Mapping[str, int]) -> None:
    """Add `more` to `total`, in place."""
    for name, nano in more.items():
        total[name] = total.get(name, 0) + nano


def of_pod(pod: Pod) -> Amounts:
    """The requests of one pod, and one of `pods`. Missing requests are the limits, as the API server fills them in.

    ValueError: something that is no amount.
    """
    total = _containers(pod)
    _pod_level(total, pod.spec.resources)
    add(total, amounts(pod.spec.overhead))
    total[PODS] = NANO
    return total


def placed(pods: Iterable[Pod]) -> Amounts:
    """The requests of all pods that take room on some node. ValueError: something that is no amount."""
    total: Amounts = {}
    for pod in pods:
        if pod.placed:
            add(total, of_pod(pod))
    return total


def _containers(pod: Pod) -> Amounts:
    """All at once, or the largest moment while it starts: sidecars stay, other init containers run one by one."""
    spec, resized = pod.spec, _resized(pod.status)
    total: Amounts = {}
    for container in spec.containers or ():
        add(total, _effective(container, resized))
    if spec.init_containers:
        sidecars: Amounts = {}
        largest: Amounts = {}
        for container in spec.init_containers:
            if container.restart_policy == _ALWAYS:
                requests = _effective(container, resized)
                add(total, requests)
                add(sidecars, requests)
                moment = sidecars
            else:
                moment = _requests(container.resources)
                add(moment, sidecars)
            _raise(largest, moment)
        _raise(total, largest)
    return total


def _pod_level(total: Amounts, resources: Resources | None) -> None:
    """Requests of the pod as a whole take the place of its containers'. Without them, limits are what the containers do not
    ask for; huge pages, which cannot be promised twice, are their limit.
    """
    if resources is None:
        return
    for name, nano in amounts(resources.limits).items():
        if _whole(name) and (name not in total or name.startswith(_HUGE_PAGES)):
            total[name] = nano
    for name, nano in amounts(resources.requests).items():
        if _whole(name):
            total[name] = nano


def _whole(resource: str) -> bool:
    return resource in _POD_LEVEL or resource.startswith(_HUGE_PAGES)


def _requests(resources: Resources | None) -> Amounts:
    if resources is None:
        return {}
    requests = amounts(resources.requests)
    if not resources.limits or resources.limits.keys() <= requests.keys():
        return requests
    return {**amounts(resources.limits), **requests}


class _Resized(msgspec.Struct, frozen=True, gc=False):
    """Containers whose size was changed while they run, and whether the change can ever be had."""

    containers: dict[str, ContainerStatus]
    infeasible: bool


def _resized(status: PodStatus) -> _Resized | None:
    if not status.container_statuses and not status.init_container_statuses:
        return None
    both = (*(status.container_statuses or ()), *(status.init_container_statuses or ()))
    containers = {each.name: each for each in both if each.resources is not None}
    if not containers:
        return None
    pending = next((each for each in status.conditions or () if each.type == _PENDING), None)
    return _Resized(containers, pending is not None and pending.reason == _INFEASIBLE)


def _effective(container: Container, resized: _Resized | None) -> Amounts:
    """The largest of what is asked for, what was granted and what it has; what can never be had does not count."""
    requests = _requests(container.resources)
    status = None if resized is None else resized.containers.get(container.name)
    if resized is None or status is None or status.resources is None or _as_asked(container, status):
        return requests
    largest = {} if resized.infeasible else requests
    _raise(largest, amounts(status.resources.requests))
    _raise(largest, amounts(status.allocated_resources))
    return largest


def _as_asked(container: Container, status: ContainerStatus) -> bool:
    """True if nothing was resized, which is so for nearly all of them."""
    declared, has, granted = container.resources, status.resources, status.allocated_resources
    return (
        declared is not None
        and has is not None
        and declared.requests == has.requests
        and granted in (None, has.requests)
    )


def _raise(total: Amounts, least: Mapping[str, int]) -> None:
    """Have `total` at least `least`, resource by resource, in place."""
    for name, nano in least.items():
        if nano > total.get(name, -1):
            total[name] = nano
