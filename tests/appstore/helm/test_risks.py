"""What a reviewer is told of a chart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.appstore.helm.manifest import objects
from services.appstore.helm.risks import risks


def manifest(*documents: dict[str, Any]) -> str:
    return "\n---\n".join(json.dumps(each) for each in documents)


def thing(api: str, kind: str, name: str = "a", namespace: str = "", **more: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def pods(**spec: Any) -> dict[str, Any]:
    return thing("apps/v1", "Deployment", spec={"template": {"spec": {"containers": [{"name": "c"}], **spec}}})


CRD = thing(
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "ships.sea.io",
    spec={
        "group": "sea.io",
        "scope": "Cluster",
        "names": {"kind": "Ship"},
        "versions": [{"schema": {"hostPath": {"path": {"type": "string"}}, "privileged": True}}],
    },
)
HOOK = thing("v1", "ConfigMap") | {"metadata": {"name": "a", "annotations": {"helm.sh/hook": "pre-install"}}}
TEST = thing("v1", "Pod") | {"metadata": {"name": "a", "annotations": {"helm.sh/hook": "test"}}}


@pytest.mark.parametrize(
    ("document", "types"),
    [
        (pods(), []),
        (thing("v1", "ConfigMap", namespace="shop"), []),
        (thing("v1", "ConfigMap", namespace="kube-system"), ["OtherNamespaces"]),
        (thing("v1", "Namespace"), ["ClusterScoped"]),
        (thing("storage.k8s.io/v1", "StorageClass"), ["ClusterScoped"]),
        (thing("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), ["ClusterScoped", "RBAC"]),
        (thing("rbac.authorization.k8s.io/v1", "Role"), ["RBAC"]),
        (thing("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"), ["ClusterScoped", "Webhooks"]),
        (CRD, ["ClusterScoped", "CustomResources"]),
        (HOOK, ["Hooks"]),
        (TEST, []),
        (pods(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), ["HostPath"]),
        (thing("v1", "PersistentVolume", spec={"hostPath": {"path": "/x"}}), ["ClusterScoped", "HostPath"]),
        (pods(hostNetwork=True), ["Privileged"]),
        (pods(initContainers=[{"securityContext": {"privileged": True}}]), ["Privileged"]),
        (pods(initContainers=[{"securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}}]), ["Privileged"]),
        (pods(initContainers=[{"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}]), []),
        (thing("sea.io/v1", "Fleet", spec={"podTemplate": {"spec": {"hostPID": True}}}), ["Privileged"]),
        (thing("v1", "ConfigMap", data={"privileged": "true"}), []),
    ],
    ids=lambda value: "-".join(value) or "none" if isinstance(value, list) else value["kind"],
)
def test_what_a_chart_makes_is_a_risk(document: dict[str, Any], types: list[str]) -> None:
    assert [each.type for each in risks(objects(manifest(document)), "shop")] == types


def test_objects_of_a_kind_that_the_chart_defines_for_the_whole_cluster() -> None:
    (first, *_) = risks(objects(manifest(CRD, thing("sea.io/v1", "Ship", "titanic"))), "shop")
    assert first.objects == ("CustomResourceDefinition/ships.sea.io", "Ship/titanic")


def test_a_broken_definition_is_no_end_of_it() -> None:
    broken = CRD | {"spec": {"scope": "Cluster", "names": None}}
    assert [each.total for each in risks(objects(manifest(broken)), "shop")] == [1, 1]


def test_ten_are_named_and_all_are_counted() -> None:
    many = manifest(*(thing("v1", "ConfigMap", f"c{n}", "other") for n in range(12)))
    (only,) = risks(objects(many), "shop")
    assert (only.type, len(only.objects), only.total) == ("OtherNamespaces", 10, 12)
    assert only.objects[0] == "ConfigMap/other/c0"
