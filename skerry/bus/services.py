"""NATS micro services: endpoints with one queue group, and the discovery that `nats micro ls|info|stats` asks for.

The protocol (ADR-32 of nats-architecture-and-design) is a few JSON shapes on `$SRV.<verb>[.<name>[.<id>]]`; nats-py's
own implementation handles one request at a time per endpoint and cannot move to a new connection, so it is spoken here.
An error is the `Nats-Service-Error` and `-Code` headers and a Status as body; `Connection.request` raises it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from skerry.bus.connection import SERVICE_ERROR, SERVICE_ERROR_CODE
from skerry.bus.delivery import ConnectionLost, Gate, Message, MessageHandler
from skerry.bus.headers import one_line
from skerry.bus.tracer import BusTracer, served
from skerry.errors import InternalError, RequestEntityTooLarge, StatusError
from skerry.heartbeats import AGAIN_S, Admission

log = logging.getLogger(__name__)

EndpointHandler = Callable[[Message], Awaitable[bytes]]
"""Answers one request; a StatusError that it raises reaches the caller."""

Admit = Callable[[Message, int], None]
"""Raises a StatusError for a request that is not to be read: asked of each as it comes, before it has a task, with how many of its
subject run and wait."""
REFUSALS = (100.0, 100.0)
"""Of what is not admitted on one subject so many are answered, a second and at once: who floods would have as many answers made
as requests. Where hundreds more come (`Admission.floods`) that subject is muted: what it costs to refuse them is others' time."""
VERBS = ("PING", "INFO", "STATS")
SHORT, FEW = 1024, 20
"""Characters of a text and number of causes that are told of an error whose whole is too large for a message."""


Metadata = Callable[[], Mapping[str, str]]
"""What INFO shows of an endpoint besides its subject; made when it is asked for."""


class _Stats(msgspec.Struct):
    subject: str
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0


class MicroService:
    """One running instance of a service."""

    def __init__(
        self,
        name: str,
        version: str,
        endpoints: Mapping[str, EndpointHandler],
        description: str,
        metadata: Mapping[str, Metadata] | None = None,
        data: Callable[[], object] | None = None,
        tracer: BusTracer | None = None,
        admits: Mapping[str, Admit] | None = None,
    ) -> None:
        self.name = name
        self._tracer = tracer
        self._metadata, self._admits = metadata or {}, admits or {}
        self._data = data
        self.id = secrets.token_hex(11)
        self._version = version
        self._description = description
        self._endpoints = dict(endpoints)
        self._stats = {subject: _Stats(subject) for subject in endpoints}
        self._started = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")

    def subscriptions(self) -> list[tuple[str, str, MessageHandler]]:
        """(subject, queue group, handler) of everything that the service listens to."""
        served: list[tuple[str, str, MessageHandler]] = [(s, self.name, self._handler(s)) for s in self._endpoints]
        tails = ("", f".{self.name}", f".{self.name}.{self.id}")
        return served + [(f"$SRV.{verb}{tail}", "", self._discovery(verb, tail)) for verb in VERBS for tail in tails]

    def gates(self) -> dict[str, Gate]:
        """By subject, of the endpoints that do not admit all."""
        return {subject: self._gate(admit, self._stats[subject]) for subject, admit in self._admits.items()}

    def _gate(self, admit: Admit, stats: _Stats) -> Gate:
        refusals = Admission(*REFUSALS)

        def gate(message: Message, pending: int) -> bool:
            try:
                admit(message, pending)
            except StatusError as error:
                stats.num_requests += 1
                stats.num_errors += 1
                now = time.monotonic()
                if refusals.admits(message.subject, now):
                    stats.last_error = one_line(error.message)
                    with contextlib.suppress(StatusError):
                        message.respond_now(error.body(), _headers(error))
                elif refusals.floods(message.subject, now):
                    message.mute(AGAIN_S)
                return False
            return True

        return gate

    def _handler(self, subject: str) -> MessageHandler:
        endpoint, stats = self._endpoints[subject], self._stats[subject]
        if self._tracer is not None:
            endpoint = served(self._tracer, subject, endpoint)

        async def handle(message: Message) -> None:
            started = time.perf_counter_ns()
            stats.num_requests += 1
            try:
                await _answer(message, await endpoint(message))
            except ConnectionLost:
                raise
            except StatusError as e:
                await self._fail(message, stats, e)
            except Exception:
                log.exception("an endpoint failed", extra={"subject": message.subject})
                await self._fail(message, stats, InternalError(f"{self.name} failed; its log says why"))
            finally:
                stats.processing_time += time.perf_counter_ns() - started

        return handle

    async def _fail(self, message: Message, stats: _Stats, error: StatusError) -> None:
        stats.num_errors += 1
        stats.last_error = one_line(error.message)
        headers = _headers(error)
        try:
            await message.respond(error.body(), headers)
        except RequestEntityTooLarge:
            await message.respond(shortened(error), headers)

    def _discovery(self, verb: str, tail: str) -> MessageHandler:
        """Who asks all services waits for all, and `nats micro ls` not for long: metadata is for who asks one."""

        async def handle(message: Message) -> None:
            await message.respond(msgspec.json.encode(await self._describe(verb, whole=bool(tail))))

        return handle

    async def _describe(self, verb: str, *, whole: bool) -> dict[str, Any]:
        """The answer to PING, INFO or STATS. Metadata of an endpoint may take milliseconds to make: others have their turn."""
        answer: dict[str, Any] = {
            "type": f"io.nats.micro.v1.{verb.lower()}_response",
            "name": self.name,
            "id": self.id,
            "version": self._version,
            "metadata": {},
        }
        if verb == "INFO":
            endpoints = []
            for subject in self._endpoints:
                endpoints.append(self._endpoint_info(subject, whole=whole))
                await asyncio.sleep(0)
            answer.update(description=self._description, endpoints=endpoints)
        elif verb == "STATS":
            answer.update(started=self._started, endpoints=[self._endpoint_stats(s) for s in self._stats.values()])
            if self._data is not None:
                answer["data"] = self._data()
        return answer

    def _endpoint_info(self, subject: str, *, whole: bool) -> dict[str, Any]:
        info: dict[str, Any] = {"name": _name(subject), "subject": subject, "queue_group": self.name}
        if whole and subject in self._metadata:
            info["metadata"] = dict(self._metadata[subject]())
        return info

    def _endpoint_stats(self, stats: _Stats) -> dict[str, Any]:
        average = stats.processing_time // stats.num_requests if stats.num_requests else 0
        fields = {"name": _name(stats.subject), "queue_group": self.name, "average_processing_time": average}
        return {**fields, **msgspec.to_builtins(stats)}


def _headers(error: StatusError) -> dict[str, str]:
    return {SERVICE_ERROR: one_line(error.message[:SHORT]) or error.reason, SERVICE_ERROR_CODE: str(error.code)}


def shortened(error: StatusError) -> bytes:
    """The Status of an error with what fits any message: the beginning of its text, and its first causes."""
    status = error.status()
    causes = [
        msgspec.structs.replace(cause, message=cause.message[:SHORT], field=cause.field[:SHORT])
        for cause in error.details.causes[:FEW]
    ]
    details = msgspec.structs.replace(error.details, causes=causes)
    return msgspec.json.encode(msgspec.structs.replace(status, message=f"{error.message[:SHORT]} …", details=details))


async def _answer(message: Message, data: bytes) -> None:
    try:
        await message.respond(data)
    except RequestEntityTooLarge as e:
        raise RequestEntityTooLarge(f"the answer is too large for one message: {e.message}") from e


def _name(subject: str) -> str:
    """Endpoint names allow no dots or wildcards: the tokens that say something."""
    return "-".join(token for token in subject.split(".") if token not in ("*", ">"))
