"""One stream as the relays see it: the shell around `skerry.tunnel.stream.Core`.

No task and no queue per message: frames are delivered inline by the connection's reader, and what `send` could not
publish at once is published by whoever brings the credit (the reader) or the room (the connection's writer).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, Self

from skerry.httpwire.room import Room, Share
from skerry.relay import AnswerComplete, Headers, OpenRequest, ResetCode, StreamReset
from skerry.tunnel import frames, longhead
from skerry.tunnel.codes import TooLarge
from skerry.tunnel.frames import Frame, Resp, Trail
from skerry.tunnel.roundrobin import DeficitRoundRobin
from skerry.tunnel.stream import Accepted, Answered, Broken, Core, Data, Ended, StreamEvent, StreamRefused, Writable

_WORTHWHILE = 16 << 10
"""Credit below this is not used for a piece of something larger (silly windows); receivers always grant more."""


class Sender(Protocol):
    """The part of a connection that its streams need."""

    loop: asyncio.AbstractEventLoop
    room: Room
    turns: DeficitRoundRobin[Stream]
    inline: int
    """Most bytes of a body within a head's message."""
    chunk: int
    """Most bytes of one DATA."""

    @property
    def behind(self) -> bool: ...
    def publish(self, subject: str, frame: bytes) -> None: ...
    async def writable(self) -> None: ...
    def wait_turn(self, stream: Stream) -> None: ...
    def release(self, stream: Stream) -> None: ...
    def misbehaved(self, stream: Stream) -> None: ...


class Stream:
    """Both ends of one request. One reader task and one writer task at a time.

    Every user ends with `close()` (or `with stream:`), whatever happened.
    """

    def __init__(self, connection: Sender, core: Core, member: str, number: str, request: OpenRequest) -> None:
        self.request = request
        self.member = member
        self.number = number
        """The stream's name in subjects."""
        self.peer = ""
        """Connection id of the other process; empty until it is known."""
        self.core = core
        self.subject = ""
        self.refusal: StreamRefused | None = None
        self.task: asyncio.Task[None] | None = None
        self.when_broken: Callable[[StreamReset], None] | None = None
        """Called when the stream breaks, for who may then be waiting for something else."""
        self._connection = connection
        self._chunks: list[bytes] = []
        self.trailers: Headers = []
        """What came behind the answer's body, once `receive` has told its end."""
        self.share = Share(connection.room)
        """Of what large heads may take."""
        self._error: StreamReset | None = None
        self._whole = False  # it broke behind the other side's end: what that said is whole, and its reader gets it
        self._out: memoryview | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._over: asyncio.Event | None = None
        self._ack_timer: asyncio.TimerHandle | None = None
        self._released = False

    # -- agent side -----------------------------------------------------------------------------------------------

    async def respond(
        self,
        status: int,
        headers: Headers,
        *,
        length: int | None = None,
        body: bytes = b"",
        end: bool = False,
        reason: bytes = b"",
    ) -> None:
        """Agent side: the head, once. A small answer with `end=True` is one message; the rest of a larger one
        follows under credit. After `end` a rest of the request body is discarded. Raises StreamReset; a head that
        is too large for the other end (more than 64 KiB for one of before) resets the stream with UPSTREAM."""
        if self._connection.behind:
            await self._connection.writable()
        self._check()
        head = Resp(status=status, reason=reason, headers=tuple(headers), length=length)
        try:
            try:
                n = min(len(body), self.core.room, self._connection.inline)
                frame = self.core.respond(head, body[:n], end=end and n == len(body))
            except TooLarge:
                if not self.core.long:
                    raise
                head, rest = longhead.split_resp(head)
                body = rest + body
                n = min(len(body), self.core.room, self._connection.inline)
                frame = self.core.respond(head, body[:n], end=end and n == len(body))
        except TooLarge as e:
            self.reset(ResetCode.UPSTREAM, f"the response's head is too large: {e}")
            raise StreamReset(ResetCode.UPSTREAM, "the response's head is too large", local=True) from e
        self._cancel_ack()
        self._publish(frame)
        if n < len(body):
            await self.send(body[n:])
            if end:
                await self.send_end()

    def ack(self) -> None:
        """ACK, unless the answer was faster."""
        self._ack_timer = None
        if not self.core.answered and not self.core.finished:
            self._publish(self.core.ack())

    def ack_later(self, delay_s: float) -> None:
        """ACK when there is no answer after `delay_s`."""
        self._ack_timer = self._connection.loop.call_later(delay_s, self.ack)

    # -- both -----------------------------------------------------------------------------------------------------

    async def send(self, data: bytes | memoryview) -> None:
        """Send body (or, after 101, raw) bytes; returns when all are published within the credit of the other side.

        Raises StreamReset; its subclass AnswerComplete when the answer ended first.
        """
        self._check()
        self._out = memoryview(data)
        self._pump()
        if self._out is None:
            return
        self._writer = self._connection.loop.create_future()
        try:
            await self._writer
            cut = self._out is not None
        finally:
            self._writer = self._out = None
            self._connection.turns.remove(self)
        self._check(complete=cut)

    async def send_end(self, trailers: Headers | None = None) -> None:
        """Half-close: nothing more follows. The other side sees the end only if it got every byte, and `trailers` with it."""
        if self._error is not None:
            raise self._error
        if not self.core.finished:
            self._publish(self.core.end(Trail(trailers=tuple(trailers)) if trailers else None))

    async def beginning(self, size: int) -> tuple[bytes, bytes]:
        """The first `size` bytes that come, and what came with the last of them. Raises StreamReset."""
        got = bytearray()
        while len(got) < size:
            data = await self.receive()
            if not data:
                raise self.fail(ResetCode.UPSTREAM, "the stream ended within its head")
            got += data
            self.consumed(len(data))
        return bytes(got[:size]), bytes(got[size:])

    async def receive(self) -> bytes:
        """The next bytes; b"" at the true end (exact total). Raises StreamReset. Call `consumed` when they are gone.

        A reader that is slow gets everything up to an end that came, also when the stream broke behind it.
        """
        while not self._chunks:
            if self._error is not None and not self._whole:
                raise self._error
            if self.core.in_end:
                return b""
            if self.core.finished:
                raise StreamReset(ResetCode.CANCEL, "the stream is over", local=True)
            await self._wait()
        if self._error is not None and not self._whole:
            raise self._error
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        return data

    def consumed(self, n: int) -> None:
        """The local socket took `n` received bytes: gives credit back. Without it the other side stops."""
        if self._error is not None:
            return
        frame = self.core.consumed(n, self._connection.loop.time())
        if frame is not None:
            self._publish(frame)

    def reset(self, code: ResetCode, message: str = "") -> None:
        """Abort both directions, and tell the other side. No-op on a finished stream."""
        frame = self.core.abort(code, message)
        if frame is None and not self._whole:
            return
        if frame is not None and self.subject:
            self._connection.publish(self.subject, frame)
        self._break(StreamReset(code, message, local=True))

    def fail(self, code: ResetCode, message: str) -> StreamReset:
        """Give the stream up, also one whose other end has finished; the error is for who reads it."""
        self.reset(code, message)
        if self._error is None:
            self._break(StreamReset(code, message, local=True))
        assert self._error is not None  # noqa: S101
        return self._error

    def close(self) -> None:
        """Free everything; an unfinished stream is reset with CANCEL. Idempotent."""
        self.reset(ResetCode.CANCEL)
        self._release()
        self.core.window.close()
        if self.share.taken:
            self.share.give()
        self._chunks.clear()

    @property
    def finished(self) -> bool:
        """Everything was exchanged, or the stream was reset."""
        return self.core.finished

    async def gone(self) -> StreamReset | None:
        """Wait for the stream's end: None when it ended well, the reset otherwise. To watch for a reset beside other work."""
        if not self._released:
            self._over = self._over or asyncio.Event()
            await self._over.wait()
        return self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- called by the connection ---------------------------------------------------------------------------------

    def receive_frame(self, frame: Frame, now: float) -> None:
        """One frame of this stream."""
        event = self.core.receive(frame, now)
        if event is not None:
            self.on_event(event)

    def on_event(self, event: StreamEvent) -> None:
        """One event of the core."""
        match event:
            case Data(body):
                if body:
                    self._chunks.append(body)
            case Writable():
                self._pump()
                return
            case Answered(head, body, end):
                self.on_answered(head, body, end)
                self._pump()
            case StreamRefused():
                self.refusal = event
            case Accepted():
                self._pump()
            case Ended(trail):
                if trail is not None:
                    self.trailers = list(trail.trailers)
            case Broken(code, message, tell, stray):
                self._on_broken(code, message, tell=tell, stray=stray)
                return
        self._settle()
        self._wake()

    def on_answered(self, head: Resp, body: bytes, end: bool) -> None:
        """The head of an answer. Only who opened a stream is answered: see `Call`."""

    def turn(self) -> None:
        """The connection has room for one message of this stream."""
        self._emit()
        if self._can_emit():
            self._connection.wait_turn(self)

    def lost(self, reason: str) -> None:
        """Our own connection is lost: nobody can be told."""
        if not self.core.finished:
            self.core.lose(reason)
            self._break(StreamReset(ResetCode.PEER_LOST, reason, local=True), whole=self.core.in_end)
            self._cancel_task()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _on_broken(self, code: ResetCode, message: str, *, tell: bool, stray: bool) -> None:
        if tell and self.subject:
            self._connection.publish(self.subject, frames.reset(code, message))
        self._break(StreamReset(code, message, local=tell), whole=self.core.in_end)
        self._cancel_task()
        if stray:
            self._connection.misbehaved(self)

    def _cancel_task(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def _publish(self, frame: bytes) -> None:
        self._connection.publish(self.subject, frame)
        self._settle()

    def _settle(self) -> None:
        if self.core.finished:
            self._release()

    def _break(self, error: StreamReset, *, whole: bool = False) -> None:
        self._error, self._whole = error, whole
        if not whole:
            self._chunks.clear()
        self._release()
        self._wake()
        if self.when_broken is not None and not whole:
            self.when_broken(error)

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self._cancel_ack()
        self._connection.release(self)
        if self._over is not None:
            self._over.set()
        self._sent()

    def _cancel_ack(self) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None

    def _check(self, *, complete: bool = True) -> None:
        if self._error is not None:
            raise self._error
        if complete and self.core.finished:
            raise AnswerComplete(ResetCode.CANCEL, "the answer is complete; the rest of the request is not wanted")

    def _pump(self) -> None:
        while self._can_emit():
            if self._connection.behind:
                self._connection.wait_turn(self)
                return
            self._emit()

    def _can_emit(self) -> bool:
        core, out = self.core, self._out
        return out is not None and core.taken and not core.finished and core.room >= min(len(out), _WORTHWHILE)

    def _emit(self) -> None:
        """Publish one message of what is left; the sender wakes when nothing is."""
        if self._out is None or not self._can_emit():
            return
        n = min(len(self._out), self.core.room, self._connection.chunk)
        rest = self._out[n:]
        if n:
            self._connection.publish(self.subject, self.core.data(self._out[:n], flush=not rest))
        self._out = rest or None
        if self._out is None:
            self._sent()

    def _sent(self) -> None:
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    async def _wait(self) -> None:
        self._reader = self._connection.loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
