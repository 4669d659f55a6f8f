"""One NATS connection in one epoch: it never reconnects, and losing it is a fact that everybody learns at once.

The data plane uses it directly, everything else through `Bus`. A plain handler runs inline for each message, in order;
an `async def` handler runs in tasks, bounded. Publishing on a lost connection raises; nothing is kept for later (a
DELETE that had been answered with a time-out was once executed 4 s later).
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import random
import re
import secrets
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, cast

import msgspec
from nats import errors as nats_errors

from skerry import errors
from skerry.bus.client import Wire
from skerry.bus.headers import STATUS, decode_headers, encode_headers
from skerry.errors import BadRequest, Forbidden, GatewayTimeout, RequestEntityTooLarge, ServiceUnavailable, Unauthorized

log = logging.getLogger(__name__)

MAX_UNSENT_BYTES = 64 * 1024 * 1024
"""Beyond this `publish_now` refuses: a writer that ignores back-pressure must not eat the process."""
SERVICE_ERROR = "Nats-Service-Error"
SERVICE_ERROR_CODE = "Nats-Service-Error-Code"


class Credentials(Protocol):
    """What `connect` needs of `skerry.identity.creds.Credentials`."""

    @property
    def jwt(self) -> str:
        """The user JWT."""

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
    attempts to connect again are at most `longest_pause_s` apart.
    """

    servers: tuple[str, ...]
    ca_pem: str = ""
    name: str = "skerry"
    connect_timeout_s: float = 5.0
    ping_s: float = 5.0
    ping_max: int = 2
    longest_pause_s: float = 2.0


class ConnectionLost(ServiceUnavailable):
    """503: there is no connection to the bus; nothing was sent."""


class NoResponders(ServiceUnavailable):
    """503: nobody listens on that subject; nothing was executed."""


class Message:
    """One message. The headers are parsed when they are asked for."""

    __slots__ = ("_connection", "_headers", "data", "reply", "subject")

    def __init__(self, connection: Connection, subject: str, reply: str, data: bytes, headers: bytes | None) -> None:
        self._connection = connection
        self._headers = headers
        self.subject = subject
        self.reply = reply
        self.data = data

    @property
    def headers(self) -> dict[str, str]:
        """NATS headers; empty if there are none. A status of the server is under `Status`."""
        return {} if self._headers is None else decode_headers(self._headers)

    @property
    def no_responders(self) -> bool:
        """Whether this is the server saying that nobody listens where the request went."""
        return self._headers is not None and not self.data and self.headers.get(STATUS) == "503"

    async def respond(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer; nothing happens if no answer was asked for. Raises as `Connection.publish`."""
        if self.reply:
            await self._connection.publish(self.reply, data, headers=headers)

    def __repr__(self) -> str:
        return f"Message({self.subject}, {len(self.data)} bytes)"


Handler = Callable[[Message], Awaitable[None] | None]


class Subscription:
    """Interest in one subject on one connection."""

    def __init__(self, connection: Connection, sid: int, subject: str, handler: Handler, limits: _Limits) -> None:
        self.subject = subject
        self.dropped = 0
        self._connection = connection
        self._sid = sid
        self._handler = handler
        self._limits = limits
        self._waiting: deque[Message] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self.deliver = self._dispatch if _is_async(handler) else self._inline

    def unsubscribe(self) -> None:
        """Stop now: waiting messages are dropped, handlers that run go on. Never raises."""
        self._waiting.clear()
        self._connection._remove(self._sid)

    async def drain(self) -> None:
        """Leave, behind a barrier (UNSUB reaches the server before we wait), then wait for the handlers."""
        self._connection._leave(self._sid)
        try:
            await self._connection.flush()
        except ServiceUnavailable:
            log.debug("the connection was lost while %s drained", self.subject)
        self._connection._forget(self._sid)
        await self._idle.wait()

    @property
    def busy(self) -> bool:
        """Whether a handler is running."""
        return bool(self._tasks)

    def forget(self) -> None:
        """Drop what waits: the connection is lost, nobody can be answered, and whoever asked was told so."""
        self._waiting.clear()

    def cancel(self) -> None:
        """Stop the handlers too."""
        self.unsubscribe()
        for task in self._tasks:
            task.cancel()

    def _inline(self, message: Message) -> None:
        try:
            self._handler(message)
        except Exception:
            log.exception("a handler failed", extra={"subject": message.subject})

    def _dispatch(self, message: Message) -> None:
        if len(self._tasks) < self._limits.concurrency:
            self._start(message)
        elif len(self._waiting) < self._limits.backlog:
            self._waiting.append(message)
        else:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:
                log.warning("messages dropped: too many wait", extra={"subject": self.subject, "dropped": self.dropped})

    def _start(self, message: Message) -> None:
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._run(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def _run(self, message: Message) -> None:
        try:
            await cast(Awaitable[None], self._handler(message))
        except ConnectionLost:
            log.debug("a handler could not answer: the connection is lost", extra={"subject": message.subject})
        except Exception:
            log.exception("a handler failed", extra={"subject": message.subject})

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._waiting:
            self._start(self._waiting.popleft())
        elif not self._tasks:
            self._idle.set()


class _Limits(msgspec.Struct, frozen=True):
    concurrency: int
    backlog: int


class Connection:
    """One client in one epoch.

    `lost`: a future whose result is the reason. Wait with `asyncio.wait`, `closed()` or a callback: awaiting it bare
    hands a cancellation of the waiter on to it, and that cuts the connection.
    """

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self.id = secrets.token_hex(6)
        self.name = settings.name
        self.denied = 0
        self._wire = Wire(self._received, self._on_denied)
        self.lost = self._wire.lost
        self._subscriptions: dict[int, Subscription] = {}
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

    def inbox(self) -> str:
        """A new subject that this user may subscribe to, for answers that are not one message."""
        return f"{self._inbox}.x.{next(self._requests)}"

    def _answered(self, message: Message) -> None:
        _, future = self._asked.get(message.subject.rpartition(".")[2], ("", None))
        if future is not None and not future.done():
            future.set_result(message)

    # Subscriptions.

    def subscribe_now(
        self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
    ) -> Subscription:
        """`subscribe` without the barrier."""
        if self.lost.done():
            raise self._gone()
        _check_subject(subject)
        sid = next(self._sids)
        subscription = Subscription(self, sid, subject, handler, _Limits(concurrency, backlog))
        self._subscriptions[sid] = subscription
        self._wire.write(f"SUB {subject} {queue} {sid}\r\n".encode())
        return subscription

    async def subscribe(
        self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
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
        """Whether handlers are running, also after it was lost."""
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

    def _remove(self, sid: int) -> None:
        self._leave(sid)
        self._forget(sid)

    def _leave(self, sid: int) -> None:
        if sid in self._subscriptions and not self.lost.done():
            self._wire.write(f"UNSUB {sid}\r\n".encode())

    def _forget(self, sid: int) -> None:
        self._subscriptions.pop(sid, None)

    def _received(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        subscription = self._subscriptions.get(sid)
        if subscription is not None:
            subscription.deliver(Message(self, subject.decode(), reply.decode(), data, headers))

    def _on_denied(self, text: str) -> None:
        self.denied += 1
        log.warning("the bus denied a subject: %s", text, extra={"connection": self.name})
        found = _DENIED_PUBLISH.search(text.lower())
        denied = [] if found is None else [(s, f) for s, f in self._asked.values() if s.lower() == found[1]]
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


async def connect(settings: Settings, credentials: Credentials) -> Connection:
    """A new connection to the first of `settings.servers` (in random order) that takes it.

    Raises ServiceUnavailable (none reachable, or the certificate is not the host's) or Unauthorized (the credentials
    are expired, revoked or unknown), each naming the servers and what to do.
    """
    servers = random.sample(settings.servers, len(settings.servers))
    failure: errors.StatusError = ServiceUnavailable("no address of the bus is known")
    for server in servers:
        try:
            return await _connect_one(settings, server, credentials)
        except (ServiceUnavailable, Unauthorized) as e:
            failure = e
            if isinstance(e, Unauthorized):
                break
    raise failure


async def _connect_one(settings: Settings, server: str, credentials: Credentials) -> Connection:
    connection = Connection(settings, credentials)
    wire = connection._wire
    wire._auth_configured = True
    wire._user_jwt_cb = credentials.jwt.encode
    try:
        async with asyncio.timeout(settings.connect_timeout_s * 2):
            await wire.connect(
                servers=[server],
                name=settings.name,
                allow_reconnect=False,
                connect_timeout=cast(int, settings.connect_timeout_s),
                ping_interval=cast(int, settings.ping_s),
                max_outstanding_pings=settings.ping_max,
                error_cb=_quiet,
                tls=_context(settings.ca_pem),
                user_jwt_cb=credentials.jwt.encode,
                signature_cb=lambda nonce: b64encode(credentials.sign(nonce.encode())),
                pending_size=MAX_UNSENT_BYTES,
            )
    except BaseException as e:
        wire.lose("never connected")
        if isinstance(e, Exception):
            raise _failure(e, server, credentials) from e
        raise
    return connection


async def _quiet(error: Exception) -> None:
    """nats-py's error callback; it must never raise. Everything that matters ends in `lose` or in an exception."""
    log.debug("nats: %s", type(error).__name__)


def _context(ca_pem: str) -> ssl.SSLContext | None:
    if not ca_pem:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_pem)
    return context


def _failure(e: Exception, server: str, credentials: Credentials) -> errors.StatusError:
    if isinstance(e, ssl.SSLError):
        return ServiceUnavailable(
            f"the bus at {server} has a certificate that is not the host's ({_tls_reason(e)}): check the address, and "
            "whether the host was set up anew; then get a new token"
        )
    if isinstance(e, (OSError, TimeoutError)):
        why = "no answer in time" if isinstance(e, TimeoutError) else (e.strerror or str(e))
        return ServiceUnavailable(f"the bus at {server} cannot be reached ({why}): is the host up, and the port open?")
    text = str(e).lower()
    if "authorization" in text or "authentication" in text or "revoked" in text:
        return Unauthorized(f"the bus at {server} refused the credentials: {_refusal(credentials)}")
    if isinstance(e, nats_errors.Error):
        return ServiceUnavailable(f"the bus at {server} did not take the connection: {text.removeprefix('nats: ')}")
    log.error("connecting to the bus failed unexpectedly", exc_info=e)
    return ServiceUnavailable(f"the bus at {server} did not take the connection: internal error, see the log")


def _tls_reason(e: ssl.SSLError) -> str:
    return getattr(e, "verify_message", "") or e.reason or "TLS failed"


def _refusal(credentials: Credentials) -> str:
    if credentials.expires is not None and credentials.expires <= time.time():
        return "they have expired"
    return "they were revoked, or belong to another host"


def _service_error(answer: Message, code: str) -> errors.StatusError:
    try:
        return errors.from_body(answer.data)
    except msgspec.DecodeError:
        text = answer.headers.get(SERVICE_ERROR, "the service failed")
        error = errors.StatusError(text)
        error.code = int(code) if code.isdigit() and len(code) == 3 else 500
        return error


def _is_async(handler: Handler) -> bool:
    function: Any = handler if inspect.isroutine(handler) else getattr(handler, "__call__", handler)  # noqa: B004
    while hasattr(function, "func"):
        function = function.func
    return inspect.iscoroutinefunction(function)


_DENIED_PUBLISH = re.compile(r'publish to "([^"]*)"')
"""The server's text; compared without case, since servers and nats-py differ in what they keep (trap 8)."""
_FORBIDDEN = frozenset(" \t\r\n\0")


def _check_subject(subject: str) -> None:
    if not subject or not _FORBIDDEN.isdisjoint(subject):
        raise BadRequest(f"{subject[:60]!r} is not a subject")
