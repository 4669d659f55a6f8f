"""skerry audit sessions and play: what is asked, shown and written; a stand-in for the host's front door answers."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.__main__ import main
from skerry.cli.commands.audit import sessions
from skerry.cli.commands.audit.sessions import Pace
from skerry.errors import Gone, NotFound

Captured = pytest.CaptureFixture[str]
ID = "019ac9ee11d07c5be40a21"
CAST = b"".join(
    json.dumps(line).encode() + b"\n"
    for line in (
        {"version": 2, "width": 80, "height": 24},
        [0.1, "o", "$ \x1b[1mls\x1b[0m\r\n"],
        [0.2, "r", "100x30"],
        [3600.0, "o", "ä\r\n"],
        [3600.1, "m", "exit 0"],
    )
)
SHOWN = "$ \x1b[1mls\x1b[0m\r\nä\r\n"


def told(**more: Any) -> dict[str, Any]:
    """A session as the front door tells it."""
    return {
        "id": ID,
        "user": "alice",
        "cluster": "m1",
        "namespace": "shop",
        "pod": "web-1",
        "container": "",
        "subresource": "exec",
        "command": ["sh", "-l"],
        "start": "2026-11-28T10:00:00Z",
        "durationS": 3600.2,
        "bytes": len(CAST),
        "state": "complete",
        "required": False,
        "auditId": "",
        "sha256": hashlib.sha256(CAST).hexdigest(),
        "exit": "0",
        "lost": 0,
        **more,
    }


class Host:
    """Has sessions and one recording."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sessions = [told()]
        self.error: Exception | None = None

    def lines(self, path: str, *, quiet_s: float | None) -> Iterator[bytes]:
        """What the front door answers."""
        self.asked.append(path)
        if self.error is not None:
            raise self.error
        if path.startswith(f"/audit/sessions/{ID}"):
            yield from CAST.splitlines(keepends=True)
            return
        yield from (json.dumps(each).encode() + b"\n" for each in self.sessions)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(sessions, "connect", lambda kubeconfig, context: made)
    return made


def test_sessions_are_a_table_the_latest_last(host: Host, capsys: Captured) -> None:
    host.sessions = [
        told(id="b" * 22, start="2026-11-28T11:00:00Z", state="running", subresource="attach", command=[]),
        told(command=["sh", "-c", "x" * 100]),
    ]
    assert main(["audit", "sessions", "--user", "al ice", "--cluster", "m1"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "USER", "CLUSTER", "POD", "COMMAND", "START", "DURATION", "BYTES", "STATE"]
    assert first.split()[:4] == [ID, "alice", "m1", "shop/web-1"]
    assert "x" * 40 not in first
    assert "(attach)" in second
    assert second.endswith("running")
    assert host.asked == ["/audit/sessions?user=al%20ice&cluster=m1"]


def test_what_others_chose_cannot_steer_the_terminal(host: Host, capsys: Captured) -> None:
    host.sessions = [told(user="a\x1b[2Jb", command=["\x1b]0;x\x07", "\n"], pod="p\r", exit="\x1b[1m")]
    assert main(["audit", "sessions"]) == 0
    assert main(["audit", "play", ID]) == 0
    said = capsys.readouterr()
    table = said.out.partition("$ ")[0]
    assert "\x1b" not in table + said.err
    assert len(table.splitlines()) == 2


def test_as_json_they_are_a_list_with_ids(host: Host, capsys: Captured) -> None:
    assert main(["audit", "sessions", "--since", "1h", "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in answer["items"]] == [ID]
    since = float(host.asked[0].partition("since=")[2])
    assert time.time() - since == pytest.approx(3600, abs=60)
    assert main(["audit", "sessions", "-o", "name"]) == 0
    assert capsys.readouterr().out == f"{ID}\n"


def test_none_is_said(host: Host, capsys: Captured) -> None:
    host.sessions = []
    assert main(["audit", "sessions"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "record: tty" in said.err


def test_into_a_pipe_it_is_played_at_once(host: Host, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["audit", "play", ID]) == 0
    said = capfdbinary.readouterr()
    assert said.out.decode() == SHOWN
    assert said.err.decode() == f"session {ID}: complete, exit 0\n"


def test_a_file_is_the_recording_and_its_digest_is_looked_at(host: Host, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "a.cast"
    assert main(["audit", "play", ID, "-o", str(file)]) == 0
    assert file.read_bytes() == CAST
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "as it was stored at the session's end" in capsys.readouterr().err
    host.sessions = [told(sha256="0" * 64)]
    assert main(["audit", "play", ID, "-o", str(file)]) == 1
    assert "is not what was recorded" in capsys.readouterr().err


def test_of_a_running_session_it_is_said_how_to_follow_it(host: Host, capsys: Captured) -> None:
    running = told(state="running")
    del running["sha256"], running["exit"], running["lost"]
    host.sessions = [running]
    assert main(["audit", "play", ID]) == 0
    assert f"audit play {ID} -f follows it" in capsys.readouterr().err
    assert main(["audit", "play", ID, "-f"]) == 0
    assert "follows it" not in capsys.readouterr().err
    assert host.asked[-2] == f"/audit/sessions/{ID}?follow=true"


def test_missing_output_is_said(host: Host, capsys: Captured) -> None:
    host.sessions = [told(state="gaps", lost=123)]
    assert main(["audit", "play", ID]) == 0
    assert "gaps, exit 0, 123 bytes of output are missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [NotFound("there is no recorded session x"), Gone("session x expired")], ids=["unknown", "expired"]
)
def test_what_is_not_there_is_told_by_the_host(error: Exception, host: Host, capsys: Captured) -> None:
    host.error = error
    assert main(["audit", "play", ID]) == 1
    assert str(error) in capsys.readouterr().err


def test_a_host_that_falls_silent_is_a_failure(host: Host, capsys: Captured) -> None:
    host.error = TimeoutError()
    assert main(["audit", "sessions"]) == 1
    assert "did not answer in time" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--speed", "0"], ["--speed", "-1"], ["--speed", "fast"], ["--idle", "soon"]])
def test_what_cannot_be_meant_is_a_usage_error(words: list[str], host: Host) -> None:
    assert main(["audit", "play", ID, *words]) == 2
    assert host.asked == []


@pytest.mark.parametrize("line", [b"[]", b"{}", b'["a","o","x"]', b'[1,"o"]', b"\xff"])
def test_a_line_that_is_no_event_is_a_failure(
    line: bytes, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sessions, "_sessions", lambda api, **wanted: [told()])
    monkeypatch.setattr(host, "lines", lambda path, quiet_s: iter([b"{}\n", line + b"\n"]))
    assert main(["audit", "play", ID]) == 1
    assert capsys.readouterr().err


def test_it_is_paced_as_it_happened_faster_and_without_the_pauses() -> None:
    slept, now = list[float](), [100.0]

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        now[0] += seconds

    pace = Pace(2.0, 2.0, clock=lambda: now[0], sleep=sleep)
    for at in (1.0, 3601.0, 3600.0, 3602.0):
        pace.wait(at)
    assert slept == [0.5, 1.0, 0.0, 1.0]


def test_a_terminal_is_played_to_and_left_as_it_was(host: Host, tmp_path: Path) -> None:
    program = f"""
import json
from skerry.cli.commands.audit import sessions
class Host:
    def lines(self, path, *, quiet_s):
        if path == "/audit/sessions/{ID}":
            yield from {CAST.splitlines(keepends=True)!r}
        else:
            yield {json.dumps(told()).encode()!r}
sessions.connect = lambda kubeconfig, context: Host()
sessions.play("{ID}", speed=1000.0, idle="1ms", follow=False, file=None)
"""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    ) as child:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the terminal's other side is gone
            pass
        assert child.wait(30) == 0
        assert child.stderr is not None
        assert b"complete" in child.stderr.read()
    os.close(ours)
    assert shown.startswith(SHOWN.replace("\n", "\r\n").encode())
    assert b"\x1b[?25h" in shown.rpartition("ä".encode())[2]
