"""The supervisor with small programs: order, readiness, restarts, failed starts, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from skerry.cli import launch
from skerry.cli.bootstrap import leashed
from skerry.cli.plan import ChildProcess, Plan, RunStatus, is_locked, lock, read_status, write_json

DEADLINE_S = 20.0
POLL_S = 0.005
NOTIFY = (
    "import os, signal, socket, sys, time\n"
    "def say(t): socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(t.encode(), os.environ['NOTIFY_SOCKET'])\n"
)
TRACE = "open({trace!r}, 'a').write({word!r} + '\\n')\n"


class Supervised:
    """A directory under a real supervisor process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trace = directory / "trace"
        self.process: subprocess.Popen[bytes] | None = None

    def program(self, name: str, body: str = "", *, ready: str = "notify") -> ChildProcess:
        """A program that says that it is ready, then waits for SIGTERM; traces its start and end."""
        code = (
            NOTIFY
            + f"open({str(self.trace)!r}, 'a').write('{name} up\\n')\n"
            + f"def end(*_): open({str(self.trace)!r}, 'a').write('{name} down\\n'); sys.exit(0)\n"
            + "signal.signal(signal.SIGTERM, end)\n"
            + (body or "say('READY=1\\nSTATUS=fine')\n")
            + "while True: signal.pause()\n"
        )
        return ChildProcess(name=name, argv=leashed([sys.executable, "-c", code]), ready=ready, stop_s=5)

    def start(
        self, *processes: ChildProcess, detach: bool = True, renew: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        plan = Plan(processes=list(processes), renew=list(renew), renew_every_s=0.05)
        write_json(self.directory / "plan.json", plan)
        number = lock(self.directory / "lock")
        self.process = launch.start(self.directory, number, detach=detach)
        os.close(number)
        return self.process

    def status(self, reached: Callable[[RunStatus], bool]) -> RunStatus:
        """The status, once it is as wanted."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = read_status(self.directory)
            if found is not None and reached(found):
                return found
            time.sleep(POLL_S)
        raise AssertionError(f"never reached: {read_status(self.directory)}")

    def traced(self) -> list[str]:
        return self.trace.read_text().splitlines()

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    found = Supervised(tmp_path)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.end()


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


def test_processes_start_in_order_and_stop_in_the_opposite_one(supervised: Supervised) -> None:
    supervised.start(supervised.program("a"), supervised.program("b"))
    status = supervised.status(lambda s: s.ready)
    assert [p.name for p in status.processes] == ["a", "b"]
    assert status.processes[0].reason == "fine"
    assert supervised.end() == 0
    assert supervised.traced() == ["a up", "b up", "b down", "a down"]
    assert supervised.status(lambda s: s.phase == "stopped").processes[0].pid == 0


def test_the_next_process_waits_for_the_readiness_of_the_one_before(supervised: Supervised) -> None:
    supervised.start(supervised.program("a", "say('STATUS=warming up')\n"), supervised.program("b"))
    status = supervised.status(lambda s: s.processes[0].reason == "warming up")
    assert (status.phase, status.processes[1].reason) == ("starting", "not started")


def test_a_plan_that_changed_starts_anew_whose_part_is_another_one_and_counts_no_restart(
    supervised: Supervised,
) -> None:
    programs = [supervised.program("a"), supervised.program("b")]
    supervised.start(*programs)
    before = supervised.status(lambda s: s.ready)
    anew = msgspec.structs.replace(programs[0], revision="2")
    write_json(supervised.directory / "plan.json", Plan(processes=[anew, programs[1]]))
    os.kill(before.pid, signal.SIGUSR1)
    after = supervised.status(lambda s: s.ready and s.processes[0].pid not in (0, before.processes[0].pid))
    assert (after.pid, after.processes[1].pid) == (before.pid, before.processes[1].pid)
    assert [each.restarts for each in after.processes] == [0, 0]
    assert supervised.traced() == ["a up", "b up", "a down", "a up"]
    assert supervised.end() == 0


@pytest.mark.parametrize("plan", ["the same", "none"])
def test_a_plan_that_says_nothing_new_changes_nothing(supervised: Supervised, plan: str) -> None:
    supervised.start(supervised.program("a"))
    before = supervised.status(lambda s: s.ready)
    if plan == "none":
        (supervised.directory / "plan.json").write_text("{")
    os.kill(before.pid, signal.SIGUSR1)
    assert supervised.end() == 0
    assert supervised.traced() == ["a up", "a down"]


def test_readiness_can_be_a_file(supervised: Supervised) -> None:
    target = supervised.directory / "a.ports"
    target.write_text("stale")
    process = supervised.program("a", f"open({str(target)!r}, 'w').close()\n", ready="file")
    supervised.start(
        ChildProcess(name="a", argv=process.argv, ready="file", address=str(supervised.directory / "*.ports"))
    )
    supervised.status(lambda s: s.ready)
    assert target.read_text() == ""


def test_a_process_that_dies_is_started_again(supervised: Supervised) -> None:
    supervised.start(supervised.program("a"), supervised.program("b"))
    before = supervised.status(lambda s: s.ready).processes[0].pid
    os.kill(before, signal.SIGKILL)
    after = supervised.status(lambda s: s.ready and s.processes[0].pid not in (0, before))
    assert after.processes[0].restarts == 1
    assert supervised.traced().count("b up") == 1


def test_a_process_that_never_gets_ready_fails_the_start_and_all_is_stopped(supervised: Supervised) -> None:
    supervised.start(supervised.program("a"), supervised.program("b", "sys.exit('no such port')\n"))
    status = supervised.status(lambda s: s.phase == "failed")
    assert status.message == "b ended with exit code 1: no such port"
    assert supervised.process is not None
    assert supervised.process.wait(DEADLINE_S) == 1
    assert supervised.traced()[-1] == "a down"
    assert not is_locked(supervised.directory / "lock")


def test_a_program_that_does_not_exist_is_named(supervised: Supervised) -> None:
    supervised.start(ChildProcess(name="a", argv=["/nowhere/program"]))
    assert "/nowhere/program" in supervised.status(lambda s: s.phase == "failed").message


def test_one_that_ignores_sigterm_is_killed(supervised: Supervised) -> None:
    stubborn = supervised.program("a", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay('READY=1')\n")
    supervised.start(ChildProcess(name="a", argv=stubborn.argv, ready="notify", stop_s=0.2))
    pid = supervised.status(lambda s: s.ready).processes[0].pid
    assert supervised.end() == 0
    assert _gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_kill_9_of_the_supervisor_leaves_no_orphans_and_frees_the_lock(supervised: Supervised) -> None:
    process = supervised.start(supervised.program("a"), supervised.program("b"))
    pids = [p.pid for p in supervised.status(lambda s: s.ready).processes]
    process.kill()
    process.wait()
    _eventually(lambda: all(map(_gone, pids)), "children outlive their supervisor")
    assert not is_locked(supervised.directory / "lock")


def test_children_get_no_foreign_settings(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_STATE", "/elsewhere")
    body = "say('READY=1\\nSTATUS=' + ','.join(k for k in os.environ if k.startswith('SKERRY_')))\n"
    process = supervised.program("a", body)
    supervised.start(ChildProcess(name="a", argv=process.argv, env={"SKERRY_OWN": "1"}, ready="notify"))
    assert supervised.status(lambda s: s.ready).processes[0].reason == "SKERRY_OWN"


def test_the_end_of_the_log_is_shown_when_a_start_fails(supervised: Supervised) -> None:
    from skerry.cli.failure import Failure
    from skerry.cli.term import ProgressLine

    process = supervised.start(supervised.program("a", "print('cause', flush=True); sys.exit(3)\n"))
    with pytest.raises(Failure) as caught:
        launch.wait_ready(supervised.directory, process, DEADLINE_S, ProgressLine(), "the host")
    assert caught.value.message == "the host could not start: a ended with exit code 3: cause"
    assert caught.value.tail.splitlines()[-1] == "cause"


def test_a_start_that_takes_too_long_is_a_timeout(supervised: Supervised) -> None:
    from skerry.cli.failure import TIMED_OUT, Failure
    from skerry.cli.term import ProgressLine

    process = supervised.start(supervised.program("a", "say('STATUS=waiting for godot')\n"))
    supervised.status(lambda s: s.processes[0].reason == "waiting for godot")
    with pytest.raises(Failure, match=r"not ready after 0\.1 s \(a waiting for godot\)") as caught:
        launch.wait_ready(supervised.directory, process, 0.1, ProgressLine(), "the host")
    assert caught.value.code == TIMED_OUT


def script(path: Path, body: str) -> Path:
    """A program of its own."""
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o700)
    return path


def test_a_process_that_cannot_be_run_for_a_moment_does_not_end_the_others(supervised: Supervised) -> None:
    body = NOTIFY + "say('READY=1\\nSTATUS=fine')\nwhile True: signal.pause()\n"
    program, away = script(supervised.directory / "program", body), supervised.directory / "away"
    other = supervised.program("other")
    supervised.start(other, ChildProcess(name="moved", argv=[str(program)], ready="notify", stop_s=5))
    before = supervised.status(lambda s: s.ready).processes
    program.rename(away)
    os.kill(before[1].pid, signal.SIGKILL)
    supervised.status(lambda s: "cannot be run" in s.processes[1].reason)
    away.rename(program)
    after = supervised.status(lambda s: s.ready and s.processes[1].pid not in (0, before[1].pid))
    assert after.processes[0].pid == before[0].pid
    assert supervised.end() == 0


def test_credentials_go_on_being_renewed_after_the_program_for_it_could_not_be_run(supervised: Supervised) -> None:
    renew, renewed = supervised.directory / "renew", supervised.directory / "renewed"
    supervised.start(supervised.program("one"), renew=[str(renew)])
    supervised.status(lambda s: s.ready)
    log = supervised.directory / "logs" / "supervisor.log"
    _eventually(lambda: "renew cannot be run" in log.read_text(), "it was tried")
    script(renew, f"open({str(renewed)!r}, 'w')\n")
    _eventually(renewed.exists, "it was tried again")
    assert supervised.end() == 0
