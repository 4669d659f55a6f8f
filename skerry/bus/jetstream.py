"""JetStream's own API, one call: subject, JSON body, and errors mapped to the tree that everybody knows."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from skerry.api.decode import decoded
from skerry.bus.connection import Connection, NoResponders
from skerry.bus.delivery import Message
from skerry.errors import AlreadyExists, BadRequest, Conflict, NotFound, ServiceUnavailable, StatusError

TIMEOUT_S = 5.0
STARTING_S = 2.0
"""JetStream may be silent for so long after its server has started."""

PENDING = "Nats-Num-Pending"
"""Header of the end of a batch: so many messages follow."""
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


async def answering(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until something else comes of it than ServiceUnavailable, or STARTING_S are over: a server that has just started takes
    clients a moment before its JetStream answers, and one that works elsewhere on its disk may fail to make a stream once.
    NoStream.
    """
    deadline = time.monotonic() + STARTING_S
    while True:
        try:
            await ask()
        except ServiceUnavailable:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
        else:
            return


async def batch(
    connection: Connection, stream: str, subject: str, after: int, *, limit: int, max_bytes: int
) -> list[Message]:
    """The stored messages with a subject (`a.>`) behind a sequence: at most `limit`, or as many as `max_bytes` take (one at
    least). Behind them the end, which has Nats-Num-Pending. Answered by any replica, without a consumer.
    """
    return await batch_from(connection, stream, subject, {"seq": after + 1}, limit=limit, max_bytes=max_bytes)


async def batch_from(
    connection: Connection, stream: str, subject: str, begin: dict[str, Any], *, limit: int, max_bytes: int
) -> list[Message]:
    """`batch` from another beginning: `{"start_time": …}`."""
    request = {**begin, "next_by_subj": subject, "batch": limit, "max_bytes": max_bytes}
    return await connection.gather(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), timeout_s=TIMEOUT_S)


async def direct(connection: Connection, stream: str, sequence: int) -> Message:
    """The stored message with that sequence, as any replica has it; one with a status where that has none."""
    body = json.dumps({"seq": sequence}).encode()
    return await connection.request(f"$JS.API.DIRECT.GET.{stream}", body, timeout_s=TIMEOUT_S)


def seconds_of(rfc3339: str) -> float:
    """Seconds since the epoch of a time that the server gives: Go writes nanoseconds, Python reads six digits at most."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", rfc3339).replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(text).timestamp()


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
