"""Who may do what: one pure function for member traffic and the host API alike.

Until grants exist, the built-in groups `skerry:view|edit|admin|cluster-admin` hold on all members, and the member's
own RBAC decides in the end: the proxy names a user and groups to impersonate, never a verdict about an object. A
caller without any of them gets the same 403 for every cluster name, existing or not, so that names cannot be guessed.
Nothing here awaits, reads a clock or knows a store: `decide` is re-run for live streams whenever its inputs change.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from services.proxy.routes import open_to_all
from skerry.api.messages import Caller
from skerry.errors import Forbidden, StatusError

USER_PREFIX = "skerry:"
"""Members see the host's users and groups under this prefix only; the agent checks it again."""
EXTRA_USER = "skerry.dev/user"
"""The one extra key that leaves the host: RBAC names it as `userextras/skerry.dev/user`."""
VIEW, EDIT, ADMIN, CLUSTER_ADMIN = (f"{USER_PREFIX}{role}" for role in ("view", "edit", "admin", "cluster-admin"))
BUILT_IN = (VIEW, EDIT, ADMIN, CLUSTER_ADMIN)
"""Groups that hold on all members, and whose ClusterRoleBindings every joined member has."""

_READ = frozenset(("get", "list", "watch"))
_READABLE = frozenset((("skerry.dev", "clusters"), ("", "namespaces"), ("", "events"), ("events.k8s.io", "events")))
"""(group, resource) of the host API that every built-in group may read."""
_SELF = frozenset(
    (
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
    )
)
"""(group, resource) that everybody may create: questions about oneself."""
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
    """What a caller may do on the host, as RBAC writes rules: with resources of groups, or with paths. `*` is all."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def decide(caller: Caller, request: MemberRequest | HostRequest) -> Decision:
    """Whether `caller` may make `request`, and as whom. Total: every input has an answer, none raises."""
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
    return Allowed(USER_PREFIX + caller.user, groups, ((EXTRA_USER, (caller.user,)),))


def _decide_host(caller: Caller, request: HostRequest) -> Decision:
    groups = held(caller)
    readable = request.verb in _READ and (request.group, request.resource) in _READABLE
    about_oneself = request.verb == "create" and (request.group, request.resource) in _SELF
    if not request.resource or about_oneself or CLUSTER_ADMIN in groups or (groups and readable):
        return Allowed(USER_PREFIX + caller.user, groups)
    return Denied(_host_forbidden(caller, request, BUILT_IN if readable else (CLUSTER_ADMIN,)))


def rules(caller: Caller) -> tuple[HostRule, ...]:
    """Everything that `decide` allows this caller on the host itself, for a SelfSubjectRulesReview."""
    groups = held(caller)
    found = [HostRule(("create",), (group,), (resource,)) for group, resource in sorted(_SELF)]
    if CLUSTER_ADMIN in groups:
        found.append(HostRule(("*",), ("*",), ("*",)))
    elif groups:
        found += [HostRule(tuple(sorted(_READ)), (group,), (resource,)) for group, resource in sorted(_READABLE)]
    return (*found, HostRule(("get",), paths=open_to_all()))


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
