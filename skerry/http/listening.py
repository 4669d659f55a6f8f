"""Where a process listens: `host:port` as people write it, and the sockets for it."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""What a machine says that has no IPv6, or no IPv4."""


def parse_address(text: str) -> tuple[str, int]:
    """`host:port` as a pair; `[::1]:8443` too, and `:8443`, whose empty host is every address of the machine, IPv4 and IPv6.
    ValueError says how to write it."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in bare) != (bare != host):
        raise ValueError("use host:port, for example 127.0.0.1:8443, [::1]:8443 or, for all addresses, :8443")
    return bare, int(port)


async def listen(host: str, port: int) -> list[socket.socket]:
    """Bound sockets for every address of `host`; an empty one: all families that this machine has. Port 0 gives all of them
    the same port. OSError."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, kind, proto, _, address in dict.fromkeys(infos):
            if family not in (socket.AF_INET, socket.AF_INET6):
                continue
            chosen = bound[0].getsockname()[1] if bound else port
            try:
                bound.append(_bind(socket.socket(family, kind, proto), (*address[:1], chosen, *address[2:])))
            except OSError as error:
                if host or error.errno not in _NO_FAMILY:
                    raise
                missing = error
    except OSError:
        for sock in bound:
            sock.close()
        raise
    if not bound:
        raise missing or OSError(errno.EADDRNOTAVAIL, f"{host!r} has no address to listen on")
    return bound


def _bind(sock: socket.socket, address: tuple[Any, ...]) -> socket.socket:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
