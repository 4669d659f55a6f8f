"""One NATS connection: it never reconnects, and losing it is a fact that everybody learns at once.

The data plane uses it directly, everything else through `Bus`. A plain handler runs inline for each message, in order;
an `async def` handler runs in tasks, bounded. Publishing on a lost connection raises; nothing is kept for later (a
DELETE that had been answered with a time-out was once executed 4 s later).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import secrets
from typing import Protocol

import msgspec

from skerry import errors
from skerry.bus.client import NatsClient
from skerry.bus.delivery import ConnectionLost, Gate, HandlerLimits, Message, MessageHandler, Subscription
from skerry.bus.headers import DESCRIPTION, STATUS, encode_headers
from skerry.errors import BadRequest, Forbidden, GatewayTimeout, RequestEntityTooLarge, ServiceUnavailable

log = logging.getLogger(__name__)

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""Beyond this `publish_now` refuses: a writer that ignores back-pressure must not eat the process."""
SERVICE_ERROR = "Nats-Service-Error"
SERVICE_ERROR_CODE = "Nats-Service-Error-Code"


class Credentials(Protocol):
    """The part of `skerry.identity.creds.Credentials` that `connect` needs."""

    @property
    def jwt(self) -> str:
        """The user JWT."""

    @property
    def public(self) -> str:
        """The user's nkey."""

    @property
    def inbox(self) -> str:
        """Prefix of the only inbox that the user may subscribe to."""

    @property
    def expires(self) -> int | None:
        """Seconds since the epoch, None if they do not end."""

    def sign(self, nonce: bytes) -> bytes:
        """Signature over the server's nonce; empty for a bearer."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the bus.

    `servers`: `tls://host:port`, tried in random order. `ca_pem`: the only authority that is trusted; the certificate
    must name the host that is dialled. Lost after `ping_s` x (`ping_max` + 1) of silence at most. After losing it,
    attempts to connect again are at most `longest_pause_s` apart. Of a connection that others may fill so many `turn_bytes` are
    read in one turn of the loop; 0: all that came.
    """

    servers: tuple[str, ...]
    ca_pem: str = ""
    name: str = "skerry"
    connect_timeout_s: float = 5.0
    ping_s: float = 5.0
    ping_max: int = 2
    longest_pause_s: float = 2.0
    turn_bytes: int = 0


class NoResponders(ServiceUnavailable):
    """503: nobody listens on that subject; nothing was executed."""


class Connection:
    """One client for as long as it is connected.

    `lost`: a future whose result is the reason. Wait with `asyncio.wait`, `closed()` or a callback: awaiting it bare
    hands a cancellation of the waiter on to it, and that cuts the connection.
    """

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self.id = secrets.token_hex(6)
        self.name = settings.name
        self.user = credentials.public
        """The nkey that it authenticated with."""
        self.denied = 0
        self.strays = 0
        """Messages that were dropped: a member may name any bytes as a subject, and the server passes them on."""
        self._wire = NatsClient(self._received, self._on_denied, settings.turn_bytes)
        self.lost = self._wire.lost
        self._subscriptions: dict[int, Subscription] = {}
        self._muted: set[bytes] = set()
        """Subjects of which nothing is read."""
        self._sids = itertools.count(1)
        self._inbox = f"{credentials.inbox}.{self.id}"
        self._asked: dict[str, tuple[str, asyncio.Future[Message]]] = {}
        self._requests = itertools.count(1)
        self._answers: Subscription | None = None
        self.lost.add_done_callback(self._on_lost)

    @property
    def max_payload(self) -> int:
        """Bytes of headers and payload that the server takes in one message."""
        return self._wire.max_payload

    @property
    def server(self) -> str:
        """The name of the server that it is connected to."""
        return str(self._wire._server_info.get("server_name", ""))

    @property
    def pending_bytes(self) -> int:
        """Bytes that were published and that the socket has not taken yet."""
        return self._wire.unsent_bytes

    # Publishing.

    def publish_now(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Queue one message; all messages of a loop turn leave in one write.

        Raises ConnectionLost, RequestEntityTooLarge (the server would cut the connection for it), BadRequest for a
        malformed subject or header, TooManyRequests when 64 MiB are unsent. Subjects come from `skerry.subjects`:
        only what would break the protocol is checked here.
        """
        if self.lost.done():
            raise self._gone()
        _check_subject(subject)
        if reply:
            _check_subject(reply)
        block = b"" if headers is None else encode_headers(headers)
        size = len(block) + len(payload)
        if size > self._wire.max_payload:
            raise RequestEntityTooLarge(f"a message of {size} bytes is beyond the bus's limit of {self.max_payload}")
        if self._wire.queued_bytes > MAX_UNSENT_BYTES:
            raise errors.TooManyRequests("the bus does not take messages as fast as they are written")
        if headers is None:
            self._wire.write(f"PUB {subject} {reply} {size}\r\n".encode(), payload, b"\r\n")
        else:
            self._wire.write(f"HPUB {subject} {reply} {len(block)} {size}\r\n".encode(), block, payload, b"\r\n")

    async def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """`publish_now`, then wait while the socket is behind. A cancellation while waiting is passed on."""
        self.publish_now(subject, payload, reply, headers)
        if self._wire.unsent_bytes > 128 * 1024:
            await self.writable()

    async def writable(self) -> None:
        """Wait until fewer than 256 KiB are unsent. Raises ConnectionLost."""
        await self._wire.writable()
        if self.lost.done():
            raise self._gone()

    # Requests.

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Message:
        """The answer to a request.

        Raises NoResponders, ConnectionLost or Forbidden by the bus's permissions (not executed), GatewayTimeout (no
        answer, outcome unknown), or the StatusError that the service answered.
        """
        answer = await self.ask(subject, payload, timeout_s=timeout_s, headers=headers)
        if answer.no_responders:
            raise NoResponders(f"nobody answers {subject} on the bus: the service is not running, or not yet")
        code = answer.headers.get(SERVICE_ERROR_CODE) if answer._headers is not None else None
        if code is not None:
            raise _service_error(answer, code)
        return answer

    async def ask(
        self, subject: str, payload: bytes = b"", *, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Message:
        """The answer as it came: a service's error and `no_responders` are the caller's to look at."""
        if self._answers is None:
            self._answers = self.subscribe_now(f"{self._inbox}.*", self._answered)
        token = str(next(self._requests))
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[token] = (subject, future)
        try:
            self.publish_now(subject, payload, f"{self._inbox}.{token}", headers)
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as e:
            raise GatewayTimeout(f"no answer from {subject} within {timeout_s:g} s: the outcome is unknown") from e
        finally:
            del self._asked[token]

    async def gather(self, subject: str, payload: bytes, *, timeout_s: float) -> list[Message]:
        """All answers to one request, up to one with a status in its headers, which is the last of them.

        As `request` raises; ServiceUnavailable for a status that is an error (404 is none: there is nothing).
        """
        answers: list[Message] = []
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def take(message: Message) -> None:
            answers.append(message)
            if (message.no_responders or STATUS in message.headers) and not ended.done():
                ended.set_result(None)

        inbox = self.inbox()
        subscription = self.subscribe_now(inbox, take)
        try:
            self.publish_now(subject, payload, inbox)
            await asyncio.wait((ended, self.lost), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            subscription.unsubscribe()
        if not ended.done():
            raise (
                self._gone() if self.lost.done() else GatewayTimeout(f"no answer from {subject} within {timeout_s:g} s")
            )
        status = answers[-1].headers.get(STATUS, "")
        if answers[-1].no_responders:
            raise NoResponders(f"nobody answers {subject} on the bus: the service is not running, or not yet")
        if status not in ("204", "404"):
            raise ServiceUnavailable(f"{subject}: {status} {answers[-1].headers.get(DESCRIPTION, '')}".strip())
        # the subscription is a circle, and would keep what it was given until the collector comes
        collected, answers = answers, []
        return collected

    def inbox(self) -> str:
        """A new subject that this user may subscribe to, for answers that are not one message."""
        return f"{self._inbox}.x.{next(self._requests)}"

    def _answered(self, message: Message) -> None:
        _, future = self._asked.get(message.subject.rpartition(".")[2], ("", None))
        if future is not None and not future.done():
            future.set_result(message)

    # Subscriptions.

    def subscribe_now(
        self,
        subject: str,
        handler: MessageHandler,
        *,
        queue: str = "",
        concurrency: int = 64,
        backlog: int = 4096,
        gate: Gate | None = None,
    ) -> Subscription:
        """`subscribe` without the barrier; `gate` is asked before an `async def` handler gets a task."""
        if self.lost.done():
            raise self._gone()
        _check_subject(subject)
        sid = next(self._sids)
        subscription = Subscription(self, sid, subject, handler, HandlerLimits(concurrency, backlog), gate)
        self._subscriptions[sid] = subscription
        self._wire.write(f"SUB {subject} {queue} {sid}\r\n".encode())
        return subscription

    async def subscribe(
        self, subject: str, handler: MessageHandler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
    ) -> Subscription:
        """Interest in `subject`; returns behind the barrier: the server knows it.

        A plain function is called inline, in order, once per message (the hot path; it must not block). An `async
        def` handler runs in tasks, at most `concurrency` at once; beyond `backlog` waiting messages, new ones are
        dropped, counted and logged. An exception is logged and ends nothing.
        """
        subscription = self.subscribe_now(subject, handler, queue=queue, concurrency=concurrency, backlog=backlog)
        await self.flush()
        return subscription

    async def flush(self, timeout_s: float = 5.0) -> None:
        """A barrier: the server has processed everything sent before. ConnectionLost, or GatewayTimeout."""
        if self.lost.done():
            raise self._gone()
        pong = self._wire.ping()
        await asyncio.wait((pong, self.lost), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if not pong.done():
            if self.lost.done():
                raise self._gone()
            raise GatewayTimeout(f"the bus did not answer within {timeout_s:g} s")

    # Ends.

    @property
    def reason(self) -> str:
        """Why it is lost; empty while it lives."""
        return self._wire.reason

    async def closed(self) -> str:
        """Wait until it is lost; the reason. May be cancelled."""
        await asyncio.wait((self.lost,))
        return self.reason

    def abort(self, reason: str = "closed", *, handlers: bool = True) -> None:
        """Cut now: nothing pending is sent. Idempotent.

        Handlers that run are cancelled; with `handlers` False they go on, and only their answers are lost.
        """
        self._wire.lose(reason)
        if handlers:
            for subscription in list(self._subscriptions.values()):
                subscription.cancel()

    @property
    def busy(self) -> bool:
        """True if handlers are running, also after it was lost."""
        return any(subscription.busy for subscription in self._subscriptions.values())

    async def drain(self, timeout_s: float = 5.0) -> None:
        """Leave all subjects, finish the handlers, send what is pending, close. Never raises; then `lost` is done."""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(s.drain() for s in list(self._subscriptions.values()) if s is not self._answers))
                await self.flush(timeout_s)
        except (TimeoutError, ServiceUnavailable, GatewayTimeout):
            log.info("the bus connection was cut before it had drained", extra={"connection": self.name})
        finally:
            self.abort("drained")

    def mute(self, subject: str, seconds: float) -> None:
        """For a message: drop what comes with its subject, unread, for so long."""
        muted = subject.encode()
        if muted not in self._muted:
            self._muted.add(muted)
            asyncio.get_running_loop().call_later(seconds, self._muted.discard, muted)

    def leave(self, sid: int) -> None:
        """For a subscription: the server is told that nothing more is wanted."""
        if sid in self._subscriptions and not self.lost.done():
            self._wire.write(f"UNSUB {sid}\r\n".encode())

    def forget(self, sid: int) -> None:
        """For a subscription: what still comes is dropped."""
        self._subscriptions.pop(sid, None)

    def _received(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        subscription = self._subscriptions.get(sid)
        if subscription is None or subject in self._muted:
            return
        try:
            message = Message(self, subject.decode(), reply.decode(), data, headers)
        except UnicodeDecodeError:
            self.strays += 1
            log.debug("a message has a subject that is no text", extra={"connection": self.name})
            return
        subscription.deliver(message)

    def _on_denied(self, text: str) -> None:
        self.denied += 1
        log.warning("the bus denied a subject: %s", text, extra={"connection": self.name})
        match = _DENIED_PUBLISH.search(text.lower())
        denied = [] if match is None else [(s, f) for s, f in self._asked.values() if s.lower() == match[1]]
        for subject, future in denied:
            if not future.done():
                future.set_exception(Forbidden(f"these credentials may not publish {subject}"))

    def _on_lost(self, lost: asyncio.Future[str]) -> None:
        error = GatewayTimeout(f"the connection to the bus was lost ({self.reason}): the outcome is unknown")
        for _, future in self._asked.values():
            if not future.done():
                future.set_exception(error)
        for subscription in self._subscriptions.values():
            subscription.forget()

    def _gone(self) -> ConnectionLost:
        return ConnectionLost(f"the connection to the bus is lost: {self.reason}")


def _service_error(answer: Message, code: str) -> errors.StatusError:
    try:
        return errors.from_body(answer.data)
    except msgspec.DecodeError:
        text = answer.headers.get(SERVICE_ERROR, "the service failed")
        error = errors.StatusError(text)
        error.code = int(code) if code.isascii() and code.isdigit() and len(code) == 3 else 500
        return error


_DENIED_PUBLISH = re.compile(r'publish to "([^"]*)"')
"""The server's text; compared without case, since servers and nats-py differ in what they keep (trap 8)."""
_FORBIDDEN = re.compile(r"[ \t\r\n\0]").search


def _check_subject(subject: str) -> None:
    if not subject or _FORBIDDEN(subject) is not None:
        raise BadRequest(f"{subject[:60]!r} is not a subject")
