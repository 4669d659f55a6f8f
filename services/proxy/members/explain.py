"""What a caller has on a member, in a sentence: said beside a 403 of the member's own, which knows nothing of grants. Pure."""

from __future__ import annotations

import re

from skerry.access import Access, MemberRequest, Reach
from skerry.access.holdings import Scope
from skerry.api.messages import Caller

MOST = 5
"""Namespaces, and grants, that are named."""


def explained(caller: Caller, request: MemberRequest, access: Access, now: float) -> str:
    """For the one who was refused: nothing in it is about anybody else."""
    reach = access.reach(caller, request.member, now)
    by = few([str(basis) for basis in dict.fromkeys(holding.basis for holding in reach.holdings)])
    since = f" ({', '.join(by)})" if by else ""
    return (
        f"cluster {request.member} refused this, not the host: {caller.user} has "
        f"{', '.join(_held(reach, request.namespace)) or 'nothing any more'} there{since}; more takes another AccessGrant, or "
        f"RBAC on the cluster itself{_command(request)}"
    )


def _command(request: MemberRequest) -> str:
    """What tells all of it, to be typed; nothing if a word of it would have to be quoted."""
    resource = f"{request.resource}.{request.group}" if request.group else request.resource
    if request.subresource:
        resource = f"{resource}/{request.subresource}"
    words = (request.member, request.namespace, request.verb, resource)
    if not all(_WORD.fullmatch(word) for word in words if word) or not request.resource:
        return ""
    namespace = f" -n {request.namespace}" if request.namespace else ""
    return f": skerry explain access --cluster {request.member}{namespace} {request.verb} {resource}"


_WORD = re.compile(r"[a-z0-9][a-z0-9./-]{0,252}")


def _held(reach: Reach, namespace: str) -> list[str]:
    """What is held in the whole cluster and in this namespace; if there is nothing in it, in which others."""
    scopes = sorted(reach.scopes, key=lambda scope: (scope.namespace, scope.role or scope.group))
    whole = [phrase(scope) for scope in scopes if not scope.namespace]
    narrow = {phrase(scope): scope.namespace for scope in scopes if scope.namespace}
    here = [text for text, where in narrow.items() if where == namespace]
    return [*whole, *(here or few(list(narrow)))]


def phrase(scope: Scope) -> str:
    """A right on a cluster, in words."""
    where = f"in namespace {scope.namespace}" if scope.namespace else "in the whole cluster"
    return f"{scope.role or scope.group} {where}"


def few(texts: list[str]) -> list[str]:
    """The first of them, and how many more there are."""
    return texts if len(texts) <= MOST else [*texts[:MOST], f"and {len(texts) - MOST} more"]
