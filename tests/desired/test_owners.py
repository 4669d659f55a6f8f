"""The table of owners: what each may want, and everything that a stolen credential would try instead."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.names import HOST_LABEL, OWNER_LABEL
from skerry.desired.owners import OWNERS, refusal

RBAC = "rbac.authorization.k8s.io/v1"


def binding(**changes: Any) -> dict[str, Any]:
    """The RoleBinding of a grant."""
    return {
        "apiVersion": RBAC,
        "kind": "RoleBinding",
        "metadata": {"name": "skerry:edit", "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "skerry:shop-edit"}],
        **changes,
    }


def role(*rules: dict[str, Any], name: str = "skerry:namespaces", **more: Any) -> dict[str, Any]:
    """The one ClusterRole."""
    return {"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules), **more}


def namespace(name: str = "shop", **metadata: Any) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}


READ = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}


@pytest.mark.parametrize(
    "document",
    [
        binding(),
        binding(kind="ClusterRoleBinding", metadata={"name": "skerry:admin"}),
        binding(subjects=[]),
        namespace(),
        namespace(labels={"team": "a"}, annotations={"a": "b"}),
        role(READ),
    ],
)
def test_tenancy_may_want_what_grants_need(document: dict[str, Any]) -> None:
    assert refusal("tenancy", document) == ""


def test_the_registry_may_want_settings_of_the_agent() -> None:
    settings = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AgentSettings", "metadata": {"name": "agent"}}
    assert refusal("registry", settings) == ""
    assert "may not want AgentSettings" in refusal("tenancy", settings)


@pytest.mark.parametrize("owner", ["quota", "federation", "appstore", "", "tenancy.x", "*"])
def test_an_owner_without_a_row_may_want_nothing(owner: str) -> None:
    assert "is no owner of desired state" in refusal(owner, namespace())


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (binding(metadata={"name": "cluster-admins", "namespace": "shop"}), "named skerry:"),
        (binding(metadata={"name": "skerry:edit"}), "needs metadata.namespace"),
        (binding(subjects=[{"kind": "User", "name": "skerry:eve"}]), "subjects of our bindings"),
        (binding(subjects=[{"kind": "Group", "name": "system:authenticated"}]), "subjects of our bindings"),
        (binding(subjects=[{"kind": "ServiceAccount", "name": "skerry:x", "namespace": "a"}]), "subjects of our"),
        (binding(subjects="all"), "subjects is not a list"),
        (binding(subjects=[3]), "subjects is not a list"),
        (binding(roleRef={"kind": "ClusterRole", "name": "system:node"}), "lead to ClusterRoles"),
        (binding(roleRef={"kind": "Role", "name": "edit"}), "lead to ClusterRoles"),
        (binding(roleRef=None), "lead to ClusterRoles"),
        (role({**READ, "verbs": ["*"]}), "and nothing else"),
        (role(READ, READ), "and nothing else"),
        (role({**READ, "nonResourceURLs": ["/metrics"]}), "and nothing else"),
        (role(READ, aggregationRule={"clusterRoleSelectors": [{}]}), "and nothing else"),
        (role(READ, name="skerry:all"), "the one ClusterRole"),
        (namespace("kube-system"), "the cluster's own"),
        (namespace("skerry-system"), "the cluster's own"),
        (namespace("default"), "the cluster's own"),
        (namespace(ownerReferences=[{"uid": "x"}]), "metadata.ownerReferences"),
        (namespace(finalizers=["x/y"]), "metadata.finalizers"),
        (namespace(managedFields=[{}]), "metadata.managedFields"),
        (namespace(labels={OWNER_LABEL: "registry"}), "set by the applier"),
        (namespace(labels={HOST_LABEL: "other"}), "set by the applier"),
        (namespace(labels={"app.kubernetes.io/managed-by": "skerry"}), "never ours"),
        (namespace(labels=["a"]), "not a map"),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "x-"}}, "needs metadata.name"),
        ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": 3}}, "needs metadata.name"),
        ({"apiVersion": "v1", "kind": "Namespace"}, "needs metadata.name"),
        ({"kind": "Namespace", "metadata": {"name": "a"}}, "apiVersion and kind"),
        ({"apiVersion": ["v1"], "kind": {}, "metadata": {"name": "a"}}, "apiVersion and kind"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}, "may not want Secret"),
        ({"apiVersion": "evil.dev/v1", "kind": "Namespace", "metadata": {"name": "a"}}, "may not want Namespace"),
        ({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}}, "may not want Deployment"),
    ],
)
def test_nothing_else_is_tenancys(document: dict[str, Any], why: str) -> None:
    assert why in refusal("tenancy", document)


def test_managers_are_named_after_their_owners() -> None:
    assert {owner.manager for owner in OWNERS.values()} == {"skerry-registry", "skerry-tenancy"}
