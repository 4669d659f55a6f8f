"""How every Skerry process lives: one event loop, one TaskGroup, one stop event, readiness with a reason, an exit code.

    async def main(runtime: Runtime) -> None:
        settings = load_or_help(Settings, "tower")
        async with Bus(...) as bus:
            runtime.ready()
            await runtime.stop.wait()          # SIGTERM or Ctrl-C
            runtime.not_ready("stopping")      # then drain, within runtime.grace_s

    if __name__ == "__main__":
        run(main, name="tower")

The order at the end is always the same: the stop event is set, `main` stops taking work, drains and returns; tasks of
the group that are left are cancelled. `main` gets `grace_s` seconds, then it is cancelled, and five seconds later the
process ends whatever hangs. Readiness goes to whoever started the process by systemd's datagram protocol (sd_notify(3)),
which works under systemd and under `skerry up` alike, and to whoever asks SKERRY_OPS_LISTEN, as kubelet does. The line with which
a process fails goes to stderr and into SKERRY_TERMINATION_FILE, where kubelet looks for it. A child of `skerry up` ends when its parent is gone, however the
parent died: by PR_SET_PDEATHSIG on Linux, by watching the parent's pid elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from pathlib import Path
from typing import Any, NoReturn

import uvloop

from skerry.errors import InternalError, SkerryError
from skerry.runtime.health import HealthEndpoint
from skerry.runtime.logs import configure_logging, redact
from skerry.runtime.system import allow_many_files, die_with_parent, keep_freed_memory, watch_parent
from skerry.settings import SettingsError

log = logging.getLogger("skerry.runtime")

GRACE_S = 30.0
"""What running work gets at shutdown, when embedded (architecture.md); the chart sets 10 minutes."""
HANG_S = 5.0
"""After the grace, how long cancelled tasks may take before the process ends without them."""
_LAST_LINE = 2048
"""Characters of the line in SKERRY_TERMINATION_FILE; kubelet shows 4,096 bytes of it."""


class Exit(SkerryError):
    """Ends the process with one line on stderr and this exit code.

    Codes: 1 failed, 2 usage, 3 not running, 4 prerequisite missing, 5 timed out.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class Runtime:
    """The means of `main`: the stop event, the task group, readiness."""

    def __init__(self, name: str, tasks: asyncio.TaskGroup, notify: Callable[[str], None]) -> None:
        self.name = name
        self.stop = asyncio.Event()
        self.tasks = tasks
        self.grace_s = GRACE_S
        self._notify = notify
        self._owned: set[asyncio.Task[None]] = set()
        self._told: tuple[bool, str] | None = None

    @property
    def is_ready(self) -> bool:
        """The readiness that `main` said last."""
        return self._told is not None and self._told[0]

    @property
    def reason(self) -> str:
        """Why it is not ready, or what it does."""
        return "starting" if self._told is None else self._told[1]

    def ready(self, reason: str = "") -> None:
        """Tell that the process serves. Who was told to stop is not ready any more."""
        if not self.stop.is_set():
            self._tell(True, reason)

    def not_ready(self, reason: str) -> None:
        """Tell that the process does not serve, and why, for people."""
        self._tell(False, reason)

    def _tell(self, ready: bool, reason: str) -> None:
        if self._told == (ready, reason):
            return
        self._told = (ready, reason)
        line = reason.replace("\n", " ")
        self._notify(f"READY={int(ready)}\nSTATUS={line}")
        log.info("ready" if ready else "not ready", extra={"reason": line} if line else None)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `work` in the process's group: if it fails the process fails; when `main` returns it is cancelled."""
        task = self.tasks.create_task(work, name=name)
        self._owned.add(task)
        task.add_done_callback(self._owned.discard)
        return task

    def cancel_spawned(self) -> None:
        """Cancel what `spawn` started and is still running."""
        for task in self._owned:
            task.cancel()


async def endless(work: Callable[[], Awaitable[object]], name: str) -> NoReturn:
    """Run `work`, which ends only by being cancelled. InternalError if it ends by itself: a TaskGroup notices what raises,
    and would go on without what returns."""
    await work()
    raise InternalError(f"{name} ended by itself")


Main = Callable[[Runtime], Awaitable[None]]


def run(main: Main, *, name: str) -> NoReturn:
    """Run `main` as the process `name` and exit: 0 done, 1 failed, or the code of an `Exit`.

    An error on purpose is one line on stderr; any other is logged with its traceback (a bug).
    """
    configure_logging(os.environ.get("SKERRY_LOG_LEVEL", "info"), os.environ.get("SKERRY_LOG_FORMAT", "auto"))
    die_with_parent(os.environ)
    keep_freed_memory()
    allow_many_files()
    sys.exit(_run(main, name))


def _run(main: Main, name: str) -> int:
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_supervised(main, name))
    except BaseException as error:  # noqa: BLE001 - the one place that maps errors to exit codes
        return _exit_code(error, name)
    return 0


async def _supervised(main: Main, name: str) -> None:
    async with asyncio.TaskGroup() as tasks:
        runtime = Runtime(name, tasks, _notifier(os.environ))
        health = HealthEndpoint(lambda: None if runtime.is_ready else runtime.reason)
        await health.listen(os.environ.get("SKERRY_OPS_LISTEN", ""))
        task = asyncio.ensure_future(main(runtime))
        watch = tasks.create_task(_end(runtime, task), name="stop")
        parent = tasks.create_task(watch_parent(os.environ, runtime.stop), name="parent")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, runtime, task, number)
        try:
            await task
        finally:
            for left in (task, watch, parent):
                left.cancel()
            runtime.cancel_spawned()
            await asyncio.wait([task])
            health.close()


def _stop(runtime: Runtime, task: asyncio.Future[None], number: int) -> None:
    if runtime.stop.is_set():
        task.cancel()
        return
    log.info("stopping", extra={"signal": signal.Signals(number).name})
    runtime.not_ready("stopping")
    runtime.stop.set()


async def _end(runtime: Runtime, task: asyncio.Future[None]) -> None:
    await runtime.stop.wait()
    done, _ = await asyncio.wait([task], timeout=runtime.grace_s)
    if done:
        return
    log.warning("still working after the grace: cancelled", extra={"grace_s": runtime.grace_s})
    asyncio.get_running_loop().call_later(HANG_S, _give_up, runtime.name)
    task.cancel()


def _give_up(name: str) -> NoReturn:
    _leave_word(f"{name}: it hung at its end, and was ended")
    os._exit(1)


def _exit_code(error: BaseException, name: str) -> int:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        _leave_word(f"{name}: cancelled before it had finished its work")
        return 130
    if isinstance(error, SkerryError):
        line = redact(f"{name}: {error}")
        sys.stderr.write(f"{line}\n")
        _leave_word(line)
        return error.code if isinstance(error, Exit | SettingsError) else 1
    log.critical("ended by a bug", exc_info=error)
    _leave_word(redact(f"{name}: ended by a bug, {type(error).__name__}: {error}. The log has its traceback"))
    return 1


def _leave_word(line: str) -> None:
    """Write the last line into SKERRY_TERMINATION_FILE, in place: kubelet mounts that file."""
    path = os.environ.get("SKERRY_TERMINATION_FILE", "")
    if not path:
        return
    try:
        Path(path).write_text(f"{line[:_LAST_LINE]}\n", encoding="utf-8", errors="replace")
    except OSError as error:
        log.warning("the last line cannot be written", extra={"file": path, "error": str(error)})


# Readiness (sd_notify)


def _notifier(environ: MutableMapping[str, str]) -> Callable[[str], None]:
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return lambda text: None
    target = "\0" + address[1:] if address.startswith("@") else address

    def send(text: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), target)
        except OSError as error:
            log.debug("nobody listens for readiness", extra={"error": str(error)})

    return send
