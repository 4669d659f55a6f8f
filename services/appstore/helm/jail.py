"""Running a program behind walls: one process per operation, bounded in memory, time, files, network and output.

A chart of 212 bytes makes Go's runtime give up, nested loops in a template never end, and a member that is half dead is waited
for without end: so what runs a chart is killable at any time, and can reach only what it is given.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from services.appstore.helm import enter

MIB = 1 << 20
ROOT = Path(__file__).parents[3]
"""Where Skerry is, for a Python in a jail."""
_CPU_SIGNALS = (signal.SIGKILL, signal.SIGXCPU)
_LOOK_S = 1.0
OUTPUT = 16 * MIB
PIECE = 256 * 1024
"""Bytes that are written at once."""
PATIENCE = 10
"""Of what only looks into something: a template that never ends may have a core for 20 s, and all requests go before it."""
DRAIN_S = 5.0
"""Who left its session before it was killed may still hold the pipes."""
Wall: TypeAlias = Literal["limits", "files", "network"]
Ending: TypeAlias = Literal["exit", "signal", "deadline", "output", "processor"]


class Jail(NamedTuple):
    """What a program may reach and use."""

    directory: Path
    """Its own, with nothing in it that it may not read and write; it is HOME, TMPDIR and the working directory too."""
    read: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
    """TCP ports that it may connect to."""
    data: int = 192 * MIB
    """Bytes of memory that it may write to. A limit on addresses instead stops Go itself below 1 GiB."""
    cpu_s: int = 20
    files: int = 256
    file: int = 64 * MIB
    """Bytes of a file that it writes."""
    output: int = OUTPUT
    """Bytes that it may say on stdout."""
    errors: int = MIB
    grace_s: float = 10.0
    """Between SIGTERM and SIGKILL."""
    patience: int = 0
    """By how much everything else of this session goes before it (nice(2)). It stays in the session then: where sessions share the
    processor (sched(7), the autogroup feature) a new one would have as much as all that Skerry runs.
    """
    required: bool = False
    """Whether it is not to run where a wall is missing."""


class Finished(NamedTuple):
    """How a program ended, and what it said."""

    ending: Ending
    code: int
    """Its exit code, or the number of the signal that ended it."""
    stdout: bytes | bytearray
    stderr: bytes


def walls() -> tuple[Wall, ...]:
    """Those that stand on this machine."""
    version = enter.landlock_version()
    return ("limits", *(("files",) if version >= 1 else ()), *(("network",) if version >= 4 else ()))


def python_paths() -> tuple[Path, ...]:
    """What a Python that runs Skerry reads: itself, its libraries, and Skerry."""
    places: tuple[str | Path, ...] = (
        sys.prefix,
        sys.base_prefix,
        ROOT,
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/etc/ld.so.cache",
    )
    return tuple(path for place in dict.fromkeys(places) if (path := Path(place)).exists())


async def run(
    jail: Jail,
    command: Sequence[str],
    *,
    deadline_s: float,
    stdin: Iterable[bytes] = (),
    stdout: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Finished:
    """Run a command, named by its path, to its end or to the deadline. OSError if the directory or the program is not there. What it
    reads on `stdin` comes in parts, so that nothing large is put together for it; what it says goes into the file `stdout`, a new
    one, if that is named: then it is not in `Finished`.

    When it is cancelled the program and all its children are killed before it returns.
    """
    if stdout is not None:
        jail = jail._replace(file=jail.output + 1)
    directory = str(jail.directory)
    own = {"HOME": directory, "TMPDIR": directory, "PATH": "", "SKERRY_JAIL": _described(jail, command[0])}
    with _stdout(stdout) as target:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            str(Path(enter.__file__)),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=target,
            stderr=asyncio.subprocess.PIPE,
            cwd=directory,
            env={**(environ or {}), **own},
            start_new_session=not jail.patience,
        )
    try:
        finished = await _until(process, jail, deadline_s, stdin)
        if stdout is not None and stdout.stat().st_size > jail.output:
            return finished._replace(ending="output")
        return finished
    finally:
        _signal(process, signal.SIGKILL)
        await process.wait()
        await _drained(process)


@contextmanager
def _stdout(path: Path | None) -> Iterator[int]:
    """Where a process is to write: into a new file, which is nobody else's to read, or into a pipe."""
    if path is None:
        yield asyncio.subprocess.PIPE
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _described(jail: Jail, program: str) -> str:
    limits = {"DATA": jail.data, "CPU": jail.cpu_s, "NOFILE": jail.files, "FSIZE": jail.file, "CORE": 0}
    read = [program, *map(str, jail.read), "/dev/null"]
    return enter.described(
        {
            "parent": os.getpid(),
            "read": read,
            "write": [str(jail.directory), "/dev/null"],
            "connect": list(jail.ports),
            "limits": limits,
            "nice": jail.patience,
            "require": jail.required,
        }
    )


async def _until(
    process: asyncio.subprocess.Process, jail: Jail, deadline_s: float, stdin: Iterable[bytes]
) -> Finished:
    assert process.stdin and process.stderr  # noqa: S101, PT018  pipes were asked for
    stdout, stderr = bytearray(), bytearray()
    processor = _Processor(process.pid)
    ending: Ending | None = None
    watching = asyncio.create_task(processor.watch())
    reading = asyncio.gather(
        _fed(process.stdin, stdin),
        *((_bounded(process.stdout, stdout, jail.output, cut=False),) if process.stdout else ()),
        _bounded(process.stderr, stderr, jail.errors, cut=True),
    )
    try:
        async with asyncio.timeout(deadline_s):
            await reading
            await process.wait()
    except TimeoutError:
        ending = "deadline"
    except _TooMuch:
        ending = "output"
    finally:
        watching.cancel()
        reading.cancel()
        with suppress(asyncio.CancelledError, _TooMuch):
            await reading
        with suppress(asyncio.CancelledError):
            await watching
    if ending is not None:
        await _stop(process, jail.grace_s)
    code = process.returncode or 0
    if ending is None and -code in _CPU_SIGNALS and processor.used_up(jail.cpu_s):
        ending = "processor"
    return Finished(ending or ("signal" if code < 0 else "exit"), abs(code), stdout, bytes(stderr))


class _Processor:
    """How much processor time a child has used, which tells who used up theirs from who was killed: both is SIGKILL.

    What it used in all nobody says who has not waited for it oneself. So: as much as it had used a second ago, and as much as all
    children that ended meanwhile.
    """

    def __init__(self, process: int) -> None:
        self._stat = Path(f"/proc/{process}/stat")
        self._before = self._ended()
        self._seen = 0.0

    async def watch(self) -> None:
        """Look once a second; never returns."""
        ticks = os.sysconf("SC_CLK_TCK")
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(OSError):
                fields = self._stat.read_text().rpartition(")")[2].split()
                self._seen = (int(fields[11]) + int(fields[12])) / ticks

    def used_up(self, limit_s: float) -> bool:
        """True for a child that has ended and had used so much."""
        unseen = 1.5 * _LOOK_S * min(os.cpu_count() or 1, 4)
        return self._ended() - self._before >= limit_s - 1 and self._seen >= limit_s - unseen

    @staticmethod
    def _ended() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime


async def _drained(process: asyncio.subprocess.Process) -> None:
    """Read to the end what a program that is dead has left, so that its pipes are closed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            for pipe in (process.stdout, process.stderr):
                while pipe is not None and await pipe.read(64 * 1024):
                    continue


class _TooMuch(Exception):
    pass


async def _fed(pipe: asyncio.StreamWriter, parts: Iterable[bytes]) -> None:
    with suppress(ConnectionError):
        for content in parts:
            for at in range(0, len(content), PIECE):  # a whole index would lie in the pipe's buffer once more
                pipe.write(content[at : at + PIECE])
                await pipe.drain()
    pipe.close()


async def _bounded(pipe: asyncio.StreamReader, into: bytearray, most: int, *, cut: bool) -> None:
    while piece := await pipe.read(64 * 1024):
        into += piece[: most - len(into)]
        if len(into) >= most and not cut:
            raise _TooMuch


async def _stop(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Ask its whole group to end, and end it."""
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            await process.wait()
            return
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # it has not come to making its group, or has ended
            process.send_signal(number)
