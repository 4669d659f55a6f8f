"""The life of a process, seen from outside: exit codes, readiness, signals, the parent's death, logs without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.errors import InternalError
from skerry.runtime import endless, redact

DEADLINE_S = 20.0
HEAD = """
import asyncio, os, sys
from skerry.runtime import Exit, run
from skerry.errors import Forbidden
"""


def _start(body: str, **env: str) -> subprocess.Popen[str]:
    code = (
        HEAD
        + "async def main(rt):\n"
        + "".join(f"    {line}\n" for line in body.splitlines())
        + 'run(main, name="probe")\n'
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env
    )


def _end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


@pytest.fixture
def notify(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "n"))
        receiver.settimeout(DEADLINE_S)
        yield receiver


def _said(receiver: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in receiver.recv(4096).decode().splitlines())


def test_a_main_that_returns_exits_0() -> None:
    assert _end(_start("rt.ready()"))[0] == 0


def test_an_exit_ends_with_its_code_and_one_line() -> None:
    code, _, err = _end(_start('raise Exit("nats-server is missing: install it", 4)'))
    assert (code, err) == (4, "probe: nats-server is missing: install it\n")


def test_a_status_error_is_one_line_and_exit_1() -> None:
    assert _end(_start('raise Forbidden("not you")'))[::2] == (1, "probe: not you\n")


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        (
            'raise Exit("the bus is of another host: use its token", 4)',
            4,
            "probe: the bus is of another host: use its token\n",
        ),
        ('raise Forbidden("token skerry_" + "A" * 43)', 1, "probe: token [secret]\n"),
        ("raise KeyError('x')", 1, "probe: ended by a bug, KeyError: 'x'. The log has its traceback\n"),
        ("rt.ready()", 0, ""),
    ],
)
def test_the_line_that_a_process_ends_with_lies_where_kubelet_looks(
    tmp_path: Path, body: str, code: int, line: str
) -> None:
    path = tmp_path / "termination-log"
    path.write_text("of the container before, which was longer than this one will be" if line else "")
    stamp = path.stat().st_ino
    assert _end(_start(body, SKERRY_TERMINATION_FILE=str(path)))[0] == code
    assert path.read_text() == line
    assert path.stat().st_ino == stamp  # kubelet has mounted that file


def test_a_termination_file_that_cannot_be_written_changes_nothing_else(tmp_path: Path) -> None:
    code, _, err = _end(_start('raise Exit("no", 4)', SKERRY_TERMINATION_FILE=str(tmp_path / "no" / "file")))
    assert code == 4
    assert err.startswith("probe: no\n")


def test_health_is_served_until_the_end_and_not_ready_from_sigterm_on(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    body = 'rt.ready()\nprint("up", flush=True)\nawait rt.stop.wait()\nrt.ready()\nprint("on", flush=True)\nawait asyncio.sleep(60)'
    process = _start(body, SKERRY_OPS_LISTEN=f"127.0.0.1:{port}")
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert _probe(port, "/readyz") == (200, "ok\n")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "on\n"
    assert _probe(port, "/readyz") == (503, "stopping\n")
    assert _probe(port, "/livez") == (200, "ok\n")
    process.send_signal(signal.SIGTERM)
    assert _end(process)[0] == 130


def _probe(port: int, path: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_place_for_health_that_is_none_is_a_usage_error() -> None:
    code, _, err = _end(_start("rt.ready()", SKERRY_OPS_LISTEN="8081"))
    assert code == 2
    assert "probe: SKERRY_OPS_LISTEN is '8081': use host:port" in err


def test_a_bug_is_logged_with_its_traceback() -> None:
    code, _, err = _end(_start("raise KeyError('x')"))
    assert code == 1
    assert "KeyError" in json.loads(err.splitlines()[-1])["exception"]


def test_readiness_is_told_with_its_reason(notify: socket.socket, tmp_path: Path) -> None:
    process = _start('rt.not_ready("no bus")\nrt.ready()', NOTIFY_SOCKET=str(tmp_path / "n"))
    assert _said(notify) == {"READY": "0", "STATUS": "no bus"}
    assert _said(notify) == {"READY": "1", "STATUS": ""}
    _end(process)


def test_sigterm_lets_main_finish_its_work(notify: socket.socket, tmp_path: Path) -> None:
    process = _start('rt.ready()\nawait rt.stop.wait()\nprint("drained")', NOTIFY_SOCKET=str(tmp_path / "n"))
    _said(notify)
    process.send_signal(signal.SIGTERM)
    assert _end(process)[:2] == (0, "drained\n")


def test_a_main_that_does_not_end_is_cancelled_after_the_grace(notify: socket.socket, tmp_path: Path) -> None:
    body = 'rt.grace_s = 0.1\nrt.ready()\ntry:\n    await asyncio.Event().wait()\nfinally:\n    print("cancelled")'
    process = _start(body, NOTIFY_SOCKET=str(tmp_path / "n"))
    _said(notify)
    process.send_signal(signal.SIGTERM)
    code, out, _ = _end(process)
    assert out == "cancelled\n"
    assert code == 130


def test_a_failed_task_of_the_group_fails_the_process() -> None:
    code, _, err = _end(
        _start('async def work():\n    raise Forbidden("lost")\nrt.spawn(work(), name="w")\nawait rt.stop.wait()')
    )
    assert (code, err) == (1, "probe: lost\n")


def test_tasks_that_are_left_are_cancelled_when_main_returns() -> None:
    assert _end(_start("async def work():\n    await asyncio.Event().wait()\nrt.spawn(work(), name='w')"))[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_ends_with_its_parent_however_it_died() -> None:
    child = (
        HEAD
        + "async def main(rt):\n    print(os.getpid(), flush=True)\n    await rt.stop.wait()\nrun(main, name='c')\n"
    )
    parent = (
        "import os, subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}], env=os.environ | {{'SKERRY_PARENT_PID': str(os.getpid())}})\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + DEADLINE_S
    while _runs(pid):
        assert time.monotonic() < deadline, "the child outlives its parent"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_parent_that_is_gone_already_ends_the_child() -> None:
    assert _end(_start("await rt.stop.wait()", SKERRY_PARENT_PID="1" if os.getppid() != 1 else "2"))[0] == 1


def test_json_logs_carry_fields() -> None:
    _, _, err = _end(_start('import logging\nlogging.getLogger("x").info("hello", extra={"member": "m1"})'))
    line = json.loads(err.splitlines()[0])
    assert (line["message"], line["member"], line["level"]) == ("hello", "m1", "info")


def test_human_logs_are_one_line() -> None:
    _, _, err = _end(
        _start('import logging\nlogging.getLogger("x").info("hi", extra={"why": "a b"})', SKERRY_LOG_FORMAT="human")
    )
    assert err.rstrip().endswith('info     x: hi why="a b"')


def test_an_unknown_level_is_named() -> None:
    code, _, err = _end(_start("pass", SKERRY_LOG_LEVEL="loud"))
    assert code == 1
    assert "use debug, info, warning or error" in err


@pytest.mark.parametrize(
    "secret",
    [
        "skerry_" + "A" * 43,
        "skerry-join-eyJmb3JtYXQiOjF9deadbeef",
        "SUA" + "B" * 55,
        "eyJhbGciOiJlZDI1NTE5In0.eyJzdWIiOiJ4In0.c2ln",
        "Bearer abcdefghijkl",
        "base64url.bearer.authorization.k8s.io.c2tlcnJ5XzEyMw",
    ],
)
def test_what_looks_like_a_secret_never_reaches_a_log(secret: str) -> None:
    assert redact(f"got {secret} from a") == "got [secret] from a"


async def test_a_task_that_has_no_end_and_ends_fails_its_group() -> None:
    async def brief() -> None:
        return

    async def serve() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(endless(brief, "the cache"))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as failure:
        await serve()
    assert failure.group_contains(InternalError, match="the cache ended by itself")
