"""Connections for ever. Signatures first; filled in next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from skerry.bus.connection import Connection, Credentials, Handler, Message, Settings
from skerry.bus.kv import Bucket, BucketConfig
from skerry.errors import StatusError

Source = Callable[[], Credentials | Awaitable[Credentials]]
"""Gives the credentials for the next connection, for example by reading the file again."""
Endpoint = Callable[[Message], Awaitable[bytes]]
"""Answers one request; a StatusError that it raises reaches the caller."""


def connections(
    settings: Settings,
    source: Source,
    *,
    stop: asyncio.Event,
    failed: Callable[[StatusError], None] | None = None,
) -> AsyncIterator[Connection]:
    """Connections, one after another, until `stop`; jittered backoff; `failed` hears why each attempt failed.

    The consumer uses the connection until `lost` is done and then asks for the next one.
    """
    raise NotImplementedError


class Registration:
    """A declared subscription or service; it lives over connections until `stop()`."""

    def stop(self) -> None:
        raise NotImplementedError


class Bus:
    """A supervised connection for everything but frames: `async with Bus(settings, source) as bus`."""

    def __init__(self, settings: Settings, source: Source) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Bus:
        raise NotImplementedError

    async def __aexit__(self, *exc: object) -> None:
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        raise NotImplementedError

    @property
    def reason(self) -> str:
        """Why it is not connected; empty if it is."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until connected and all declared subscriptions are known to the server."""
        raise NotImplementedError

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str] | None = None) -> None:
        """Raises ConnectionLost at once while disconnected; nothing is buffered."""
        raise NotImplementedError

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout_s: float = 5.0, headers: dict[str, str] | None = None
    ) -> Message:
        """As Connection.request; while disconnected it waits up to `timeout_s`, then ConnectionLost (not sent)."""
        raise NotImplementedError

    def subscribe(
        self, subject: str, handler: Handler, *, queue: str = "", concurrency: int = 64, backlog: int = 4096
    ) -> Registration:
        """Declare a subscription: it is created now if connected, and again on every new connection."""
        raise NotImplementedError

    def serve(
        self, service: str, version: str, endpoints: Mapping[str, Endpoint], *, description: str = ""
    ) -> Registration:
        """A NATS micro service (`nats micro ls`): subject -> handler; queue group = the service's name."""
        raise NotImplementedError

    async def bucket(self, name: str, *, create: BucketConfig | None = None) -> Bucket:
        """The bucket; NotFound if it does not exist and `create` is None."""
        raise NotImplementedError
