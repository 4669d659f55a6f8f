"""Who may do what on the host itself: rights are data of each kind, held by groups. Pure.

Requests to members are decided in skerry/access. A caller's groups here are the built-in ones of their credential, and
those that grants on the host give: cluster-admin there is the host's administrator, any other role reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from services.proxy.routes import open_to_all
from skerry.access import Access, Allowed, Decision, Denied, barred, held
from skerry.access.decision import KUBERNETES
from skerry.api.kinds import CLUSTER_ADMIN, EVERYBODY, HOST_VIEW, SERVED, Kind
from skerry.api.messages import HOST, Caller
from skerry.api.names import PREFIX
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


class HostRule(NamedTuple):
    """A right of a caller on the host, as RBAC writes rules: with resources of groups, or with paths. `*` is all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class HostAccess:
    """Who may do what with each of `kinds`, as they declare it; CLUSTER_ADMIN may do everything, and is not asked for here.

    An action is let in by its own groups, whatever its kind lets do with objects.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds: dict[tuple[str, str, str], tuple[str, ...]] = {}
        self._actions: dict[tuple[str, str, str, str], tuple[str, ...]] = {}
        self._rules: list[tuple[HostRule, tuple[str, ...]]] = []
        for kind in kinds:
            for access in kind.access:
                self._rules.append((HostRule(access.verbs, (kind.group,), (kind.plural,)), access.groups))
                for verb in access.verbs:
                    key = kind.group, kind.plural, verb
                    self._kinds[key] = (*self._kinds.get(key, ()), *access.groups)
            for action in kind.actions:
                resource = f"{kind.plural}/{action.subresource}"
                self._rules.append((HostRule((action.verb,), (kind.group,), (resource,)), action.groups))
                self._actions[kind.group, kind.plural, action.subresource, action.verb] = action.groups

    def groups(self, request: HostRequest) -> tuple[str, ...]:
        """One of these is needed; none is enough if there are none."""
        if request.subresource:
            action = self._actions.get((request.group, request.resource, request.subresource, request.verb))
            if action is not None:
                return action
        return self._kinds.get((request.group, request.resource, request.verb), ())

    def rules(self, groups: Collection[str]) -> list[HostRule]:
        """The rules for everybody, then those for these groups."""
        own = [rule for rule, needs in self._rules if needs != EVERYBODY and _in_one_of(groups, needs)]
        return [*(rule for rule, needs in self._rules if needs == EVERYBODY), *own]


_ACCESS = HostAccess(SERVED)


def _in_one_of(groups: Collection[str], needs: tuple[str, ...]) -> bool:
    return needs == EVERYBODY or any(group in needs for group in groups)


def host_groups(caller: Caller, access: Access, now: float) -> tuple[str, ...]:
    """The groups that count on the host."""
    roles = {
        scope.role for holding in access.reach(caller, HOST, now).holdings for scope in holding.scopes if scope.role
    }
    if not roles:
        return held(caller)
    administrator = (CLUSTER_ADMIN,) if CLUSTER_ADMIN.removeprefix(PREFIX) in roles else ()
    return tuple(dict.fromkeys((*held(caller), HOST_VIEW, *administrator)))


def decide_host(caller: Caller, request: HostRequest, access: Access, now: float) -> Decision:
    """Decide whether `caller` may make `request` at a time in Unix seconds. Total: every input has an answer, none raises."""
    if request.impersonates or not caller.user or caller.user.startswith(KUBERNETES):
        return barred(caller)
    groups = host_groups(caller, access, now)
    if not request.resource or CLUSTER_ADMIN in groups or _in_one_of(groups, _ACCESS.groups(request)):
        return Allowed(PREFIX + caller.user, held(caller), until=access.reach(caller, HOST, now).until)
    need = tuple(group for group in dict.fromkeys((*_ACCESS.groups(request), CLUSTER_ADMIN)) if group != HOST_VIEW)
    return Denied(_host_forbidden(caller, request, need))


def rules(caller: Caller, access: Access, now: float) -> tuple[HostRule, ...]:
    """Everything that `decide_host` allows this caller, for a SelfSubjectRulesReview."""
    paths, groups = HostRule(("get",), paths=open_to_all()), host_groups(caller, access, now)
    if CLUSTER_ADMIN in groups:
        return (*_ACCESS.rules(()), HostRule(("*",), ("*",), ("*",)), paths)
    return (*_ACCESS.rules(groups), paths)


def _host_forbidden(caller: Caller, request: HostRequest, need: tuple[str, ...]) -> StatusError:
    """Worded as the API server words it, with what is missing after it."""
    resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    qualified = f"{request.resource}.{request.group}" if request.group else request.resource
    where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
    subject = f'{qualified} "{request.name}"' if request.name else qualified
    return Forbidden(
        f'{subject} is forbidden: User "{caller.user}" cannot {request.verb} resource "{resource}" in API group '
        f'"{request.group}" {where}: it takes {"one of the groups" if len(need) > 1 else "the group"} '
        f"{', '.join(need)}; ask an administrator of the host",
        kind=request.resource,
        group=request.group,
        name=request.name,
    )
