"""One NATS connection in one epoch. Signatures first; filled in next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from skerry.errors import ServiceUnavailable


class Credentials(Protocol):
    """What `connect` needs of `skerry.identity.creds.Credentials`."""

    @property
    def jwt(self) -> str: ...
    @property
    def inbox(self) -> str: ...
    @property
    def expires(self) -> int | None: ...
    def sign(self, nonce: bytes) -> bytes: ...


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the bus. `ca_pem`: the only authority trusted; empty = no TLS (tests only)."""

    servers: tuple[str, ...]
    ca_pem: str = ""
    name: str = "skerry"
    connect_timeout_s: float = 5.0
    ping_s: float = 5.0
    ping_max: int = 2


class ConnectionLost(ServiceUnavailable):
    """503: the connection to the bus is lost; nothing was sent."""


class NoResponders(ServiceUnavailable):
    """503: nobody listens on that subject; nothing was executed."""


class Message:
    """One message. `headers` is empty unless the sender set some; `no_responders` marks the server's 503."""

    __slots__ = ("_connection", "_raw_headers", "data", "reply", "subject")
    subject: str
    data: bytes
    reply: str

    @property
    def headers(self) -> dict[str, str]:
        raise NotImplementedError

    @property
    def no_responders(self) -> bool:
        raise NotImplementedError

    async def respond(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        raise NotImplementedError


Handler = Callable[[Message], Awaitable[None] | None]


class Subscription:
    """Interest in a subject. `dropped` counts messages beyond the backlog of an async handler."""

    subject: str
    dropped: int

    def unsubscribe(self) -> None:
        """Stop now; messages that wait for a handler are dropped. Never raises."""
        raise NotImplementedError

    async def drain(self) -> None:
        """Stop taking new messages, then wait until all that came are handled."""
        raise NotImplementedError


class Connection:
    """One client in one epoch; it never reconnects. `lost` is a future whose result is the reason (text)."""

    id: str
    name: str
    lost: asyncio.Future[str]
    max_payload: int

    @property
    def pending_bytes(self) -> int:
        """Bytes that were published and that the socket has not taken yet."""
        raise NotImplementedError

    def publish_now(self, subject: str, payload: bytes, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Queue one message; all of a loop turn leave in one write. Raises ConnectionLost, RequestEntityTooLarge."""
        raise NotImplementedError

    async def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """`publish_now`, then wait while the socket is behind."""
        raise NotImplementedError

    async def writable(self) -> None:
        """Wait until the socket has taken enough (below 256 KiB pending). Raises ConnectionLost."""
        raise NotImplementedError

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Message:
        """Raises NoResponders, GatewayTimeout (outcome unknown), ConnectionLost (not sent), or the service's StatusError."""
        raise NotImplementedError

    def subscribe_now(
        self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
    ) -> Subscription:
        """`subscribe` without the barrier."""
        raise NotImplementedError

    async def subscribe(
        self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
    ) -> Subscription:
        """Returns behind the barrier: the server knows the interest.

        A plain function is called inline, in order, per message (hot path). An `async def` handler runs in tasks,
        at most `concurrency` at once; beyond `backlog` waiting messages the newest are dropped and counted.
        An exception is logged and ends nothing.
        """
        raise NotImplementedError

    async def flush(self, timeout_s: float = 5.0) -> None:
        """A barrier: the server has processed everything sent before."""
        raise NotImplementedError

    def abort(self, reason: str = "closed") -> None:
        """Cut now. Idempotent."""
        raise NotImplementedError

    async def drain(self, timeout_s: float = 5.0) -> None:
        """Leave all queue groups, finish handlers, send what is pending, close."""
        raise NotImplementedError


async def connect(settings: Settings, credentials: Credentials) -> Connection:
    """Raises ServiceUnavailable (unreachable, wrong certificate) or Unauthorized (expired, revoked, unknown)."""
    raise NotImplementedError
