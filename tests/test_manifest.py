"""What a manifest installs."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.demand import amounts
from skerry.manifest import ManifestError, installation_of, objects


def deployment(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return workload("Deployment", {"template": {"spec": spec, "metadata": {"labels": {"app": "a"}}}, **more})


def workload(kind: str, spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}


def container(**resources: Any) -> dict[str, Any]:
    return {"name": "c", "image": "x", "resources": resources}


def test_a_pod_asks_for_its_containers_and_its_largest_beginning() -> None:
    spec = {
        "containers": [container(requests={"cpu": "1"}, limits={"cpu": "2", "memory": "1Gi"})],
        "initContainers": [container(requests={"cpu": "3"})],
        "priorityClassName": "high",
        "nodeSelector": {"disk": "ssd"},
        "tolerations": None,
    }
    [made] = installation_of("host", [deployment(spec, replicas=2)]).workloads
    assert (made.name, made.replicas, made.surges, made.priority_class) == ("a", 2, True, "high")
    assert made.requests == amounts({"cpu": "3", "memory": "1Gi", "pods": "1"})
    assert made.limits == amounts({"cpu": "2", "memory": "1Gi"})
    assert (made.rules.node_selector, made.labels) == ({"disk": "ssd"}, {"app": "a"})


def test_a_pod_that_is_tried_has_no_account_that_is_not_there_yet() -> None:
    spec = {"containers": [container()], "serviceAccountName": "a", "securityContext": {"runAsNonRoot": True}}
    pod = installation_of("agent", [deployment(spec)]).workloads[0].pod("ns")
    assert pod["spec"] == {
        "containers": [container()],
        "securityContext": {"runAsNonRoot": True},
        "automountServiceAccountToken": False,
    }
    assert pod["metadata"] == {"generateName": "a-", "namespace": "ns", "labels": {"app": "a"}}


def test_servers_claim_a_volume_each() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
    }
    pod = {"spec": {"containers": [container()], "volumes": [{"name": "tmp", "emptyDir": {}}]}}
    planned = installation_of("host", [workload("StatefulSet", {"replicas": 2, "template": pod, "volumeClaimTemplates": [claim]})])  # fmt: skip
    assert (planned.claims, planned.storage_class) == (amounts({"data-a-0": "1Gi", "data-a-1": "1Gi"}), "fast")
    assert planned.workloads[0].surges is False
    assert [each["name"] for each in planned.workloads[0].pod("ns")["spec"]["volumes"]] == ["tmp", "data"]


def test_what_is_no_workload_takes_no_room() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}}
    planned = installation_of("host", [service])
    assert (planned.workloads, planned.claims, planned.storage_class) == ([], {}, "")


def test_lists_are_taken_apart_and_tests_of_helm_left_out() -> None:
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    hook = {**plain, "metadata": {"name": "b", "annotations": {"helm.sh/hook": "test"}}}
    noted = {**plain, "metadata": {"name": "c", "annotations": {"a": "b"}}}
    assert objects([None, {"kind": "List", "items": [plain, hook]}, noted]) == [plain, noted]


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "Secret", "apiVersion": "v1"},
        {"kind": "Secret", "apiVersion": "v1", "metadata": []},
        {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": 1}},
        {"kind": "", "apiVersion": "v1", "metadata": {"name": "a"}},
    ],
)
def test_what_has_no_name_is_an_error(document: Any) -> None:
    with pytest.raises(ManifestError, match=r"without apiVersion, kind or metadata\.name"):
        objects([document])


def test_what_is_no_object_and_what_is_too_much_is_an_error() -> None:
    with pytest.raises(ManifestError, match="a document that is no object"):
        objects(["text"])
    with pytest.raises(ManifestError, match="more than 1000 objects"):
        objects([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}] * 1001)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], "Expected `object`, got `array`"),
        ({"replicas": "two"}, "Expected `int`, got `str`"),
        ({"replicas": 21}, "21 replicas, 0 to 20 are possible"),
        ({"template": {"spec": {"containers": [container(requests={"cpu": "much"})]}}}, "'much' is not an amount"),
        ({"template": {"spec": {"tolerations": {}}}}, "Expected `array`, got `object`"),
    ],
)
def test_a_workload_that_cannot_be_read_is_named(spec: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=f"Deployment a: .*{message}"):
        installation_of("host", [workload("Deployment", spec)])
