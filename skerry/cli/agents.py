"""Run an agent process: its environment, its token, and waiting until it is ready.

A token never stands in an argument or an environment variable. One that came on stdin is put into a file without a name
(Linux: reachable for the agent alone, as /dev/fd/N) or, elsewhere, into a 0600 file that is removed when the agent has
started or ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from skerry.cli import launch
from skerry.cli.failure import FAILED, TIMED_OUT, Failure
from skerry.cli.plan import is_locked
from skerry.cli.term import ProgressLine, program

POLL_S = 0.04
NAMELESS = "_"
"""In place of a cluster's name, on a dry run with a token that names none."""
_PASSED_ON = (
    "SKERRY_LOG_LEVEL", "SKERRY_LOG_FORMAT", "SKERRY_HEARTBEAT_S", "SKERRY_LOOK_S", "SKERRY_UPSTREAM_CONNECTIONS",
)  # fmt: skip
"""Settings of the agent that have no option: the environment of `skerry agent` sets them."""


@dataclass(frozen=True, kw_only=True)
class LocalAgent:
    """An agent of this machine and its options. `directory` is `<state>/agents/<name>`."""

    directory: Path
    name: str
    kubeconfig: str = ""
    context: str = ""
    read_only: bool = False
    no_exec: bool = False
    namespaces: str = ""
    desired: str = ""
    ceiling_off: bool = False
    dry_run: bool = False
    output: str = ""
    take_over: bool = False
    """For this start alone."""

    @property
    def joined(self) -> bool:
        """True if it has an identity of its own."""
        return (self.directory / "agent.json").exists()

    @property
    def lock(self) -> Path:
        """Held by the agent as long as it runs."""
        return self.directory / "lock"

    def environment(self, token_file: str) -> dict[str, str]:
        """The whole environment: ours without other SKERRY_ settings, plus its own."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SKERRY_")}
        passed = {k: v for k, v in os.environ.items() if k in _PASSED_ON}
        own = {
            "SKERRY_AGENT_STATE": str(self.directory),
            "SKERRY_AGENT_NAME": "" if self.name == NAMELESS else self.name,
            "SKERRY_DRY_RUN": "1" * self.dry_run,
            "SKERRY_OUTPUT": self.output,
            "SKERRY_TOKEN_FILE": token_file,
            "SKERRY_KUBECONFIG": self.kubeconfig,
            "SKERRY_CONTEXT": self.context,
            "SKERRY_READ_ONLY": "1" * self.read_only,
            "SKERRY_NO_EXEC": "1" * self.no_exec,
            "SKERRY_NAMESPACES": self.namespaces,
            "SKERRY_CEILING_OFF": "1" * self.ceiling_off,
            "SKERRY_TAKE_OVER": "1" * self.take_over,
            "SKERRY_CEILING_DESIRED": self.desired,
        }
        return {**inherited, **passed, **{name: value for name, value in own.items() if value}}


COMMAND = [sys.executable, "-P", "-m", "services.agent"]


@contextlib.contextmanager
def hidden(token: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A path under which a child can read `token`, and the descriptors that it must inherit."""
    if not token:
        yield "", ()
        return
    if sys.platform == "linux":
        with tempfile.TemporaryFile() as file:
            file.write(token.encode())
            file.flush()
            yield f"/dev/fd/{file.fileno()}", (file.fileno(),)
        return
    number, path = tempfile.mkstemp(prefix="skerry-")
    try:
        with os.fdopen(number, "w") as file:
            file.write(token)
        yield path, ()
    finally:
        Path(path).unlink(missing_ok=True)


def foreground(agent: LocalAgent, token: str, token_file: str) -> int:  # noqa: RET503 - _become does not return
    """Become the agent (or, where the token needs a file with a name, wait for it). Returns its exit code."""
    with hidden("" if token_file else token) as (path, numbers):
        env = agent.environment(token_file or path)
        if path and not numbers:
            return _wait_for(env)
        _become(env, numbers)


def _become(env: dict[str, str], numbers: tuple[int, ...]) -> NoReturn:
    for number in numbers:
        os.set_inheritable(number, True)
    os.execve(COMMAND[0], COMMAND, env)  # noqa: S606 - our own interpreter


def _wait_for(env: dict[str, str]) -> int:
    with subprocess.Popen(COMMAND, env=env, process_group=0) as child:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: child.send_signal(got))
        return child.wait()


def detached(
    agent: LocalAgent, token: str, token_file: str, limit_s: float, display: ProgressLine, *, bound: bool = False
) -> int:
    """Start the agent in the background and return its pid when it is ready. `bound`: it ends with this process.

    Failure 1 with the end of its log if it ends before, 5 when the time is over (it goes on trying).
    """
    if is_locked(agent.lock):
        raise Failure(f"agent {agent.name} is running already: {program()} agent stop {agent.name} stops it")
    agent.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = agent.directory / "agent.log"
    with (
        _ready_socket() as (address, receiver),
        hidden("" if token_file else token) as (path, numbers),
        log.open("ab") as out,
    ):
        env = agent.environment(token_file or path) | {"NOTIFY_SOCKET": address}
        env.setdefault("SKERRY_LOG_FORMAT", "human")
        if bound:
            env["SKERRY_PARENT_PID"] = str(os.getpid())
        child = subprocess.Popen(
            COMMAND,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            cwd="/",
            pass_fds=numbers,
            start_new_session=True,
        )
        _wait_ready(agent, child, receiver, limit_s, display)
        return child.pid


@contextlib.contextmanager
def _ready_socket() -> Iterator[tuple[str, socket.socket]]:
    with tempfile.TemporaryDirectory(prefix="skerry-") as directory:
        address = f"{directory}/ready"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(address)
            receiver.settimeout(POLL_S)
            yield address, receiver


def _wait_ready(
    agent: LocalAgent, child: subprocess.Popen[bytes], receiver: socket.socket, limit_s: float, display: ProgressLine
) -> None:
    deadline, reason = time.monotonic() + limit_s, "starting"
    while True:
        with contextlib.suppress(TimeoutError):
            said = dict(line.partition("=")[::2] for line in receiver.recv(4096).decode(errors="replace").splitlines())
            reason = said.get("STATUS", reason)
            if said.get("READY") == "1":
                return
        if child.poll() is not None:
            raise _ended(agent)
        if time.monotonic() > deadline:
            log = agent.directory / "agent.log"
            raise Failure(
                f"agent {agent.name} is not ready after {limit_s:g} s ({reason}); it goes on trying: see {log}, "
                f"or stop it with {program()} agent stop {agent.name}",
                TIMED_OUT,
                tail=launch.tail(log, launch.TAIL_LINES),
            )
        display.show(f"agent {agent.name}: {reason}")


def _ended(agent: LocalAgent) -> Failure:
    log = agent.directory / "agent.log"
    text = launch.tail(log, launch.TAIL_LINES)
    if not agent.joined:
        log.unlink(missing_ok=True)
        for directory in (agent.directory, agent.directory.parent):
            with contextlib.suppress(OSError):
                directory.rmdir()
    last = text.splitlines()[-1] if text else "it said nothing"
    return Failure(f"agent {agent.name} could not start: {last.removeprefix('agent: ')}", FAILED, tail=text)


def stop(agent: LocalAgent, limit_s: float, display: ProgressLine) -> bool:
    """Stop the agent that holds the lock of `agent.directory`; returns whether one ran."""
    return launch.stop(agent.lock, limit_s, lambda: display.show(f"stopping agent {agent.name}"))
