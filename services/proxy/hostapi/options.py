"""meta/v1 ListOptions: what a list or watch may ask for, and the continue token. Pure.

Rules and wording follow k8s.io/apimachinery/pkg/apis/meta/internalversion/validation and
k8s.io/apiserver/pkg/storage/continue.go.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from services.proxy.hostapi.request import Query
from skerry.api.decode import decoded
from skerry.api.meta import Status, StatusCause
from skerry.errors import BadRequest, Gone, Invalid, cause

EXACT, NOT_OLDER = "Exact", "NotOlderThan"
_FORBIDDEN, _UNSUPPORTED = "FieldValueForbidden", "FieldValueNotSupported"
_INCONSISTENT = -1


class Continue(NamedTuple):
    """Where a list goes on: after `start` (namespace/name), as of `revision`; None for as it is by then."""

    revision: int | None
    start: tuple[str, str]


class _Token(msgspec.Struct, frozen=True):
    v: str
    rv: int
    start: str


class ListOptions(NamedTuple):
    """One list. `revision` None is unset, `limit` 0 is none."""

    revision: int | None
    match: str
    limit: int
    continue_: Continue | None

    @property
    def exact(self) -> bool:
        """True if the list must be as of `revision`: a limit with a revision means that too."""
        return bool(self.revision) and (self.match == EXACT or (not self.match and self.limit > 0))


def options(query: Query) -> ListOptions:
    """The ListOptions of a list that fit together (`check_list`). BadRequest for what only a store understands.

    A list of revision 0 is whole, whatever its `limit`: clients that ask for anything that is cached count on that.
    """
    revision, token = revision_of(query), query.text("continue")
    limit = 0 if revision == 0 else max(0, integer(query, "limit") or 0)
    going_on = parse(token) if token else None
    if going_on is not None and revision:
        raise BadRequest("specifying resource version is not allowed when using continue")
    return ListOptions(revision, query.text("resourceVersionMatch"), limit, going_on)


def integer(query: Query, name: str) -> int | None:
    """An integer parameter, as strconv.ParseInt reads it; None if it is absent. BadRequest."""
    text = query.find(name)
    if text is None:
        return None
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdecimal()):
        raise BadRequest(f"strconv.ParseInt: parsing {_quoted(text)}: invalid syntax")
    number = int(digits.lstrip("0")[:20] or "0") * (-1 if text[0] == "-" else 1)
    if not -(2**63) <= number < 2**63:
        raise BadRequest(f"strconv.ParseInt: parsing {_quoted(text)}: value out of range")
    return number


def revision_of(query: Query) -> int | None:
    """resourceVersion; None if it is unset. BadRequest."""
    text = query.text("resourceVersion")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise BadRequest(
            f"invalid resource version: resourceVersion: Invalid value: {_quoted(text)}: strconv.ParseUint: parsing "
            f"{_quoted(text)}: invalid syntax"
        )
    return int(text)


def check_list(query: Query) -> None:
    """The rules of a list's options. Invalid."""
    causes: list[StatusCause] = []
    match, revision = query.text("resourceVersionMatch"), query.text("resourceVersion")
    field = "resourceVersionMatch"
    if match:
        if not revision:
            causes.append(_forbidden(field, f"{field} is forbidden unless resourceVersion is provided"))
        if query.text("continue"):
            causes.append(_forbidden(field, f"{field} is forbidden when continue is provided"))
        if match not in (EXACT, NOT_OLDER):
            causes.append(_unsupported(match, (EXACT, NOT_OLDER, "")))
        if match == EXACT and revision == "0":
            causes.append(_forbidden(field, f'{field} "exact" is forbidden for resourceVersion "0"'))
    if query.find("sendInitialEvents") is not None:
        causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    _raise(causes)


def check_watch(query: Query) -> None:
    """The rules of a watch's options. Invalid."""
    causes: list[StatusCause] = []
    match, initial = query.text("resourceVersionMatch"), query.find("sendInitialEvents") is not None
    field = "resourceVersionMatch"
    if initial and match != NOT_OLDER:
        causes.append(_forbidden(field, f"sendInitialEvents requires setting {field} to {NOT_OLDER}"))
    if match:
        if not initial:
            causes.append(_forbidden(field, f"{field} is forbidden for watch unless sendInitialEvents is provided"))
        if match != NOT_OLDER:
            causes.append(_unsupported(match, (NOT_OLDER,)))
    if query.text("continue"):
        causes.append(_forbidden(field, f"{field} is forbidden when continue is provided"))
    _raise(causes)


def _forbidden(field: str, text: str) -> StatusCause:
    return cause(field, f"Forbidden: {text}", _FORBIDDEN)


def _unsupported(value: str, allowed: tuple[str, ...]) -> StatusCause:
    names = ", ".join(f'"{name}"' for name in allowed)
    text = f"Unsupported value: {_quoted(value)}: supported values: {names}"
    return cause("resourceVersionMatch", text, _UNSUPPORTED)


def _raise(causes: list[StatusCause]) -> None:
    if not causes:
        return
    lines = [f"{one.field}: {one.message}" for one in causes]
    text = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    raise Invalid(
        f'ListOptions.meta.k8s.io "" is invalid: {text}', kind="ListOptions", group="meta.k8s.io", causes=tuple(causes)
    )


def _quoted(text: str) -> str:
    return msgspec.json.encode(text[:100]).decode()


# Continue tokens


def token(revision: int | None, last: tuple[str, str]) -> str:
    """A token for what comes after the object `last` (namespace, name)."""
    value = _Token("meta.k8s.io/v1", _INCONSISTENT if revision is None else revision, f"{last[0]}/{last[1]}")
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def parse(text: str) -> Continue:
    """The place in a token. BadRequest."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        place = decoded(raw, _Token)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise BadRequest("invalid continue token: continue key is not valid: it is none that a list gave") from error
    namespace, slash, name = place.start.partition("/")
    if place.v != "meta.k8s.io/v1" or not slash or place.rv < _INCONSISTENT or place.rv == 0:
        raise BadRequest("invalid continue token: continue key is not valid: server does not recognize this version")
    return Continue(None if place.rv == _INCONSISTENT else place.rv, (namespace, name))


class Inconsistent(Gone):
    """410 for a snapshot that is not known any more, with a token to go on without one."""

    def __init__(self, start: tuple[str, str]) -> None:
        super().__init__(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list "
            "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
            "the results. Continuing with the provided token results in an inconsistent list - objects that were "
            "created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
        )
        self._metadata: dict[str, Any] = {"continue": token(None, start)}

    def status(self) -> Status:
        """With the token in its metadata, as meta/v1 has it."""
        return msgspec.structs.replace(super().status(), metadata=self._metadata)
