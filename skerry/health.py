"""Whether an object does what its spec wants, read from its status as kubectl's `rollout status` and `wait` read it. Pure.

A status that is about an earlier generation says nothing: the controller has not looked yet. An object of a kind that is not
known here is healthy when it exists, unless it has a condition Ready or Available that says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from skerry.api.meta import Document

State: TypeAlias = Literal["Healthy", "Progressing", "Degraded"]
WAITING_BAD = frozenset(
    (
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    )
)
"""Reasons for which a container waits that rarely go away by waiting."""


class Health(NamedTuple):
    """How an object is, and why it is not healthy, for people."""

    state: State
    why: str = ""


HEALTHY = Health("Healthy")


def health(document: Document) -> Health:
    """How an object is that exists. What is being deleted makes progress; what has no status yet does too."""
    metadata, status = _mapping(document.get("metadata")), _mapping(document.get("status"))
    if "deletionTimestamp" in metadata:
        return Health("Progressing", "it is being deleted")
    observed = status.get("observedGeneration")
    if isinstance(observed, int) and observed < _number(metadata.get("generation")):
        return Health("Progressing", "its controller has not seen the last change yet")
    kind, group = str(document.get("kind", "")), str(document.get("apiVersion", "")).rpartition("/")[0]
    judge = _JUDGES.get((group, kind))
    return judge(_mapping(document.get("spec")), status) if judge else _by_conditions(status)


def worst(states: Mapping[str, Health]) -> tuple[str, Health]:
    """The worst of several, and which it is; the first by name where several are alike. ("", healthy) if there are none."""
    order: tuple[State, ...] = ("Degraded", "Progressing", "Healthy")
    return min(states.items(), key=lambda each: (order.index(each[1].state), each[0]), default=("", HEALTHY))


def _deployment(spec: Document, status: Document) -> Health:
    desired = _number(spec.get("replicas"), 1)
    progress = _condition(status, "Progressing")
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return Health("Degraded", str(progress.get("message") or "it made no progress before its deadline"))
    failed = _condition(status, "ReplicaFailure")
    if failed.get("status") == "True":
        return Health("Degraded", str(failed.get("message") or "pods cannot be made"))
    updated, total, ready = (_number(status.get(key)) for key in ("updatedReplicas", "replicas", "availableReplicas"))
    if updated < desired:
        return Health("Progressing", f"{updated} of {desired} pods are of the last version")
    if total > updated:
        return Health("Progressing", f"{total - updated} pods of an earlier version are still there")
    return HEALTHY if ready >= desired else Health("Progressing", f"{ready} of {desired} pods are available")


def _stateful_set(spec: Document, status: Document) -> Health:
    desired, ready = _number(spec.get("replicas"), 1), _number(status.get("readyReplicas"))
    strategy = _mapping(spec.get("updateStrategy"))
    if ready < desired:
        return Health("Progressing", f"{ready} of {desired} pods are ready")
    if strategy.get("type") == "OnDelete":
        return HEALTHY
    partition = _number(_mapping(strategy.get("rollingUpdate")).get("partition"))
    updated = _number(status.get("updatedReplicas"))
    if updated < desired - partition and status.get("currentRevision") != status.get("updateRevision"):
        return Health("Progressing", f"{updated} of {desired - partition} pods are of the last version")
    return HEALTHY


def _daemon_set(spec: Document, status: Document) -> Health:
    desired, updated, ready = (
        _number(status.get(key)) for key in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    )
    if "desiredNumberScheduled" not in status:
        return Health("Progressing", "its controller has not looked at it yet")
    if updated < desired and _mapping(spec.get("updateStrategy")).get("type") != "OnDelete":
        return Health("Progressing", f"pods on {updated} of {desired} nodes are of the last version")
    return HEALTHY if ready >= desired else Health("Progressing", f"pods on {ready} of {desired} nodes are available")


def _job(spec: Document, status: Document) -> Health:
    failed = _condition(status, "Failed")
    if failed.get("status") == "True":
        return Health("Degraded", str(failed.get("message") or "it failed"))
    if _condition(status, "Complete").get("status") == "True" or spec.get("suspend") is True:
        return HEALTHY
    return Health(
        "Progressing",
        f"{_number(status.get('succeeded'))} of {_number(spec.get('completions'), 1)} pods have succeeded",
    )


def _pod(spec: Document, status: Document) -> Health:
    phase = status.get("phase")
    for container in (*_items(status.get("initContainerStatuses")), *_items(status.get("containerStatuses"))):
        waiting = _mapping(_mapping(container.get("state")).get("waiting"))
        if waiting.get("reason") in WAITING_BAD:
            return Health(
                "Degraded",
                f"container {container.get('name')}: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": "),
            )
    if phase == "Succeeded":
        return HEALTHY
    if phase == "Failed":
        return Health("Degraded", str(status.get("message") or status.get("reason") or "it failed"))
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        return Health("Progressing", str(scheduled.get("message") or "no node has room for it"))
    ready = _condition(status, "Ready")
    return (
        HEALTHY
        if ready.get("status") == "True"
        else Health("Progressing", f"it is {phase or 'not looked at yet'}, not ready")
    )


def _claim(spec: Document, status: Document) -> Health:
    phase = status.get("phase")
    if phase == "Lost":
        return Health("Degraded", "its volume is lost")
    return HEALTHY if phase == "Bound" else Health("Progressing", "no volume is bound to it yet")


def _service(spec: Document, status: Document) -> Health:
    if spec.get("type") != "LoadBalancer" or _mapping(status.get("loadBalancer")).get("ingress"):
        return HEALTHY
    return Health("Progressing", "its load balancer has no address yet")


def _definition(spec: Document, status: Document) -> Health:
    names = _condition(status, "NamesAccepted")
    if names.get("status") == "False":
        return Health("Degraded", str(names.get("message") or "its names are taken"))
    if _condition(status, "Established").get("status") == "True":
        return HEALTHY
    return Health("Progressing", "its API is not served yet")


def _by_conditions(status: Document) -> Health:
    for name in ("Ready", "Available"):
        condition = _condition(status, name)
        if condition.get("status") in ("False", "Unknown"):
            why = str(
                condition.get("message") or condition.get("reason") or f"condition {name} is {condition['status']}"
            )
            return Health("Progressing", why)
    return HEALTHY


_JUDGES: Mapping[tuple[str, str], Callable[[Document, Document], Health]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "Pod"): _pod,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}


def _condition(status: Document, name: str) -> Document:
    return next((each for each in _items(status.get("conditions")) if each.get("type") == name), {})


def _mapping(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Document]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _number(value: Any, absent: int = 0) -> int:
    return value if isinstance(value, int) else absent
