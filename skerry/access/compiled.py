"""Access: grants, workspaces and clusters as one table that decisions are read from, kept in step as they change. Pure.

Made in steps it is what it would be if it were made at once, whatever the order: a property test says so. What a caller
has on a member is worked out once and kept until something that it rests on may have changed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from msgspec import UnsetType

from skerry.access.holdings import Basis, Holding, Scope, keys_of, of_grant, of_workspace, on_host, role_scope
from skerry.access.members import Members
from skerry.access.selection import Test, selects
from skerry.api.decode import decoder
from skerry.api.grants import AccessGrant, ClusterSelection, LabelSelector, Workspace
from skerry.api.kinds.access import BUILT_IN, CLUSTER_ADMIN, ROLES
from skerry.api.messages import HOST, Caller

MOST_GROUPS = 60
"""Groups that are asserted at most, roles first: members refuse an identity with more than 64."""
KEPT = 20_000
"""Callers' reaches that are remembered."""
_ROLE_SCOPES = {group: role_scope(role) for group, role in zip(BUILT_IN, ROLES, strict=True)}
_GROUP_BASES = {group: Basis("Group", group) for group in BUILT_IN}
_selector = decoder(LabelSelector)

BoundName: TypeAlias = tuple[str, str]
"""Name of a cluster, and the UID that it has to have."""


class Touched(NamedTuple):
    """What a change may have changed: the access of these subjects, and that of everybody on these clusters."""

    subjects: frozenset[str] = frozenset()
    clusters: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    """Clusters whose `scopes` may be others."""


NOTHING = Touched()


class Reach:
    """All that a caller has on one cluster, as of one time."""

    __slots__ = ("answers", "built_in", "holdings", "until")

    def __init__(self, built_in: tuple[str, ...], holdings: tuple[Holding, ...]) -> None:
        self.built_in = built_in
        """Those of the caller's groups that are roles on all clusters."""
        self.holdings = holdings
        """What grants and workspaces give."""
        self.until = math.inf if not holdings else min([each.expires for each in holdings])
        """Unix seconds: from then on it is less."""
        self.answers: dict[tuple[str, bool], Any] = {}
        """For whoever decides by it: what was decided already."""

    @property
    def nothing(self) -> bool:
        """True if there is nothing."""
        return not self.built_in and not self.holdings

    @property
    def scopes(self) -> set[Scope]:
        """All of them."""
        every_scope = {scope for holding in self.holdings for scope in holding.scopes}
        return every_scope.union(_ROLE_SCOPES[group] for group in self.built_in)

    @property
    def whole(self) -> tuple[str, ...]:
        """Groups that hold in the whole cluster, weakest role first."""
        return self.groups("")

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those that some scope is for, in order."""
        return tuple(sorted({scope.namespace for scope in self.scopes if scope.namespace}))

    def groups(self, namespace: str) -> tuple[str, ...]:
        """The groups to assert for a request that names this namespace; none is named by an empty one."""
        return self.given(namespace)[0]

    def given(self, namespace: str) -> tuple[tuple[str, ...], tuple[Basis, ...]]:
        """These groups, and what gives them."""
        scopes = {group: _ROLE_SCOPES[group] for group in self.built_in}
        bases = [_GROUP_BASES[group] for group in self.built_in]
        for holding in self.holdings:
            gives = False
            for scope in holding.scopes:
                if not scope.namespace or scope.namespace == namespace:
                    scopes[scope.group] = scope
                    gives = True
            if gives:
                bases.append(holding.basis)
        groups = tuple(scopes) if len(scopes) < 2 else tuple(sorted(scopes, key=lambda group: _rank(scopes[group])))
        return groups[:MOST_GROUPS], tuple(bases) if len(bases) < 2 else tuple(dict.fromkeys(bases))


def _rank(scope: Scope) -> tuple[bool, bool, int, str]:
    """The order of groups: whole roles from the weakest, then those of the namespace, then members' own, wherever they hold."""
    role = scope.role
    return not role, bool(role and scope.namespace), ROLES.index(role) if role else 0, scope.group


class _Cluster(NamedTuple):
    uid: str
    labels: Mapping[str, str]


class _Selected:
    """A selector, and the clusters that it selects now."""

    __slots__ = ("clusters", "holdings", "matches")

    def __init__(self, matches: Test) -> None:
        self.matches = matches
        self.clusters: set[str] = set()
        self.holdings: dict[int, Holding] = {}
        """Those that have it, by identity."""


class _Held:
    """The holdings of one subject: by cluster, and by selector."""

    __slots__ = ("named", "selecting")

    def __init__(self) -> None:
        self.named: dict[BoundName, tuple[Holding, ...]] = {}
        self.selecting: tuple[Holding, ...] = ()


class Access:
    """See the module. Times are Unix seconds."""

    def __init__(self) -> None:
        self._clusters: dict[str, _Cluster] = {}
        self._grants: dict[str, Holding] = {}
        self._workspaces: dict[str, tuple[Holding, ...]] = {}
        self._held: dict[str, _Held] = {}
        self._selected: dict[bytes, _Selected] = {}
        self._named: dict[BoundName, list[Holding]] = {}
        """Lists, because a table of each cluster's would be a twentieth of what all takes; to leave one is to look through it."""
        self._reaches: dict[tuple[Caller, str], Reach] = {}
        self.members = Members()
        self.version = 0
        """Another one after each change."""

    # Changes

    def cluster(self, name: str, uid: str = "", labels: Mapping[str, str] | None = None) -> Touched:
        """The Cluster object of this name is now this one; without a UID there is none, or it leaves."""
        before, after = self._clusters.get(name), _Cluster(uid, labels or {}) if uid else None
        if before == after:
            return NOTHING
        if after is None:
            self._clusters.pop(name, None)
        else:
            self._clusters[name] = after
        self.version += 1
        for selected in self._selected.values():
            _place(selected, name, after)
        self._reaches.clear()
        return Touched(clusters=frozenset((name,)), scopes=frozenset((name,)))

    def grant(self, name: str, grant: AccessGrant | None) -> Touched:
        """The AccessGrant of this name is now this one; None: there is none."""
        before, after = self._grants.get(name), None if grant is None else of_grant(grant, name)
        if before == after:
            return NOTHING
        if after is None:
            del self._grants[name]
        else:
            self._grants[name] = after
        return self._replace(_some(before), _some(after))

    def workspace(self, name: str, workspace: Workspace | None) -> Touched:
        """The Workspace of this name is now this one; None: there is none."""
        members = self.members.put(name, () if workspace is None else workspace.spec.members)
        self.version += bool(members)
        before, after = self._workspaces.get(name, ()), () if workspace is None else of_workspace(workspace)
        touched = NOTHING
        if before != after:  # what is equal stays as it is: holdings leave by identity
            self._workspaces.pop(name, None)
            if after:
                self._workspaces[name] = after
            touched = self._replace(before, after)
        return touched._replace(subjects=touched.subjects | members) if members else touched

    def _replace(self, before: tuple[Holding, ...], after: tuple[Holding, ...]) -> Touched:
        """Those of one object are others now."""
        self.version += 1
        for holding in after:
            self._enter(holding)
        scopes = {name for holding in (*before, *after) for name in self._places(holding)}
        for holding in before:
            self._leave(holding)
        self._reaches.clear()
        subjects = {subject for holding in (*before, *after) for subject in holding.subjects}
        return Touched(frozenset(subjects), scopes=frozenset(scopes))

    def _places(self, holding: Holding) -> Iterable[str]:
        """Names of the clusters that it is for."""
        return self._selected[holding.selector].clusters if holding.selector else [name for name, _ in holding.clusters]

    def _enter(self, holding: Holding) -> None:
        if holding.selector:
            self._select(holding.selector).holdings[id(holding)] = holding
        for cluster in holding.clusters:
            self._named.setdefault(cluster, []).append(holding)
        for subject in holding.subjects:
            held = self._held.setdefault(subject, _Held())
            if holding.selector:
                held.selecting = (*held.selecting, holding)
            for cluster in holding.clusters:
                held.named[cluster] = (*held.named.get(cluster, ()), holding)

    def _select(self, selector: bytes) -> _Selected:
        selected = self._selected.get(selector)
        if selected is None:
            selected = self._selected[selector] = _Selected(selects(_selector(selector)))
            for name, cluster in self._clusters.items():
                _place(selected, name, cluster)
        return selected

    def _leave(self, holding: Holding) -> None:
        for subject in holding.subjects:
            held = self._held[subject]
            held.selecting = _without(held.selecting, holding)
            for cluster in holding.clusters:
                left = _without(held.named[cluster], holding)
                if left:
                    held.named[cluster] = left
                else:
                    del held.named[cluster]
            if not held.named and not held.selecting:
                del self._held[subject]
        if holding.selector:
            selected = self._selected[holding.selector]
            del selected.holdings[id(holding)]
            if not selected.holdings:
                del self._selected[holding.selector]
        for cluster in holding.clusters:
            there = self._named[cluster]
            del there[next(number for number, each in enumerate(there) if each is holding)]
            if not there:
                del self._named[cluster]

    # Questions

    def exists(self, cluster: str) -> bool:
        """True if there is such a Cluster, and it stays."""
        return cluster in self._clusters

    def reach(self, caller: Caller, cluster: str, now: float) -> Reach:
        """What `caller` has on a cluster; nothing on one that does not exist."""
        key = caller, cluster
        reach = self._reaches.get(key)
        if reach is None or reach.until <= now:
            if len(self._reaches) >= KEPT:
                self._reaches.clear()
            reach = self._reaches[key] = self._reached(caller, cluster, now)
        return reach

    def _reached(self, caller: Caller, cluster: str, now: float) -> Reach:
        there = self._clusters.get(cluster)
        if there is None:
            return Reach((), ())
        built_in: tuple[str, ...] = ()
        if not _ROLE_SCOPES.keys().isdisjoint(caller.groups):
            among = BUILT_IN if cluster != HOST else (CLUSTER_ADMIN,)
            built_in = tuple([group for group in among if group in caller.groups])
        holdings: list[Holding] = []
        held_by, bound = self._held, (cluster, there.uid)
        for subject in keys_of(caller):
            held = held_by.get(subject)
            if held is None:
                continue
            holdings += [each for each in held.named.get(bound, ()) if each.expires > now]
            if held.selecting:
                selected = self._selected
                holdings += [
                    each
                    for each in held.selecting
                    if each.expires > now and cluster in selected[each.selector].clusters
                ]
        return Reach(built_in, tuple(holdings if cluster != HOST else map(on_host, holdings)))

    def clusters(self, caller: Caller, now: float) -> Iterator[str]:
        """The clusters on which `caller` has anything, the host among them, each once."""
        if any(group in _ROLE_SCOPES for group in caller.groups):
            yield from self._clusters
        else:
            yield from self.granted(caller, now)

    def granted(self, caller: Caller, now: float) -> Iterator[str]:
        """The clusters on which a grant or workspace gives `caller` something, each once."""
        seen: set[str] = set()
        for subject in keys_of(caller):
            held = self._held.get(subject)
            if held is None:
                continue
            for name in (*(name for name, _ in held.named), *self._selecting(held, now)):
                if name not in seen and self.reach(caller, name, now).holdings:
                    seen.add(name)
                    yield name

    def ended(self, caller: Caller, now: float) -> float:
        """Unix seconds: when the last of what grants gave `caller`, and that is over, ended; -inf if there is none."""
        held = [self._held[subject] for subject in keys_of(caller) if subject in self._held]
        named = (each for part in held for there in part.named.values() for each in there)
        holdings = itertools.chain(named, (each for part in held for each in part.selecting))
        return max((each.expires for each in holdings if each.expires <= now), default=-math.inf)

    def _selecting(self, held: _Held, now: float) -> Iterator[str]:
        for holding in held.selecting:
            if holding.expires > now:
                yield from self._selected[holding.selector].clusters

    def scopes(self, cluster: str, now: float) -> dict[Scope, tuple[Basis, ...]]:
        """What anybody has on a cluster, and what gives it: the bindings that it needs."""
        scopes: dict[Scope, dict[Basis, None]] = {}
        for holding in self.holdings(cluster, now):
            for scope in holding.scopes:
                scopes.setdefault(scope, {})[holding.basis] = None
        return {scope: tuple(sorted(bases)) for scope, bases in scopes.items()}

    def ends(self, cluster: str, now: float) -> float:
        """Unix seconds: when the scopes of a cluster are fewer, if nothing changes."""
        return min([each.expires for each in self.holdings(cluster, now)], default=math.inf)

    def holdings(self, cluster: str, now: float) -> Iterator[Holding]:
        """All that holds on a cluster."""
        there = self._clusters.get(cluster)
        for holding in () if there is None else self._on(cluster, there.uid):
            if holding.expires > now:
                yield holding

    def _on(self, cluster: str, uid: str) -> Iterator[Holding]:
        yield from self._named.get((cluster, uid), ())
        for selected in self._selected.values():
            if cluster in selected.clusters:
                yield from selected.holdings.values()

    def is_among(self, selection: ClusterSelection | UnsetType, cluster: str) -> bool:
        """True if a selection has a cluster: by name, whether it exists or not, or by its labels now."""
        if isinstance(selection, UnsetType):
            return False
        if isinstance(selection.selector, UnsetType):
            return cluster in selection.names
        there = self._clusters.get(cluster)
        return there is not None and cluster != HOST and selects(selection.selector)(there.labels)

    def selected(self, grant: str) -> tuple[str, ...]:
        """The clusters that the selector of an AccessGrant selects now, in order."""
        holding = self._grants.get(grant)
        return tuple(sorted(self._selected[holding.selector].clusters)) if holding and holding.selector else ()


def _some(holding: Holding | None) -> tuple[Holding, ...]:
    return () if holding is None else (holding,)


def _without(holdings: tuple[Holding, ...], holding: Holding) -> tuple[Holding, ...]:
    return tuple(each for each in holdings if each is not holding)


def _place(selected: _Selected, name: str, cluster: _Cluster | None) -> None:
    """Selectors never select the host: rights there are given by name."""
    if cluster is not None and name != HOST and selected.matches(cluster.labels):
        selected.clusters.add(name)
    else:
        selected.clusters.discard(name)
