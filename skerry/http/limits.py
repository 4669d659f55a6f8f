"""The numbers of the shells, in one place. Seconds and bytes."""

from __future__ import annotations

import msgspec

READ_SIZE = 256 * 1024
"""At most this much is read at a time; one such buffer is shared by all connections of a Server or Client."""

TLS_READ = 64 * 1024
"""At most this much of a TLS connection is read at a time; decrypted at once, so a stalled reader holds it as a whole."""

TLS_WRITE = 64 * 1024
"""At most this much is encrypted before the plain transport is asked whether it still takes more."""

INBOX_HIGH = 64 * 1024
"""Reading pauses while a consumer has at least this much waiting."""

WRITE_HIGH = 64 * 1024
"""Write buffer above which `write` waits."""

NOTSENT_LOWAT = 128 * 1024
"""TCP_NOTSENT_LOWAT: how much the kernel may hold unsent (a stalled TLS reader absorbs 4.7 MiB without it)."""

STALL_S = 60.0
"""A peer that takes nothing for so long, while its connection is being closed, is cut."""

PATIENCE_S = 600.0
"""The default of limits that people must not meet who pause: a pager, a debugger, an upload by hand."""


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on what a client may do."""

    idle_s: float = 180.0
    """Keep-alive without a request (rule 11: at least 120 s)."""
    head_s: float = 30.0
    """From the first byte of a head to its end (slow-loris)."""
    body_s: float = PATIENCE_S
    """Longest silence inside a request body that the handler waits for; none for an exchange that is `lasting`."""
    stall_s: float = PATIENCE_S
    """How long a client may take nothing of an answer behind which its connection ends."""
    handshake_s: float = 10.0
    connections: int = 10_000
    early: int = 64 * 1024
    """Bytes that may wait behind a request that is being answered; reading pauses beyond."""
    drain: int = 1024 * 1024
    """Bytes read and dropped after an early answer, so that the answer is not lost to a reset; then reading stops."""
    linger_s: float = 5.0
    """How long a client that has taken everything may keep a closing connection open."""


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How we use one upstream server."""

    idle_s: float = 55.0
    """A pooled connection unused for longer is closed (rule 11: at most 60 s)."""
    connect_s: float = 10.0
    head_s: float = 70.0
    """Default wait for the head of an answer; the caller's `head_timeout_s` wins."""
    connections: int = 2048
    """Connections at the same time, streams and watches included."""
    idle: int = 64
    """Idle connections kept."""
