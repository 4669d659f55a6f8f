"""Where an agent's state is kept: a directory of a machine, or a Secret of the cluster that it serves (secret.py).

A storage keeps a few small files by name and knows nothing of what is in them (store.py does). What is read is what was last
seen there; every change is one write, and whoever shares the storage and was faster is noticed: `Outrun`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from skerry.errors import SkerryError
from skerry.identity.files import write_private

SEED, MEMBERSHIP = "seed", "agent.json"


class StateError(SkerryError):
    """The state cannot be used; the message says why and what to do."""


class Outrun(SkerryError):
    """Somebody else changed what is kept before this write, of which nothing happened: what is read now is theirs."""


class Storage(Protocol):
    """A place for an agent's files."""

    @property
    def place(self) -> str:
        """Its name, for people."""

    @property
    def remedy(self) -> str:
        """How people empty it."""

    def locked(self) -> AbstractAsyncContextManager[None]:
        """Hold it while an agent runs. StateError if another one does."""

    def read(self, name: str) -> bytes | None:
        """A file; None if there is none. StateError if it cannot be read."""

    def path(self, name: str) -> str:
        """A file's name, for people."""

    @property
    def is_shared(self) -> bool:
        """Whether others change it too: replicas, and who applies the objects of the chart."""

    def files(self) -> dict[str, bytes]:
        """All of them as they were last seen."""

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Replace files, in this order where that is not done at once; None deletes one. Outrun, OSError, StateError, StatusError."""

    async def reload(self) -> bool:
        """Read again. Whether somebody else changed it. StateError, StatusError."""


class Directory:
    """Files of mode 0600, each replaced atomically. Not made before there is something to keep, and one agent's at a time:
    `lock` is held while it is used (flock: gone with the process, so never stale)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._made: list[Path] = []
        """The directory and those above it that were not there before."""

    @property
    def place(self) -> str:
        """The directory."""
        return str(self.directory)

    @property
    def remedy(self) -> str:
        """How people empty it."""
        return f"remove {self.directory}"

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the directory. Raises StateError if another agent holds it or it cannot be written."""
        descriptor = self._open_lock()
        try:
            self._take(descriptor)
            try:
                yield
            finally:
                self._leave_nothing_half_made()
        finally:
            os.close(descriptor)

    def read(self, name: str) -> bytes | None:
        """A file; None if there is none. StateError if it cannot be read."""
        try:
            return (self.directory / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as e:
            raise StateError(f"{self.directory / name} cannot be read: {e.strerror}") from e

    def path(self, name: str) -> str:
        """A file's path."""
        return str(self.directory / name)

    is_shared = False

    def files(self) -> dict[str, bytes]:
        """All of them."""
        return {path.name: path.read_bytes() for path in sorted(self.directory.iterdir()) if path.is_file()}

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """Replace or delete one file after the other; what is there already stays untouched. OSError."""
        for name, data in changes.items():
            path = self.directory / name
            if data is None:
                path.unlink(missing_ok=True)
            elif not path.exists() or path.read_bytes() != data:
                write_private(path, data)

    async def reload(self) -> bool:
        """It is held, so nobody else changes it."""
        return False

    def _take(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise StateError(
                f"another agent (pid {self._holder()}) uses {self.directory}: stop it with: skerry agent stop NAME"
            ) from e
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def _open_lock(self) -> int:
        try:
            self._made = [each for each in (self.directory, *self.directory.parents) if not each.exists()]
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as e:
            raise StateError(
                f"state directory {self.directory} cannot be written: {e.strerror}: choose another with --state DIR"
            ) from e

    def _holder(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "lock").read_text().strip() or "unknown"
        return "unknown"

    def _leave_nothing_half_made(self) -> None:
        if (self.directory / MEMBERSHIP).exists() or (self.directory / SEED).exists():
            return
        (self.directory / "lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            for each in self._made or [self.directory]:
                each.rmdir()
