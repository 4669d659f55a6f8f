"""Which way a request came: for a member by its name in TLS, for a member by its path, or for the host."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from skerry.httpwire.names import member_of
from skerry.httpwire.target import split_cluster

REMEMBERED = 512
"""Bytes of a target whose route may be remembered: 1,024 of these are at most 1 MiB."""

member_by_name = lru_cache(maxsize=1024)(member_of)


class Route(NamedTuple):
    """A request for a member."""

    member: str
    """Its name, as it was asked for; it need not exist."""
    target: bytes
    """The raw target as the member gets it."""
    base: bytes
    """What the client has in front of the member's paths: nothing, or `/clusters/<name>`."""


def route_of(server_name: str, uid: str, target: bytes) -> Route | None:
    """The route to a member, None for the host `uid` itself.

    A connection that came for a member by name stays with it whatever its paths say: there, `/clusters/other/` is a path
    like any other. Only a connection without such a name may choose by path.
    """
    return (_known if len(target) <= REMEMBERED else _route)(server_name, uid, target)


def _route(server_name: str, uid: str, target: bytes) -> Route | None:
    member = member_by_name(server_name, uid) if server_name else None
    if member is not None:
        return Route(member, target, b"")
    route = split_cluster(target)
    return None if route is None else Route(*route, b"/clusters/" + route[0].encode("latin-1"))


_known = lru_cache(maxsize=1024)(_route)
