"""A host and agents as users start them: by the command line, as processes, in a state directory of their own.

The host runs where the test runs; an agent runs inside its member's network namespace, from where it can only dial out.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from skerry.localkube import binaries
from tests.kube.member import Member

SKERRY = str(Path(sys.executable).with_name("skerry"))
Done = subprocess.CompletedProcess[str]
HURRY = {"SKERRY_HEARTBEAT_S": "2", "SKERRY_PROBE_S": "2", "SKERRY_APP_STORE_LOOK_S": "3"}
"""What a host and its agents look at by the clock, they look at more often than in production."""


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], Any], what: str, deadline_s: float = 30.0) -> Any:
    """The first true value of `condition`; fails the test with `what` after the deadline. One that is dear to ask, since it
    starts a process, is asked less often.
    """
    end = time.monotonic() + deadline_s
    while (asked := time.monotonic()) < end:
        if value := condition():
            return value
        time.sleep(max(0.1, time.monotonic() - asked))
    raise AssertionError(f"not within {deadline_s} s: {what}")


@dataclass
class Agent:
    """`skerry agent` in the foreground, in its member's network."""

    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(40)  # an open stream has 30 s to end
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the agent did not stop:\n{self.said()}") from None

    def exits(self, deadline_s: float = 30.0) -> int:
        """Wait until it ends by itself; its exit code."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent still runs:\n{self.said()}") from None

    def said(self) -> str:
        """All that it printed."""
        return self.log.read_text(errors="replace")


@dataclass
class Host:
    """A host of its own in `directory`; `addresses` are those that members dial. `environment` is laid over HURRY."""

    directory: Path
    addresses: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.environment = {**HURRY, **self.environment}
        self.state = self.directory / "state"
        self.listen = f"127.0.0.1:{free_port()}"
        self.bus = f"127.0.0.1:{free_port()}"
        self.agents: list[Agent] = []
        self.members: dict[str, Member] = {}

    @property
    def admin(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "host" / "admin.kubeconfig"

    def skerry(self, *arguments: str, stdin: str | None = None, timeout_s: float = 90.0) -> Done:
        """Run the command line; exit code not judged."""
        environment = {**os.environ, "SKERRY_STATE": str(self.state), "KUBECONFIG": "", **self.environment}
        return subprocess.run(
            [SKERRY, *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the command line; its standard output. A failure fails the test with what it said."""
        done = self.skerry(*arguments, stdin=stdin)
        assert done.returncode == 0, f"skerry {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{self.logs()}"
        return done.stdout

    def up(self) -> None:
        """Start, and return when it is ready."""
        named = [part for address in self.addresses for part in ("--address", address)]
        self.ok("up", "--detach", "--listen", self.listen, "--bus", self.bus, *named)

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop everything whatever happened, and let go of the members, so that they may join another host."""
        try:
            for agent in self.agents:
                agent.stop()
        finally:
            self.ok("down")
            for member in self.members.values():
                member.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")

    def status(self) -> dict[str, Any]:
        """`skerry status -o json`."""
        found: dict[str, Any] = json.loads(self.ok("status", "-o", "json"))
        return found

    def logs(self) -> str:
        """The tail of every log, for a failure."""
        parts = []
        for path in sorted((self.state / "host" / "logs").glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-25:]
            parts.append("\n".join([f"--- {path.name}", *tail]))
        return "\n" + "\n".join(parts)

    def token(self, name: str, *options: str) -> str:
        """A join token for `name`."""
        return self.ok("token", "create", name, *options).strip()

    def agent(
        self,
        member: Member,
        token: str | None,
        *options: str,
        state: Path | None = None,
        wrapper: tuple[str, ...] = (),
    ) -> Agent:
        """Start `skerry agent` inside the member, behind the command `wrapper`; does not wait."""
        self.members[member.name] = member
        place = state or self.directory / f"agent-{member.name}"
        place.mkdir(parents=True, exist_ok=True)
        arguments = ["agent", "--kubeconfig", str(member.kubeconfig), "--state", str(place), *options]
        if token is not None:
            file = place / "token"
            file.touch(mode=0o600)
            file.write_text(token)
            arguments += ["--token-file", str(file)]
        log = place / f"log-{len(self.agents)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                member.command([*wrapper, SKERRY, *arguments]),
                env={**os.environ, "KUBECONFIG": "", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        agent = Agent(process, log)
        self.agents.append(agent)
        return agent

    def join(self, member: Member, name: str, *options: str, state: Path | None = None) -> Agent:
        """Token, agent, Ready."""
        agent = self.agent(member, self.token(name), *options, state=state)
        self.wait_ready(name, agent)
        return agent

    def get(self, path: str) -> dict[str, Any] | None:
        """A GET of the host API as its administrator, without a process of its own: for what is asked again and again.
        None while there is no such object, or no host.
        """
        connection = HTTPSConnection(self.listen, context=self.tls(), timeout=10)
        try:
            token = (self.state / "host" / "admin.token").read_text().strip()
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        found: dict[str, Any] | None = json.loads(body) if response.status == 200 else None
        return found

    def ask(self, method: str, path: str, body: Any, token: str) -> dict[str, Any]:
        """What the host API answers to a body, as whoever has a token: an object, or a Status."""
        connection = HTTPSConnection(self.listen, context=self.tls(), timeout=90)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        try:
            connection.request(method, path, json.dumps(body), headers)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def tls(self) -> ssl.SSLContext:
        """Trusts this host."""
        return ssl.create_default_context(cafile=str(self.state / "host" / "pki" / "ca.crt"))

    def cluster(self, name: str) -> dict[str, Any]:
        """The Cluster; empty while there is none."""
        return self.get(f"/apis/skerry.dev/v1alpha1/clusters/{name}") or {}

    def serves(self, name: str) -> bool:
        """Whether a request of the administrator reaches the member."""
        return self.get(f"/clusters/{name}/api/v1/namespaces") is not None

    def processes(self) -> dict[str, dict[str, Any]]:
        """The host's own by name, as its supervisor knows them: pid, ready."""
        run = json.loads((self.state / "host" / "run.json").read_text())
        return {each["name"]: each for each in run["processes"]}

    def ready(self, name: str) -> bool:
        """Whether the host shows the cluster as Ready."""
        conditions = self.cluster(name).get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def wait_ready(self, name: str, agent: Agent | None = None, deadline_s: float = 30.0) -> None:
        """Until the cluster is Ready; the failure shows what agent and host said."""
        try:
            eventually(lambda: self.ready(name), f"cluster {name} Ready", deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- agent\n{agent.said() if agent else ''}{self.logs()}") from None

    def credential(self, user: str, *groups: str) -> Path:
        """A kubeconfig for `user` with contexts for the host and every member."""
        named = [part for group in groups for part in ("--group", group)]
        token = self.ok("credential", "create", user, *named).strip()
        document = json.loads(self.ok("kubeconfig"))
        for each in document["users"]:
            each["user"] = {"token": token}
        path = self.directory / f"{user}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def kubeconfig(self, member: str | None = None) -> Path:
        """The administrator's kubeconfig with a context for each member that has joined by now; for one that it had
        already, the one that there is.
        """
        path = self.directory / "members.kubeconfig"
        if member is None or not path.exists() or f'"{self._context(member)}"' not in path.read_text():
            self.ok("kubeconfig", "--output", str(path))
        return path

    @staticmethod
    def _context(member: str | None) -> str:
        return "skerry" if member is None else f"skerry-{member}"

    def kubectl_command(self, member: str | None, *arguments: str, kubeconfig: Path | None = None) -> list[str]:
        """kubectl through the host: against `member`, or against the host API itself (None)."""
        file = kubeconfig or (self.admin if member is None else self.kubeconfig(member))
        chosen = [] if member is None and kubeconfig is None else ["--context", self._context(member)]
        return [str(binaries.kubectl(prefer_wheel=True)), "--kubeconfig", str(file), *chosen, *arguments]

    def kubectl_run(
        self, member: str | None, *arguments: str, stdin: bytes | None = None, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl through the host; exit code not judged."""
        return subprocess.run(
            self.kubectl_command(member, *arguments, kubeconfig=kubeconfig),
            input=stdin or b"",
            capture_output=True,
            check=False,
            timeout=90,
        )

    def kubectl(
        self, member: str | None, *arguments: str, stdin: bytes | None = None, kubeconfig: Path | None = None
    ) -> str:
        """kubectl through the host; its standard output. A failure fails the test."""
        done = self.kubectl_run(member, *arguments, stdin=stdin, kubeconfig=kubeconfig)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.decode()}{self.logs()}"
        return done.stdout.decode()
