"""Opening a connection, and saying in one line why it did not open: unreachable, not the host, or refused."""

from __future__ import annotations

import logging
import random
import ssl
import time
from asyncio import CancelledError, current_task, timeout
from base64 import b64encode
from typing import cast

from skerry import errors
from skerry.bus.connection import MAX_UNSENT_BYTES, Connection, Credentials, Settings
from skerry.bus.library import errors as nats_errors
from skerry.errors import ServiceUnavailable, Unauthorized

log = logging.getLogger(__name__)


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
    cancels = _cancels()
    try:
        async with timeout(settings.connect_timeout_s * 2):
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
        if _cancels() > cancels:
            raise CancelledError
    except BaseException as e:
        wire.lose("never connected")
        if isinstance(e, Exception) and _cancels() > cancels:
            raise CancelledError from e
        if isinstance(e, Exception):
            raise _failure(e, server, credentials) from e
        raise
    return connection


def _cancels() -> int:
    """How often the current task was asked to stop. While it connects nats-py may swallow that (so does `wait_for` in
    Python 3.11): a supervisor that is being closed would then use the new connection for ever."""
    task = current_task()
    return task.cancelling() if task else 0


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
