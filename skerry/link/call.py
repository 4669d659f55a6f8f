"""A stream that we open: its OPEN, what becomes of it, and its answer."""

from __future__ import annotations

import asyncio
import contextlib
from enum import Enum, auto

from skerry import subjects
from skerry.errors import StatusError, TooManyRequests
from skerry.httpwire.room import cost
from skerry.link.stream import Sender, Stream
from skerry.relay import AgentAway, Answer, OpenRequest, OutcomeUnknown, ResetCode, StreamReset
from skerry.tunnel import longhead
from skerry.tunnel.codes import ProtocolError, RejectCode, TooLarge
from skerry.tunnel.frames import Open, Resp
from skerry.tunnel.stream import Core

RETRY_S = 1
"""After which a client may repeat what an agent had no room for."""


def open_head(proxy: str, number: str, kind: str, request: OpenRequest, window: int) -> Open:
    """The head of an OPEN with the number `number`, from the connection `proxy`."""
    return Open(
        proxy=proxy,
        number=number,
        id=request.id,
        assertion=request.assertion,
        method=request.method,
        target=request.target,
        headers=tuple(request.headers),
        bulk=kind == subjects.BULK,
        long_running=request.long_running,
        deadline_ms=int(request.deadline_s * 1000),
        window=window,
        traceparent=request.traceparent,
        packed=True,
        long=True,
    )


def opening(core: Core, head: Open, request: OpenRequest, inline: int) -> tuple[bytes, tuple[bytes, ...]]:
    """The OPEN, with `inline` bytes of its body (none or all of it), and what follows it. Raises TooLarge."""
    body = request.body if inline else b""
    whole = len(body) == len(request.body)
    try:
        return core.open(head, body, end=request.end and whole), () if whole else (request.body,)
    except TooLarge:
        head, rest = longhead.split_open(head, whole=request.end)
        return core.open(head, b"", end=False), (rest, request.body)


class OpenVerdict(Enum):
    """The outcome of an OPEN."""

    TAKEN = auto()
    REFUSED = auto()
    UNHEARD = auto()
    """No responders: nobody got it."""
    SILENT = auto()
    """No ACK in time."""
    BROKEN = auto()


class Call(Stream):
    """The proxy's end of a stream."""

    def __init__(
        self,
        connection: Sender,
        core: Core,
        member: str,
        number: str,
        request: OpenRequest,
        *,
        follows: tuple[bytes, ...] = (),
    ) -> None:
        """`follows` is sent when the OPEN was taken: the rest of its head, its body."""
        super().__init__(connection, core, member, number, request)
        self.follows = follows
        self._deadline = connection.loop.time() + request.deadline_s
        self._answer: Answer | None = None
        self._begun: Resp | None = None  # the head of an answer whose rest is still to come
        self._unheard = self._late = False

    async def verdict(self, ack_s: float) -> OpenVerdict:
        """The outcome of the OPEN, awaited for `ack_s` seconds.

        The timer says itself that it fired: uvloop's clock may then still be a rounding error before its time.
        """
        self._late = False
        timer = self._connection.loop.call_later(ack_s, self._too_late)
        try:
            while True:
                if self.core.taken:
                    return OpenVerdict.TAKEN
                if self.refusal is not None:
                    return OpenVerdict.REFUSED
                if self._error is not None:
                    return OpenVerdict.BROKEN
                if self._unheard:
                    return OpenVerdict.UNHEARD
                if self._late:
                    return OpenVerdict.SILENT
                await self._wait()
        finally:
            timer.cancel()

    async def response(self) -> Answer:
        """Proxy side: the head. Its inline body counts as taken.

        Raises OutcomeUnknown (deadline; or broken before the head of a mutation), AgentAway (broken before the head
        of a repeatable request), StreamReset (LIMIT, UPSTREAM, REVOKED, GOAWAY, CANCEL before the head).
        """
        if self._answer is None and self._error is None:
            await self._until_answered()
        if self._answer is not None:
            return self._answer
        error = self._error or StreamReset(ResetCode.CANCEL, "the stream is over", local=True)
        raise self._before_head(error) from error

    async def _until_answered(self) -> None:
        try:
            async with asyncio.timeout_at(None if self.request.long_running else self._deadline):
                while self._answer is None and self._error is None:
                    if self._begun is None:
                        await self._wait()
                    else:
                        await self._assemble(self._begun)
        except TimeoutError as e:
            self.reset(ResetCode.CANCEL, "no answer in time")
            why = f"no answer within {self.request.deadline_s:.0f} s"
            raise OutcomeUnknown(self.member, why, mutation=not self.request.repeatable) from e

    async def _assemble(self, begun: Resp) -> None:
        """The head of an answer whose rest is the beginning of its body."""
        if begun.rest > longhead.REST_LIMIT or not self.share.upto(begun.rest):
            self.fail(ResetCode.LIMIT, "the answer's head is a large one, and there are too many of them at once")
            return
        with contextlib.suppress(StreamReset):
            rest, body = await self.beginning(begun.rest)
            try:
                head = longhead.join_resp(begun, rest)
            except ProtocolError as e:
                self.fail(ResetCode.UPSTREAM, str(e))
                return
            if not self.share.upto(cost(begun.rest, len(head.headers))):
                self.fail(ResetCode.LIMIT, "the answer's head has too many lines")
                return
            self._answer = _answer(head, body, end=self.core.in_end and not self._chunks)

    def on_answered(self, head: Resp, body: bytes, end: bool) -> None:
        """The answer's head, or its beginning."""
        if head.rest:
            self._begun = head
            self._chunks.append(body)
        else:
            self._answer = _answer(head, body, end=end)
            self.consumed(len(body))

    def _before_head(self, error: StreamReset) -> StatusError | StreamReset:
        # Who resets with another code knows what happened, and says so.
        if error.code not in (ResetCode.PEER_LOST, ResetCode.GAP):
            return error
        why = f"the connection to its agent broke before the answer ({error.message or error.code})"
        return AgentAway(self.member, why) if self.request.repeatable else OutcomeUnknown(self.member, why)

    def _too_late(self) -> None:
        self._late = True
        self._wake()

    def unheard(self) -> None:
        """The server says that nobody listens where the OPEN was sent."""
        self._unheard = True
        self._wake()

    @property
    def is_refused_safely(self) -> bool:
        """True if its agent did not take it, and nothing was executed."""
        return self.refusal is not None and self.refusal.safe

    def repeatable(self, verdict: OpenVerdict) -> bool:
        """True if another agent may be asked once, though this one may have heard it."""
        return self.request.repeatable and verdict in (OpenVerdict.SILENT, OpenVerdict.BROKEN)

    def failure(self, verdict: OpenVerdict) -> StatusError:
        """The error of an OPEN that was not taken."""
        member = self.member
        if verdict is OpenVerdict.UNHEARD:
            return AgentAway(member)
        if verdict is OpenVerdict.REFUSED and self.refusal is not None:
            if self.refusal.code is RejectCode.LIMIT:
                why = f"cluster {member}: {self.refusal.message}; nothing was executed"
                return TooManyRequests(why, retry_after_s=RETRY_S)
            return AgentAway(member, self.refusal.message or "its agent is leaving")
        why = (
            "its agent did not answer in time" if verdict is OpenVerdict.SILENT else "the connection to its agent broke"
        )
        return AgentAway(member, why) if self.request.repeatable else OutcomeUnknown(member, why)


def _answer(head: Resp, body: bytes, *, end: bool) -> Answer:
    return Answer(
        status=head.status, reason=head.reason, headers=list(head.headers), length=head.length, body=body, end=end
    )
