"""Who may give what: the check of every write of AccessGrants and Workspaces, so that nobody gives what they do not have. Pure.

A grant is written by who holds, wherever it gives something before or after the write, the role in the whole cluster (at
least admin), or is admin of the workspace that has the namespace. Selectors, groups of the members' own and rights on the host
are host administrators' alone. A workspace is its admins' as to its members, and as to namespaces under its own name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from msgspec import UNSET

from skerry.access.compiled import Access
from skerry.access.holdings import Holding, Scope, ends_of, key_of, keys_of
from skerry.api.grants import AccessGrant, Workspace, WorkspaceNamespace
from skerry.api.kinds.access import BUILT_IN, CLUSTER_ADMIN, ROLES
from skerry.api.messages import HOST, Caller
from skerry.api.names import PREFIX, SERVICE_ACCOUNT
from skerry.api.times import rfc3339

GIVERS = 10
"""Subjects that are named at most."""
CANDIDATES = 500
"""Subjects that are looked at for these, at most."""
TOLD = 3
"""Places that a refusal names at most."""
_ADMIN = ROLES.index("admin")
_HOST_ADMINISTRATOR = "an administrator of the host"


class Writer(NamedTuple):
    """Who writes."""

    caller: Caller
    ends: float = math.inf
    """Unix seconds: until when the caller has those of the built-in groups that are among theirs."""


class Refusal(NamedTuple):
    """Why somebody may not write something, for people."""

    missing: str
    """What it takes."""
    held: str = ""
    """What there is of it."""

    def __str__(self) -> str:
        return f"it takes {self.missing}; held there: {self.held or 'nothing'}"


def administers_host(writer: Writer, access: Access, now: float) -> float:
    """Unix seconds until which somebody is an administrator of the host; -inf for others. Who is by a built-in group, is until
    the group is taken back: they can have a credential for longer at any time.
    """
    if CLUSTER_ADMIN in writer.caller.groups:
        return math.inf
    holdings = access.reach(writer.caller, HOST, now).holdings
    return max(
        (each.expires for each in holdings if any(scope.role == ROLES[-1] for scope in each.scopes)), default=-math.inf
    )


# Grants


def grant_refusal(
    writer: Writer, old: AccessGrant | None, new: AccessGrant | None, access: Access, now: float
) -> Refusal | None:
    """Why `writer` may not make `new` of `old` at a time in Unix seconds (None: there is none); None if they may."""
    ends = -math.inf if new is None else ends_of(new)
    until = administers_host(writer, access, now)
    if until < now:
        for grant, least in ((old, now), (new, ends)):
            refusal = None if grant is None else _giving_refusal(writer, grant, least, access, now)
            if refusal is not None:
                return refusal
        return None
    return None if ends <= until else too_long(until)


def _giving_refusal(writer: Writer, grant: AccessGrant, least: float, access: Access, now: float) -> Refusal | None:
    """Why `writer` could not give, until `least` at the least, what a grant gives."""
    spec = grant.spec
    if spec.clusters.selector is not UNSET or not spec.clusters.names:
        return Refusal(f"{_HOST_ADMINISTRATOR}: the grant names no clusters")
    if spec.role is UNSET or spec.role not in ROLES or spec.groups:
        return Refusal(f"{_HOST_ADMINISTRATOR}: the grant gives groups of the members' own")
    if HOST in spec.clusters.names:
        return Refusal(f"{_HOST_ADMINISTRATOR}: the grant gives rights on the host")
    places = [(cluster, namespace) for cluster in dict.fromkeys(spec.clusters.names) for namespace in _parts(grant)]
    giving = {cluster: _Giving(writer, cluster, spec.role, access, now) for cluster, _ in places}
    missing = [place for place in places if giving[place[0]].until(place[1]) < now]
    if missing:
        return Refusal(_needed(missing, spec.role), _held(writer, missing, access, now))
    until = min(giving[cluster].until(namespace) for cluster, namespace in places)
    return too_long(until) if until < least else None


def _parts(grant: AccessGrant) -> tuple[str, ...]:
    return tuple(dict.fromkeys(grant.spec.namespaces)) or ("",)


def too_long(until: float, then: str = "set spec.expires") -> Refusal:
    """Of what gives something for longer than its writer has it, until a time in Unix seconds; `then` is what to do."""
    if until == -math.inf:
        return Refusal(_HOST_ADMINISTRATOR)
    return Refusal(f"an end that is not after {rfc3339(until)}: {then}", f"what is given, until {rfc3339(until)}")


class _Giving:
    """Until when somebody may give a role on a cluster: in the whole of it, and in namespaces of their workspaces."""

    def __init__(self, writer: Writer, cluster: str, role: str, access: Access, now: float) -> None:
        reach, rank = access.reach(writer.caller, cluster, now), ROLES.index(role)
        built_in = max((BUILT_IN.index(group) for group in reach.built_in), default=-1)
        self._whole = writer.ends if built_in >= max(rank, _ADMIN) else -math.inf
        self._namespaces: dict[str, float] = {}
        for holding in reach.holdings:
            for scope in holding.scopes:
                if _gives(scope, holding, rank) and not scope.namespace:
                    self._whole = max(self._whole, holding.expires)
                elif _gives(scope, holding, rank):
                    self._namespaces[scope.namespace] = holding.expires

    def until(self, namespace: str) -> float:
        """Unix seconds; -inf: they may not."""
        return max(self._whole, self._namespaces.get(namespace, -math.inf))


def _gives(scope: Scope, holding: Holding, rank: int) -> bool:
    """True if who has a scope of a holding may give the role of this rank where it holds."""
    if not scope.role or ROLES.index(scope.role) < max(rank, _ADMIN):
        return False
    return not scope.namespace or holding.owned


def _needed(places: list[tuple[str, str]], role: str) -> str:
    """What it takes to give a role there."""
    strong = role if ROLES.index(role) > _ADMIN else "admin"
    targets = [_place(*place) for place in places]
    more = f" and {len(targets) - TOLD} more" if len(targets) > TOLD else ""
    clusters = _listed(dict.fromkeys(cluster for cluster, _ in places))
    text = f"{strong} in the whole of {clusters}"
    if strong == "admin" and all(namespace for _, namespace in places):
        text += ", or of the workspace that has the namespace,"
    return f"{text} to give {role} in {', '.join(targets[:TOLD])}{more}"


def _place(cluster: str, namespace: str) -> str:
    return f"{namespace} on {cluster}" if namespace else f"the whole of {cluster}"


def _listed(names: Iterable[str]) -> str:
    distinct = list(names)
    return ", ".join(distinct[:TOLD]) + (f" and {len(distinct) - TOLD} more" if len(distinct) > TOLD else "")


def _held(writer: Writer, places: list[tuple[str, str]], access: Access, now: float) -> str:
    """What `writer` has in these places, the first of them."""
    parts: dict[str, None] = {}
    for cluster, namespace in places[:TOLD]:
        reach = access.reach(writer.caller, cluster, now)
        parts |= dict.fromkeys(f"group {group}" for group in reach.built_in)
        for holding in reach.holdings:
            for scope in holding.scopes:
                if scope.namespace in ("", namespace):
                    what = scope.role or f"group {scope.group.removeprefix(PREFIX)}"
                    parts[f"{what} in {_place(cluster, scope.namespace)} ({holding.basis})"] = None
    return _listed(parts)


def givers(grant: AccessGrant, access: Access, now: float, writers: Iterable[Writer] = ()) -> tuple[str, ...]:
    """Who could give what a grant gives, at most GIVERS: users by name, others with their kind in front.

    `writers` are people that are known otherwise, as those whom credentials are for: of them are those who hold by a
    built-in group.
    """
    named: dict[str, None] = {}
    for writer, name in (*((each, each.caller.user) for each in writers), *_subjects(grant, access, now)):
        if len(named) == GIVERS:
            break
        if name not in named and grant_refusal(writer, None, grant, access, now) is None:
            named[name] = None
    return tuple(named)


def _subjects(grant: AccessGrant, access: Access, now: float) -> Iterator[tuple[Writer, str]]:
    """Those who hold enough on the first of a grant's clusters, or on the host, one by one, and their names."""
    keys: dict[str, None] = {}
    for cluster in (*grant.spec.clusters.names[:1], HOST):
        for holding in access.holdings(cluster, now):
            if any(_gives(scope, holding, _ADMIN) for scope in holding.scopes):
                keys |= dict.fromkeys(holding.subjects)
    for key in sorted(islice(keys, CANDIDATES), key=lambda key: (key[0] != "u", key)):
        yield Writer(_alone(key)), _name(key)


def _alone(key: str) -> Caller:
    """A caller who is this subject and no other."""
    return Caller(user=key[1:]) if key[0] == "u" else Caller(user="", groups=(key[1:],))


def _name(key: str) -> str:
    if key[0] == "g":
        return f"group {key[1:]}"
    account = key[1:].removeprefix(SERVICE_ACCOUNT)
    return account if account == key[1:] else f"service account {account}"


# Workspaces


def workspace_refusal(
    writer: Writer, old: Workspace | None, new: Workspace | None, access: Access, now: float
) -> Refusal | None:
    """Why `writer` may not make `new` of `old` at a time in Unix seconds (None: there is none); None if they may."""
    until = administers_host(writer, access, now)
    if until == math.inf or (until >= now and not _gives_more(old, new)):
        return None
    refusal = _by_its_admins(writer, old, new, access)
    if refusal is not None and until >= now:
        return too_long(until, "a workspace has none; ask one who administers the host without an end")
    return refusal


def _by_its_admins(writer: Writer, old: Workspace | None, new: Workspace | None, access: Access) -> Refusal | None:
    if old is None or new is None:
        return Refusal(f"{_HOST_ADMINISTRATOR} to {'make' if old is None else 'delete'} a workspace")
    if not administers(writer.caller, old):
        roles = [each.role for each in old.spec.members if key_of(each) in keys_of(writer.caller)]
        return Refusal(f"an admin of the workspace, or {_HOST_ADMINISTRATOR}", ", ".join(dict.fromkeys(roles)))
    beyond = next(_beyond(old, new, access), "")
    return Refusal(f"{_HOST_ADMINISTRATOR} {beyond}", "admin of the workspace") if beyond else None


def _gives_more(old: Workspace | None, new: Workspace | None) -> bool:
    """True if somebody may have something by `new` that they have not by `old`."""
    if old is None or new is None:
        return new is not None
    before = {key_of(each): ROLES.index(each.role) for each in old.spec.members if each.role in ROLES}
    members = any(
        each.role not in ROLES or ROLES.index(each.role) > before.get(key_of(each), -1) for each in new.spec.members
    )
    more = any(each not in old.spec.namespaces for each in new.spec.namespaces)
    return members or more or new.spec.clusters != old.spec.clusters


def administers(caller: Caller, workspace: Workspace) -> bool:
    """True of an admin of a workspace that stays."""
    keys = keys_of(caller)
    stays = workspace.metadata.deletion_timestamp is UNSET
    return stays and any(each.role == "admin" and key_of(each) in keys for each in workspace.spec.members)


def _beyond(old: Workspace, new: Workspace, access: Access) -> Iterator[str]:
    """What of a change is not for a workspace's admins."""
    if new.spec.clusters != old.spec.clusters:
        yield "to change its clusters"
    if (new.metadata.finalizers, new.metadata.owner_references) != (
        old.metadata.finalizers,
        old.metadata.owner_references,
    ):
        yield "to change its finalizers and owners"
    if not any(each.role == "admin" for each in new.spec.members):
        yield "to take away its last admin: name another one first"
    if any(each.role not in ROLES[: _ADMIN + 1] for each in new.spec.members):
        yield "to give a role that is no workspace's"
    before, after = _by_place(old), _by_place(new)
    for place in before.keys() | after.keys():
        entries = [each for each in (before.get(place), after.get(place)) if each is not None]
        if before.get(place) != after.get(place) and not all(_is_own(each, old, access) for each in entries):
            yield f"for namespace {place[1]} on {place[0]}: the workspace's own are called {_own_names(old)}, and not adopted"


def _by_place(workspace: Workspace) -> dict[tuple[str, str], WorkspaceNamespace]:
    return {(each.cluster, each.name): each for each in workspace.spec.namespaces}


def _is_own(namespace: WorkspaceNamespace, workspace: Workspace, access: Access) -> bool:
    """True of a namespace that a workspace's admins may add, change and leave out."""
    name = workspace.metadata.name
    by_name = namespace.name == name or namespace.name.startswith(f"{name}-")
    return by_name and not namespace.adopt and access.is_among(workspace.spec.clusters, namespace.cluster)


def _own_names(workspace: Workspace) -> str:
    return f"{workspace.metadata.name} or {workspace.metadata.name}-… on its clusters"
