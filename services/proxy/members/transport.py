"""What the relay needs of the way to a member, whichever it is: the tunnel to an agent, or the API server itself.

One relay serves both, so limits, errors, identity, upgrades, drain and revocation are the same code (data-plane.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from skerry.relay import Answer, Headers, OpenRequest, ResetCode, StreamReset


class MemberCall(Protocol):
    """One request on its way, as `skerry.link.Stream` describes each method. Ends with `with`, whatever happened."""

    trailers: Headers
    when_broken: Callable[[StreamReset], None] | None

    @property
    def request(self) -> OpenRequest: ...
    def __enter__(self) -> MemberCall: ...
    def __exit__(self, *exc: object) -> None: ...
    async def response(self) -> Answer: ...
    async def send(self, data: bytes) -> None: ...
    async def send_end(self) -> None: ...
    async def receive(self) -> bytes: ...
    def consumed(self, n: int) -> None: ...
    def reset(self, code: ResetCode, message: str = "") -> None: ...


class Transport(Protocol):
    """Opens requests to members."""

    async def open(self, member: str, request: OpenRequest) -> MemberCall: ...
