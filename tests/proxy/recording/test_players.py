"""A recording as a player of others reads it: what a real terminal showed, byte for byte."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from services.proxy.recording import reading
from services.proxy.recording.reading import SessionFilter
from services.proxy.recording.store import Recordings
from skerry.api.recordings import RecordingState
from skerry.http import Exchange
from tests.proxy.conftest import World
from tests.proxy.recording.frames import lines, shown
from tests.proxy.recording.member import PATH, Shell, demand, terminal

pytestmark = pytest.mark.integration
SECRET = "swordfish-and-chips"
SCRIPT = f"""
printf '\\033[1mK\\303\\244se\\033[0m\\n'; tput -T xterm clear; stty size
stty -echo; printf 'Password: '; read word; stty echo; echo; [ "$word" = {SECRET} ] && echo right
i=0; while [ $i -lt 300 ]; do echo "line $i"; i=$((i+1)); done
"""


class PtyShell(Shell):
    """A real terminal with a real shell in it."""

    async def handle(self, exchange: Exchange) -> None:
        """One session, until the shell ends."""
        self._screen, line = pty.openpty()
        self._process = subprocess.Popen(
            ["sh", "-c", SCRIPT], stdin=line, stdout=line, stderr=line, start_new_session=True
        )
        os.close(line)
        showing: asyncio.Task[None] | None = None
        try:
            serving = asyncio.ensure_future(super().handle(exchange))
            await self.begun.wait()
            showing = asyncio.create_task(self._show_all())
            await showing
            await self.end()
            await serving
        finally:
            if showing is not None:
                showing.cancel()
            os.close(self._screen)
            self._process.wait(10)

    async def _show_all(self) -> None:
        while True:
            try:
                data = await asyncio.to_thread(os.read, self._screen, 1000)
            except OSError:  # its other end is closed
                return
            await self.show(data)

    async def _heard(self, message: bytes) -> None:
        if message[:1] == b"\x00":
            os.write(self._screen, message[1:])
        elif message[:1] == b"\x04":
            fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
            self._process.send_signal(signal.SIGWINCH)


async def _recorded(host: World, file: Path) -> bytes:
    """What the terminal of a session showed; its recording is in the file."""
    host.recorder.routes[PATH] = PtyShell().handle
    await demand(host, required=True)
    async with terminal(host) as client:
        await client.send(b'{"Width":99,"Height":33}', 4)
        await client.until(b"Password: ")
        await client.send(SECRET.encode() + b"\n")
        await client.rest()
    async with host.nats.bus("proxy") as connected:
        await connected.ready()
        store = Recordings(connected)
        (session,) = [each async for each in reading.sessions(store, SessionFilter())]
        assert session.state is RecordingState.COMPLETE
        file.write_bytes(b"".join([part async for part in reading.recording(store, session.id)]))
    return client.seen


async def test_a_player_shows_what_the_terminal_showed(host: World, tmp_path: Path, asciinema: Path) -> None:
    file = tmp_path / "session.cast"
    seen = await _recorded(host, file)
    assert b"right" in seen
    assert SECRET.encode() not in file.read_bytes()
    assert shown(lines(file.read_bytes())).encode() == seen
    script = shutil.which("script")
    assert script is not None, "script is missing: apt-get install bsdutils"
    words = f"stty raw; exec {sys.executable} {asciinema} cat {file}"
    nobody, types = os.pipe()  # the end of an input would be shown, as ^D
    try:
        played = await asyncio.to_thread(
            subprocess.run,
            [script, "-qec", words, "/dev/null"],
            stdin=nobody,
            capture_output=True,
            check=True,
            timeout=60,
            env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)},
        )
    finally:
        os.close(nobody)
        os.close(types)
    assert played.stdout == seen
