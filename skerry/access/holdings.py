"""What one grant or one workspace gives, whatever clusters there are. Pure.

Everything that cannot be understood gives nothing: a role that this version does not know, a grant on the host that names
namespaces, a group that would be one of Skerry's own.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeVar, cast

import msgspec
from msgspec import UNSET

from skerry.api.grants import AccessGrant, LabelSelector, Subject, Workspace, WorkspaceMember
from skerry.api.kinds.access import ROLES
from skerry.api.messages import HOST, Caller
from skerry.api.names import PREFIX, SERVICE_ACCOUNT, namespaced_group
from skerry.api.times import seconds

OWNED = "Ready"
"""State of a namespace that is its workspace's own."""
HOST_ROLES = (ROLES[0], ROLES[-1])
"""On the host, and in the cluster that it runs in. Whoever edits there has the keys of all members: they are Secrets, and a pod may run
as any account of its namespace and mount what its node has."""
_RESERVED_GROUPS = (*ROLES, "namespaces")


class Scope(NamedTuple):
    """A right on one cluster: the group that says it there, in the whole cluster or for requests that name a namespace."""

    group: str
    """As members see it, with its prefix."""
    namespace: str = ""
    """Empty: the whole cluster."""
    role: str = ""
    """One of ROLES; empty for a group of the members' own."""


class Basis(msgspec.Struct, frozen=True, gc=False, order=True):
    """The object of the host that gives something, for people and the audit log. No tuple: each grant has one, and a tuple's is
    twice as large.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Holding(msgspec.Struct, frozen=True, gc=False):
    """The same scopes for some subjects, on clusters by name and UID, or on those that a selector selects."""

    basis: Basis
    subjects: tuple[str, ...]
    """Keys, as `keys_of` makes them of callers."""
    scopes: tuple[Scope, ...]
    clusters: tuple[tuple[str, str], ...] = ()
    """Name and UID of Cluster objects."""
    selector: bytes = b""
    """A LabelSelector as JSON: equal ones are one."""
    expires: float = math.inf
    """Unix seconds."""
    owned: bool = False
    """The namespaces are the subjects' own: who is admin there may give roles there."""


_encode = msgspec.json.Encoder(order="sorted").encode
_Parts = TypeVar("_Parts", bound=tuple[Hashable, ...])


@lru_cache(maxsize=16_384)
def _same(parts: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    return parts


def _shared(parts: _Parts) -> _Parts:
    """The same tuple for all that are equal: of fifty thousand grants few are for other people, clusters or roles than others."""
    return cast(_Parts, _same(parts))


@lru_cache(maxsize=4096)
def keys_of(caller: Caller) -> tuple[str, ...]:
    """The keys of all subjects that a caller is."""
    return ("u" + caller.user, *("g" + group for group in caller.groups))


def key_of(subject: Subject | WorkspaceMember) -> str:
    """The key of a subject; empty for a kind that is not known."""
    if subject.kind == "User":
        return "" if subject.name.startswith(SERVICE_ACCOUNT) else "u" + subject.name
    if subject.kind == "ServiceAccount":
        return "u" + SERVICE_ACCOUNT + subject.name
    return "g" + subject.name if subject.kind == "Group" else ""


@lru_cache(maxsize=4096)
def role_scope(role: str, namespace: str = "") -> Scope:
    """The scope of one of ROLES."""
    return Scope(namespaced_group(namespace, role) if namespace else PREFIX + role, namespace, role)


@lru_cache(maxsize=4096)
def group_scope(group: str, namespace: str = "") -> Scope:
    """The scope of a group of the members' own."""
    return Scope(PREFIX + group, namespace)


def usable_group(group: str) -> bool:
    """True if a grant may name it: no group that Skerry's own bindings are for, in any case."""
    return ":" not in group and group.casefold() not in _RESERVED_GROUPS


def of_grant(grant: AccessGrant, name: str = "") -> Holding | None:
    """What an AccessGrant gives: nothing by a name that it is not bound to. `name` is its own, of who has that text already."""
    spec = grant.spec
    subjects = _shared(_distinct(key_of(each) for each in spec.subjects))
    scopes = _shared(tuple(scopes_of(grant)))
    expires = ends_of(grant)
    if not subjects or not scopes or grant.metadata.deletion_timestamp is not UNSET:
        return None
    basis = Basis("AccessGrant", name or grant.metadata.name)
    if isinstance(spec.clusters.selector, LabelSelector):
        return Holding(basis, subjects, scopes, (), _encode(spec.clusters.selector), expires)
    bound = {each.name: each.uid for each in grant.status.clusters}
    clusters = tuple((name, bound[name]) for name in dict.fromkeys(spec.clusters.names) if bound.get(name))
    if spec.namespaces:
        clusters = tuple(each for each in clusters if each[0] != HOST)
    return Holding(basis, subjects, scopes, _shared(clusters), b"", expires) if clusters else None


def scopes_of(grant: AccessGrant) -> Iterator[Scope]:
    """The scopes of a grant, wherever it holds."""
    spec = grant.spec
    namespaces = tuple(dict.fromkeys(spec.namespaces)) or ("",)
    for namespace in namespaces:
        if spec.role is not UNSET:
            if spec.role in ROLES and not spec.groups:
                yield role_scope(spec.role, namespace)
        else:
            yield from (group_scope(group, namespace) for group in dict.fromkeys(spec.groups) if usable_group(group))


def on_host(holding: Holding) -> Holding:
    """What it gives there: a role that the host does not have reads."""
    view = role_scope(HOST_ROLES[0])
    scopes = tuple(
        dict.fromkeys(view if each.role and each.role not in HOST_ROLES else each for each in holding.scopes)
    )
    return holding if scopes == holding.scopes else msgspec.structs.replace(holding, scopes=scopes)


def ends_of(grant: AccessGrant) -> float:
    """Unix seconds at which a grant ends: inf for none, -inf for a time that cannot be read."""
    if grant.spec.expires is UNSET:
        return math.inf
    try:
        return seconds(grant.spec.expires)
    except ValueError:
        return -math.inf


def of_workspace(workspace: Workspace) -> tuple[Holding, ...]:
    """What a Workspace gives its members: their role, in its own namespaces alone."""
    if workspace.metadata.deletion_timestamp is not UNSET:
        return ()
    wanted = {(each.cluster, each.name) for each in workspace.spec.namespaces}
    places: dict[tuple[str, str], list[str]] = {}
    for each in workspace.status.namespaces:
        if each.state == OWNED and each.uid and each.cluster != HOST and (each.cluster, each.name) in wanted:
            places.setdefault((each.cluster, each.uid), []).append(each.name)
    basis = Basis("Workspace", workspace.metadata.name)
    return tuple(
        Holding(basis, subjects, tuple(role_scope(role, name) for name in names), (cluster,), owned=True)
        for role, subjects in by_role(workspace.spec.members).items()
        for cluster, names in places.items()
    )


def by_role(members: Iterable[WorkspaceMember]) -> dict[str, tuple[str, ...]]:
    """Keys of subjects by role: one that is named twice has both. A role that no workspace has counts for nothing."""
    roles: dict[str, list[str]] = {}
    for member in members:
        if member.role in ROLES[:3]:
            roles.setdefault(member.role, []).append(key_of(member))
    return {role: subjects for role, keys in roles.items() if (subjects := _distinct(keys))}


def _distinct(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for key in keys if key))
