"""AccessRequests: what may be asked, the states that a request goes through, and the grant that is made of it. Pure.

    Pending -> Approved -> Ended        approved by as many as it takes; ended by time, by somebody, or with its grant
    Pending -> Denied | Expired | Ended

What is over stays as it is. A request is written first and its grant made of it afterwards, by whoever sees that it is not there:
`status.grant` says that it was made, so that one which is gone later is not made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from services.tenancy import grants
from skerry.access.asking import asked_grant
from skerry.admission.conform import FieldError, invalid_value, required
from skerry.admission.prepare import invalid_object
from skerry.api import duration
from skerry.api.accessrequests import APPROVED, DENIED, ENDED, EXPIRED, OPEN, PENDING, SOON_S
from skerry.api.hostsettings import LONGEST
from skerry.api.kinds import ACCESS_GRANT, ACCESS_REQUEST
from skerry.api.kinds.access import ROLES
from skerry.api.kinds.requests import wanted
from skerry.api.meta import Document
from skerry.api.text import clean
from skerry.api.times import rfc3339, seconds
from skerry.errors import BadRequest, Conflict, Forbidden, TooManyRequests

BECAUSE = "skerry.dev/because"
"""Label of grants that somebody's asking has made; its value is `request`."""
REASON = 512
"""Characters of a reason or a comment."""
MAX_PENDING, MAX_A_DAY = 10, 100
"""Requests of one user that wait, and that were made within a day."""
DAY_S = 86400.0
KEPT_S = 90 * DAY_S
"""What is over is forgotten after so long."""
WAITS = ("7d", "1m")
"""How long a request may wait for approval, at most and at least."""


class Terms(NamedTuple):
    """What the host's Settings say about requests."""

    self_approval: bool
    approvals: int
    """How many people it takes."""
    longest: str
    """For how long something may be approved."""


class Approval(NamedTuple):
    """Somebody's approval, as they give it."""

    by: str
    duration: str = ""
    comment: str = ""


# Asking


def admit(document: Document, user: str, terms: Terms, now: datetime) -> Document:
    """What `user` asks for as it is stored. Invalid names the fields."""
    spec = document["spec"]
    errors = [
        *grants.problems(asked_grant(spec, user, "")),
        *_text_problems("spec.reason", spec["reason"], needed="say why, for who decides"),
        *_duration_problems("spec.duration", spec["duration"], terms.longest, why=f"; Setting {LONGEST.name} says so"),
        *_duration_problems("spec.pendingFor", spec["pendingFor"], *WAITS),
    ]
    if errors:
        raise invalid_object(document, errors)
    ends = rfc3339(now.timestamp() + duration.parse(spec["pendingFor"]))
    return {**document, "status": {"state": PENDING, "requestedBy": user, "ends": ends, "message": _waits(0, terms)}}


def check_grants(document: Document, there: Document | None) -> None:
    """Conflict if the name of a request, which its grant will have, is that of a grant that is there."""
    if there is not None and not made_of(there, document["metadata"].get("uid", "")):
        raise Conflict(f"there is an AccessGrant {document['metadata']['name']!r} already: ask under another name")


def check_bounds(own: Iterable[Document], user: str, now: float) -> None:
    """TooManyRequests if `user`, who made these requests, may not make another now."""
    own = tuple(own)
    pending = sorted(each["metadata"]["name"] for each in own if _state(each) == PENDING)
    if len(pending) >= MAX_PENDING:
        raise TooManyRequests(
            f"user {user!r} has {len(pending)} requests that wait for approval already, the limit; end one first "
            f"(skerry request end {pending[0]})"
        )
    if sum(seconds(each["metadata"]["creationTimestamp"]) > now - DAY_S for each in own) >= MAX_A_DAY:
        raise TooManyRequests(f"user {user!r} made {MAX_A_DAY} requests within a day, the limit; ask again tomorrow")


def covering(own: Iterable[Document], asked: Document, now: float) -> Document | None:
    """One of `own` that says what is asked for already: it waits, for as long at least, or was approved and does not end soon."""
    return next((each for each in own if _covers(each, asked, now)), None)


def said_already(request: Document) -> str:
    """For who asked again."""
    status, name = request["status"], request["metadata"]["name"]
    what = f"waits for approval until {status['ends']}"
    if status["state"] == APPROVED:
        what = f"is approved until {status['ends']}"
    return f"accessrequest {name} covers this and {what}: nothing new was made"


def _covers(request: Document, asked: Document, now: float) -> bool:
    state, spec, asked_spec = _state(request), request["spec"], asked["spec"]
    left_s = ends(request) - now
    if "deletionTimestamp" in request["metadata"] or not _includes(spec, asked_spec):
        return False
    if state == PENDING:
        return left_s > 0 and duration.parse(spec["duration"]) >= duration.parse(asked_spec["duration"])
    return state == APPROVED and left_s > SOON_S


def _includes(spec: Document, wanted: Document) -> bool:
    have, want = spec["clusters"], wanted["clusters"]
    same = have.get("selector") == want.get("selector") if "selector" in have or "selector" in want else True
    names = set(want.get("names") or ()) <= set(have.get("names") or ())
    narrow, narrower = spec.get("namespaces") or (), wanted.get("namespaces") or ()
    within = not narrow or (bool(narrower) and set(narrower) <= set(narrow))
    return same and names and within and ROLES.index(spec["role"]) >= ROLES.index(wanted["role"])


def _text_problems(field: str, text: str, *, needed: str = "") -> list[FieldError]:
    if needed and not text.strip():
        return [required(field, needed)]
    if len(text) > REASON:
        return [FieldError(field, f"Too long: may not be more than {REASON} characters", "FieldValueTooLong")]
    if not text.isprintable():
        return [invalid_value(field, clean(text, REASON), "use printable characters, in one line")]
    return []


def _duration_problems(field: str, text: str, longest: str, shortest: str = "1s", *, why: str = "") -> list[FieldError]:
    try:
        duration.bounded(text, longest, shortest)
    except ValueError as error:
        return [invalid_value(field, clean(text, 100), f"{error}{why}")]
    return []


# Deciding


def approved(document: Document, approval: Approval, terms: Terms, now: float) -> Document:
    """The request with one more approval, and approved if that is enough. Conflict if nothing is left to approve; Forbidden for
    one's own, and twice; BadRequest names what cannot be read.
    """
    _check_pending(document, now, "approve")
    status, own = document["status"], approval.by == document["status"]["requestedBy"]
    name, given = document["metadata"]["name"], list(status.get("approvals") or ())
    if own and not terms.self_approval:
        raise Forbidden(
            f"accessrequest {name!r} is {approval.by}'s own: somebody else has to approve it (Setting access.self-approval)"
        )
    if any(each["by"] == approval.by for each in given):
        raise Conflict(
            f"accessrequest {name!r} was approved by {approval.by} already: {_waits(len(given), terms)}, each by somebody else"
        )
    _check_text(approval.comment)
    _check_duration(document, approval, terms)
    said = {"by": approval.by, "at": rfc3339(now), "duration": approval.duration, "comment": approval.comment}
    given.append({key: value for key, value in said.items() if value} | ({"own": True} if own else {}))
    status = {**status, "approvals": given, "message": _waits(len(given), terms)}
    if len(given) >= terms.approvals:
        status |= {"state": APPROVED, "ends": rfc3339(now + _approved_s(document, given)), "message": ""}
    return {**document, "status": status}


def _check_duration(document: Document, approval: Approval, terms: Terms) -> None:
    duration_text = document["spec"]["duration"]
    try:
        duration.bounded(approval.duration or duration_text, terms.longest)
    except ValueError as error:
        what = (
            f"duration {clean(approval.duration, 100)!r}"
            if approval.duration
            else f"what is asked for, {duration_text},"
        )
        instead = "" if approval.duration else f": approve it for less (skerry request approve --for {terms.longest})"
        raise BadRequest(f"{what} {error}; Setting {LONGEST.name} says so{instead}") from error


def _approved_s(document: Document, approvals: list[Document]) -> int:
    """For how long all of them have approved it."""
    return min(duration.parse(each.get("duration") or document["spec"]["duration"]) for each in approvals)


def denied(document: Document, by: str, comment: str, now: float) -> Document:
    """The request with a denial. Conflict if nothing is left to deny, Forbidden for one's own."""
    _check_pending(document, now, "deny")
    if by == document["status"]["requestedBy"]:
        raise Forbidden(f"accessrequest {document['metadata']['name']!r} is {by}'s own: end it instead")
    _check_text(comment)
    return _over(document, DENIED, now, f"denied by {by}{_said(comment)}", by)


def ended(document: Document, by: str, comment: str, now: float) -> Document:
    """The request after somebody ended it, or took it back. Conflict if it is over."""
    document = timed(document, now) or document
    if is_over(document):
        raise Conflict(f"accessrequest {document['metadata']['name']!r} is over already: {_told(document)}")
    _check_text(comment)
    return _over(document, ENDED, now, f"ended by {by}{_said(comment)}", by)


def timed(document: Document, now: float) -> Document | None:
    """The request after its time is over; None while it is not."""
    state = _state(document)
    if state not in OPEN or ends(document) > now:
        return None
    if state == PENDING:
        return _over(document, EXPIRED, ends(document), f"nobody approved it within {document['spec']['pendingFor']}")
    return _over(document, ENDED, ends(document), "its time is over")


def granted(document: Document) -> Document | None:
    """An approved request after its grant was made; None for any other."""
    if _state(document) != APPROVED or document["status"].get("grant"):
        return None
    return {**document, "status": {**document["status"], "grant": document["metadata"]["name"]}}


def lost(document: Document, why: str, now: float) -> Document | None:
    """An approved request that has no grant any more, or cannot have one; None for any other."""
    return _over(document, ENDED, now, why) if _state(document) == APPROVED else None


def _over(document: Document, state: str, at: float, message: str, by: str = "") -> Document:
    status = {key: value for key, value in document["status"].items() if key != "decidedBy"}
    said = {"state": state, "ends": rfc3339(at), "message": message}
    return {**document, "status": status | said | ({"decidedBy": by} if by else {})}


def _check_pending(document: Document, now: float, verb: str) -> None:
    document = timed(document, now) or document
    if _state(document) == PENDING and "deletionTimestamp" not in document["metadata"]:
        return
    name = document["metadata"]["name"]
    raise Conflict(f"accessrequest {name!r} is {_state(document)}, and nothing is left to {verb}: {_told(document)}")


def _told(document: Document) -> str:
    status = document["status"]
    if status["state"] == APPROVED:
        return f"approved by {', '.join(each['by'] for each in status.get('approvals') or ())} until {status['ends']}"
    return f"{status.get('message') or status['state']} ({status['ends']})"


def _check_text(comment: str) -> None:
    for problem in _text_problems("comment", comment):
        raise BadRequest(f"{problem.field}: {problem.message}")


def _said(comment: str) -> str:
    return f": {comment}" if comment else ""


def _waits(given: int, terms: Terms) -> str:
    if terms.approvals == 1:
        return "waits for approval"
    return f"waits for approval: {given} of {terms.approvals}"


# Reading


def ends(document: Document) -> float:
    """When the state ends by itself, or since when it has it; Unix seconds."""
    return seconds(document["status"]["ends"])


def is_over(document: Document) -> bool:
    """True if nothing happens to the request any more."""
    return _state(document) not in OPEN


def forgotten(document: Document) -> float:
    """When a request that is over is to be deleted; Unix seconds."""
    return ends(document) + KEPT_S


def is_approved(document: Document) -> bool:
    """True if what was asked for is given now, or about to be."""
    return _state(document) == APPROVED


def approved_at(document: Document) -> float:
    """When the last one approved; Unix seconds."""
    return max(seconds(each["at"]) for each in document["status"]["approvals"])


def _state(document: Document) -> str:
    return str((document.get("status") or {}).get("state", ""))


def ends_soon(document: Document) -> str:
    """For people, about an approved request whose end is near."""
    status, spec = document["status"], document["spec"]
    return f"what {status['requestedBy']} has by it ends at {status['ends']} ({wanted(spec)}): whoever needs it longer asks again"


# The grant


def grant_of(document: Document) -> Document:
    """The AccessGrant of an approved request: under its name, and its own, so that it goes with it."""
    metadata, status = document["metadata"], document["status"]
    owner = {
        "apiVersion": ACCESS_REQUEST.api_version,
        "kind": ACCESS_REQUEST.kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
    }
    return {
        "apiVersion": ACCESS_GRANT.api_version,
        "kind": ACCESS_GRANT.kind,
        "metadata": {"name": metadata["name"], "labels": {BECAUSE: "request"}, "ownerReferences": [owner]},
        "spec": asked_grant(document["spec"], status["requestedBy"], status["ends"]),
    }


def until(document: Document, given: str, now: float) -> float:
    """When what is approved now ends, for a duration that is `given` or was asked for; Unix seconds."""
    try:
        return now + duration.parse(given or document["spec"]["duration"])
    except ValueError:
        return now  # it is refused where it is decided


def made_of(grant: Document, uid: str) -> bool:
    """True if a grant is that of the request with this UID."""
    return bool(uid) and any(each.get("uid") == uid for each in grant["metadata"].get("ownerReferences") or ())
