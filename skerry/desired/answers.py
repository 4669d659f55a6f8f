"""What an answer of a member's API server means for an entry that it keeps from its place."""

from __future__ import annotations

import msgspec

from skerry.api.decode import decoded
from skerry.api.desired import State
from skerry.api.meta import Status
from skerry.member import account
from skerry.member.upstream import WholeAnswer

_DENIED = (("admission webhook", "denied the request"), ("ValidatingAdmissionPolicy", "denied request"))
"""How an API server words what its people have it refuse, whatever the code."""

GOING_S = 2.0
"""What is being deleted is looked at again after so long."""


class Unsettled(Exception):
    """An entry is not in place: why, and when to look again by oneself (0: with the usual pauses, None: not at all)."""

    def __init__(self, state: State, message: str, *, again_s: float | None = 0.0) -> None:
        super().__init__(message)
        self.state = state
        self.message = " ".join(message.split())
        self.again_s = again_s


class Missing(Unsettled):
    """Its namespace, or its kind, is not there (yet)."""

    def __init__(self, kind: str, name: str, message: str) -> None:
        super().__init__(State.WAITING, message)
        self.kind, self.name = kind, name
        """`Namespace` and its name, or `CustomResourceDefinition` and the API's `group/version`."""


def _mended(verb: str, message: str) -> str:
    """What is to be done about a right that is missing; first, since messages are cut at their end."""
    if f'"system:serviceaccount:{account.NAMESPACE}:{account.NAME}"' in message:
        return "skerry cluster set NAME --create-service-account --kubeconfig FILE gives Skerry's account what it lacks"
    return f"allow `{verb}` there to the account that Skerry has"


def _is_denied(message: str) -> bool:
    return any(who in message and verdict in message for who, verdict in _DENIED)


def going(what: str) -> Unsettled:
    """Of what somebody deleted, and is there still: nothing is brought in place on it, and what is in it is not another's yet."""
    return Unsettled(State.WAITING, f"{what} is being deleted, with what is in it", again_s=GOING_S)


def unsettled(answer: WholeAnswer, verb: str, what: str) -> Unsettled:
    """The state in which an error of the API server leaves an entry, in the words of who is to mend it."""
    try:
        status = decoded(answer.body, Status)
    except msgspec.DecodeError:
        status = Status(message=answer.message(), code=answer.status)
    message = status.message or answer.message()
    causes = [] if isinstance(status.details, msgspec.UnsetType) else status.details.causes
    if _is_denied(message):
        return Unsettled(State.REFUSED, message)
    if any(each.reason == "NamespaceTerminating" for each in causes):
        return Unsettled(State.WAITING, message, again_s=2.0)
    if answer.status == 403:
        if " cannot " in message and "User " in message:
            return Unsettled(State.FORBIDDEN, f"{_mended(verb, message)}: {message}")
        return Unsettled(State.REFUSED, message)
    if answer.status == 409 and any(each.reason == "FieldManagerConflict" for each in causes):
        return Unsettled(State.CONFLICT, message)
    return Unsettled(State.FAILED, message or f"{verb} {what}: HTTP status {answer.status}")
