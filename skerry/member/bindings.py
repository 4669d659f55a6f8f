"""What Skerry writes on a member: four ClusterRoleBindings, and a mark on kube-system that says whose member it is.

The groups `skerry:view`, `edit`, `admin` and `cluster-admin` get the ClusterRoles of these names: that makes
impersonation work, and everything else is the member's own RBAC. Ensured at each start and each minute, idempotently.
"""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

import msgspec

from skerry.errors import BadGateway
from skerry.member.identity import KUBE_SYSTEM, RightsMissing
from skerry.member.upstream import Upstream

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


async def ensure(upstream: Upstream) -> tuple[str, ...]:
    """Make or repair the four bindings; right ones are left alone, so that reading them is enough later.

    The names of those that were not right, for people. Raises RightsMissing naming all that cannot be made, with the
    commands that do; BadGateway when the API server does not answer.
    """
    repaired, lacking = [], []
    for role in ROLES:
        try:
            if await _ensured(upstream, role):
                repaired.append(f"skerry:{role}")
        except RightsMissing as error:
            lacking.append(error.message)
    if lacking:
        raise RightsMissing("; ".join(lacking))
    return tuple(repaired)


async def _ensured(upstream: Upstream, role: str) -> bool:
    """Whether it had to be made or repaired."""
    name = f"skerry:{role}"
    found = await upstream.call("GET", path_of_bindings(name))
    if found.status == 200:
        document = found.document()
        if _is_right(document, role):
            return False
        _check_reference(document, role)
        patch = {"metadata": {"labels": LABELS}, "subjects": _subjects(role)}
        made = await upstream.call("PATCH", path_of_bindings(name), body=_encode(patch), content_type=MERGE)
    else:
        made = await upstream.call("POST", path_of_bindings(), body=binding(role))
    if made.status in {200, 201, 409}:
        return True
    if made.status in {401, 429} or made.status >= 500:
        raise BadGateway(f"ClusterRoleBinding {name} cannot be made now: {made.message()}")
    state = "is not right" if found.status == 200 else "is missing"
    raise RightsMissing(
        f"ClusterRoleBinding {name} {state} and cannot be made on this cluster by {upstream.side.name}'s account "
        f"({made.message()}): {_by_hand(role, there=found.status == 200)}"
    )


def _check_reference(document: dict[str, Any], role: str) -> None:
    """What a binding is bound to cannot be changed, and whoever made this one meant something by it."""
    reference = document.get("roleRef") or {}
    if reference.get("name") != role or reference.get("kind") != "ClusterRole":
        raise RightsMissing(
            f"ClusterRoleBinding skerry:{role} exists and is bound to {reference.get('name')!r}: "
            f"{_by_hand(role, there=True)}"
        )


def _by_hand(role: str, *, there: bool) -> str:
    """The commands that make it what it must be."""
    name = f"skerry:{role}"
    create = f"kubectl create clusterrolebinding {name} --clusterrole={role} --group={name}"
    return f"kubectl delete clusterrolebinding {name} && {create}" if there else create


def _is_right(document: dict[str, Any], role: str) -> bool:
    labels = (document.get("metadata") or {}).get("labels") or {}
    reference = document.get("roleRef") or {}
    return (
        reference.get("name") == role
        and reference.get("kind") == "ClusterRole"
        and document.get("subjects") == _subjects(role)
        and LABELS.items() <= labels.items()
    )


async def mark(upstream: Upstream, host: str, host_uid: str) -> bool:
    """Write on kube-system whose member this cluster is; where that is forbidden (False) the cluster works all the same."""
    patch = {"metadata": {"annotations": {HOST_ANNOTATION: host_uid, HOST_NAME_ANNOTATION: host}}}
    answer = await upstream.call("PATCH", KUBE_SYSTEM, body=_encode(patch), content_type=MERGE)
    if answer.status != 200:
        log.warning("kube-system is not marked as a member of this host", extra={"reason": answer.message()})
    return answer.status == 200
