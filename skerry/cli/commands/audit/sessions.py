"""audit sessions, audit play: which sessions were recorded, and what happened in one.

What a recording holds is written to a terminal as it is, because that is what it is for; everything else that is shown is cleaned.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skerry.api.text import clean
from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect
from skerry.cli.failure import FAILED, USAGE, Failure
from skerry.cli.paths import query, quoted
from skerry.cli.term import out, program, say, seconds

if TYPE_CHECKING:
    from skerry.api.meta import Document
    from skerry.cli.api import Api

SESSIONS = "/audit/sessions"
HEAD = ["ID", "USER", "CLUSTER", "POD", "COMMAND", "START", "DURATION", "BYTES", "STATE"]
COMMAND, CELL = 40, 80
"""Characters of a command and of any other cell that a table shows."""
QUIET_S = 30.0
RUNNING = "running"
ANSWERS_S = 0.05
"""So long a terminal may take to answer what a recording asked it."""
RESET = "\x1b[0m\x1b[?25h\x1b[?1047l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l"
"""What a session may have left switched on: colours, a hidden cursor, the other screen, the mouse, bracketed paste."""


def sessions(
    user: Annotated[str, typer.Option("--user", metavar="U", help="Those of one user.")] = "",
    cluster: Annotated[
        str, typer.Option("--cluster", metavar="C", help="Those on one cluster.", autocompletion=cluster_names)
    ] = "",
    since: Annotated[str, typer.Option("--since", metavar="DURATION", help="Begun so long ago at most.")] = "",
    style: Annotated[str, typer.Option("-o", "--output", metavar="wide|json|yaml|name", help="Output format.")] = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """List recorded sessions of exec and attach, the latest last.

    Examples: skerry audit sessions --user alice --since 24h

    skerry audit sessions --cluster m1 -o json
    """
    output.check_format(style)
    begun = f"{time.time() - seconds(since):.0f}" if since else ""
    items = _sessions(connect(kubeconfig, context), user=user, cluster=cluster, since=begun)
    if style in ("json", "yaml"):
        output.document({"kind": "List", "items": items}, style)
    elif style == "name":
        for each in items:
            out(clean(str(each["id"]), CELL))
    elif not items:
        say("No recorded sessions: a rule of the AuditPolicy with record: tty makes them.")
    else:
        _table(items, wide=style == "wide")


def play(
    id_: Annotated[str, typer.Argument(metavar="ID", help="From: skerry audit sessions.")],
    speed: Annotated[float, typer.Option("--speed", metavar="N", help="So many times as fast.")] = 1.0,
    idle: Annotated[
        str, typer.Option("--idle", metavar="DURATION", help="Where nothing happens, wait no longer than this.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Of a session that runs: show what there is, then what happens.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("-o", metavar="FILE.cast", help="Write the recording (asciicast v2) instead of playing it."),
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Play a recorded session in this terminal, as fast as it happened; into a pipe, at once.

    Examples: skerry audit play 019ac9ee11d07c5be40a21 --speed 2 --idle 2s

    skerry audit play 019ac9ee11d07c5be40a21 -o incident.cast
    """
    if not 0 < speed <= 1000:
        raise Failure(f"--speed {speed:g}: use a number above 0, 1000 at most, for example 2", USAGE)
    longest = seconds(idle) if idle else float("inf")
    api = connect(kubeconfig, context)
    session = _sessions(api, id=id_)[0]
    is_running = session["state"] == RUNNING
    lines = _lines(api, f"{SESSIONS}/{quoted(id_)}{'?follow=true' if follow else ''}", None if follow else QUIET_S)
    if is_running and not follow:
        say(f"session {id_} is running: this is what there is of it; {program()} audit play {id_} -f follows it")
    if file is not None:
        _write(file, lines)
    else:
        paced = sys.stdout.isatty() and not follow
        _show(lines, Pace(speed, longest) if paced else None)
    _tell(_sessions(api, id=id_)[0] if is_running else session, file)


def _sessions(api: Api, **wanted: str) -> list[Document]:
    """The earliest first."""
    items = [_decoded(line) for line in _lines(api, query(SESSIONS, **wanted), QUIET_S)]
    return sorted(items, key=lambda each: (str(each["start"]), str(each["id"])))


def _lines(api: Api, path: str, quiet_s: float | None) -> Iterator[bytes]:
    """Of an answer; where a session is followed, however long nothing happens in it."""
    try:
        yield from api.lines(path, quiet_s=quiet_s)
    except TimeoutError as error:
        raise Failure("the host did not answer in time: try again") from error


def _decoded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise Failure("the host's answer broke off, or is none of a skerry host: try again") from error


def _table(items: list[Document], *, wide: bool) -> None:
    cells = COMMAND if not wide else 10 * COMMAND
    rows = [
        [clean(text, cells if name == "COMMAND" else CELL) or "-" for name, text in zip(HEAD, _row(each), strict=True)]
        for each in items
    ]
    output.columns(HEAD, rows)


def _row(each: Document) -> list[str]:
    command = " ".join(each["command"]) or f"({each['subresource']})"
    pod = f"{each['namespace']}/{each['pod']}"
    duration = output.duration(each["durationS"])
    return [
        each["id"], each["user"], each["cluster"], pod, command, each["start"], duration, str(each["bytes"]), each["state"],
    ]  # fmt: skip


# Playing


class Pace:
    """When each event of a recording is due."""

    def __init__(
        self,
        speed: float,
        longest_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._speed, self._longest_s = speed, longest_s
        self._clock, self._sleep = clock, sleep
        self._due, self._before = clock(), 0.0

    def wait(self, at: float) -> None:
        """Until what happened at `at`, seconds since the beginning."""
        self._due += min(max(at - self._before, 0.0), self._longest_s) / self._speed
        self._before = at
        self._sleep(max(self._due - self._clock(), 0.0))


def _show(lines: Iterator[bytes], pace: Pace | None) -> None:
    """The output of a session, on stdout, as the session's terminal got it."""
    screen = sys.stdout.buffer
    with _quiet_terminal() if sys.stdout.isatty() else contextlib.nullcontext():
        for number, line in enumerate(lines):
            if not number:
                continue  # the head
            at, code, data = _event(line)
            if pace is not None:
                pace.wait(at)
            if code == "o":
                screen.write(data.encode("utf-8", "replace"))
                screen.flush()


def _event(line: bytes) -> tuple[float, str, str]:
    event = _decoded(line)
    if not (isinstance(event, list) and len(event) == 3 and isinstance(event[0], int | float)):
        raise Failure("the recording has a line that is no event of asciicast v2: write it with -o and look at it")
    return float(event[0]), str(event[1]), str(event[2])


@contextlib.contextmanager
def _quiet_terminal() -> Iterator[None]:
    """A recording may ask the terminal things, whose answers look as if they had been typed: they are not shown, and whatever
    came is gone when the recording is over. Then the terminal is as it was.
    """
    import termios

    source = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(source) if source is not None else None
    if source is not None and before is not None:
        silent = [*before[:3], before[3] & ~(termios.ECHO | termios.ICANON), *before[4:]]
        termios.tcsetattr(source, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        sys.stdout.write(RESET)
        sys.stdout.flush()
        if source is not None and before is not None:
            time.sleep(ANSWERS_S)
            termios.tcsetattr(source, termios.TCSAFLUSH, before)


# What to say of it


def _write(file: Path, lines: Iterator[bytes]) -> None:
    """Line by line, so that what came of a session that is followed is there; for its owner alone."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        for line in lines:
            target.write(line)


def _tell(session: Document, file: Path | None) -> None:
    """How it ended, on stderr; with a file, whether that is what the host recorded. Failure if it is not."""
    parts = [f"session {session['id']}: {session['state']}"]
    if session.get("exit"):
        parts.append(f"exit {clean(str(session['exit']), CELL)}")
    if session.get("lost"):
        parts.append(f"{session['lost']} bytes of output are missing")
    say(", ".join(parts))
    if file is None:
        return
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if session.get("sha256") not in (None, digest):
        raise Failure(
            f"{file} is not what was recorded: its SHA-256 is {digest}, and {session['sha256']} was stored", FAILED
        )
    say(f"{file}: SHA-256 {digest}" + (", as it was stored at the session's end" if "sha256" in session else ""))
