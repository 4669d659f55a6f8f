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
which works under systemd and under `skerry up` alike. A child of `skerry up` ends when its parent is gone, however the
parent died: by PR_SET_PDEATHSIG on Linux, by watching the parent's pid elsewhere.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from typing import Any, NoReturn

import uvloop

from skerry.api.names import TOKEN_PREFIX
from skerry.errors import InternalError, SkerryError
from skerry.settings import SettingsError

log = logging.getLogger("skerry.runtime")

GRACE_S = 30.0
"""What running work gets at shutdown, when embedded (architecture.md); the chart sets 10 minutes."""
HANG_S = 5.0
"""After the grace, how long cancelled tasks may take before the process ends without them."""
PARENT_POLL_S = 1.0
_PR_SET_PDEATHSIG = 1


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
        """Tell that the process serves."""
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

_MALLOC = {-1: 16 << 20, -2: 2 << 20, -3: 2 << 20}
"""M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD of glibc's mallopt(3), in bytes."""

_MAX_FILES = 65536


def run(main: Main, *, name: str) -> NoReturn:
    """Run `main` as the process `name` and exit: 0 done, 1 failed, or the code of an `Exit`.

    An error on purpose is one line on stderr; any other is logged with its traceback (a bug).
    """
    configure_logging(os.environ.get("SKERRY_LOG_LEVEL", "info"), os.environ.get("SKERRY_LOG_FORMAT", "auto"))
    die_with_parent(os.environ)
    keep_freed_memory()
    allow_many_files()
    sys.exit(_run(main, name))


def keep_freed_memory() -> None:
    """Let malloc keep what large messages freed, instead of giving it to the kernel and taking it back page by page.

    glibc trims its heap and maps large blocks anew at 128 KiB, which is the size of the tunnel's messages: 5 % of the
    CPU of a large LIST. Elsewhere (macOS, musl) there is nothing to set.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC.items():
            mallopt(parameter, value)


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: every watch is a connection, and 1,024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < files:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


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
        task = asyncio.ensure_future(main(runtime))
        watch = tasks.create_task(_end(runtime, task), name="stop")
        parent = tasks.create_task(_watch_parent(os.environ, runtime), name="parent")
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


def _stop(runtime: Runtime, task: asyncio.Future[None], number: int) -> None:
    if runtime.stop.is_set():
        task.cancel()
        return
    log.info("stopping", extra={"signal": signal.Signals(number).name})
    runtime.stop.set()


async def _end(runtime: Runtime, task: asyncio.Future[None]) -> None:
    await runtime.stop.wait()
    done, _ = await asyncio.wait([task], timeout=runtime.grace_s)
    if done:
        return
    log.warning("still working after the grace: cancelled", extra={"grace_s": runtime.grace_s})
    asyncio.get_running_loop().call_later(HANG_S, os._exit, 1)
    task.cancel()


def _exit_code(error: BaseException, name: str) -> int:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return 130
    if isinstance(error, SkerryError):
        sys.stderr.write(f"{name}: {redact(str(error))}\n")
        return error.code if isinstance(error, Exit | SettingsError) else 1
    log.critical("ended by a bug", exc_info=error)
    return 1


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


# The parent


def die_with_parent(environ: MutableMapping[str, str], number: int = signal.SIGKILL) -> None:
    """If SKERRY_PARENT_PID is set: end with that process (Linux: at once; elsewhere `run` watches it).

    Raises Exit if the parent is gone already.
    """
    parent = _parent(environ)
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def _parent(environ: MutableMapping[str, str]) -> int | None:
    text = environ.get("SKERRY_PARENT_PID", "")
    return int(text) if text.isdecimal() else None


async def _watch_parent(environ: MutableMapping[str, str], runtime: Runtime) -> None:
    parent = _parent(environ)
    if parent is None or sys.platform == "linux":
        return
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of another process's end
        await asyncio.sleep(PARENT_POLL_S)
    log.warning("the parent is gone")
    runtime.stop.set()


# Logging

_SECRETS = re.compile(
    TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}|skerry-join-[A-Za-z0-9_=-]+|\bS[UAONCX][A-Z2-7]{56}\b"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|(?i:bearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?i:base64url\.bearer\.authorization\.k8s\.io\.)[A-Za-z0-9_-]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END|\Z)"
)
_STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


def redact(text: str) -> str:
    """`text` without anything that looks like one of our secrets: the last line of defence, not the first."""
    return _SECRETS.sub("[secret]", text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then the record's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, default=str, ensure_ascii=False))


class HumanFormatter(logging.Formatter):
    """`12:34:56.789 info  proxy: message key=value`, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback of a bug below it."""
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())
        text = f"{stamp}.{int(record.msecs):03d} {record.levelname.lower():<8} {record.name}: {record.getMessage()}{fields}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or "\n" in text else text


def configure_logging(level: str, style: str = "auto") -> None:
    """Log to stderr. `level`: debug, info, warning, error. `style`: json, human, or auto (human on a terminal)."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise SystemExit(f"SKERRY_LOG_LEVEL is {level!r}: use debug, info, warning or error")
    human = _for_people(style)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    logging.basicConfig(level=number, handlers=[handler], force=True)
    logging.captureWarnings(True)


def logs_for_people() -> bool:
    """Whether this process logs as HumanFormatter does: people read its stderr, and lines that are no log may stand there."""
    return _for_people(os.environ.get("SKERRY_LOG_FORMAT", "auto"))


def _for_people(style: str) -> bool:
    return style == "human" or (style == "auto" and sys.stderr.isatty())
