"""The decision about requests to members. Pure and total: it awaits nothing, reads no clock, and has an answer to all input.

A grant is needed to reach a member; what may be done there is the word of the member's own RBAC: whoever is let through
gets a user and groups to be impersonated, those of the whole cluster and of the one namespace that the request names.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

from skerry.access.compiled import Access, Reach
from skerry.access.holdings import Basis
from skerry.api.kinds.access import BUILT_IN, Tie
from skerry.api.messages import Caller
from skerry.api.names import NAMESPACES_GROUP, PREFIX
from skerry.errors import Forbidden, NotFound, StatusError

EXTRA_USER = "skerry.dev/user"
"""The one extra key that leaves the host: RBAC names it as `userextras/skerry.dev/user`."""
KUBERNETES = "system:"
KEPT = 1024
"""Answers about one caller on one member that are remembered: a caller may name as many namespaces as they like."""
_ENUMERATES = ("list", "watch")


class MemberRequest(NamedTuple):
    """A request to a member's API, classified as the API server's RequestInfo does, or what a self review asks about."""

    member: str
    verb: str
    resource: str = ""
    subresource: str = ""
    impersonates: bool = False
    """Whether the caller sent Impersonate-* headers (`kubectl --as`)."""
    group: str = ""
    namespace: str = ""


class Allowed(NamedTuple):
    """Allowed; for a member request, as whom: `user` and `groups` carry the prefix that members see."""

    user: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    basis: tuple[Basis, ...] = ()
    """What gives these groups."""
    only: tuple[str, ...] = ()
    """A list or watch of Namespaces may show these alone; empty: it is not narrowed."""
    until: float = math.inf
    """Unix seconds: from then on it is to be decided again."""
    ties: tuple[Tie, ...] = ()
    """Of a request to the host itself: it holds for objects to which the caller is tied in one of these ways; empty: for all."""


class Denied(NamedTuple):
    """Refused, with the error to answer."""

    error: StatusError
    missing: str = ""
    """The grant that would be needed to reach the member, for people and the audit log; empty if no grant would help."""


Decision: TypeAlias = Allowed | Denied


def decide(caller: Caller, request: MemberRequest, access: Access, now: float) -> Decision:
    """Decide whether `caller` may make `request` at a time in Unix seconds, and as whom."""
    if request.impersonates or not caller.user or caller.user.startswith(KUBERNETES):
        return barred(caller)
    reach = access.reach(caller, request.member, now)
    if reach.nothing:
        return _out_of_reach(caller, request, access, now)
    if request.verb == "impersonate":
        return Denied(Forbidden("nobody impersonates others through this host"))
    if request.resource == "nodes" and _is_kubelet(request):
        return Denied(
            Forbidden(
                "nodes/proxy is refused for everybody: it reaches the kubelet past the API server's checks; use logs, exec or "
                "port-forward on the pod instead, kubectl top for usage, and for the kubelet's own metrics a collector that "
                "runs on the member"
            )
        )
    return _allowed(caller, request, reach)


def barred(caller: Caller) -> Denied:
    """The refusal of who gets nowhere, whatever is asked: somebody with a name of Kubernetes' own, and who asks to be
    somebody else.
    """
    if not caller.user or caller.user.startswith(KUBERNETES):
        return Denied(
            Forbidden(f"user {caller.user!r} is reserved for Kubernetes itself; ask for a credential of your own")
        )
    return Denied(
        Forbidden(
            f"user {caller.user!r} may not impersonate others through this host: leave out --as, --as-group and "
            "Impersonate-* headers; to act as somebody else or to try what they may do, use a credential of theirs "
            "(skerry credential create USER --group GROUP)"
        )
    )


def not_found(member: str) -> NotFound:
    """404 for a member that does not exist, and, with the same bytes, for one that is out of a caller's reach."""
    message = f'clusters.skerry.dev "{member}" not found; kubectl get clusters shows those that exist'
    return NotFound(message, kind="clusters", group="skerry.dev", name=member)


def held(caller: Caller) -> tuple[str, ...]:
    """The built-in groups of `caller`, weakest first, without repetition."""
    return tuple(group for group in BUILT_IN if group in caller.groups)


def _out_of_reach(caller: Caller, request: MemberRequest, access: Access, now: float) -> Denied:
    missing = f"a grant on cluster {request.member}"
    if held(caller) or next(access.clusters(caller, now), None) is not None:
        return Denied(not_found(request.member), missing)
    return Denied(
        Forbidden(
            f"user {caller.user!r} may not use cluster {request.member!r}: no AccessGrant is for them, and none of the groups "
            f"{', '.join(BUILT_IN)} is held; ask an administrator of the host for an AccessGrant, or for a credential with "
            "one of these groups (skerry credential create USER --group GROUP)"
        ),
        missing,
    )


def _is_kubelet(request: MemberRequest) -> bool:
    """True for nodes/proxy, of a request about nodes and of a review that may ask for it among more."""
    return request.group in ("", "*") and (request.subresource in ("proxy", "*") or request.verb == "proxy")


def enumerates_namespaces(request: MemberRequest) -> bool:
    """True for a list or watch of all Namespaces."""
    about = request.group, request.resource, request.subresource, request.namespace
    return about == ("", "namespaces", "", "") and request.verb in _ENUMERATES


def _allowed(caller: Caller, request: MemberRequest, reach: Reach) -> Allowed:
    key = request.namespace, request.resource == "namespaces" and enumerates_namespaces(request)
    answer: Allowed | None = reach.answers.get(key)
    if answer is None:
        if len(reach.answers) >= KEPT:
            reach.answers.clear()
        answer = reach.answers[key] = _worked_out(caller, *key, reach)
    return answer


def _worked_out(caller: Caller, namespace: str, enumerates: bool, reach: Reach) -> Allowed:
    groups, bases = reach.given(namespace)
    only: tuple[str, ...] = ()
    if enumerates and not reach.whole:
        groups, only = (*groups, NAMESPACES_GROUP), reach.namespaces
    extra = ((EXTRA_USER, (caller.user,)),)
    return Allowed(PREFIX + caller.user, groups, extra, bases, only, reach.until)
