"""What Skerry writes on a member: four ClusterRoleBindings, and a mark on kube-system that says whose member it is.

The groups `skerry:view`, `edit`, `admin` and `cluster-admin` get the ClusterRoles of these names: that makes
impersonation work, and everything else is the member's own RBAC. Ensured at each start and each minute, idempotently.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from skerry.api.names import PREFIX
from skerry.errors import BadGateway
from skerry.member.identity import KUBE_SYSTEM, RightsMissing
from skerry.member.upstream import Upstream, WholeAnswer

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
            "metadata": {"name": PREFIX + role, "labels": LABELS},
            "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
            "subjects": _subjects(role),
        }
    )


def made(host: str) -> tuple[str, ...]:
    """All that joining writes on a member of `host`, for people."""
    return (
        *(f"ClusterRoleBinding {PREFIX}{role}" for role in ROLES),
        f"annotations {HOST_ANNOTATION} and {HOST_NAME_ANNOTATION} ({host}) of Namespace kube-system",
    )


def _subjects(role: str) -> list[dict[str, str]]:
    return [{"apiGroup": _GROUP, "kind": "Group", "name": PREFIX + role}]


async def ensure(upstream: Upstream) -> tuple[str, ...]:
    """Make or repair the four bindings; right ones are left alone, so that reading them is enough later.

    The names of those that were not right, for people. Raises RightsMissing naming all that cannot be made, with the
    commands that do; BadGateway when the API server does not answer.
    """
    repaired: list[str] = []
    lacking: list[_Lacking] = []
    for role in ROLES:
        outcome = await _ensured(upstream, role)
        if isinstance(outcome, _Lacking):
            lacking.append(outcome)
        elif outcome:
            repaired.append(PREFIX + role)
    if lacking:
        raise RightsMissing(
            f"ClusterRoleBinding {', '.join(each.name for each in lacking)} cannot be made on this cluster by "
            f"{upstream.role.name}'s account ({lacking[0].why}): {' && '.join(each.command for each in lacking)}"
        )
    return tuple(repaired)


class _Lacking(NamedTuple):
    """A binding that our account cannot make right: why, and the command that does."""

    name: str
    why: str
    command: str


async def _ensured(upstream: Upstream, role: str) -> bool | _Lacking:
    """Whether it had to be made or repaired."""
    name = PREFIX + role
    existing = await upstream.call("GET", path_of_bindings(name))
    if existing.status == 200:
        return await _righted(upstream, role, existing.document())
    answer = (
        await upstream.call("POST", path_of_bindings(), body=binding(role))
        if existing.status in {403, 404}
        else existing
    )
    if answer.status == 409:  # somebody was faster, or we may not see it
        return existing.status == 404
    return _outcome(role, answer, there=False)


async def _righted(upstream: Upstream, role: str, document: dict[str, Any]) -> bool | _Lacking:
    """Of one that exists. What it is bound to cannot be changed, and whoever made it so meant something by it."""
    reference = document.get("roleRef") or {}
    if reference.get("name") != role or reference.get("kind") != "ClusterRole":
        why = f"{PREFIX}{role} exists and is bound to {reference.get('name')!r}"
        return _Lacking(PREFIX + role, why, _by_hand(role, there=True))
    serves = document.get("subjects") == _subjects(role)
    if serves and _is_labelled(document):
        return False
    patch = {"metadata": {"labels": LABELS}, "subjects": _subjects(role)}
    answer = await upstream.call("PATCH", path_of_bindings(PREFIX + role), body=_encode(patch), content_type=MERGE)
    outcome = _outcome(role, answer, there=True)
    return False if serves else outcome


def _outcome(role: str, answer: WholeAnswer, *, there: bool) -> bool | _Lacking:
    if answer.status in {200, 201}:
        return True
    if answer.status in {401, 409, 429} or answer.status >= 500:
        raise BadGateway(f"ClusterRoleBinding skerry:{role} cannot be made now: {answer.message()}")
    return _Lacking(PREFIX + role, answer.message(), _by_hand(role, there=there))


def _by_hand(role: str, *, there: bool) -> str:
    """The command that makes it what it must be."""
    name = PREFIX + role
    create = f"kubectl create clusterrolebinding {name} --clusterrole={role} --group={name}"
    return f"kubectl delete clusterrolebinding {name} && {create}" if there else create


def _is_labelled(document: dict[str, Any]) -> bool:
    """As ours, for who cleans up; it serves all the same without."""
    labels = (document.get("metadata") or {}).get("labels") or {}
    return LABELS.items() <= labels.items()


async def mark(upstream: Upstream, host: str, host_uid: str) -> bool:
    """Write on kube-system whose member this cluster is; where that is forbidden (False) the cluster works all the same."""
    patch = {"metadata": {"annotations": {HOST_ANNOTATION: host_uid, HOST_NAME_ANNOTATION: host}}}
    answer = await upstream.call("PATCH", KUBE_SYSTEM, body=_encode(patch), content_type=MERGE)
    if answer.status != 200:
        log.warning("kube-system is not marked as a member of this host", extra={"reason": answer.message()})
    return answer.status == 200
