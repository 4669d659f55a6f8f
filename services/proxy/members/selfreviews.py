"""What a member answers somebody about themselves: a SelfSubjectAccessReview as an identity that was decided, asked by the
proxy for an explanation. It goes the way of that identity's own requests, so the ceiling of an agent is in it.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

import msgspec

from services.proxy.members.directory import MemberRoute
from services.proxy.members.transport import Transport
from services.proxy.record import audit_id
from skerry.access import Allowed
from skerry.api.corev1 import AccessReviewSpec, SelfSubjectAccessReview
from skerry.api.decode import decoder
from skerry.errors import BadGateway, GatewayTimeout, StatusError
from skerry.relay import OpenRequest, StreamReset

ANSWER_S = 5.0
"""A member that answers later is told as one that did not answer."""
ANSWER_BYTES = 64 * 1024
_PATH = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_HEADERS = [(b"content-type", b"application/json"), (b"accept", b"application/json"), (b"user-agent", b"skerry")]
_encode = msgspec.json.Encoder().encode
_review = decoder(SelfSubjectAccessReview)


class Transports(Protocol):
    """The part of `Members` that is needed here."""

    async def transport(self, member: MemberRoute, allowed: Allowed) -> tuple[bytes, Transport]: ...


class MemberAnswer(NamedTuple):
    """The status of a review."""

    allowed: bool
    reason: str


async def asked(transports: Transports, member: MemberRoute, allowed: Allowed, spec: AccessReviewSpec) -> MemberAnswer:
    """The member's answer to `allowed`, asking about itself. StatusError: there is none, and the message says why."""
    try:
        async with asyncio.timeout(ANSWER_S):
            return await _asked(transports, member, allowed, spec)
    except TimeoutError as error:
        raise GatewayTimeout(f"cluster {member.name} did not answer within {ANSWER_S:.0f} s") from error
    except StreamReset as error:
        raise BadGateway(f"cluster {member.name}: {error.message or error.code}") from error


async def _asked(transports: Transports, member: MemberRoute, allowed: Allowed, spec: AccessReviewSpec) -> MemberAnswer:
    assertion, transport = await transports.transport(member, allowed)
    body = _encode(SelfSubjectAccessReview(spec=spec))
    request = OpenRequest(
        id=audit_id(),
        assertion=assertion,
        method=b"POST",
        target=_PATH,
        headers=list(_HEADERS),
        deadline_s=ANSWER_S,
        body=body,
    )
    with await transport.open(member.name, request) as call:
        answer = await call.response()
        parts, size = [answer.body], len(answer.body)
        while not answer.end and (data := await call.receive()):
            parts.append(data)
            size += len(data)
            call.consumed(len(data))
            if size > ANSWER_BYTES:
                raise BadGateway(
                    f"cluster {member.name}: its answer to a self review is larger than {ANSWER_BYTES} bytes"
                )
    return _read(member.name, answer.status, b"".join(parts))


def _read(name: str, status: int, body: bytes) -> MemberAnswer:
    if status != 201:
        raise BadGateway(f"cluster {name} answered a self review with status {status}{_said(body)}")
    try:
        review = _review(body)
    except msgspec.DecodeError as error:
        raise BadGateway(f"cluster {name}: its answer to a self review cannot be read") from error
    if review.status is msgspec.UNSET:
        raise BadGateway(f"cluster {name}: its answer to a self review has no status")
    reason = review.status.reason
    return MemberAnswer(review.status.allowed, "" if reason is msgspec.UNSET else reason)


def _said(body: bytes) -> str:
    """The message of a Status."""
    from skerry.errors import from_body

    try:
        return f": {from_body(body).message}"
    except (msgspec.DecodeError, StatusError):
        return ""
