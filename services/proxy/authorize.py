"""Who may do what: one pure function for member traffic and the host API alike.

Until grants exist, the built-in groups `skerry:view|edit|admin|cluster-admin` hold on all members, and the member's
own RBAC decides in the end: the proxy names a user and groups to impersonate, never a verdict about an object. A
caller without any of them gets the same 403 for every cluster name, existing or not, so that names cannot be guessed.
Nothing here awaits, reads a clock or knows a store: `decide` is re-run for live streams whenever its inputs change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from services.proxy.routes import open_to_all
from skerry.api.kinds import BUILT_IN, CLUSTER_ADMIN, EVERYBODY, SERVED, Kind
from skerry.api.messages import Caller
from skerry.api.names import PREFIX
from skerry.errors import Forbidden, StatusError

"""Members see the host's users and groups under this prefix only; the agent checks it again."""
EXTRA_USER = "skerry.dev/user"
"""The one extra key that leaves the host: RBAC names it as `userextras/skerry.dev/user`."""
_RESERVED = "system:"


class MemberRequest(NamedTuple):
    """A request to a member's API, classified as the API server's RequestInfo does."""

    member: str
    verb: str
    resource: str = ""
    subresource: str = ""
    impersonates: bool = False
    """Whether the caller sent Impersonate-* headers (`kubectl --as`)."""


class HostRequest(NamedTuple):
    """A request to the host API itself. `resource` is empty for discovery and other non-resource paths."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    impersonates: bool = False


class Allowed(NamedTuple):
    """Allowed; for a member request, as whom: `user` and `groups` carry the prefix that members see."""

    user: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Denied(NamedTuple):
    """Refused, with the error to answer: it names what is missing."""

    error: StatusError


Decision: TypeAlias = Allowed | Denied


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

    def rules(self, caller: Caller) -> list[HostRule]:
        """The rules for everybody, then those for the groups of this caller."""
        own = [rule for rule, groups in self._rules if groups != EVERYBODY and _in_one_of(caller, groups)]
        return [*(rule for rule, groups in self._rules if groups == EVERYBODY), *own]


_ACCESS = HostAccess(SERVED)


def _in_one_of(caller: Caller, groups: tuple[str, ...]) -> bool:
    return groups == EVERYBODY or any(group in groups for group in caller.groups)


def decide(caller: Caller, request: MemberRequest | HostRequest) -> Decision:
    """Decide whether `caller` may make `request`, and as whom. Total: every input has an answer, none raises."""
    if caller.user.startswith(_RESERVED) or not caller.user:
        return _denied(f"user {caller.user!r} is reserved for Kubernetes itself; ask for a credential of your own")
    if request.impersonates:
        return _denied(
            f"user {caller.user!r} may not impersonate others through this host: leave out --as, --as-group and "
            "Impersonate-* headers; to act as somebody else or to try what they may do, use a credential of theirs "
            "(skerry credential create USER --group GROUP)"
        )
    if isinstance(request, MemberRequest):
        return _decide_member(caller, request)
    return _decide_host(caller, request)


def held(caller: Caller) -> tuple[str, ...]:
    """The built-in groups of `caller`, weakest first, without repetition."""
    return tuple(group for group in BUILT_IN if group in caller.groups)


def _decide_member(caller: Caller, request: MemberRequest) -> Decision:
    groups = held(caller)
    if not groups:
        return _denied(
            f"user {caller.user!r} may not use cluster {request.member!r}: none of the groups {', '.join(BUILT_IN)} "
            "is held; ask an administrator of the host for a credential with one of them "
            "(skerry credential create USER --group GROUP)"
        )
    if request.resource == "nodes" and (request.subresource == "proxy" or request.verb == "proxy"):
        return _denied(
            "nodes/proxy is refused for everybody: it reaches the kubelet past the API server's checks; use logs, exec or "
            "port-forward on the pod instead, kubectl top for usage, and for the kubelet's own metrics a collector that "
            "runs on the member"
        )
    return Allowed(PREFIX + caller.user, groups, ((EXTRA_USER, (caller.user,)),))


def _decide_host(caller: Caller, request: HostRequest) -> Decision:
    if not request.resource or CLUSTER_ADMIN in caller.groups or _in_one_of(caller, _ACCESS.groups(request)):
        return Allowed(PREFIX + caller.user, held(caller))
    need = tuple(dict.fromkeys((*_ACCESS.groups(request), CLUSTER_ADMIN)))
    return Denied(_host_forbidden(caller, request, need))


def rules(caller: Caller) -> tuple[HostRule, ...]:
    """Everything that `decide` allows this caller on the host itself, for a SelfSubjectRulesReview."""
    paths = HostRule(("get",), paths=open_to_all())
    if CLUSTER_ADMIN in caller.groups:
        return (*_ACCESS.rules(Caller(user=caller.user)), HostRule(("*",), ("*",), ("*",)), paths)
    return (*_ACCESS.rules(caller), paths)


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


def _denied(message: str) -> Denied:
    return Denied(Forbidden(message))
