"""A program in the jail reaches what it is given, and ends when its time, memory or output is used up."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.appstore.helm.enter import landlock_version
from services.appstore.helm.jail import MIB, PATIENCE, Finished, Jail, run, walls

PYTHON = str(Path(sys.executable).resolve())
LIBRARIES = tuple(
    Path(each) for each in (sys.base_prefix, "/lib", "/lib64", "/usr", "/etc/ld.so.cache") if Path(each).exists()
)
walled = pytest.mark.skipif(landlock_version() < 4, reason="this kernel has no Landlock with rules for TCP")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    return own


async def python(jail: Jail, code: str, *, deadline_s: float = 60.0, stdin: bytes = b"") -> Finished:
    jail = jail._replace(read=(*jail.read, *LIBRARIES))
    return await run(jail, [PYTHON, "-I", "-S", "-c", code], deadline_s=deadline_s, stdin=[stdin])


async def test_what_a_program_says_and_how_it_ends(directory: Path) -> None:
    told = await python(
        Jail(directory), "import sys; print(sys.stdin.read()); sys.stderr.write('no'); sys.exit(3)", stdin=b"hi"
    )
    assert told == Finished("exit", 3, b"hi\n", b"no")


async def test_what_it_says_goes_into_a_file(directory: Path, tmp_path: Path) -> None:
    into = tmp_path / "said"
    jail = Jail(directory, read=LIBRARIES, output=1000)
    command = [PYTHON, "-I", "-S", "-c"]
    finished = await run(jail, [*command, "print('x' * 999)"], deadline_s=60.0, stdout=into)
    assert finished == Finished("exit", 0, b"", b"")
    assert (into.read_bytes(), into.stat().st_mode & 0o777) == (b"x" * 999 + b"\n", 0o600)
    with pytest.raises(FileExistsError):
        await run(jail, [*command, ""], deadline_s=60.0, stdout=into)
    more = tmp_path / "more"
    finished = await run(jail, [*command, "print('x' * 100000)"], deadline_s=60.0, stdout=more)
    assert (finished.ending, more.stat().st_size) == ("output", 1001)


async def test_its_environment_is_clean(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_SECRET", "x")
    told = await python(Jail(directory), "import os; print(sorted(os.environ), os.getcwd(), os.environ['HOME'])")
    names = [name for name in ("HOME", "PATH", "TMPDIR", "LC_CTYPE") if name.encode() in told.stdout]
    assert told.stdout.decode().endswith(f"] {directory} {directory}\n")
    assert "SKERRY" not in told.stdout.decode()
    assert names


@walled
async def test_it_writes_to_its_own_directory_alone(directory: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    code = f"""
import os
open('inside', 'w').write('x'); os.mkdir('d'); os.rename('inside', 'd/inside')
for what in (lambda: open({str(outside)!r}), lambda: open({str(outside)!r}, 'w'), lambda: open('/etc/passwd'),
             lambda: os.listdir('/'), lambda: os.unlink({str(outside)!r}), lambda: open('/proc/self/environ'),
             lambda: os.mkdir({str(tmp_path / "new")!r}), lambda: os.truncate({str(outside)!r}, 0)):
    try:
        what()
        print('reached', what)
    except PermissionError:
        print('no')
"""
    told = await python(Jail(directory), code)
    assert told.stdout.decode().split() == ["no"] * 8, told
    assert outside.read_text() == "mine"
    assert (directory / "d" / "inside").read_text() == "x"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


CONNECT = "import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('connected')"


@walled
async def test_it_connects_to_the_ports_that_it_is_given(directory: Path, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert (await python(Jail(directory, ports=(port,)), CONNECT.format(port=port))).stdout == b"connected\n"
    for jail in (Jail(directory), Jail(directory, ports=(port - 1,))):
        told = await python(jail, CONNECT.format(port=port))
        assert (told.code, b"PermissionError" in told.stderr) == (1, True), told


@walled
async def test_it_signals_nobody_outside(directory: Path) -> None:
    told = await python(Jail(directory), f"import os; os.kill({os.getpid()}, 0)")
    assert b"PermissionError" in told.stderr


async def test_memory_ends(directory: Path) -> None:
    told = await python(Jail(directory, data=128 * MIB), "x = bytearray(1 << 30); print(len(x))")
    assert (told.code, b"MemoryError" in told.stderr) == (1, True), told


async def test_processor_time_ends(directory: Path) -> None:
    told = await python(Jail(directory, cpu_s=1), "while True: pass")
    assert told.ending == "processor"
    assert told.code in (signal.SIGKILL, signal.SIGXCPU)


async def test_who_is_killed_by_somebody_has_not_used_up_their_time(directory: Path) -> None:
    told = await python(Jail(directory), "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert told[:2] == ("signal", signal.SIGKILL)


async def test_a_file_that_grows_ends(directory: Path) -> None:
    told = await python(Jail(directory, file=MIB), "open('x', 'wb').write(bytes(5 << 20))")
    assert told.code != 0
    assert (directory / "x").stat().st_size <= MIB


async def test_a_deadline_ends_it_and_its_children(directory: Path) -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-I', '-S', '-c', 'import time; time.sleep(600)']); print('up', flush=True); import time; time.sleep(600)"
    started = time.monotonic()
    told = await python(Jail(directory, grace_s=0.5), code, deadline_s=3.0)
    assert told.ending == "deadline"
    assert time.monotonic() - started < 60


async def test_who_does_not_listen_to_a_request_to_end_is_killed(directory: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    told = await python(Jail(directory, grace_s=0.2), code, deadline_s=3.0)
    assert (told.ending, told.code) == ("deadline", signal.SIGKILL)


async def test_output_ends(directory: Path) -> None:
    told = await python(Jail(directory, output=MIB, grace_s=0.2), "while True: print('x' * 10_000)")
    assert (told.ending, len(told.stdout)) == ("output", MIB)


async def test_errors_are_cut_and_do_not_end_it(directory: Path) -> None:
    told = await python(Jail(directory, errors=1000), "import sys; sys.stderr.write('x' * 100_000); print('done')")
    assert (told.ending, told.stdout, len(told.stderr)) == ("exit", b"done\n", 1000)


async def test_who_is_cancelled_leaves_nothing_running(directory: Path) -> None:
    running = asyncio.create_task(
        python(Jail(directory), "import os; open('pid', 'w').write(str(os.getpid())); import time; time.sleep(600)")
    )
    pid = directory / "pid"
    while not (pid.exists() and pid.read_text()):
        await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_it_dies_with_its_parent(directory: Path) -> None:
    code = f"""
import asyncio, os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from services.appstore.helm.jail import PATIENCE, Jail, run
read = tuple(Path(each) for each in {[str(each) for each in LIBRARIES]!r})
asyncio.run(run(Jail(Path({str(directory)!r}), read=read), [{PYTHON!r}, '-I', '-S', '-c',
    "import os; open('pid', 'w').write(str(os.getpid())); import time; time.sleep(600)"], deadline_s=600))
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    pid = directory / "pid"
    while not (pid.exists() and pid.read_text()):
        await asyncio.sleep(0.01)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(30):
        while (
            Path(f"/proc/{pid.read_text()}/cmdline").exists() and Path(f"/proc/{pid.read_text()}/cmdline").read_bytes()
        ):
            await asyncio.sleep(0.02)


@walled
async def test_a_jail_that_requires_its_walls_runs_where_they_are(directory: Path) -> None:
    assert walls() == ("limits", "files", "network")
    assert (await python(Jail(directory, required=True), "print('in')")).stdout == b"in\n"


async def test_a_program_that_is_not_there_says_so(directory: Path) -> None:
    told = await run(Jail(directory), ["/nowhere/helm"], deadline_s=30.0)
    assert (told.code, b"/nowhere/helm" in told.stderr) == (1, True)


async def test_what_only_looks_lets_everything_else_of_its_session_go_first(directory: Path) -> None:
    asked = "import os; print(os.nice(0), os.getsid(0), os.sched_getscheduler(0) == os.SCHED_IDLE, os.getpgid(0) == os.getpid())"
    usual, patient = [(await python(Jail(directory, patience=each), asked)).stdout.split() for each in (0, PATIENCE)]
    assert int(patient[0]) - int(usual[0]) == PATIENCE
    assert patient[1:] == [str(os.getsid(0)).encode(), b"True", b"True"]
    assert usual[1] != patient[1]
    assert usual[2:] == [b"False", b"True"]


async def test_a_patient_one_is_ended_with_its_children(directory: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
    ended = await python(Jail(directory, patience=PATIENCE, grace_s=0.0), code, deadline_s=3.0)
    assert ended.ending == "deadline"
    assert not [each for each in Path("/proc").glob("[0-9]*/cwd") if _cwd(each) == directory]


def _cwd(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None
