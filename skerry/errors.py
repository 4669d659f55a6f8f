"""The one error tree. Every error that a client, a member or a service sees is a Kubernetes `Status`.

Reasons and codes are those of k8s.io/apimachinery/pkg/apis/meta/v1 (StatusReason). A StatusError is made where the
fact is known, mapped to bytes once per boundary (HTTP, bus, exit code), and carries no text of an unexpected exception.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from skerry.api.decode import decoder
from skerry.api.failing import SkerryError as SkerryError
from skerry.api.meta import Status, StatusCause, StatusDetails

_encode = msgspec.json.Encoder().encode
_decode = decoder(Status)


class StatusError(SkerryError):
    """An error with a Kubernetes reason and HTTP code.

    `message` says what happened, to what, and what to do next. `details` names the object, `causes` the fields.
    """

    code = 500
    reason = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        name: str = "",
        group: str = "",
        causes: tuple[StatusCause, ...] = (),
        retry_after_s: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = StatusDetails(
            name=name, group=group, kind=kind, causes=list(causes), retry_after_seconds=retry_after_s
        )

    def status(self) -> Status:
        """This error as meta/v1 Status."""
        empty = self.details == StatusDetails()
        return Status(
            message=self.message, reason=self.reason, code=self.code, details=UNSET if empty else self.details
        )

    def body(self) -> bytes:
        """The Status as JSON bytes, for an HTTP body or a bus reply."""
        return _encode(self.status())


class BadRequest(StatusError):
    """400: the request itself is malformed."""

    code, reason = 400, "BadRequest"


class Unauthorized(StatusError):
    """401: no credential, or one that is unknown, expired or revoked."""

    code, reason = 401, "Unauthorized"


class Forbidden(StatusError):
    """403: known caller, missing permission; the message names what is missing."""

    code, reason = 403, "Forbidden"


class NotFound(StatusError):
    """404: the object does not exist, or the caller may not know that it does."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(StatusError):
    """405: the resource exists and does not support this verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(StatusError):
    """406: none of the accepted media types can be produced."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(StatusError):
    """409: create of an object that exists."""

    code, reason = 409, "AlreadyExists"


class Conflict(StatusError):
    """409: the object changed since it was read (optimistic locking)."""

    code, reason = 409, "Conflict"


class Gone(StatusError):
    """410: a continue token or resourceVersion is too old (reason Expired, as the API server answers today)."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(StatusError):
    """413: an object or body beyond the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(StatusError):
    """415: the content type cannot be read here."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(StatusError):
    """422: the object was understood and breaks a rule; causes name the fields."""

    code, reason = 422, "Invalid"


class TooManyRequests(StatusError):
    """429: a limit was hit; the message says which."""

    code, reason = 429, "TooManyRequests"


class RequestHeaderFieldsTooLarge(StatusError):
    """431: the request head is beyond the limit."""

    code, reason = 431, "BadRequest"


class InternalError(StatusError):
    """500: a bug; the log has it, the caller does not."""

    code, reason = 500, "InternalError"


class BadGateway(StatusError):
    """502: the member's API server answered what may not be passed on, or could not be reached."""

    code, reason = 502, "InternalError"


class ServiceUnavailable(StatusError):
    """503: the member or a service is away; nothing was executed."""

    code, reason = 503, "ServiceUnavailable"


class GatewayTimeout(StatusError):
    """504: no answer in time; the outcome of a mutation is unknown, and the message says so."""

    code, reason = 504, "Timeout"


def _subclasses(root: type[StatusError]) -> list[type[StatusError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _subclasses(child))]


_BY_REASON = {(cls.code, cls.reason): cls for cls in _subclasses(StatusError)}


def from_status(status: Status) -> StatusError:
    """The StatusError that a Status describes; an unknown reason becomes a StatusError with that reason and code."""
    cls = _BY_REASON.get((status.code, status.reason), StatusError)
    error = cls(status.message)
    error.code, error.reason = status.code, status.reason
    if status.details is not UNSET:
        error.details = status.details
    return error


def from_body(body: bytes) -> StatusError:
    """The StatusError in a JSON Status body.

    Raises msgspec.DecodeError (or its ValidationError) if the body is not a Status.
    """
    return from_status(_decode(body))


def cause(field: str, message: str, reason: str = "FieldValueInvalid") -> StatusCause:
    """One field's cause, for `Invalid`: `field` is the path, `message` names the value and the allowed set."""
    return StatusCause(reason=reason, message=message, field=field)
