"""One request, carried: a client's exchange on one side; a stream of the tunnel, or a direct member, on the other.

What holds here: a failure before the response head is a real Status, never a close; a failure after it is a reset of
the client's connection, never a clean end; credit goes back only after the client's socket took the bytes; a client
that leaves cancels the stream at once. After 101 bytes are relayed both ways unread, each direction ending by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from services.proxy.members.headers import ReturnPath, link_rewriter, response_head
from services.proxy.members.transport import MemberCall, Transport
from services.proxy.metrics import Metrics
from services.proxy.sessions import Session
from services.proxy.settings import ProxyLimits
from skerry.errors import (
    BadGateway,
    Forbidden,
    GatewayTimeout,
    ServiceUnavailable,
    StatusError,
    TooManyRequests,
)
from skerry.http import ClientGone, Exchange, Raw
from skerry.httpwire.answer import warning
from skerry.httpwire.apps import LinkRewriter
from skerry.httpwire.head import BODILESS, Headers, MalformedHead, first
from skerry.httpwire.headers import announced, clean_trailers
from skerry.httpwire.spdy import FrameEnds, is_remote_command, last_words
from skerry.relay import Answer, AnswerComplete, OpenRequest, ResetCode, StreamReset

log = logging.getLogger("skerry.proxy")

LINGER_S = 3.0
"""After the member ended its direction of an upgraded session, how long the client may take to end its own. API servers end
both at once, so nothing that the client still says is heard; what it has not read yet, it gets in its own time.
"""

GOODBYE_S = 1.0
"""How long a client may take to hear why its session broke."""


class SessionTap(Protocol):
    """Reads beside an upgraded session: see services/proxy/recording. It holds nothing up but where it is `behind`."""

    @property
    def behind(self) -> bool: ...
    def start(self, headers: Headers) -> None: ...
    def from_client(self, data: bytes) -> None: ...
    def from_member(self, data: bytes) -> None: ...
    async def caught_up(self) -> None: ...


class ResponseCut(Exception):
    """The answer was begun and could not be finished; the client's connection was aborted."""


class RequestRelay:
    """Carries one request. Make one per request; `carry` runs in the exchange's own task."""

    def __init__(self, exchange: Exchange, session: Session, limits: ProxyLimits, metrics: Metrics) -> None:
        self._exchange = exchange
        self._session = session
        self._limits = limits
        self._metrics = metrics
        self.refused: Callable[[], str] | None = None
        """What to say, in a Warning, beside a 403 of the member."""
        self.tap: SessionTap | None = None
        """Who reads beside an upgraded session."""
        self._refused: StatusError | None = None
        self._broke: StreamReset | None = None
        self._waiting: asyncio.Timeout | None = None  # for the client to take what was written
        self._ends: FrameEnds | None = None  # of a session that can be told in its own protocol that it broke
        self._beside: set[asyncio.Task[None]] = set()

    async def body(self) -> tuple[bytes, bool]:
        """The part of the request body that travels with OPEN, and whether that is all.

        A body of a known, small length is read whole: the request is then one message. Anything else is streamed, and so
        is one that may take for ever to come.
        """
        head = self._exchange.head
        if head.upgrade is not None:
            return b"", False
        length = head.content_length
        if length is None:
            return b"", not head.chunked
        if length <= self._limits.inline_bytes and (self._exchange.complete or not self._exchange.lasting):
            return await self._exchange.body(length), True
        return b"", False

    async def carry(self, transport: Transport, request: OpenRequest, back: ReturnPath) -> int:
        """Carry the request to `self`'s member and its answer back; the status that the client saw.

        `back` is for redirects, links and cookies. StatusError if nothing was answered yet, Cut if
        the client's connection was aborted, ClientGone if it left.
        """
        with await transport.open(self._session.member, request) as call:
            call.when_broken = self._stop_waiting
            self._session.cut = lambda error: self._revoke(call, error)
            if self._session.was_cut is not None:
                raise self._session.was_cut
            try:
                return await self._answered(call, request, back)
            except StreamReset as reset:
                self._metrics.resets.labels(reset.code).value += 1
                raise self._broken(reset) from reset
            except MalformedHead as error:
                raise BadGateway(f"cluster {self._session.member}: its answer cannot be passed on: {error}") from error
            finally:
                call.when_broken = None
                await self._leave()

    async def _answered(self, call: MemberCall, request: OpenRequest, back: ReturnPath) -> int:
        self._exchange.when_gone(lambda: call.reset(ResetCode.CANCEL, "the client left"))
        if not request.end and self._exchange.head.upgrade is None:
            self._spawn(self._upload(call))
        answer = await call.response()
        if self._exchange.head.upgrade is not None and answer.status == 101:
            return await self._upgraded(call, answer)
        if not 200 <= answer.status <= 599 or (self._exchange.head.upgrade is not None and _leads_away(answer)):
            raise self._unacceptable(call, answer)
        return await self._respond(call, answer, back)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._beside.add(asyncio.create_task(work))

    async def _leave(self) -> None:
        self._exchange.when_gone(None)
        if not self._beside:
            return
        for task in self._beside:
            task.cancel()
        await asyncio.wait(self._beside)
        _noticed(*self._beside)

    async def _upload(self, call: MemberCall) -> None:
        try:
            while data := await self._exchange.read():
                await call.send(data)
                self._metrics.sent.value += len(data)
            await call.send_end()
        except AnswerComplete:
            return
        except StreamReset:
            return  # the reader of the answer sees it too, and answers for it
        except StatusError as error:
            self._refused = error
            call.reset(ResetCode.CANCEL, "the request body is malformed")
        except ClientGone:
            call.reset(ResetCode.CANCEL, "the client left within its request")
        except Exception:
            log.exception("an upload failed", extra={"stream": call.request.id})
            call.reset(ResetCode.CANCEL, "the host made an error")

    def _revoke(self, call: MemberCall, error: StatusError) -> None:
        call.reset(ResetCode.REVOKED if error.code != 503 else ResetCode.GOAWAY, error.message)
        if self._exchange.started and self._ends is not None:
            asyncio.get_running_loop().call_later(2 * GOODBYE_S, self._exchange.abort)
        elif self._exchange.started:
            self._exchange.abort()

    # The answer

    async def _respond(self, call: MemberCall, answer: Answer, back: ReturnPath) -> int:
        head = response_head(answer, back)
        if answer.status == 403 and self.refused is not None:
            head = msgspec.structs.replace(head, headers=[*head.headers, (b"warning", warning(self.refused()))])
        links = link_rewriter(answer, back)
        bodiless = self._exchange.head.method == b"HEAD" or answer.status in BODILESS
        if answer.end and not bodiless and answer.length in (None, len(answer.body)):
            self._metrics.received.value += len(answer.body)
            body = answer.body if links is None else links.feed(answer.body) + links.end()
            await self._exchange.respond(head.status, head.headers, body)
            return answer.status
        if answer.length is None:
            head = msgspec.structs.replace(head, headers=head.headers + announced(answer.headers))
        await self._exchange.start(head, length=answer.length if links is None else None)
        if not bodiless:
            await self._pump(call, answer, links)
        trailers = clean_trailers(call.trailers) if answer.length is None else None
        await self._taken(self._exchange.finish(trailers), self._limits.stalled_s)
        return answer.status

    async def _pump(self, call: MemberCall, answer: Answer, links: LinkRewriter | None) -> None:
        """The body: exactly as long as the head says, each piece written at once, credit after the socket took it."""
        total = len(answer.body)
        self._bounded(total, answer)
        if answer.body:
            await self._write(call, answer.body if links is None else links.feed(answer.body))
        while not answer.end and (data := await call.receive()):
            total += len(data)
            self._bounded(total, answer)
            await self._write(call, data if links is None else links.feed(data))
            call.consumed(len(data))
        self._metrics.received.value += total
        if answer.length is not None and total != answer.length:
            raise StreamReset(ResetCode.UPSTREAM, f"the body ended after {total} bytes of {answer.length}")
        if links is not None:
            await self._write(call, links.end())

    @staticmethod
    def _bounded(total: int, answer: Answer) -> None:
        if answer.length is not None and total > answer.length:
            raise StreamReset(ResetCode.UPSTREAM, f"the body has more bytes than the {answer.length} of its head")

    async def _write(self, call: MemberCall, data: bytes) -> None:
        if self._exchange.put(data):
            return
        await self._taken(self._exchange.taken(), None if call.request.long_running else self._limits.stalled_s)

    async def _taken(self, work: Coroutine[Any, Any, None], limit_s: float | None) -> None:
        """Awaits that the client takes what was written, for as long as the stream holds."""
        try:
            async with asyncio.timeout(limit_s) as self._waiting:
                await work
        except TimeoutError as error:
            raise self._broke or StreamReset(ResetCode.LIMIT, f"the client took nothing for {limit_s:.0f} s") from error
        finally:
            self._waiting = None

    def _stop_waiting(self, error: StreamReset) -> None:
        """The stream broke: a client that takes nothing would keep what it holds, and not be told, for its whole limit."""
        self._broke = error
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(0)

    # Upgrades

    async def _upgraded(self, call: MemberCall, answer: Answer) -> int:
        """101: raw from here. Any other answer is an ordinary one, and the connection ends with it (CVE-2018-1002105)."""
        upgrade = self._exchange.head.upgrade or b""
        self._metrics.spdy.value += upgrade.lower().startswith(b"spdy")
        if is_remote_command(upgrade, call.request.target, first(answer.headers, b"x-stream-protocol-version")):
            self._ends = FrameEnds()
        if self.tap is not None:
            self.tap.start(answer.headers)
        raw = await self._exchange.upgrade(response_head(answer, ReturnPath()))
        try:
            async with asyncio.timeout(self._limits.session_s):
                await self._both_ways(call, raw, answer.body)
        except ClientGone:
            if self._session.was_cut is None:
                raise
            raise ResponseCut(self._session.was_cut.message) from None
        except StreamReset as reset:
            await self._break(raw, self._session.was_cut or status_of(reset, self._session.member, b"POST"))
            raise ResponseCut(str(reset)) from reset
        except TimeoutError as error:
            await self._break(raw, GatewayTimeout("the session reached its longest life"))
            raise ResponseCut("the session reached its longest life") from error
        return 101

    async def _break(self, raw: Raw, error: StatusError) -> None:
        """End a session that broke: in the protocol where that is the only end that clients take for one (ADR 18), else
        by cutting the connection.
        """
        if self._ends is not None and self._ends.between:
            with contextlib.suppress(ClientGone, TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await raw.write(last_words(error.body()))
                    await raw.close(GOODBYE_S)
        elif self._ends is not None:
            log.warning("a SPDY session was cut within a frame: kubectl exec shows it as a clean exit")
        raw.abort()

    async def _both_ways(self, call: MemberCall, raw: Raw, early: bytes) -> None:
        """Each direction ends by itself (see skerry/http/raw.py)."""
        up = asyncio.create_task(self._raw_up(call, raw))
        down = asyncio.create_task(self._raw_down(call, raw, early))
        try:
            done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
            if down not in done:
                up.result()
                await down
                return
            down.result()
            await asyncio.wait((up,), timeout=LINGER_S)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.wait((up, down))
            _noticed(up, down)

    async def _raw_up(self, call: MemberCall, raw: Raw) -> None:
        """A stream that breaks is told by the other direction, which may have been heard whole before it broke."""
        with contextlib.suppress(StreamReset):
            while data := await raw.read():
                if self.tap is not None:
                    self.tap.from_client(data)
                await call.send(data)
                self._metrics.sent.value += len(data)
                self._exchange.received += len(data)
            await call.send_end()

    async def _raw_down(self, call: MemberCall, raw: Raw, early: bytes) -> None:
        if early:
            await self._pass_down(raw, early)
        while data := await call.receive():
            await self._pass_down(raw, data)
            call.consumed(len(data))
            self._metrics.received.value += len(data)
            self._exchange.sent += len(data)
        await raw.write_eof()

    async def _pass_down(self, raw: Raw, data: bytes) -> None:
        if self._ends is not None:
            self._ends.feed(data)
        if self.tap is not None:
            self.tap.from_member(data)
        await self._taken(raw.write(data), None)
        if self.tap is not None and self.tap.behind:
            await self._taken(self.tap.caught_up(), None)

    # Failures

    def _unacceptable(self, call: MemberCall, answer: Answer) -> StatusError:
        call.reset(ResetCode.CANCEL, "unacceptable status")
        return BadGateway(
            f"cluster {self._session.member}: its API server answered with status {answer.status}, which may not be "
            "passed on here"
        )

    def _broken(self, reset: StreamReset) -> Exception:
        """What a broken stream means to the client: a Status before the head, a cut after it."""
        if self._exchange.gone.is_set():
            return ClientGone("the client left")
        if self._exchange.started:
            if not self._exchange.finished:  # who was revoked was cut at once
                self._exchange.abort()
            return ResponseCut(str(reset))
        if self._refused is not None:
            return self._refused
        if self._session.was_cut is not None:
            return self._session.was_cut
        return status_of(reset, self._session.member, self._exchange.head.method)


def _leads_away(answer: Answer) -> bool:
    """True if an answer to an upgrade redirects out of the member: clients' dialers have followed such a one with the
    credential that they have for this host (CVE-2020-8559).
    """
    return 300 <= answer.status < 400 and any(
        value[:1] != b"/" or value[:2] in (b"//", b"/\\") for name, value in answer.headers if name == b"location"
    )


def _noticed(*tasks: asyncio.Task[None]) -> None:
    """Take the exceptions of tasks whose failure no longer matters, so that nothing reports them as forgotten."""
    for task in tasks:
        if not task.cancelled():
            task.exception()


def status_of(reset: StreamReset, member: str, method: bytes) -> StatusError:
    """The Status of a stream that broke before its response head. Only GET, HEAD and OPTIONS are known to be harmless."""
    what = f"cluster {member}: {reset.message or reset.code}"
    if reset.code is ResetCode.LIMIT:
        return TooManyRequests(what)
    if reset.code is ResetCode.UPSTREAM:
        return BadGateway(what)
    if reset.code is ResetCode.REVOKED:
        return Forbidden(what)
    if method in (b"GET", b"HEAD", b"OPTIONS"):
        return ServiceUnavailable(f"{what}; nothing was changed, repeat the request")
    return GatewayTimeout(f"{what}; outcome unknown: check the object before repeating the change")
