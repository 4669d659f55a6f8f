"""HTTP/1.1 over asyncio: a server and a client that relay raw bytes after 101, for uvloop.

Written here and not taken from a library because kubectl needs `Upgrade: SPDY/3.1` and the raw socket behind it
(the data plane's rule 1). The rules are in `skerry.httpwire`; these modules move bytes and own sockets.
"""

from skerry.http.client import Client, RequestBody
from skerry.http.errors import ClientGone, Cut, HttpError, NoAnswer, Unreachable, UpstreamProtocolError
from skerry.http.exchange import Exchange
from skerry.http.limits import ClientLimits, ServerLimits
from skerry.http.raw import Raw
from skerry.http.response import Response
from skerry.http.server import Server

__all__ = [
    "Client",
    "ClientGone",
    "ClientLimits",
    "Cut",
    "Exchange",
    "HttpError",
    "NoAnswer",
    "Raw",
    "RequestBody",
    "Response",
    "Server",
    "ServerLimits",
    "Unreachable",
    "UpstreamProtocolError",
]
