"""The rotation of one key: a new one beside the old, everything moved to it, and at the end the old one dropped.

What a rotation has done lies in the keys' files and in what the bus holds, nowhere else: a command that was killed is run
again and goes on. One command at a time; rotations of different keys may be open side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.plan import Locked, lock, locked_by, write_pid
from skerry.cli.term import program
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.nkey import KeyPair

PAUSE_S = 1.0
"""Between two looks at what has moved."""
PREVIOUS_SECRETS = "secrets.previous.key"
NAMES = {"assertion": "trust-root"}
"""Of keys that people know by another name than that of their file."""
NAMED = 10
"""How many of those that are missing are told by name."""

Show = Callable[[str], None]
Root = Callable[[], KeyPair]
"""Gives the operator's root seed, for the key that only it can replace. Failure if it is not there."""
Tell = Callable[[str, str], Awaitable[None]]
"""Tells what is done, in an Event of the host: its reason, and what, to which key."""
KeyState = Literal["in use", "moving", "moved"]


class KeyStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with one key. `moved` of `total` things that it signs or seals are by the newest key."""

    key: str
    made: float
    """Unix time."""
    state: KeyState
    """In use: no rotation is open. Moving: not everything is by the new key yet. Moved: the old one can be dropped."""
    moved: int
    total: int
    missing: tuple[str, ...] = ()
    """What has not moved, for people."""
    note: str = ""
    """What else there is to know."""

    @property
    def lacking(self) -> str:
        """The missing ones, the first of them by name."""
        more = len(self.missing) - NAMED
        return ", ".join(self.missing[:NAMED]) + (f" and {more} more" if more > 0 else "")


def state_of(*, rotating: bool, moved: int, total: int) -> KeyState:
    """The state that follows."""
    if not rotating:
        return "in use"
    return "moved" if moved == total else "moving"


class RotatingKey(Protocol):
    """One key of the host. All raise Failure or StatusError."""

    name: str

    async def look(self) -> KeyStanding:
        """How it stands; changes nothing."""

    async def begin(self, root: Root) -> None:
        """Have a new key beside the old one, which everything accepts. Idempotent while a rotation is open."""

    async def move(self, show: Show) -> KeyStanding:
        """Move what can be moved now; how it stands then."""

    async def drop(self, show: Show) -> None:
        """Forget the old key, everywhere. Idempotent."""


async def nobody(reason: str, what: str) -> None:
    """Tells nobody."""


async def rotate(key: RotatingKey, root: Root, limit_s: float, show: Show, tell: Tell = nobody) -> KeyStanding:
    """Begin, or go on, until all has moved. Failure (timed out), naming what is missing."""
    until = asyncio.get_running_loop().time() + limit_s
    begins = (await key.look()).state == "in use"
    await key.begin(root)
    if begins:
        await tell("KeyRotated", f"has key {key.name} replaced: a new one stands beside the old one")
    while (now := await key.move(show)).moved < now.total:
        show(f"key {key.name}: {now.moved} of {now.total} moved; missing: {now.lacking}")
        if asyncio.get_running_loop().time() >= until:
            raise Failure(
                f"key {key.name}: {now.moved} of {now.total} moved, the old key still holds for the others ({now.lacking}): "
                f"run it again to go on: {program()} keys rotate {key.name}",
                TIMED_OUT,
            )
        await asyncio.sleep(PAUSE_S)
    return now


async def finish(key: RotatingKey, show: Show, *, drop_away: bool, tell: Tell = nobody) -> None:
    """Drop the old key. Failure if there is none, or somebody would be lost by that and `drop_away` was not said."""
    now = await key.look()
    if now.state == "in use":
        raise Failure(f"no rotation of key {key.name} is open: begin one with: {program()} keys rotate {key.name}")
    now = await key.move(show)
    if now.moved < now.total and not drop_away:
        raise Failure(
            f"{now.total - now.moved} of {now.total} would be lost with the old {key.name} key: {now.lacking}. "
            f"Wait for them: {program()} keys rotate {key.name}; or lose them: {program()} keys finish {key.name} --drop-away"
        )
    await key.drop(show)
    lost = f"; lost with it: {now.lacking}" if now.missing else ""
    await tell("OldKeyDropped", f"dropped the old {key.name} key{lost}")


def rotations(directory: Path) -> dict[str, float]:
    """The rotations that are open of keys in `directory`, and since when (Unix time). BadRequest if there are no keys."""
    since = {NAMES.get(name, name): each.began for name, each in KeyFiles(directory).public().replacements.items()}
    previous = directory / PREVIOUS_SECRETS
    return since | ({"secrets": previous.stat().st_mtime} if previous.exists() else {})


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """While no other command rotates keys in `directory`. Failure if one does."""
    path = directory / "rotation.lock"
    try:
        held = lock(path)
    except Locked:
        raise Failure(
            f"another {program()} keys runs (pid {locked_by(path) or 'unknown'}): wait for it, then run this again"
        ) from None
    try:
        write_pid(held)
        yield
    finally:
        os.close(held)
