"""One request to a member and its answer, whichever way it goes: through the tunnel to an agent, or to the API server itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from skerry.errors import GatewayTimeout, ServiceUnavailable, SkerryError

StreamClass = Literal["interactive", "bulk"]
Headers = list[tuple[bytes, bytes]]


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request on its way to a member.

    `id` is the Audit-ID of the request (the proxy makes it; on the wire a shorter stream number is used). `method`,
    `target` (origin form) and `headers` are the request as the member shall see it, without identity. `body` is the
    inline part, at most 256 KiB; `end` says that nothing follows. An upgrade is opened with `end=False`.
    `deadline_s` bounds the wait for the response head, counted from `Dialer.open`; ignored when `long_running`.
    """

    id: str
    assertion: bytes
    method: bytes
    target: bytes
    headers: Headers
    class_: StreamClass = "interactive"
    long_running: bool = False
    deadline_s: float = 70.0
    body: bytes = b""
    end: bool = True
    traceparent: str = ""

    @property
    def repeatable(self) -> bool:
        """True if a second execution harms nobody: GET, HEAD and OPTIONS (RFC 9110 9.2.1) without an upgrade."""
        return self.end and self.method in (b"GET", b"HEAD", b"OPTIONS")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The head of the member's response, and the inline part of its body.

    `length` is the Content-Length if the member gave one, None for chunked, close-delimited and upgraded bodies.
    `end`: `body` is all of it; otherwise the rest follows from `Stream.receive`. Status 101 makes both directions raw.
    """

    status: int
    reason: bytes = b""
    headers: Headers
    length: int | None = None
    body: bytes = b""
    end: bool = False


class ResetCode(StrEnum):
    """Why both directions of a stream were aborted."""

    CANCEL = "CANCEL"
    """The client left, or nobody wants the answer any more."""
    PEER_LOST = "PEER_LOST"
    """The other process, or the connection to it, is gone; or it does not know the stream."""
    GAP = "GAP"
    """Frames are missing: the bus lost them."""
    LIMIT = "LIMIT"
    """A limit was hit; the message says which."""
    UPSTREAM = "UPSTREAM"
    """The member's API server broke the exchange."""
    GOAWAY = "GOAWAY"
    """The process is leaving and the grace is over."""
    REVOKED = "REVOKED"
    """The caller's permission, credential or the member itself is gone."""


class StreamReset(SkerryError):
    """The stream is broken: never show what was received so far as complete. `message` is for people."""

    def __init__(self, code: ResetCode, message: str = "", *, local: bool = False) -> None:
        super().__init__(f"{code}: {message}" if message else str(code))
        self.code = code
        self.message = message
        self.local = local


class AnswerComplete(StreamReset):
    """`send` came after the whole answer: the rest of the request body is not wanted. The answer is good."""


NOT_CONNECTED = "its agent is not connected"


class AgentAway(ServiceUnavailable):
    """503: no agent of the member answers; nothing was executed. The proxy completes the text (since when)."""

    def __init__(self, member: str, why: str = NOT_CONNECTED) -> None:
        super().__init__(f"cluster {member} is away: {why}; nothing was executed", kind="clusters", name=member)
        self.member, self.why = member, why


class OutcomeUnknown(GatewayTimeout):
    """504: sent, and no answer came in time or the tunnel broke before the head. A mutation may have happened."""

    def __init__(self, member: str, why: str, *, mutation: bool = True) -> None:
        advice = "outcome unknown: check the object before repeating the change" if mutation else "nothing was changed"
        super().__init__(f"cluster {member}: {why}; {advice}", kind="clusters", name=member)
        self.member = member
