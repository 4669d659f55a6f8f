"""A client at a terminal: what it shows is read, what is typed is written, and its window has a size."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.clients.shore import Client


@contextmanager
def terminal(
    command: list[str], client: Client, size: tuple[int, int]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process of a command, and the screen of its terminal, with so many rows and columns."""
    screen, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    environment = client.shore.environment(**client.extra)
    process = subprocess.Popen(command, stdin=line, stdout=line, stderr=line, env=environment, start_new_session=True)
    os.close(line)
    try:
        yield process, screen
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def ask(screen: int, question: bytes, answer: bytes, deadline_s: float = 20.0) -> bool:
    """Type the question until the answer is on the screen: the window's size travels beside the input."""
    os.set_blocking(screen, False)
    until, seen, typed = time.monotonic() + deadline_s, b"", 0.0
    while time.monotonic() < until and answer not in seen:
        if time.monotonic() - typed > 1:
            os.write(screen, question)
            typed = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            seen += os.read(screen, 4096)
        select.select([screen], [], [], 0.2)
    return answer in seen


def until(screen: int, text: bytes, deadline_s: float = 30.0) -> bytes:
    """What is on the screen up to and with a text; without one, to the end of the client."""
    os.set_blocking(screen, True)
    end, seen = time.monotonic() + deadline_s, b""
    while not (text and text in seen) and select.select([screen], [], [], max(0.0, end - time.monotonic()))[0]:
        try:
            piece = os.read(screen, 65536)
        except OSError:  # nobody has the terminal any more
            break
        seen += piece
    assert not text or text in seen, f"{text!r} did not come: {seen!r}"
    return seen
