"""The text of a join token: `skerry-join-` + base64url(JSON of `Token`) + CRC-32 of the JSON in 8 hex digits.

People paste it, so damage is told apart from refusal before anything is asked of the host.
"""

from __future__ import annotations

import base64
import binascii
import time
import zlib

import msgspec

from skerry.api.decode import decoded
from skerry.api.messages import Token
from skerry.api.patterns import matches
from skerry.errors import BadRequest, Unauthorized

PREFIX = "skerry-join-"
WITH_PATTERN = 2
"""Format of a token for a pattern: an agent that knows none would join under no name."""
_AGAIN = "copy the whole token again, or make a new one: skerry token create NAME"


class _TokenFormat(msgspec.Struct):
    """Read first. Absent means 1: defaults are not written."""

    format: int = 1


def encode(token: Token) -> str:
    """The text of a token: one word, safe in a shell and in a URL."""
    body = msgspec.json.encode(token)
    return f"{PREFIX}{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}{zlib.crc32(body):08x}"


def decode(text: str, now: float | None = None) -> Token:
    """The token in `text`.

    BadRequest if it is garbled or of a newer format (naming both), Unauthorized if it ended before `now` (seconds
    since the epoch; default: this machine's clock, 0 for whoever only looks at it).
    """
    body = _body(text.strip())
    try:
        version = decoded(body, _TokenFormat).format
        if version > WITH_PATTERN:
            raise BadRequest(
                f"the join token has format {version}, this skerry reads up to {WITH_PATTERN}: upgrade skerry here"
            )
        token = decoded(body, Token)
        if bool(token.name) == bool(token.pattern):
            raise BadRequest(f"the join token names no cluster: {_AGAIN}")
    except msgspec.DecodeError as e:
        raise BadRequest(f"the join token is garbled: {_AGAIN}") from e
    _refuse_expired(token, time.time() if now is None else now)
    return token


def _body(text: str) -> bytes:
    if not text.startswith(PREFIX):
        raise BadRequest(f"this is not a join token (it starts with {PREFIX}): {_AGAIN}")
    encoded, checksum = text[len(PREFIX) : -8], text[-8:]
    try:
        body = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as e:
        raise BadRequest(f"the join token is garbled: {_AGAIN}") from e
    if f"{zlib.crc32(body):08x}" != checksum:
        raise BadRequest(f"the join token is garbled: {_AGAIN}")
    return body


def _refuse_expired(token: Token, now: float) -> None:
    if now >= token.expires:
        minutes = int((now - token.expires) // 60)
        ended = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(token.expires))
        raise Unauthorized(
            f"the join token for {token.name or token.pattern} expired {minutes} min ago, at {ended} UTC by this machine's "
            f"clock: check the clock, or make a new one: skerry token create {token.purpose}"
        )


def named_problem(token: Token, name: str) -> str:
    """Why a cluster cannot join as `name` with a token for a pattern, with the next step; empty if it can."""
    if not name:
        return f"the token is for clusters named {token.pattern!r}: say which one this is with --name"
    if not matches(token.pattern, name):
        return (
            f"the token is for clusters named {token.pattern!r}, and --name says {name!r}: use another --name, or make a token "
            f"for it: skerry token create {name}"
        )
    return ""
