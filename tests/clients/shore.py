"""A member as clients reach it: through a host, in one of the two modes."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.federation import Host
from tests.kube.member import Member

Done = subprocess.CompletedProcess[bytes]


@dataclass(frozen=True)
class Shore:
    """Cluster `name` of `host`; `member` is the same cluster without a host in between; `mode` agent or direct.

    Clients find it by its name in TLS, or `by_path`.
    """

    host: Host
    name: str
    member: Member
    mode: str
    by_path: bool = False

    @cached_property
    def kubeconfig(self) -> Path:
        """The administrator's, whose current context is this cluster."""
        form = ("--path",) if self.by_path else ()
        path = self.host.directory / f"{self.name}{''.join(form)}.kubeconfig"
        self.host.ok("kubeconfig", self.name, *form, "--output", str(path))
        document = yaml.safe_load(path.read_text())
        document["current-context"] = self.context
        path.write_text(yaml.safe_dump(document))
        return path

    @property
    def context(self) -> str:
        """Its name in the kubeconfig."""
        return f"skerry-{self.name}"

    @cached_property
    def _entry(self) -> tuple[dict[str, Any], dict[str, Any]]:
        document = yaml.safe_load(self.kubeconfig.read_text())
        context = next(each["context"] for each in document["contexts"] if each["name"] == self.context)
        cluster = next(each["cluster"] for each in document["clusters"] if each["name"] == context["cluster"])
        user = next(each["user"] for each in document["users"] if each["name"] == context["user"])
        return cluster, user

    @property
    def server(self) -> str:
        """The URL of its API."""
        return str(self._entry[0]["server"])

    @property
    def server_name(self) -> str | None:
        """What to ask for in TLS; None: the server's own name."""
        return self._entry[0].get("tls-server-name")

    @property
    def ca(self) -> str:
        """The host's certificate authority, base64 of PEM."""
        return str(self._entry[0]["certificate-authority-data"])

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return str(self._entry[1]["token"])

    def environment(self, **more: str) -> dict[str, str]:
        """For a client process: this cluster is its current context, and nothing of the user's own is read."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.host.directory), **more}

    def said(self) -> str:
        """The tails of all logs, for a failure."""
        return self.host.logs() + "\n" + "\n".join(agent.said()[-3000:] for agent in self.host.agents)


@dataclass(frozen=True)
class Started:
    """A client that runs."""

    process: subprocess.Popen[bytes]

    def line(self, deadline_s: float = 30.0) -> str:
        """Its next line of output without the end; fails the test after the deadline or when it ended before."""
        found = self.line_within(deadline_s)
        if found is None:
            self.process.terminate()
            said = self.process.communicate(timeout=10)[1].decode(errors="replace")
            raise AssertionError(f"no line within {deadline_s} s; on stderr: {said}")
        return found

    def line_within(self, deadline_s: float) -> str | None:
        """Its next line, None if there is none within the time. Reads bytes singly: nothing may stay in a buffer."""
        assert self.process.stdout is not None
        descriptor, read, until = self.process.stdout.fileno(), b"", time.monotonic() + deadline_s
        while not read.endswith(b"\n"):
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                assert not read, f"half a line: {read!r}"
                return None
            if not (byte := os.read(descriptor, 1)):
                return None
            read += byte
        return read[:-1].decode(errors="replace")

    def until(self, wanted: str, deadline_s: float = 30.0) -> list[str]:
        """Read lines until `wanted` comes; all of them."""
        lines: list[str] = []
        end = time.monotonic() + deadline_s
        while wanted not in lines:
            found = self.line_within(max(0.0, end - time.monotonic()))
            assert found is not None, f"{wanted!r} did not come within {deadline_s} s, but {lines}"
            lines.append(found)
        return lines


@dataclass(frozen=True)
class Client:
    """A client program against a shore: `first` precedes all arguments, `extra` is added to its environment."""

    program: Path
    shore: Shore
    first: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        """Its command line."""
        return [str(self.program), *self.first, *arguments]

    def run(self, *arguments: str, stdin: bytes = b"", timeout_s: float = 90.0, **environment: str) -> Done:
        """Run it to the end; exit code not judged."""
        return subprocess.run(
            self.command(*arguments),
            env=self.shore.environment(**{**self.extra, **environment}),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )

    def ok(self, *arguments: str, stdin: bytes = b"", timeout_s: float = 90.0, **environment: str) -> str:
        """Run it; its standard output. A failure fails the test with what it and the host said."""
        done = self.run(*arguments, stdin=stdin, timeout_s=timeout_s, **environment)
        command = f"{self.program.name} {' '.join(arguments)}"
        said = done.stderr.decode(errors="replace")
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{said}{self.shore.said()}"
        return done.stdout.decode(errors="replace")

    @contextmanager
    def start(self, *arguments: str, **environment: str) -> Iterator[Started]:
        """Start it with pipes; it is terminated at the end of the block, however that ends."""
        process = subprocess.Popen(
            self.command(*arguments),
            env=self.shore.environment(**{**self.extra, **environment}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        try:
            yield Started(process)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def having(self, *first: str, **extra: str) -> Client:
        """The same with more that it always gets."""
        return replace(self, first=(*self.first, *first), extra={**self.extra, **extra})
