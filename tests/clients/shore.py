"""A member as clients reach it: through a host, in one of the two modes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
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
    """Cluster `name` of `host`; `member` is the same cluster without a host in between; `mode` agent or direct."""

    host: Host
    name: str
    member: Member
    mode: str

    @cached_property
    def kubeconfig(self) -> Path:
        """The administrator's, whose current context is this cluster."""
        path = self.host.directory / f"{self.name}.kubeconfig"
        self.host.ok("kubeconfig", self.name, "--output", str(path))
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
        """The URL of its API, with the cluster's path."""
        return str(self._entry[0]["server"])

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

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start it with pipes; use it as a context manager, and terminate it."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.shore.environment(**{**self.extra, **environment}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def having(self, *first: str, **extra: str) -> Client:
        """The same with more that it always gets."""
        return replace(self, first=(*self.first, *first), extra={**self.extra, **extra})
