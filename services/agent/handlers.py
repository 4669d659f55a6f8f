"""One stream of the tunnel, answered by the member's API server: verify, refuse or relay.

What holds here: before the response head every failure is a real Status; after it a failure is a RESET, never a clean
end; bytes read from the API server leave at once (a watch event waits for nothing) and bytes for it give credit back
only after its socket took them; when the other side resets, the stream's task is cancelled and the upstream connection
is cut with it. Small answers are one message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from services.agent import ceiling as limits
from services.agent import impersonation, reviews
from services.agent.credentials import Credential, CredentialError
from services.agent.model import HostClock
from services.agent.upstream import Upstream
from skerry.api.messages import Claims
from skerry.api.v1alpha1 import Ceiling
from skerry.errors import BadGateway, Forbidden, GatewayTimeout, ServiceUnavailable, StatusError
from skerry.http.client import Body
from skerry.http.errors import HttpError, NoAnswer, Unreachable
from skerry.http.raw import Raw
from skerry.http.response import Response
from skerry.httpwire import answer as wire
from skerry.httpwire.head import BODILESS, Headers, RequestHead, first
from skerry.httpwire.headers import clean_response
from skerry.httpwire.requestinfo import RequestInfo, resolve
from skerry.httpwire.target import parse_target
from skerry.identity.assertion import Verifier
from skerry.link import AnswerComplete, OpenRequest, ResetCode, Stream

log = logging.getLogger("skerry.agent")

INLINE = 48 * 1024
"""Answers up to this size are one message: below the window of an interactive stream with its head."""
SETTLE_S = 0.01
"""How long the rest of a small answer of unknown length is waited for before its head leaves alone."""
LINGER_S = 35.0
"""After the API server ended an upgraded session, how long the client's side may take to end its own (the proxy: 30 s)."""
HEAD_MARGIN_S = 5.0
"""The proxy gives a response head up first; this bound is for a proxy that is gone without a word."""


class Relay:
    """Answers streams. One per agent; `handle` is the Acceptor's handler and runs as one task per stream."""

    def __init__(
        self,
        upstream: Upstream,
        verifier: Verifier,
        ceiling: Ceiling,
        clock: HostClock,
        blocked: Callable[[], str] = lambda: "",
    ) -> None:
        self._upstream, self._verifier, self._ceiling, self._clock = upstream, verifier, ceiling, clock
        self._open = ceiling == Ceiling()
        self._blocked = blocked

    async def handle(self, stream: Stream) -> None:
        """Answer one stream completely. Raises StreamReset only (the other side is gone)."""
        try:
            response = await self._ask(stream)
        except StatusError as e:
            log.info("refused", extra={"stream": stream.request.id, "code": e.code, "reason": e.message})
            await _refuse(stream, e)
            return
        if response is None:
            return
        try:
            await self._answer(stream, response)
        except StatusError as e:
            await _refuse(stream, e)
        except HttpError as e:
            log.info("the API server broke an answer", extra={"stream": stream.request.id, "reason": str(e)})
            stream.reset(ResetCode.UPSTREAM, f"the member's API server broke the answer: {e}")
        finally:
            await response.release()

    # The request

    async def _ask(self, stream: Stream) -> Response | None:
        """The upstream's response, or None when the stream was answered without it. Raises StatusError."""
        claims, info = self._admitted(stream.request)
        if info is not None and not self._open and limits.is_self_review(info):
            return await self._review(stream, claims, info)
        return await self._executed(stream, claims)

    def _admitted(self, request: OpenRequest) -> tuple[Claims, RequestInfo | None]:
        if self._blocked():
            raise ServiceUnavailable(self._blocked())
        claims = self._verifier.verify(request.assertion, self._clock.host(time.monotonic()))
        impersonation.check(claims)
        info = self._info(request)
        if info is not None:
            upgrade = first(request.headers, b"upgrade") is not None
            if why := limits.refusal(self._ceiling, info, upgrade=upgrade):
                raise Forbidden(why)
        return claims, info

    def _info(self, request: OpenRequest) -> RequestInfo | None:
        """How the API server reads the request; None when no rule could refuse it (no ceiling, no proxying)."""
        if self._open and b"proxy" not in request.target and b"%" not in request.target:
            return None
        target = parse_target(request.target)
        return resolve(request.method, target.path, target.query)

    async def _executed(self, stream: Stream, claims: Claims, received: Headers | None = None) -> Response:
        received = stream.request.headers if received is None else received
        credential = await self._credential()
        response = await self._send(stream, claims, received, credential)
        if response.status != 401 or b"/proxy" in stream.request.target:
            return response
        await response.release()
        if stream.request.end and await self._renewed(credential):
            response = await self._send(stream, claims, received, await self._credential())
            if response.status != 401:
                return response
            await response.release()
        raise BadGateway(
            f"the API server refused the agent's own credential ({self._upstream.origin}), not yours: "
            "the member's administrator must renew it where the agent runs"
        )

    async def _credential(self) -> Credential:
        try:
            return await self._upstream.credential()
        except CredentialError as e:
            raise BadGateway(f"the agent cannot prove itself to its API server: {e}") from e

    async def _renewed(self, credential: Credential) -> bool:
        try:
            return await self._upstream.renew(credential)
        except CredentialError as e:
            log.warning("the agent's credential cannot be renewed", extra={"reason": str(e)})
            return False

    async def _send(self, stream: Stream, claims: Claims, received: Headers, credential: Credential) -> Response:
        head, body = self._request(stream, claims, received, credential)
        try:
            limit_s = 0.0 if stream.request.long_running else stream.request.deadline_s + HEAD_MARGIN_S
            return await self._upstream.send(credential, head, body, limit_s)
        except Unreachable as e:
            raise BadGateway(
                f"the member's API server cannot be reached by its agent: {e}; nothing was executed"
            ) from e
        except NoAnswer as e:
            raise GatewayTimeout(f"the member's API server did not answer in time: {e}; outcome unknown") from e
        except HttpError as e:
            raise BadGateway(f"the member's API server did not answer as it must: {e}; outcome unknown") from e

    def _request(
        self, stream: Stream, claims: Claims, received: Headers, credential: Credential
    ) -> tuple[RequestHead, Body]:
        request = stream.request
        upgrade = first(request.headers, b"upgrade")
        headers = impersonation.headers(received, impersonation.identity(claims), credential.authorization, request.id)
        head = RequestHead(
            method=request.method, target=self._upstream.target(request.target), headers=headers, upgrade=upgrade
        )
        return head, None if upgrade is not None else _body(stream)

    # Reviews, which a ceiling changes

    async def _review(self, stream: Stream, claims: Claims, info: RequestInfo) -> Response | None:
        if info.resource == "selfsubjectaccessreviews":
            refused = await reviews.access(stream, self._ceiling)
            if refused is not None:
                await _whole(stream, 201, refused)
                return None
        if info.resource != "selfsubjectrulesreviews":
            return await self._executed(stream, claims)
        response = await self._executed(stream, claims, reviews.plain(stream.request.headers))
        if response.status != 201:
            return response
        try:
            await _whole(stream, 201, await reviews.rules(response, self._ceiling))
        finally:
            await response.release()
        return None

    # The answer

    async def _answer(self, stream: Stream, response: Response) -> None:
        headers = clean_response(response.headers)
        if response.raw is not None:
            await stream.respond(101, headers, reason=response.head.reason)
            await _both_ways(stream, response.raw)
            return
        bodiless = stream.request.method == b"HEAD" or response.status in BODILESS
        if bodiless:
            await stream.respond(
                response.status, headers, length=response.length, end=True, reason=response.head.reason
            )
            return
        try:
            body, end = await _beginning(stream, response)
        except HttpError as e:
            raise BadGateway(f"the member's API server answered {response.status} and broke off: {e}") from e
        await stream.respond(
            response.status, headers, length=response.length, body=body, end=end, reason=response.head.reason
        )
        if not end:
            while data := await response.read():
                await stream.send(data)
            await stream.send_end()


def _body(stream: Stream) -> Body:
    """What follows the request head: the inline body with its length, or the rest as it comes, chunked."""
    request = stream.request
    return (request.body or None) if request.end else _streamed(stream)


async def _streamed(stream: Stream) -> AsyncIterator[bytes]:
    """The request body as it comes; a piece gives its credit back when the next one is asked for (the socket took it)."""
    if stream.request.body:
        yield stream.request.body
    while data := await stream.receive():
        yield data
        stream.consumed(len(data))


async def _beginning(stream: Stream, response: Response) -> tuple[bytes, bool]:
    """What of the body leaves with the head, and whether that is all of it.

    A short body of known length is read whole. One of unknown length that is not long-running is read as far as it
    comes without delay: the API server sends all but the shortest objects chunked.
    """
    if response.length == 0:
        return await response.read(), True
    if stream.request.long_running or (response.length or 0) > INLINE:
        return b"", False
    pieces: list[bytes] = []
    size = 0
    with contextlib.suppress(TimeoutError):
        while size < INLINE:
            piece = await _soon(response)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces), False


async def _soon(response: Response) -> bytes:
    if response.complete or response.length is not None:
        return await response.read()
    async with asyncio.timeout(SETTLE_S):
        return await response.read()


async def _both_ways(stream: Stream, raw: Raw) -> None:
    """Raw bytes until both directions have ended, or LINGER_S after the API server ended its own."""
    down = asyncio.ensure_future(_to_client(stream, raw))
    up = asyncio.ensure_future(_to_upstream(stream, raw))
    try:
        done, _ = await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if down in done:
            await asyncio.wait((up,), timeout=LINGER_S)
            if up.done():
                up.result()
        else:
            await down
    finally:
        for task in (down, up):
            task.cancel()
        await asyncio.wait((down, up))


async def _to_client(stream: Stream, raw: Raw) -> None:
    while data := await raw.read():
        await stream.send(data)
    await stream.send_end()


async def _to_upstream(stream: Stream, raw: Raw) -> None:
    """Never fails for what the API server does: whether the session ended well is told by the other direction."""
    taken = True
    while data := await stream.receive():
        taken = taken and await _written(raw, data)
        stream.consumed(len(data))
    with contextlib.suppress(HttpError):
        await raw.write_eof()


async def _written(raw: Raw, data: bytes) -> bool:
    try:
        await raw.write(data)
    except HttpError:
        return False
    return True


async def _refuse(stream: Stream, error: StatusError) -> None:
    status, headers, body = wire.error_answer(error)
    with contextlib.suppress(AnswerComplete):
        await stream.respond(status, headers, length=len(body), body=body, end=True)


async def _whole(stream: Stream, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")]
    await stream.respond(status, headers, length=len(body), body=body, end=True)
