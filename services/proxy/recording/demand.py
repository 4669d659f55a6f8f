"""Which sessions are recorded, and how they have to be asked for: pure.

A rule of the policy demands it of exec and attach with a terminal. Over SPDY, in which streams are compressed, nothing could be
read; so such a session is refused with what to do instead.
"""

from __future__ import annotations

from typing import NamedTuple

from skerry.errors import BadGateway, Forbidden
from skerry.httpwire.channels import PROTOCOLS, readable
from skerry.httpwire.head import Headers, RequestHead, first
from skerry.httpwire.query import flag, parse_query
from skerry.httpwire.requestinfo import RequestInfo

COMMAND_WORDS, COMMAND_CHARACTERS = 64, 4096
"""Of a command, as the recording names it."""


class Demand(NamedTuple):
    """What the policy says of a session."""

    required: bool
    """It may not go on unrecorded."""


def has_terminal(head: RequestHead, info: RequestInfo, query: bytes) -> bool:
    """True if a request asks for a session of exec or attach with a terminal."""
    if head.upgrade is None or info.resource != "pods" or info.group or info.subresource not in ("exec", "attach"):
        return False
    return flag(parse_query(query).get("tty"))


def readable_headers(cluster: str, head: RequestHead, headers: Headers) -> Headers:
    """The headers with which a session that is recorded is asked for. Forbidden, with the remedy, if it could not be read."""
    if not head.websocket:
        raise Forbidden(
            f"cluster {cluster}: sessions with a terminal are recorded here, which takes WebSocket, and this one was asked for "
            "over SPDY: use kubectl 1.31 or newer, and unset KUBECTL_REMOTE_COMMAND_WEBSOCKETS if it is false"
        )
    offers = readable(headers)
    if offers is None:
        protocols = " or ".join(each.decode() for each in PROTOCOLS)
        raise Forbidden(
            f"cluster {cluster}: sessions with a terminal are recorded here, which takes the WebSocket sub-protocol "
            f"{protocols}: offer one of them"
        )
    return offers


def check_agreed(cluster: str, headers: Headers) -> None:
    """BadGateway if a member's answer agrees on something else than was offered, which could not be read."""
    if first(headers, b"sec-websocket-protocol") not in PROTOCOLS or first(headers, b"sec-websocket-extensions"):
        raise BadGateway(
            f"cluster {cluster}: its API server agreed on a WebSocket protocol that was not offered; the session, which is "
            "recorded, was ended"
        )


def command_of(query: bytes) -> tuple[tuple[str, ...], str]:
    """Command and container of a session, by its query."""
    values = parse_query(query)
    words, left = [], COMMAND_CHARACTERS
    for word in values.get("command", [])[:COMMAND_WORDS]:
        words.append(word[:left])
        left -= len(words[-1])
    return tuple(words), values.get("container", [""])[0]
