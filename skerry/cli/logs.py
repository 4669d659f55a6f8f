"""Print logs, several at once with their names in front, and follow them across rotation."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from skerry.cli.launch import tail
from skerry.cli.term import out

POLL_S = 0.2


class Follower:
    """Reads what is appended to one file; starts again when the file was truncated or replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = _identity(path)
        self._rest = b""

    def lines(self) -> list[str]:
        """Whole lines since the last call."""
        inode, size = _identity(self._path)
        if inode != self._inode or size < self._offset:
            self._inode, self._offset, self._rest = inode, 0, b""
        if size == self._offset:
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = self._rest + file.read()
            self._offset = file.tell()
        *whole, self._rest = data.split(b"\n")
        return [line.decode(errors="replace") for line in whole]


def _identity(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return 0, 0
    return stat.st_ino, stat.st_size


def show(files: dict[str, Path], lines: int, *, follow: bool) -> None:
    """Print the last `lines` of each; with `follow`, then what comes, until interrupted."""
    width = max(map(len, files)) if len(files) > 1 else 0
    followers = {name: Follower(path) for name, path in files.items()}
    for name, path in files.items():
        for line in tail(path, lines).splitlines():
            _line(name, width, line)
    while follow:
        for name, follower in followers.items():
            for line in follower.lines():
                _line(name, width, line)
        sys.stdout.flush()
        time.sleep(POLL_S)


def _line(name: str, width: int, line: str) -> None:
    out(f"{name:<{width}} | {line}" if width else line)
