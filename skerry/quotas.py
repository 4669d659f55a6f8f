"""What a namespace lets in: its ResourceQuotas and LimitRanges, as the API server's admission applies them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from skerry.api.meta import Struct
from skerry.api.quantity import NANO
from skerry.demand import PODS, Amounts, Texts, amounts, written

_ASKED = ("cpu", "memory", "ephemeral-storage")


class ScopeRequirement(Struct, frozen=True, kw_only=True):
    """core/v1 ScopedResourceSelectorRequirement."""

    scope_name: str
    operator: str
    values: list[str] = []


class ScopeSelector(Struct, frozen=True, kw_only=True):
    """core/v1 ScopeSelector."""

    match_expressions: list[ScopeRequirement] = []


class QuotaSpec(Struct, frozen=True, kw_only=True):
    """core/v1 ResourceQuotaSpec."""

    hard: Texts = {}
    scopes: list[str] = []
    scope_selector: ScopeSelector | None = None


class QuotaStatus(Struct, frozen=True, kw_only=True):
    """core/v1 ResourceQuotaStatus."""

    hard: Texts = {}
    used: Texts = {}


class ObjectName(Struct, frozen=True, kw_only=True):
    """meta/v1 ObjectMeta, the name of it."""

    name: str = ""


class ResourceQuota(Struct, frozen=True, kw_only=True):
    """core/v1 ResourceQuota."""

    metadata: ObjectName = ObjectName()
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()


class LimitRangeItem(Struct, frozen=True, kw_only=True):
    """core/v1 LimitRangeItem."""

    type: str
    min: Texts = {}
    max: Texts = {}
    max_limit_request_ratio: Texts = {}


class LimitRangeSpec(Struct, frozen=True, kw_only=True):
    """core/v1 LimitRangeSpec."""

    limits: list[LimitRangeItem] = []


class LimitRange(Struct, frozen=True, kw_only=True):
    """core/v1 LimitRange."""

    metadata: ObjectName = ObjectName()
    spec: LimitRangeSpec = LimitRangeSpec()


class PodSize(NamedTuple):
    """What pods that are alike ask for, of which there are to be `number`. They run for ever, and have both in each resource."""

    name: str
    number: int
    requests: Amounts
    limits: Amounts
    priority_class: str = ""


class Refused(NamedTuple):
    """What a namespace does not let in, and which object of it says so."""

    by: str
    message: str


def of_quota(quota: ResourceQuota, pods: Iterable[PodSize], claims: Amounts, storage_class: str = "") -> list[Refused]:
    """What all of `pods` ask for beyond what a quota has left, and `claims` (bytes of each volume's claim, by name).

    ValueError: something in the quota that is no amount.
    """
    demand: Amounts = {}
    for pod in pods:
        if _in_scope(quota.spec, pod):
            for name, nano in _asked_of_quota(pod).items():
                demand[name] = demand.get(name, 0) + nano * pod.number
    if not quota.spec.scopes and quota.spec.scope_selector is None:
        demand |= _storage(claims, storage_class)
    hard, used = amounts(quota.status.hard or quota.spec.hard), amounts(quota.status.used)
    refused = []
    for name, limit in sorted(hard.items()):
        left, wanted = limit - used.get(name, 0), demand.get(name, 0)
        if wanted > left:
            unit = name.partition(".")[2] or name
            refused.append(
                Refused(
                    f"ResourceQuota {quota.metadata.name}",
                    f"{name}: {written(unit, wanted)} needed, {written(unit, max(0, left))} of {written(unit, limit)} left",
                )
            )
    return refused


def of_range(limits: LimitRange, pods: Iterable[PodSize]) -> list[Refused]:
    """What of `pods`, each of which has one container, a LimitRange does not admit. ValueError: what is no amount."""
    by, refused = f"LimitRange {limits.metadata.name}", list[Refused]()
    for item in limits.spec.limits:
        if item.type not in {"Container", "Pod"}:
            continue
        for pod in pods:
            refused += [Refused(by, f"{pod.name}: {each}") for each in _beyond(item, pod)]
    return refused


def _beyond(item: LimitRangeItem, pod: PodSize) -> Iterable[str]:
    for name, least in amounts(item.min).items():
        if name in pod.requests and pod.requests[name] < least:
            yield f"requests {written(name, pod.requests[name])} of {name}, at least {written(name, least)} is asked for"
    for name, most in amounts(item.max).items():
        if name in pod.limits and pod.limits[name] > most:
            yield f"limits {name} to {written(name, pod.limits[name])}, at most {written(name, most)} is allowed"
    for name, ratio in amounts(item.max_limit_request_ratio).items():
        limit, request = pod.limits.get(name, 0), pod.requests.get(name, 0)
        if request and limit * NANO > ratio * request:
            yield f"limits {name} to {limit / request:g} times its request, at most {written('', ratio)} times is allowed"


def _asked_of_quota(pod: PodSize) -> Amounts:
    names = {f"requests.{name}": pod.requests[name] for name in _ASKED if name in pod.requests}
    limits = {f"limits.{name}": pod.limits[name] for name in _ASKED if name in pod.limits}
    plain = {name: pod.requests[name] for name in _ASKED if name in pod.requests}
    return {**names, **limits, **plain, PODS: NANO, "count/pods": NANO}


def _storage(claims: Mapping[str, int], storage_class: str) -> Amounts:
    if not claims:
        return {}
    size, number = sum(claims.values()), len(claims) * NANO
    count = {"persistentvolumeclaims": number, "count/persistentvolumeclaims": number, "requests.storage": size}
    prefix = f"{storage_class}.storageclass.storage.k8s.io/"
    of_class = {f"{prefix}requests.storage": size, f"{prefix}persistentvolumeclaims": number}
    return {**count, **(of_class if storage_class else {})}


def _in_scope(spec: QuotaSpec, pod: PodSize) -> bool:
    needs = [ScopeRequirement(scope_name=scope, operator="Exists") for scope in spec.scopes]
    needs += spec.scope_selector.match_expressions if spec.scope_selector else []
    return all(_SCOPES.get(each.scope_name, _never)(each, pod) for each in needs)


def _never(requirement: ScopeRequirement, pod: PodSize) -> bool:
    """Pods of ours have no deadline, requests of their own, and no affinity across namespaces."""
    return False


def _always(requirement: ScopeRequirement, pod: PodSize) -> bool:
    return True


def _priority(requirement: ScopeRequirement, pod: PodSize) -> bool:
    match requirement.operator:
        case "In":
            return pod.priority_class in requirement.values
        case "NotIn":
            return pod.priority_class not in requirement.values
        case "Exists":
            return bool(pod.priority_class)
        case _:
            return not pod.priority_class


_SCOPES: dict[str, Callable[[ScopeRequirement, PodSize], bool]] = {
    "NotTerminating": _always,
    "NotBestEffort": _always,
    "PriorityClass": _priority,
}
