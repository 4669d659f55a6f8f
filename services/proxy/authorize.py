"""Who may do what on the host itself: rights are data of each kind, held by groups, or by whom an object is tied to. Pure.

Requests to members are decided in skerry/access. A caller's groups here are the built-in ones of their credential, and
those that grants on the host give: cluster-admin there is the host's administrator, any other role reads, and
`groups: [auditor]` is the built-in group of that name. To which objects a caller is tied is worked out where the objects
are (hostapi/visible.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import NamedTuple

from services.proxy.routes import may, open_to, path_of
from skerry.access import Access, Allowed, Decision, Denied, Reach, barred, held
from skerry.access.decision import KUBERNETES
from skerry.access.holdings import Basis
from skerry.access.ties import within
from skerry.api.kinds import ALWAYS, CLUSTER_ADMIN, EVERYBODY, HOST_GROUPS, HOST_VIEW, SERVED, Kind, Tie
from skerry.api.messages import HOST, Caller
from skerry.api.names import POOL, PREFIX
from skerry.errors import Forbidden, StatusError


class HostRequest(NamedTuple):
    """A request to the host API itself. `resource` is empty for discovery and other non-resource paths."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    impersonates: bool = False
    path: str = ""
    """Of one that is about no resource."""


class HostRule(NamedTuple):
    """A right of a caller on the host, as RBAC writes rules: with resources of groups, or with paths. `*` is all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class KindRight(NamedTuple):
    """Who may do something: members of these groups with all objects, and with one to whom it is tied in one of these ways."""

    groups: tuple[str, ...] = ()
    ties: tuple[Tie, ...] = ()
    namespaced: bool = False
    """The objects lie in namespaces."""

    @property
    def placed(self) -> bool:
        """True if what a request names a namespace for is decided by that alone."""
        return self.namespaced and bool(self.ties) and all(tie.placed for tie in self.ties)

    def by(self, groups: Iterable[str]) -> list[str]:
        """Those of `groups` that may do it with all objects."""
        return [group for group in groups if group in self.groups]

    @property
    def everybodys(self) -> bool:
        """True if whoever is known may do it with all objects."""
        return EVERYBODY[0] in self.groups


class HostAccess:
    """Who may do what with each of `kinds`, as they declare it; CLUSTER_ADMIN may do everything, and is not asked for here.

    An action is let in by its own groups, whatever its kind lets do with objects.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds: dict[tuple[str, str, str], KindRight] = {}
        self._actions: dict[tuple[str, str, str, str], KindRight] = {}
        self._rules: list[tuple[HostRule, KindRight]] = []
        for kind in kinds:
            for access in kind.access:
                right = KindRight(access.groups, access.ties, kind.namespaced)
                self._rules.append((HostRule(access.verbs, (kind.group,), (kind.plural,)), right))
                for verb in access.verbs:
                    key = kind.group, kind.plural, verb
                    before = self._kinds.get(key, _NOBODY)
                    self._kinds[key] = KindRight(
                        (*before.groups, *right.groups), (*before.ties, *right.ties), kind.namespaced
                    )
            for action in kind.actions:
                right = KindRight(action.groups, action.ties, kind.namespaced)
                resource = f"{kind.plural}/{action.subresource}"
                self._rules.append((HostRule((action.verb,), (kind.group,), (resource,)), right))
                self._actions[kind.group, kind.plural, action.subresource, action.verb] = right

    def right(self, request: HostRequest) -> KindRight:
        """Who may make a request."""
        if request.subresource:
            action = self._actions.get((request.group, request.resource, request.subresource, request.verb))
            if action is not None:
                return action
        return self._kinds.get((request.group, request.resource, request.verb), _NOBODY)

    def rules(self, groups: Collection[str], tied: Callable[[KindRight], bool] = lambda right: True) -> list[HostRule]:
        """What everybody may with all, and who is `tied` so with what is theirs; then what these groups may."""
        common = [rule for rule, right in self._rules if right.everybodys or (right.ties and tied(right))]
        return [*common, *(rule for rule, right in self._rules if right.by(groups) and rule not in common)]


_NOBODY = KindRight()
_OF_ALL = ("list", "watch")
"""Verbs of requests to all namespaces at once: they show what is tied to the caller."""
_ACCESS = HostAccess(SERVED)


def host_groups(caller: Caller, access: Access, now: float) -> dict[str, Basis]:
    """The groups that count on the host, with what gives each: those of the credential, then those of grants on the host."""
    return _with_grants(caller, access.reach(caller, HOST, now))


@lru_cache(maxsize=4096)
def _own_groups(caller: Caller) -> dict[str, Basis]:
    own = (*held(caller), *(group for group in HOST_GROUPS if group in caller.groups))
    return {group: Basis("Group", group) for group in own}


def _with_grants(caller: Caller, reach: Reach) -> dict[str, Basis]:
    if not reach.holdings:
        return _own_groups(caller)
    groups = dict(_own_groups(caller))
    for holding in reach.holdings:
        for scope in holding.scopes:
            if scope.role:
                groups.setdefault(HOST_VIEW, holding.basis)
            if scope.group == CLUSTER_ADMIN or scope.group in HOST_GROUPS:
                groups.setdefault(scope.group, holding.basis)
    return groups


def decide_host(
    caller: Caller, request: HostRequest, access: Access, now: float, declared: HostAccess = _ACCESS
) -> Decision:
    """Decide whether `caller` may make `request` at a time in Unix seconds: with all objects, or with those that are tied to
    them. Total: every input has an answer, none raises.
    """
    if request.impersonates or not caller.user or caller.user.startswith(KUBERNETES):
        return barred(caller)
    reach = access.reach(caller, HOST, now)
    groups = _with_grants(caller, reach)
    if CLUSTER_ADMIN in groups:
        return Allowed(PREFIX + caller.user, (), (), (groups[CLUSTER_ADMIN],), (), reach.until)
    if not request.resource:
        return _of_path(caller, request, groups, reach)
    right = declared.right(request)
    by = right.by(groups)
    basis = tuple(dict.fromkeys(groups[group] for group in by))
    if by or right.everybodys:
        return Allowed(PREFIX + caller.user, (), (), basis, (), reach.until)
    if right.placed and (request.namespace or request.verb not in _OF_ALL):
        basis = _tied(caller, right, request.namespace, access, now)
        if not basis:
            return Denied(_host_forbidden(caller, request, right))
    elif not right.ties:
        return Denied(_host_forbidden(caller, request, right))
    return Allowed(PREFIX + caller.user, (), (), basis, (), reach.until, right.ties)


def _of_path(caller: Caller, request: HostRequest, groups: dict[str, Basis], reach: Reach) -> Decision:
    row = path_of(request.path.encode()) if request.path else None
    if row is None or not row.groups:
        return Allowed(PREFIX + caller.user, (), (), (), (), reach.until)
    if not may(row, groups):
        need = ", ".join((*row.groups, CLUSTER_ADMIN))
        return Denied(
            Forbidden(
                f'forbidden: User "{caller.user}" cannot {request.verb} path "{row.path}": it takes one of the groups {need}; ask '
                "an administrator of the host"
            )
        )
    basis = tuple(groups[group] for group in row.groups if group in groups)
    return Allowed(PREFIX + caller.user, (), (), basis, (), reach.until)


def _tied(caller: Caller, right: KindRight, namespace: str, access: Access, now: float) -> tuple[Basis, ...]:
    """What ties a caller to all that lies in a namespace. Nothing ties anybody to all namespaces."""
    if not namespace:
        return ()
    bases = (within(tie, caller, namespace, access, now) for tie in right.ties)
    return tuple(dict.fromkeys(basis for basis in bases if basis is not None))


def rules(
    caller: Caller, namespace: str, access: Access, now: float, declared: HostAccess = _ACCESS
) -> tuple[HostRule, ...]:
    """Everything that `decide_host` allows this caller in a namespace, for a SelfSubjectRulesReview; an empty one is all."""
    groups = host_groups(caller, access, now)
    paths = HostRule(("get",), paths=open_to(groups))

    def tied(right: KindRight) -> bool:
        return not right.placed or bool(_tied(caller, right, namespace, access, now))

    if CLUSTER_ADMIN in groups:
        return (*declared.rules(()), HostRule(("*",), ("*",), ("*",)), paths)
    return (*declared.rules(groups, tied), paths)


def _host_forbidden(caller: Caller, request: HostRequest, right: KindRight) -> StatusError:
    """Worded as the API server words it, with what is missing after it."""
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    qualified = f"{request.resource}.{request.group}" if request.group else request.resource
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    subject = f'{qualified} "{request.name}"' if request.name else qualified
    return Forbidden(
        f'{subject} is forbidden: User "{caller.user}" cannot {request.verb} resource "{resource}" in API group '
        f'"{request.group}" {where}: it takes {_missing(request.namespace, right)}',
        kind=request.resource,
        group=request.group,
        name=request.name,
    )


def _missing(namespace: str, right: KindRight) -> str:
    """What a right takes, and whom to ask for it."""
    need = tuple(group for group in dict.fromkeys((*right.groups, CLUSTER_ADMIN)) if group != HOST_VIEW)
    groups = f"{'one of the groups' if len(need) > 1 else 'the group'} {', '.join(need)}"
    roles = tuple(dict.fromkeys(role for tie in right.ties if tie.by == "workspace" for role in tie.roles))
    whom = "an administrator of the host"
    if right.placed and namespace == POOL and any(tie.by == "pool" for tie in right.ties):
        return f"a grant on any cluster, a role in any workspace, or {groups}; ask {whom}"
    if right.placed and roles and namespace not in ("", *ALWAYS):
        role = f"the role {' or '.join(roles)} in workspace {namespace}"
        return f"{role}, or {groups}; ask an admin of the workspace, or {whom}"
    return f"{groups}; ask {whom}"
