"""What can go wrong between us and the peer of one connection.

None of these is a StatusError: the shells do not know whether a broken connection is a 502, a 503 or nobody's business
any more. The relays do, and chain these.
"""

from __future__ import annotations

from skerry.errors import SkerryError


class HttpError(SkerryError):
    """Root of the shells' errors."""


class ClientGone(HttpError):
    """The client of a server connection left, was cut off, or sent rubbish: nobody reads the answer."""


class UpstreamProtocolError(HttpError):
    """The upstream server answered something that HTTP/1.1 or the rules of the data plane do not allow (a 502)."""


class Cut(HttpError):
    """The upstream connection ended in the middle: before the answer's head, or inside its body or raw stream."""


class Unreachable(HttpError):
    """No connection to the upstream server could be made, or none is free: nothing was sent."""


class NoRoom(Unreachable):
    """All connections that may be made to the upstream server are in use: a limit of ours, nothing was sent."""


class NoAnswer(HttpError):
    """The request was sent and no answer's head came in time: the outcome is unknown."""
