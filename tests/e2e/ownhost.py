"""A host that manages the cluster that it runs in, with accounts of no more rights than the chart gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.member import account
from tests.kube.member import Member

_RBAC = "rbac.authorization.k8s.io/v1"
RULES: Mapping[str, list[dict[str, Any]]] = {
    "skerry-controller-manager": account.rules(),
    "skerry-tower": account.front_door_rules(),
}
"""Of the accounts of the host's processes."""


def accounts(member: Member, *, without: str = "") -> None:
    """Make them on the cluster; `without` names a resource that nobody gets a right on."""
    member.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "skerry-system"}})
    for name, rules in RULES.items():
        given = [rule for rule in rules if without not in (rule.get("resources") or ())]
        role = {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": given}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": "skerry-system"}
        binding = {
            "apiVersion": _RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        }
        metadata = {"name": name, "namespace": "skerry-system"}
        member.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}, role, binding)


def forget(member: Member) -> None:
    """Take them away, and what a host leaves."""
    member.kubectl("delete", "clusterrolebinding,clusterrole", "--ignore-not-found", *RULES)
    member.kubectl("delete", "clusterrolebinding,clusterrole,rolebinding", "-A", "-l", "skerry.dev/host")
    member.kubectl("delete", "namespace", "skerry-system", "--ignore-not-found", "--wait=false")
    member.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


def token(member: Member, name: str) -> str:
    """A new one of an account, as kubelet would ask for it."""
    return member.kubectl("create", "token", name, "-n", "skerry-system").decode().strip()


def kubeconfig(member: Member, name: str, directory: Path) -> Path:
    """A kubeconfig of an account whose token is in a file beside it, `<name>.token`."""
    config = json.loads(member.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    (directory / f"{name}.token").write_text(token(member, name))
    for each in config["users"]:
        each["user"] = {"tokenFile": f"{name}.token"}
    path = directory / f"{name}.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def encoded(document: Mapping[str, Any]) -> bytes:
    """For kubectl's standard input."""
    return json.dumps(document).encode()
