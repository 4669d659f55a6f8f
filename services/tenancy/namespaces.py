"""Namespaces of workspaces on members: which Namespace each wants there, and what a workspace says of them. Pure.

A namespace is bound to the Cluster object of its name once it is claimed (services/tenancy/claims.py): `uid` in the status says
so, and only what is bound is wanted on a member. So who computes that from what is stored has it right from the beginning.
Ready is kept until the member says that the namespace is not the workspace's: who is in it keeps it while the member is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from services.tenancy.enforced import NAMED, Member, Stand, Standing, stand
from skerry.access.holdings import OWNED
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.desired import Because, Options, Report, State
from skerry.api.grants import OwnedNamespace, Workspace, WorkspaceNamespace
from skerry.api.kinds import WORKSPACE
from skerry.api.meta import Document
from skerry.api.names import WORKSPACE_LABEL
from skerry.api.stored import readable
from skerry.desired.client import Want

READY, CREATING, EXISTS = OWNED, "Creating", "Exists"
_ORDER = (
    Standing.CLUSTER_REPLACED, Standing.NO_CLUSTER, Standing.NOT_SUPPORTED, Standing.PROBLEM, EXISTS, Standing.WAITING, CREATING,
    Standing.AWAY,
)  # fmt: skip
"""The condition's reason is the first that some namespace has."""
_FINAL = (State.FOREIGN, State.REFUSED)
"""States of an entry by which a namespace is not the workspace's, or may not be."""


class Place(NamedTuple):
    """A namespace of a cluster, by names."""

    cluster: str
    name: str


class Owned(NamedTuple):
    """A Namespace that a workspace wants on a member."""

    workspace: str
    name: str
    adopt: bool
    deletes: bool
    """Whether it goes, with all that is in it, when it is not wanted any more."""


def place_of(namespace: WorkspaceNamespace | OwnedNamespace) -> Place:
    """Where it is."""
    return Place(namespace.cluster, namespace.name)


def wanted_by(workspace: Workspace) -> dict[Place, WorkspaceNamespace]:
    """What a workspace that stays names, each place once."""
    if workspace.metadata.deletion_timestamp is not UNSET:
        return {}
    return {place_of(each): each for each in workspace.spec.namespaces}


def bound_by(workspace: Workspace) -> dict[Place, str]:
    """Where it was claimed for a workspace, with the UID of the Cluster object."""
    return {place_of(each): each.uid for each in workspace.status.namespaces if each.uid}


def owned_on(workspaces: Iterable[Workspace], cluster: str, uid: str) -> frozenset[Owned]:
    """What workspaces want on a cluster; each namespace for one of them."""
    owned: dict[str, Owned] = {}
    for workspace in sorted(workspaces, key=lambda each: each.metadata.name):
        for where, bound, each in _owned(workspace):
            if (where, bound) == (cluster, uid):
                owned.setdefault(each.name, each)
    return frozenset(owned.values())


def _owned(workspace: Workspace | None) -> Iterator[tuple[str, str, Owned]]:
    """With name and UID of its Cluster."""
    if workspace is None:
        return
    wanted = wanted_by(workspace)
    for place, uid in bound_by(workspace).items():
        if (each := wanted.get(place)) is not None:
            deletes = each.when_removed == "Delete"
            yield place.cluster, uid, Owned(workspace.metadata.name, place.name, each.adopt, deletes)


def moved(before: Workspace | None, after: Workspace | None) -> set[str]:
    """Names of the clusters on which a workspace wants something else than before."""
    return {cluster for cluster, _, _ in {*_owned(before)} ^ {*_owned(after)}}


def want(owned: Owned) -> Want:
    """The entry for it."""
    options = Options(adopt="Same" if owned.adopt else "Never", withdraw="Delete" if owned.deletes else "Orphan")
    document = namespace(owned.name, {WORKSPACE_LABEL: owned.workspace})
    return Want(document, options, (Because(kind=WORKSPACE.kind, name=owned.workspace),))


def namespace(name: str, labels: dict[str, str] | None = None) -> Document:
    """A Namespace, as it is on a member."""
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


# Status


def unclaimed(place: Place, *, going: bool) -> OwnedNamespace:
    """One that another workspace has, or, with `going`, had: what it had there is being taken away."""
    if going:
        message = "another workspace had it: it is free when the cluster has taken that away"
        return OwnedNamespace(cluster=place.cluster, name=place.name, state=Standing.WAITING, message=message)
    message = "owned by another workspace"
    return OwnedNamespace(cluster=place.cluster, name=place.name, state=Standing.PROBLEM, message=message)


def unbound(place: Place, uid: str, *, replaced: bool) -> OwnedNamespace:
    """One without a Cluster, or whose Cluster (`uid`) is another now."""
    if not replaced:
        state, message = Standing.NO_CLUSTER, "there is no such cluster (yet)"
    else:
        state = Standing.CLUSTER_REPLACED
        message = "another cluster has the name now, and gets nothing until the workspace is written again"
    return OwnedNamespace(cluster=place.cluster, name=place.name, uid=uid, state=state, message=message)


def observed(place: Place, member: Member, key: str, before: OwnedNamespace | None) -> OwnedNamespace:
    """One that is claimed, as the member says; `key` is that of its entry, `before` what the status says of it."""
    state, message = _state(stand(member.uid, place.cluster, member, [key], narrow=True), member, key, before)
    return OwnedNamespace(cluster=place.cluster, name=place.name, uid=member.uid, state=state, message=message)


def _state(stands: Stand, member: Member, key: str, before: OwnedNamespace | None) -> tuple[str, str]:
    was = before.state if before is not None and before.uid == member.uid else ""
    match stands.standing:
        case Standing.ENFORCED:
            return READY, ""
        case Standing.NOT_SUPPORTED:
            return stands.standing, "its agent is too old for namespaces to be made there: update it"
        case Standing.APPLYING if was and member.placement is None and before is not None:
            return was, before.message  # who has just begun to lead knows of no placements
        case Standing.APPLYING:
            return was if was == READY else CREATING, stands.message
        case Standing.PROBLEM:
            return _problem(stands.message, _trouble(member.report, key), was)
    return READY if was == READY else stands.standing, stands.message


def _problem(message: str, trouble: State | None, was: str) -> tuple[str, str]:
    """By what the member reports of the entry; None: nothing."""
    if trouble is State.EXISTS:
        return EXISTS, f"{message}: adopt: true takes it in"
    if trouble is None:
        message = "whether it is there is not known: administrators see why with skerry desired"
    return READY if was == READY and trouble not in _FINAL else Standing.PROBLEM, message


def _trouble(report: Report | None, key: str) -> State | None:
    """What a report says of an entry that is no success."""
    problems = () if report is None else report.problems
    return next((each.state for each in problems if each.key == key), None)


def with_status(document: Document, observed: list[OwnedNamespace], now: float) -> Document:
    """A Workspace that says how its namespaces are. One that names none is ready as it is written, and by every later change too: so
    nothing is written behind who changes it, and no generation is observed.
    """
    status = document.get("status") or {}
    said = new_condition(READY, verdict(observed), now)
    if observed:
        said |= {"observedGeneration": int(document["metadata"].get("generation") or 0)}
    conditions = with_condition(status.get("conditions") or [], said)
    if not observed:
        conditions = [
            {key: value for key, value in each.items() if key != "observedGeneration" or each.get("type") != READY}
            for each in conditions
        ]
    return {**document, "status": {**status, "conditions": conditions, "namespaces": listed(observed)}}


def verdict(namespaces: Sequence[OwnedNamespace]) -> Verdict:
    """The condition Ready: how many are, and what of the others."""
    if not namespaces:
        return Verdict("True", "NoNamespaces", "it names no namespaces on members")
    by = {state: [each for each in namespaces if each.state == state] for state in _ORDER}
    ready = sum(each.state == READY for each in namespaces)
    parts = [f"{ready} of {len(namespaces)} namespaces are ready"]
    parts += [f"{state}: {_named(each)}" for state, each in by.items() if each]
    if ready == len(namespaces):
        return Verdict("True", READY, parts[0])
    return Verdict("False", next(str(state) for state, each in by.items() if each), "; ".join(parts))


def _named(namespaces: list[OwnedNamespace]) -> str:
    listed = ", ".join(f"{each.name} on {each.cluster}" for each in namespaces[:NAMED])
    more = f" and {len(namespaces) - NAMED} more" if len(namespaces) > NAMED else ""
    return f"{listed}{more} ({namespaces[0].message})" if namespaces[0].message else listed + more


def listed(namespaces: Iterable[OwnedNamespace]) -> list[Document]:
    """`status.namespaces`."""
    return [{field: value for field, value in msgspec.to_builtins(each).items() if value} for each in namespaces]


def without(document: Document, place: Place) -> Document:
    """A stored Workspace as one that does not name a namespace."""
    spec = document["spec"]
    return {**document, "spec": {**spec, "namespaces": _others(spec, place)}}


def _others(part: Document, place: Place) -> list[Document]:
    return [each for each in part.get("namespaces") or () if not _is(each, place)]


def _is(each: object, place: Place) -> bool:
    return isinstance(each, dict) and (each.get("cluster"), each.get("name")) == place


def rewritten(document: Document, uid_of: Callable[[str], str], may: Callable[[Document, Place], bool]) -> Document:
    """A Workspace that is written, with the status of the one before: what was bound to a Cluster that another one has the name
    of by now is bound anew, as far as who writes `may` name it; `uid_of` gives the UID of the Cluster of a name.
    """
    status = document.get("status") or {}
    for place, bound in bound_by(readable(document, Workspace)).items():
        uid = uid_of(place.cluster)
        if uid and bound != uid and may(document, place):
            status = {**status, "namespaces": _others(status, place)}
    return {**document, "status": status} if status else document
