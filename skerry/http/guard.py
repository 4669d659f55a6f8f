"""A handler under a guard: whatever happens in it ends its own exchange, and nothing else."""

from __future__ import annotations

import logging

from skerry.errors import InternalError, StatusError
from skerry.http.errors import ClientGone
from skerry.http.exchange import Exchange, ExchangeConnection, RequestHandler

log = logging.getLogger(__name__)


async def guarded(handler: RequestHandler, exchange: Exchange, connection: ExchangeConnection) -> None:
    """Run `handler`; afterwards the exchange is answered, upgraded or cut."""
    try:
        await handler(exchange)
        if not exchange.started and not exchange.finished:
            await _unanswered(exchange, connection)
    except (ClientGone, ConnectionError):
        await _unanswered(exchange, connection)
    except StatusError as error:
        await _error(exchange, error)
    except Exception:
        log.exception("a handler failed", extra={"method": exchange.head.method.decode("ascii")})
        await _error(exchange, InternalError("an internal error occurred; the log of the host says more"))
    if exchange.started and not exchange.finished:
        exchange.abort()


async def _unanswered(exchange: Exchange, connection: ExchangeConnection) -> None:
    """The handler gave up: because the body was rubbish (400), the client left (nothing), or by a bug (500)."""
    if connection.refused is not None:
        await _error(exchange, connection.refused)
    elif connection.client_left or exchange.started or connection.stalled:
        exchange.abort()
    else:
        log.error("a handler did not answer", extra={"method": exchange.head.method.decode("ascii")})
        await _error(exchange, InternalError("the request was not answered; the log of the host says more"))


async def _error(exchange: Exchange, error: StatusError) -> None:
    if exchange.started:
        exchange.abort()
        return
    try:
        await exchange.respond_error(error)
    except (ClientGone, ConnectionError):
        exchange.abort()
