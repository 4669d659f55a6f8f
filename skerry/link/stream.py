"""One stream as the relays see it. Signatures first; filled in next."""

from __future__ import annotations

from skerry.link.contract import Answer, Headers, OpenRequest
from skerry.tunnel.codes import ResetCode


class Stream:
    """Both ends of one request. One reader task and one writer task at a time.

    Every user ends with `close()` (or `with stream:`), whatever happened.
    """

    request: OpenRequest
    member: str
    peer: str
    """Connection id of the other process."""
    number: str
    """The stream's name in subjects."""

    async def response(self) -> Answer:
        """Proxy side: the head. Its inline body counts as taken.

        Raises OutcomeUnknown (deadline, or broken before the head; for a repeatable request the text says that
        nothing was changed), StreamReset (LIMIT, UPSTREAM, REVOKED, GOAWAY … sent by the agent before the head).
        """
        raise NotImplementedError

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
        follows under credit. After `end` a rest of the request body is discarded. Raises StreamReset."""
        raise NotImplementedError

    async def send(self, data: bytes) -> None:
        """Send body (or, after 101, raw) bytes; returns when all are published within the credit of the other side.

        Raises StreamReset; its subclass AnswerComplete when the answer ended first.
        """
        raise NotImplementedError

    async def send_end(self) -> None:
        """Half-close: nothing more follows. The other side sees the end only if it got every byte."""
        raise NotImplementedError

    async def receive(self) -> bytes:
        """The next bytes; b"" at the true end (exact total). Raises StreamReset. Call `consumed` when they are gone."""
        raise NotImplementedError

    def consumed(self, n: int) -> None:
        """The local socket took `n` received bytes: gives credit back. Without it the other side stops."""
        raise NotImplementedError

    def reset(self, code: ResetCode, message: str = "") -> None:
        """Abort both directions, and tell the other side. No-op on a finished stream."""
        raise NotImplementedError

    def close(self) -> None:
        """Free everything; an unfinished stream is reset with CANCEL. Idempotent."""
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        """Everything was exchanged, or the stream was reset."""
        raise NotImplementedError

    async def gone(self) -> StreamReset | None:
        """Wait for the stream's end: None when it ended well, the reset otherwise. To watch for CANCEL beside other work."""
        raise NotImplementedError

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
