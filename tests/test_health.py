"""How objects are, by what their status says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.health import HEALTHY, Health, health, worst

KINDS = {
    "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1", "Pod": "v1",
    "PersistentVolumeClaim": "v1", "Service": "v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1", "ConfigMap": "v1",
    "Widget": "example.com/v1",
}  # fmt: skip


def of(kind: str, spec: Any = None, status: Any = None, **metadata: Any) -> Health:
    return health(
        {"apiVersion": KINDS[kind], "kind": kind, "metadata": metadata, "spec": spec or {}, "status": status or {}}
    )


def condition(name: str, status: str, **more: str) -> dict[str, Any]:
    return {"conditions": [{"type": name, "status": status, **more}]}


ALL_OF_3 = {"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3, "readyReplicas": 3}
ON_3 = {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


@pytest.mark.parametrize(
    ("kind", "spec", "status"),
    [
        ("Deployment", {"replicas": 3}, ALL_OF_3),
        ("Deployment", {"replicas": 0}, {}),
        ("StatefulSet", {"replicas": 3}, ALL_OF_3),
        ("StatefulSet", {"replicas": 3, "updateStrategy": {"type": "OnDelete"}}, {"readyReplicas": 3}),
        ("StatefulSet", {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}},
         {"readyReplicas": 3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"}),
        ("DaemonSet", {}, ON_3),
        ("DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, {**ON_3, "updatedNumberScheduled": 0}),
        ("DaemonSet", {}, {"desiredNumberScheduled": 0}),
        ("Job", {}, condition("Complete", "True")),
        ("Job", {"suspend": True}, {}),
        ("Pod", {}, condition("Ready", "True") | {"phase": "Running"}),
        ("Pod", {}, {"phase": "Succeeded"}),
        ("PersistentVolumeClaim", {}, {"phase": "Bound"}),
        ("Service", {"type": "ClusterIP"}, {}),
        ("Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}),
        ("CustomResourceDefinition", {}, condition("Established", "True")),
        ("ConfigMap", None, None),
        ("Widget", {}, condition("Ready", "True")),
        ("Widget", {}, condition("Synced", "False")),
    ],
)  # fmt: skip
def test_what_does_as_it_is_wanted_is_healthy(kind: str, spec: Any, status: Any) -> None:
    assert of(kind, spec, status) == HEALTHY


@pytest.mark.parametrize(
    ("kind", "spec", "status", "why"),
    [
        ("Deployment", {}, {}, "0 of 1 pods are of the last version"),
        ("Deployment", {"replicas": 3}, {**ALL_OF_3, "updatedReplicas": 2}, "2 of 3 pods are of the last version"),
        ("Deployment", {"replicas": 3}, {**ALL_OF_3, "replicas": 4}, "1 pods of an earlier version are still there"),
        ("Deployment", {"replicas": 3}, {**ALL_OF_3, "availableReplicas": 1}, "1 of 3 pods are available"),
        ("StatefulSet", {}, {}, "0 of 1 pods are ready"),
        ("StatefulSet", {"replicas": 3}, {**ALL_OF_3, "updatedReplicas": 1, "currentRevision": "a", "updateRevision": "b"},
         "1 of 3 pods are of the last version"),
        ("DaemonSet", {}, {}, "its controller has not looked at it yet"),
        ("DaemonSet", {}, {**ON_3, "updatedNumberScheduled": 1}, "pods on 1 of 3 nodes are of the last version"),
        ("DaemonSet", {}, {**ON_3, "numberAvailable": 2}, "pods on 2 of 3 nodes are available"),
        ("Job", {"completions": 4}, {"succeeded": 1}, "1 of 4 pods have succeeded"),
        ("Pod", {}, {}, "it is not looked at yet, not ready"),
        ("Pod", {}, {"phase": "Running"}, "it is Running, not ready"),
        ("Pod", {}, condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes"), "0/3 nodes"),
        ("PersistentVolumeClaim", {}, {"phase": "Pending"}, "no volume is bound to it yet"),
        ("Service", {"type": "LoadBalancer"}, {}, "its load balancer has no address yet"),
        ("CustomResourceDefinition", {}, {}, "its API is not served yet"),
        ("Widget", {}, condition("Ready", "False", message="waits for a key"), "waits for a key"),
        ("Widget", {}, condition("Available", "Unknown"), "condition Available is Unknown"),
    ],
)  # fmt: skip
def test_what_is_on_its_way_makes_progress(kind: str, spec: Any, status: Any, why: str) -> None:
    assert of(kind, spec, status) == Health("Progressing", why)


def waiting(reason: str) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "web", "state": {"waiting": {"reason": reason, "message": "not found"}}}]}


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [
        (
            "Deployment",
            condition("Progressing", "False", reason="ProgressDeadlineExceeded", message="timed out"),
            "timed out",
        ),
        ("Deployment", condition("ReplicaFailure", "True", message="exceeded quota"), "exceeded quota"),
        (
            "Job",
            condition("Failed", "True", message="Job has reached the specified backoff limit"),
            "Job has reached the specified backoff limit",
        ),
        ("Pod", {"phase": "Failed", "reason": "Evicted"}, "Evicted"),
        ("Pod", waiting("ImagePullBackOff"), "container web: ImagePullBackOff: not found"),
        ("PersistentVolumeClaim", {"phase": "Lost"}, "its volume is lost"),
        ("CustomResourceDefinition", condition("NamesAccepted", "False", message="taken"), "taken"),
    ],
)
def test_what_does_not_get_there_by_waiting_is_degraded(kind: str, status: Any, why: str) -> None:
    assert of(kind, {}, status) == Health("Degraded", why)


def test_a_container_that_waits_for_its_turn_makes_progress() -> None:
    assert of("Pod", {}, waiting("ContainerCreating") | {"phase": "Pending"}).state == "Progressing"


def test_a_status_about_an_earlier_generation_says_nothing() -> None:
    assert of("Deployment", {"replicas": 3}, {**ALL_OF_3, "observedGeneration": 1}, generation=2).state == "Progressing"
    assert of("Deployment", {"replicas": 3}, {**ALL_OF_3, "observedGeneration": 2}, generation=2) == HEALTHY


def test_what_is_being_deleted_makes_progress() -> None:
    assert of("ConfigMap", deletionTimestamp="2026-01-01T00:00:00Z") == Health("Progressing", "it is being deleted")


def test_the_worst_counts() -> None:
    assert worst({}) == ("", HEALTHY)
    states = {"b": Health("Progressing", "x"), "a": Health("Progressing", "y"), "c": HEALTHY}
    assert worst(states) == ("a", Health("Progressing", "y"))
    assert worst({**states, "z": Health("Degraded", "q")})[0] == "z"


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
status_keys = st.sampled_from(
    ["conditions", "replicas", "phase", "observedGeneration", "loadBalancer", "containerStatuses", "state"]
)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(status_keys, inner, max_size=3), max_leaves=6
)


@given(st.sampled_from(list(KINDS)), anything, anything, anything)
def test_whatever_an_object_says_it_is_somehow(kind: str, metadata: Any, spec: Any, status: Any) -> None:
    found = health({"apiVersion": KINDS[kind], "kind": kind, "metadata": metadata, "spec": spec, "status": status})
    assert found.state in ("Healthy", "Progressing", "Degraded")
