"""What Skerry writes on a member: four ClusterRoleBindings, and a mark on kube-system that says whose member it is.

The groups `skerry:view`, `edit`, `admin` and `cluster-admin` get the ClusterRoles of these names: that makes
impersonation work, and everything else is the member's own RBAC. Ensured at each start, idempotently.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

import msgspec

from skerry.errors import BadGateway
from skerry.member.upstream import Answer, Upstream

log = logging.getLogger("skerry.member")

ROLES = ("view", "edit", "admin", "cluster-admin")
HOST_ANNOTATION = "skerry.dev/host"
"""On namespace kube-system: UID of the host that the cluster is a member of."""
HOST_NAME_ANNOTATION = "skerry.dev/host-name"
MERGE = b"application/merge-patch+json"
LABELS = {"app.kubernetes.io/managed-by": "skerry"}
_GROUP = "rbac.authorization.k8s.io"
_encode = msgspec.json.Encoder().encode


def path_of_bindings(name: str = "") -> str:
    """The API path of ClusterRoleBindings, or of one."""
    path = f"/apis/{_GROUP}/v1/clusterrolebindings"
    return f"{path}/{quote(name, safe='')}" if name else path


def binding(role: str) -> bytes:
    """ClusterRoleBinding `skerry:<role>`: the group of this name gets the ClusterRole `role`."""
    return _encode(
        {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"skerry:{role}", "labels": LABELS},
            "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
            "subjects": _subjects(role),
        }
    )


def _subjects(role: str) -> list[dict[str, str]]:
    return [{"apiGroup": _GROUP, "kind": "Group", "name": f"skerry:{role}"}]


async def ensure(upstream: Upstream) -> None:
    """Make or repair the four bindings; right ones are left alone, so that reading them is enough later.

    Raises BadGateway naming the one that cannot be made.
    """
    for role in ROLES:
        answer = await _ensured(upstream, role)
        if answer.status not in {200, 201, 409}:
            raise BadGateway(f"ClusterRoleBinding skerry:{role} cannot be made on this cluster: {answer.message()}")


async def _ensured(upstream: Upstream, role: str) -> Answer:
    found = await upstream.call("GET", path_of_bindings(f"skerry:{role}"))
    if found.status != 200:
        return await upstream.call("POST", path_of_bindings(), body=binding(role))
    document = found.document()
    if _is_right(document, role):
        return found
    reference = document.get("roleRef") or {}
    if reference.get("name") != role or reference.get("kind") != "ClusterRole":
        raise BadGateway(
            f"ClusterRoleBinding skerry:{role} exists and is bound to {reference.get('name')!r}: "
            f"kubectl delete clusterrolebinding skerry:{role}, then try again"
        )
    patch = {"metadata": {"labels": LABELS}, "subjects": _subjects(role)}
    return await upstream.call("PATCH", path_of_bindings(f"skerry:{role}"), body=_encode(patch), content_type=MERGE)


def _is_right(document: dict[str, Any], role: str) -> bool:
    labels = (document.get("metadata") or {}).get("labels") or {}
    reference = document.get("roleRef") or {}
    return (
        reference.get("name") == role
        and reference.get("kind") == "ClusterRole"
        and document.get("subjects") == _subjects(role)
        and LABELS.items() <= labels.items()
    )


async def mark(upstream: Upstream, host: str, host_uid: str) -> None:
    """Write on kube-system whose member this cluster is; where that is forbidden the cluster works all the same."""
    patch = {"metadata": {"annotations": {HOST_ANNOTATION: host_uid, HOST_NAME_ANNOTATION: host}}}
    answer = await upstream.call("PATCH", "/api/v1/namespaces/kube-system", body=_encode(patch), content_type=MERGE)
    if answer.status != 200:
        log.warning("kube-system is not marked as a member of this host", extra={"reason": answer.message()})
