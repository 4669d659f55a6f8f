"""What Skerry writes on a member: four ClusterRoleBindings, and a mark on kube-system that says whose member it is.

The groups `skerry:view`, `edit`, `admin` and `cluster-admin` get the ClusterRoles of these names: that makes
impersonation work, and everything else is the member's own RBAC. Joining makes them; from then on entries of tenancy keep
them in place (skerry/desired), and where there is none, by an older host or since the ceiling refuses it, the look of each
minute does (skerry/member/membership.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from skerry.api.kinds.access import ROLES
from skerry.api.meta import Document
from skerry.api.names import HOST_LABEL, MANAGED_BY, OWNER_LABEL, PREFIX
from skerry.errors import BadGateway
from skerry.member.identity import HOST_ANNOTATION, HOST_NAME_ANNOTATION, KUBE_SYSTEM, RightsMissing, owner_of
from skerry.member.upstream import Upstream, WholeAnswer

log = logging.getLogger("skerry.member")

MERGE = b"application/merge-patch+json"
FORMER = "skerry"
"""What earlier versions wrote into the label MANAGED_BY, which is Helm's or a user's: it is taken off."""
OWNER, MANAGER = "tenancy", "skerry-tenancy"
"""Whose entries keep the bindings in place (skerry/desired/owners.py), and the field manager in whose name they are written."""
_GROUP = "rbac.authorization.k8s.io"
_encode = msgspec.json.Encoder().encode


def path_of_bindings(name: str = "") -> str:
    """The API path of ClusterRoleBindings, or of one."""
    path = f"/apis/{_GROUP}/v1/clusterrolebindings"
    return f"{path}/{quote(name, safe='')}" if name else path


def binding(role: str) -> Document:
    """ClusterRoleBinding `skerry:<role>`: the group of this name gets the ClusterRole `role`."""
    return bound(PREFIX + role, role, PREFIX + role)


def bound(name: str, role: str, group: str, namespace: str = "") -> Document:
    """A binding of a ClusterRole to a group: in a namespace, or in the whole cluster."""
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": group}],
    }


def made(host: str) -> tuple[str, ...]:
    """All that joining writes on a member of `host`, for people."""
    return (
        *(f"ClusterRoleBinding {PREFIX}{role}" for role in ROLES),
        f"annotations {HOST_ANNOTATION} and {HOST_NAME_ANNOTATION} ({host}) of Namespace kube-system",
    )


def _subjects(role: str) -> list[dict[str, str]]:
    return [{"apiGroup": _GROUP, "kind": "Group", "name": PREFIX + role}]


def _binds(role: str, document: Document) -> bool:
    reference = document.get("roleRef") or {}
    return reference.get("name") == role and reference.get("kind") == "ClusterRole"


def is_right(role: str, document: Document) -> bool:
    """Whether a ClusterRoleBinding gives the role to its group, and to nobody else."""
    return _binds(role, document) and document.get("subjects") == _subjects(role)


def nobody(name: str) -> bool:
    """No entry keeps any binding in place."""
    return False


async def ensure(upstream: Upstream, joining: str = "", kept: Callable[[str], bool] = nobody) -> tuple[str, ...]:
    """Make or repair the four bindings; right ones are left alone, so that reading them is enough later. `joining` is the UID
    of a host that the cluster joins: what is made is that one's as if its entry had, so that it goes with the member however soon
    that leaves, and labels of another host, whose member it was, are taken off. One that is `kept` in place by an entry is only
    looked at.

    The names of those that were not right, for people. Raises RightsMissing naming all that do not serve, with the
    commands that make them; BadGateway when the API server does not answer.
    """
    repaired: list[str] = []
    lacking: list[_Lacking] = []
    for role in ROLES:
        outcome = await _ensured(upstream, role, joining, kept=kept(PREFIX + role))
        if isinstance(outcome, _Lacking):
            lacking.append(outcome)
        elif outcome:
            repaired.append(PREFIX + role)
    if lacking:
        raise RightsMissing(
            f"ClusterRoleBinding {', '.join(each.name for each in lacking)} {lacking[0].why}: "
            f"{' && '.join(each.command for each in lacking)}"
        )
    return tuple(repaired)


class _Lacking(NamedTuple):
    """A binding that does not serve and is not made right: why, and the command that does."""

    name: str
    why: str
    command: str


async def _ensured(upstream: Upstream, role: str, joining: str, *, kept: bool) -> bool | _Lacking:
    """Whether it had to be made or repaired."""
    name = PREFIX + role
    existing = await upstream.call("GET", path_of_bindings(name))
    if existing.status == 200:
        return await _righted(upstream, role, existing.document(), joining, kept=kept)
    if kept and existing.status in {403, 404}:  # what may not be seen, its entry tells
        return existing.status == 404 and _Lacking(name, _KEPT, _by_hand(role, there=False))
    answer = await _created(upstream, role, joining) if existing.status in {403, 404} else existing
    if answer.status == 409:  # somebody was faster, or we may not see it
        return existing.status == 404
    return _outcome(upstream, role, answer, there=False)


async def _created(upstream: Upstream, role: str, host: str) -> WholeAnswer:
    document = binding(role)
    if host:
        document["metadata"]["labels"] = {OWNER_LABEL: OWNER, HOST_LABEL: host}
    return await upstream.call("POST", f"{path_of_bindings()}?fieldManager={MANAGER}", body=_encode(document))


async def _righted(upstream: Upstream, role: str, document: Document, joining: str, *, kept: bool) -> bool | _Lacking:
    """Of one that exists. What it is bound to cannot be changed, and whoever made it so meant something by it."""
    if not _binds(role, document):
        why = f"exists and is bound to {(document.get('roleRef') or {}).get('name')!r}"
        return _Lacking(PREFIX + role, _why(upstream, f"{PREFIX}{role} {why}"), _by_hand(role, there=True))
    serves = is_right(role, document)
    if kept and not serves:
        return _Lacking(PREFIX + role, _KEPT, _by_hand(role, there=True))
    surplus = _surplus(document, joining)
    if serves and not surplus:
        return False
    patch = {"metadata": {"labels": dict.fromkeys(surplus)}, "subjects": _subjects(role)}
    answer = await upstream.call("PATCH", path_of_bindings(PREFIX + role), body=_encode(patch), content_type=MERGE)
    outcome = _outcome(upstream, role, answer, there=True)
    return False if serves else outcome


_KEPT = "is not on this cluster as it is to be, and is not made right (skerry desired tells why)"


def _why(upstream: Upstream, message: str) -> str:
    return f"cannot be made on this cluster by {upstream.role.name}'s account ({message})"


def _outcome(upstream: Upstream, role: str, answer: WholeAnswer, *, there: bool) -> bool | _Lacking:
    if answer.status in {200, 201}:
        return True
    if answer.status in {401, 409, 429} or answer.status >= 500:
        raise BadGateway(f"ClusterRoleBinding skerry:{role} cannot be made now: {answer.message()}")
    return _Lacking(PREFIX + role, _why(upstream, answer.message()), _by_hand(role, there=there))


def _by_hand(role: str, *, there: bool) -> str:
    """The command that makes it what it must be."""
    name = PREFIX + role
    create = f"kubectl create clusterrolebinding {name} --clusterrole={role} --group={name}"
    return f"kubectl delete clusterrolebinding {name} && {create}" if there else create


def _surplus(document: Document, joining: str) -> list[str]:
    """Labels that are to go; it serves all the same with them."""
    labels = (document.get("metadata") or {}).get("labels") or {}
    ours = [MANAGED_BY] if labels.get(MANAGED_BY) == FORMER else []
    another = bool(joining) and labels.get(HOST_LABEL, joining) != joining
    return ours + ([HOST_LABEL, OWNER_LABEL] if another else [])


async def take_over(upstream: Upstream, host: str, host_uid: str, *, dry_run: bool = False) -> None:
    """Make a cluster this host's, whoever has it: that one's agent or prober sees it and lets go. RightsMissing where the mark
    cannot be written: both would serve it. BadGateway.
    """
    answer = await _marked(upstream, host, host_uid, "?dryRun=All" if dry_run else "")
    if answer.status in {403, 422}:
        raise RightsMissing(
            f"the cluster cannot be taken over: its mark on namespace kube-system cannot be written ({answer.message()}): "
            f"allow {upstream.role.name}'s account `patch` on it"
        )
    if answer.status != 200:
        raise BadGateway(f"the cluster cannot be marked now: {answer.message()}")


async def mark(upstream: Upstream, host: str, host_uid: str, metadata: Document) -> bool:
    """Write on kube-system whose member this cluster is, unless `metadata`, which was read of it, has a mark; where that is
    forbidden (False) the cluster works all the same. Who wrote there since it was read may be another host: then nothing is
    written, and the next look sees whose it is.
    """
    if owner_of(metadata)[0]:
        return True
    answer = await _marked(upstream, host, host_uid, version=str(metadata.get("resourceVersion") or ""))
    if answer.status not in {200, 409}:
        log.warning("kube-system is not marked as a member of this host", extra={"reason": answer.message()})
    return answer.status in {200, 409}


async def unmarkable(upstream: Upstream, host_uid: str) -> str:
    """Why the mark of this host cannot be written on the cluster; empty if it can. Nothing is written. BadGateway."""
    answer = await _marked(upstream, "", host_uid, "?dryRun=All")
    return "" if answer.status in {200, 409} else answer.message()


async def _marked(upstream: Upstream, host: str, host_uid: str, query: str = "", *, version: str = "") -> WholeAnswer:
    metadata: Document = {"annotations": {HOST_ANNOTATION: host_uid, HOST_NAME_ANNOTATION: host}}
    if version:
        metadata["resourceVersion"] = version
    body = _encode({"metadata": metadata})
    return await upstream.call("PATCH", KUBE_SYSTEM + query, body=body, content_type=MERGE)
