"""What a request rests on, when it ends soon, in a sentence: said beside the answer, so that nobody is cut unawares. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from skerry.access import Access, Allowed, MemberRequest, Reach
from skerry.access.holdings import Holding, Scope
from skerry.api.accessrequests import SOON_S
from skerry.api.kinds.access import ROLES
from skerry.api.messages import Caller
from skerry.api.times import rfc3339
from skerry.httpwire.answer import warning
from skerry.httpwire.head import Headers

MOST = 3
"""Grants that are named."""


def ends_soon(caller: Caller, request: MemberRequest, allowed: Allowed, access: Access, now: float) -> Headers:
    """A Warning for the answer of a request that rests on grants which end soon; none if none does, which costs one comparison."""
    said = "" if allowed.until > now + SOON_S else said_of(caller, request, access, now)
    return [(b"warning", warning(said))] if said else []


def said_of(caller: Caller, request: MemberRequest, access: Access, now: float) -> str:
    """Which grants of those that a request rests on end soon, and when; empty if none does."""
    reach = access.reach(caller, request.member, now)
    ending = sorted(_ending(reach, request.namespace, now + SOON_S), key=lambda holding: holding.expires)
    if not ending:
        return ""
    named = ", ".join(f"{each.basis} ends at {rfc3339(each.expires)}" for each in ending[:MOST])
    more = f" and {len(ending) - MOST} more" if len(ending) > MOST else ""
    where = f" -n {request.namespace}" if request.namespace else ""
    role = next((scope.role for scope in ending[0].scopes if scope.role), "ROLE")
    return (
        f"{named}{more}, and with it what rests on it; to go on: skerry request create {role} --cluster {request.member}{where} "
        "--reason TEXT"
    )


def _ending(reach: Reach, namespace: str, until: float) -> list[Holding]:
    """Holdings that end by then, without which less is held where the request is."""
    lasting = Reach(reach.built_in, tuple(each for each in reach.holdings if each.expires > until)).scopes
    return [
        each
        for each in reach.holdings
        if each.expires <= until
        and any(not _lasts(scope, lasting) for scope in each.scopes if scope.namespace in ("", namespace))
    ]


def _lasts(scope: Scope, lasting: Iterable[Scope]) -> bool:
    """True if something that lasts gives as much where a scope is."""
    return any(
        other.group == scope.group or (_rank(other) >= _rank(scope) >= 0 and other.namespace in ("", scope.namespace))
        for other in lasting
    )


def _rank(scope: Scope) -> int:
    """Of its role; of a group of the members' own there is none."""
    return ROLES.index(scope.role) if scope.role else -1
