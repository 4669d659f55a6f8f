"""One stream of the tunnel, answered by the member's API server: verify, refuse or relay.

What holds here: before the response head every failure is a real Status; after it a failure is a RESET, never a clean
end; what comes of a long-running answer leaves at once (a watch event waits for nothing), other answers are gathered into
pieces; bytes for the API server give credit back only after its socket took them; when the other side resets, the stream's
task is cancelled and the upstream connection is cut with it. Small answers are one message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from services.agent import ceiling as limits
from services.agent import reviews
from services.agent.model import HostClock
from skerry.api.messages import Claims
from skerry.api.v1alpha1 import Ceiling
from skerry.errors import Forbidden, StatusError
from skerry.http.errors import HttpError
from skerry.http.raw import Raw
from skerry.http.response import Response
from skerry.httpwire import answer as wire
from skerry.httpwire.head import Headers, first
from skerry.httpwire.headers import clean_trailers
from skerry.httpwire.requestinfo import RequestInfo, resolve
from skerry.httpwire.target import parse_target
from skerry.identity.assertion import Verifier
from skerry.link import Stream
from skerry.member import impersonation
from skerry.member.execute import Executor, begun
from skerry.member.upstream import Upstream
from skerry.relay import AnswerComplete, OpenRequest, ResetCode

log = logging.getLogger("skerry.agent")

LINGER_S = 6.0
"""After the API server ended an upgraded session, how long it is still sent what the client says (the proxy: 3 s)."""
PIECE, PIECE_S = 64 * 1024, 0.005
"""What is waited for of an answer that is no event stream, and how long: the API server writes a list object by object,
and a message of 2 KiB costs as much as one of 64.
"""


class StreamResponder:
    """Answers streams. One per agent; `handle` is the Acceptor's handler and runs as one task per stream."""

    def __init__(
        self,
        upstream: Upstream,
        verifier: Verifier,
        ceiling: Ceiling,
        clock: HostClock,
    ) -> None:
        self._executor = Executor(upstream)
        self._verifier, self._ceiling, self._clock = verifier, ceiling, clock
        self._open = ceiling == Ceiling()

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
        return await self._executor.execute(stream.request, claims, lambda: _streamed(stream), received)

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
        answer = await begun(stream.request, response)
        await stream.respond(
            answer.status, answer.headers, length=answer.length, body=answer.body, end=answer.end, reason=answer.reason
        )
        if response.raw is not None:
            await _both_ways(stream, response.raw)
            return
        if not answer.end:
            long_running = stream.request.long_running
            while data := await (response.read() if long_running else response.gather(PIECE, PIECE_S)):
                await stream.send(data)
            await stream.send_end(clean_trailers(response.trailers))


async def _streamed(stream: Stream) -> AsyncIterator[bytes]:
    """The request body as it comes; a piece gives its credit back when the next one is asked for (the socket took it)."""
    if stream.request.body:
        yield stream.request.body
    while data := await stream.receive():
        yield data
        stream.consumed(len(data))


async def _both_ways(stream: Stream, raw: Raw) -> None:
    """Raw bytes until both directions have ended. The API server ends its own first, mostly, and the other side says when it
    has no more use for the stream: a reset from here would take from its client what that has not read yet.
    """
    down = asyncio.ensure_future(_to_client(stream, raw))
    up = asyncio.ensure_future(_to_upstream(stream, raw))
    try:
        done, _ = await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if down in done:
            await asyncio.wait((up,), timeout=LINGER_S)
            if not up.done():
                await raw.write_eof()
            await up
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
