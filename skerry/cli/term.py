"""What commands need of the terminal: the name under which we were called, durations, and progress on stderr.

Progress goes to stderr and only moves on a terminal, so that stdout stays what the contract says and logs stay short.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from skerry.cli.failure import USAGE, Failure

TYPE_CHECKING = False  # pathlib, re and shutil are loaded by who needs them: what is called often does not
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"


def program() -> str:
    """How to call us again: `skerry` if that is on PATH and is this program, else the path as invoked."""
    import shutil
    from pathlib import Path

    invoked = Path(sys.argv[0])
    on_path = shutil.which("skerry")
    if on_path and (invoked.name != "skerry" or not invoked.exists() or invoked.samefile(on_path)):
        return "skerry"
    if invoked.name != "skerry":
        beside = Path(sys.executable).with_name("skerry")
        return _short(beside) if beside.exists() else f"{_short(Path(sys.executable))} -m skerry.cli"
    return _short(invoked)


def command() -> str:
    """How others call us, from wherever: `skerry`, or an absolute path."""
    from pathlib import Path

    if (name := program()) == "skerry":
        return name
    invoked = Path(sys.argv[0])
    return str((invoked if invoked.name == "skerry" else Path(sys.executable).with_name("skerry")).absolute())


def _short(path: Path) -> str:
    from pathlib import Path

    try:
        relative = Path(os.path.abspath(path)).relative_to(Path.cwd())  # noqa: PTH100 - symlinks stay as typed
    except (ValueError, OSError):
        return str(path)
    return str(relative) if len(relative.parts) > 1 else f"./{relative}"


def seconds(text: str) -> float:
    """A duration such as `60s`, `1h30m` or `90` (seconds). Raises Failure (usage) for anything else."""
    import re

    value = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    parts = re.findall(_PART, value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise Failure(f"{text!r} is not a duration: use for example 60s, 5m, 1h30m", USAGE)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def say(text: str) -> None:
    """One line for people, on stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def out(text: str) -> None:
    """One line of result, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class ProgressLine:
    """One line on stderr that is rewritten on a terminal; elsewhere each new text is a line of its own."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._started = time.monotonic()
        self._last = ""

    def show(self, text: str) -> None:
        """Show what is being waited for, in one line; said at most once where the line cannot be rewritten."""
        text = _one_line(text)
        if self._live:
            elapsed = time.monotonic() - self._started
            sys.stderr.write(f"\r\x1b[K{text} ({elapsed:.0f}s)" if elapsed >= 1 else f"\r\x1b[K{text}")
            sys.stderr.flush()
        elif text != self._last and time.monotonic() - self._started > 1:
            say(text)
            self._last = text

    def clear(self) -> None:
        """Remove the line."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _one_line(text: str) -> str:
    import shutil

    width = max(40, min(shutil.get_terminal_size().columns - 8, 160))
    words = " ".join(text.split())
    return words if len(words) <= width else words[: width - 1] + "…"


@contextlib.contextmanager
def progress() -> Iterator[ProgressLine]:
    """A Progress that is cleared at the end."""
    display = ProgressLine()
    try:
        yield display
    finally:
        display.clear()
