"""JetStream's own API, one call: subject, JSON body, and errors mapped to the tree that everybody knows."""

from __future__ import annotations

from typing import Any

import msgspec

from skerry.api.decode import decoded
from skerry.bus.connection import Connection, NoResponders
from skerry.errors import AlreadyExists, BadRequest, Conflict, NotFound, ServiceUnavailable, StatusError

TIMEOUT_S = 5.0

_WRONG_SEQUENCE = (10071, 10164)
_NO_MESSAGE = 10037
_NO_STREAM = 10059
_IN_USE = 10058


class NoMessage(NotFound):
    """The stream is there, and has no such message."""


class NoStream(NotFound):
    """There is no such stream."""


async def api(connection: Connection, subject: str, body: bytes = b"") -> dict[str, Any]:
    """One call of the JetStream API. NoMessage, NoStream or another NotFound, AlreadyExists, Conflict, ServiceUnavailable, GatewayTimeout."""
    try:
        answer = await connection.request(f"$JS.API.{subject}", body, timeout_s=TIMEOUT_S)
    except NoResponders as e:
        raise ServiceUnavailable("JetStream does not answer: it is disabled on the bus, or still starting") from e
    return checked(answer.data, subject)


def checked(data: bytes, what: str) -> dict[str, Any]:
    """The answer in `data`, or the error in it, told by JetStream's err_code."""
    try:
        answer = decoded(data, dict[str, Any])
    except msgspec.DecodeError as e:
        raise ServiceUnavailable(f"JetStream gave an answer about {what} that is not JSON") from e
    error = answer.get("error")
    if error:
        raise _api_error(error, what)
    return answer


def _api_error(error: dict[str, Any], what: str) -> StatusError:
    code, text = int(error.get("err_code", 0)), str(error.get("description", "no reason given"))
    if code in _WRONG_SEQUENCE:
        return Conflict(f"{what} was changed by somebody else meanwhile")
    missing = {_NO_MESSAGE: NoMessage, _NO_STREAM: NoStream}.get(code, NotFound if error.get("code") == 404 else None)
    if missing is not None:
        return missing(f"{what}: {text}")
    if code == _IN_USE:
        return AlreadyExists(f"{what}: {text}")
    if error.get("code") == 400:
        return BadRequest(f"{what}: {text}")
    return ServiceUnavailable(f"{what}: {text}")
