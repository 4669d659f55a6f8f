"""Ids of recorded sessions: the time and chance, so that of an old one can be told that it expired, and nobody chooses one."""

from __future__ import annotations

import re

_ID = re.compile(r"[0-9a-f]{22}\Z")


def session_id(now: float, chance: bytes) -> str:
    """Of a session that begins at `now`, Unix seconds; `chance` is five random bytes."""
    return f"{int(now * 1000):012x}{chance.hex()}"


def is_session_id(text: str) -> bool:
    """True for what may be the id of a session."""
    return _ID.match(text) is not None


def begun_of(session: str) -> float:
    """When the session of an id began, Unix seconds."""
    return int(session[:12], 16) / 1000
