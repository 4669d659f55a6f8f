"""Starts the processes of a plan in order, keeps them running, and stops them in the opposite order.

`python -m skerry.cli.supervisor DIRECTORY --lock-fd N` reads `plan.json` there and keeps `run.json` true. It is a lean module
on purpose: no typer, no rich, no TLS, no keys. Each child has its own process group (Ctrl-C must not reach nats-server
first) and ends when this process does. A child that dies, or cannot be run for want of memory or files, is started again,
with a growing pause; one that fails three times before it was ever ready means that the start has failed, and everything is
stopped. What is done beside (status, logs, credentials) goes on after any failure. SIGUSR1 has it read the plan again, and start
those anew whose part of it is another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from skerry.cli.plan import ChildProcess, Plan, ProcessStatus, RunStatus, read_plan, write_json, write_pid

POLL_S = 0.03
"""Pause between looks for a file that is not there yet."""
BACKOFF_S = (0.3, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0
"""A process that ran this long starts again without a pause."""
START_ATTEMPTS = 3
LOG_BYTES = 16 << 20
LOG_CHECK_S = 30.0
SOCKET_PATH_LIMIT = 100
"""sun_path holds 104 bytes on macOS, 108 on Linux."""
_PR_SET_PDEATHSIG = 1


class StartFailed(Exception):
    """A process could not be started; the message is for people."""


class Child:
    """One process of the plan: started, watched, restarted, stopped."""

    def __init__(self, spec: ChildProcess, directory: Path, sockets: Path, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.log = directory / "logs" / f"{spec.name}.log"
        self.status = ProcessStatus(name=spec.name, log=str(self.log))
        self.first_ready = asyncio.Event()
        self._socket_path = sockets / f"{spec.name}.sock"
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = self._again = False

    def say(self, *, ready: bool, reason: str) -> None:
        """Set readiness and its reason."""
        self.status.ready, self.status.reason = ready, reason
        if ready:
            self.first_ready.set()
        self._changed()

    async def keep(self) -> None:
        """Run the process for ever. Raises StartFailed if it never becomes ready."""
        failures = 0
        while not self._stopping:
            started = time.monotonic()
            why = await self._attempt()
            if self._stopping:
                return
            if self._again:
                self._again = False
                self.say(ready=False, reason="starting anew")
                continue
            failures = 0 if time.monotonic() - started > STEADY_S else failures + 1
            self.say(ready=False, reason=why)
            if not self.first_ready.is_set() and failures >= START_ATTEMPTS:
                raise StartFailed(f"{self.spec.name} {why}")
            print(f"{self.spec.name} {why}; starting it again", file=sys.stderr, flush=True)  # noqa: T201 - own log
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            self.status.restarts += 1

    async def _attempt(self) -> str:
        """Run it once; returns how it ended, or why it could not be run."""
        try:
            return self._ending(await self._run_once())
        except OSError as error:
            return f"cannot be run: {self.spec.argv[0]}: {error.strerror or error}"

    async def _run_once(self) -> int:
        self._forget_ready_file()
        with self._listening() as listen, self.log.open("ab") as out:
            process = await self._spawn(out.fileno())
            self._process = process
            self.status.pid = process.pid
            self.say(ready=self.spec.ready == "", reason="" if self.spec.ready == "" else "starting")
            listen()
            probe = asyncio.ensure_future(self._probe())
            try:
                return await process.wait()
            finally:
                probe.cancel()
                self._process, self.status.pid = None, 0

    async def _spawn(self, out: int) -> asyncio.subprocess.Process:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SKERRY_", "NOTIFY_"))}
        env |= self.spec.env | {"SKERRY_PARENT_PID": str(os.getpid())}
        if self.spec.ready == "notify":
            env["NOTIFY_SOCKET"] = str(self._socket_path)
        return await asyncio.create_subprocess_exec(
            *self.spec.argv, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, env=env, process_group=0
        )

    def _ending(self, code: int) -> str:
        how = f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        last = _last_line(self.log)
        return f"{how}: {last}" if last else how

    @contextlib.contextmanager
    def _listening(self) -> Iterator[Callable[[], None]]:
        """A socket for what the process tells, and how to begin to hear it: what a quick one tells before waits there, and
        is not overwritten by "starting".
        """
        if self.spec.ready != "notify":
            yield lambda: None
            return
        self._socket_path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.setblocking(False)
            receiver.bind(str(self._socket_path))
            try:
                yield lambda: loop.add_reader(receiver, self._told, receiver)
            finally:
                loop.remove_reader(receiver)
                self._socket_path.unlink(missing_ok=True)

    def _told(self, receiver: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            text = receiver.recv(4096).decode(errors="replace")
            said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
            ready = said.get("READY", "1" if self.status.ready else "0") == "1"
            self.say(ready=ready, reason=said.get("STATUS", ""))

    async def _probe(self) -> None:
        """Until the file that the program writes when it listens is there."""
        if self.spec.ready != "file":
            return
        pattern = Path(self.spec.address)
        while not _there(pattern):  # noqa: ASYNC110 - another program makes the file
            await asyncio.sleep(POLL_S)
        self.say(ready=True, reason="")

    def _forget_ready_file(self) -> None:
        if self.spec.ready == "file":
            pattern = Path(self.spec.address)
            for stale in pattern.parent.glob(pattern.name):
                stale.unlink(missing_ok=True)

    async def stop(self) -> None:
        """End it for good."""
        self._stopping = True
        if await self._end():
            self.say(ready=False, reason="stopped")

    async def start_anew(self, spec: ChildProcess) -> None:
        """End it, and start it by another part of the plan. No failure, and counted as none."""
        self.spec, self._again = spec, True
        if not await self._end():
            self._again = False

    async def _end(self) -> bool:
        """SIGTERM, then SIGKILL to its whole group after `stop_s`; whether it ran."""
        process = self._process
        if process is None or process.returncode is not None:
            return False
        self.say(ready=False, reason="stopping")
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.spec.stop_s)
        except TimeoutError:
            print(f"{self.spec.name} did not stop in {self.spec.stop_s:g} s: killed", file=sys.stderr)  # noqa: T201
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return True

    def rotate_log(self) -> None:
        """Keep the log and one older copy below LOG_BYTES each (the child appends, so truncation is safe)."""
        if self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)


class Supervisor:
    """All processes of one plan."""

    def __init__(self, plan: Plan, directory: Path, sockets: Path) -> None:
        self._plan, self._directory = plan, directory
        self.stop, self.reread = asyncio.Event(), asyncio.Event()
        self._dirty = asyncio.Event()
        self._children = [Child(spec, directory, sockets, self._dirty.set) for spec in plan.processes]
        self._status = RunStatus(
            version=plan.version, pid=os.getpid(), api=plan.api, bus=plan.bus, options=plan.options,
            processes=[child.status for child in self._children],
        )  # fmt: skip

    async def run(self) -> int:
        """Until `stop`; returns the exit code."""
        chores = [
            asyncio.ensure_future(work) for work in (self._tell(), self._rotate(), self._renewals(), self._anew())
        ]
        keepers: list[asyncio.Future[None]] = []
        stop: asyncio.Future[Any] = asyncio.ensure_future(self.stop.wait())
        start: asyncio.Future[Any] = asyncio.ensure_future(self._start(keepers))
        try:
            await asyncio.wait([stop, start], return_when=asyncio.FIRST_COMPLETED)
            if start.done() and start.exception() is None:
                await asyncio.wait([stop, *keepers, *chores], return_when=asyncio.FIRST_COMPLETED)
            start.cancel()
            return self._outcome([start, *keepers, *chores])
        finally:
            await self._stop_all(keepers)
            for chore in (*chores, stop):
                chore.cancel()
            self._phase(self._status.phase if self._status.phase == "failed" else "stopped")
            self._write()

    async def _start(self, keepers: list[asyncio.Future[None]]) -> None:
        for child in self._children:
            keeper = asyncio.ensure_future(child.keep())
            keepers.append(keeper)
            ready = asyncio.ensure_future(child.first_ready.wait())
            await asyncio.wait([keeper, ready], return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            if keeper.done():
                keeper.result()
        self._phase("running")

    def _outcome(self, tasks: list[asyncio.Future[Any]]) -> int:
        failed = [t.exception() for t in tasks if t.done() and not t.cancelled() and t.exception()]
        if not failed:
            self._phase("stopping")
            return 0
        print(f"stopping: {failed[0]}", file=sys.stderr, flush=True)  # noqa: T201 - own log
        self._phase("failed", str(failed[0]))
        return 1

    async def _stop_all(self, keepers: list[asyncio.Future[None]]) -> None:
        for child in reversed(self._children):
            await child.stop()
        for keeper in keepers:
            keeper.cancel()
        if keepers:
            await asyncio.wait(keepers)

    def _phase(self, phase: str, message: str = "") -> None:
        self._status.phase = phase
        self._status.message = message or self._status.message
        self._dirty.set()

    async def _tell(self) -> None:
        while True:
            self._dirty.clear()
            self._write()
            await self._dirty.wait()

    def _write(self) -> None:
        try:
            write_json(self._directory / "run.json", self._status)
        except OSError as error:
            print(f"cannot write run.json: {error}", file=sys.stderr, flush=True)  # noqa: T201 - own log

    async def _anew(self) -> None:
        """One after another, in the plan's order, so that those who need the first find it again."""
        while True:
            await self.reread.wait()
            self.reread.clear()
            plan = read_plan(self._directory)
            specs = {each.name: each for each in plan.processes} if plan is not None else {}
            for child in self._children:
                spec = specs.get(child.spec.name, child.spec)
                if spec != child.spec:
                    print(f"{spec.name} is started anew: its part of the plan changed", file=sys.stderr, flush=True)  # noqa: T201
                    await child.start_anew(spec)

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for child in self._children:
                with contextlib.suppress(OSError):
                    child.rotate_log()

    async def _renewals(self) -> None:
        while True:
            await asyncio.sleep(self._plan.renew_every_s)
            if self._plan.renew and not await self._renewed():
                print("credentials could not be renewed; trying again later", file=sys.stderr, flush=True)  # noqa: T201

    async def _renewed(self) -> bool:
        try:
            process = await asyncio.create_subprocess_exec(*self._plan.renew, stdin=asyncio.subprocess.DEVNULL)
        except OSError as error:
            print(f"{self._plan.renew[0]} cannot be run: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
            return False
        return await process.wait() == 0


async def supervise(plan: Plan, directory: Path) -> int:
    """Run `plan` until SIGTERM or SIGINT. Returns 0, or 1 if a process could not be started."""
    (directory / "logs").mkdir(mode=0o700, exist_ok=True)
    with _socket_directory(directory) as sockets:
        supervisor = Supervisor(plan, directory, sockets)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, supervisor.stop.set)
        loop.add_signal_handler(signal.SIGUSR1, supervisor.reread.set)
        return await supervisor.run()


@contextlib.contextmanager
def _socket_directory(directory: Path) -> Iterator[Path]:
    longest = len(str(directory / "sockets" / ("x" * 40)))
    if longest > SOCKET_PATH_LIMIT:
        with tempfile.TemporaryDirectory(prefix="skerry-") as temporary:
            yield Path(temporary)
        return
    (directory / "sockets").mkdir(mode=0o700, exist_ok=True)
    yield directory / "sockets"


def _there(pattern: Path) -> bool:
    try:
        return any(pattern.parent.glob(pattern.name))
    except OSError:
        return False


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 2000))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def _end_with_parent() -> None:
    parent = os.environ.pop("SKERRY_PARENT_PID", "")
    if not parent:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)


def main() -> None:
    """Entry: `DIRECTORY --lock-fd N`."""
    directory, _, lock_fd = sys.argv[1:4]
    _end_with_parent()
    os.set_inheritable(int(lock_fd), False)
    write_pid(int(lock_fd))
    os.umask(0o077)
    plan = read_plan(Path(directory))
    if plan is None:
        sys.exit(f"{directory}/plan.json cannot be read")
    sys.exit(asyncio.run(supervise(plan, Path(directory))))


if __name__ == "__main__":
    main()
