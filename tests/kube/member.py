"""A cluster as a test sees it, wherever it came from: where it is, how to reach it, how to run something in it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from skerry.localkube import binaries
from tests.kube import images, packages, pods
from tests.kube.netns import Namespace


@dataclass(frozen=True, kw_only=True)
class Member:
    """One cluster, with administrator's credentials.

    `kubeconfig` has one context, `name`; it works inside `netns` (everywhere, where that is None). `url` is the API
    server's. `host_address` is what the member dials to reach the machine of the test. `node` is the name of its
    node, None where no pod runs; `image` a busybox that its pods can have. `token` and `ca` are empty / None for clusters
    that the tests did not start.
    """

    name: str
    kubeconfig: Path
    url: str
    uid: str
    host_address: str = "127.0.0.1"
    netns: Namespace | None = None
    node: str | None = None
    image: str = images.BUSYBOX
    token: str = ""
    ca: Path | None = None
    logs: tuple[Path, ...] = ()

    @property
    def isolated(self) -> bool:
        """Whether nothing can connect into it; tests of isolation skip where a cluster is just reachable."""
        return self.netns is not None

    def command(self, argv: Sequence[str]) -> list[str]:
        """`argv` so that it runs where the member is; for subprocesses that the caller starts itself."""
        return [*self.netns.prefix, *argv] if self.netns else list(argv)

    def run_inside(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run to the end in the member's network, output captured, exit code not judged."""
        feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return subprocess.run(self.command(argv), capture_output=True, check=False, timeout=timeout_s, env=env, **feed)

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Its API server open to the host, and to nobody else, for a while: as that of a direct member is."""
        if self.netns is None:
            yield
            return
        port = str(urlparse(self.url).port)
        rule = ["INPUT", "-s", self.host_address, "-p", "tcp", "--dport", port, "-j", "ACCEPT"]
        iptables = [packages.required("iptables"), "-w"]
        self.netns.run([*iptables, "-I", *rule])
        try:
            yield
        finally:
            self.netns.run([*iptables, "-D", *rule])

    def kubectl_command(self, *arguments: str) -> list[str]:
        """kubectl directly against the member, not through any host."""
        return [str(binaries.kubectl(prefer_wheel=True)), "--kubeconfig", str(self.kubeconfig), *arguments]

    def kubectl(self, *arguments: str, stdin: bytes | None = None, timeout_s: float = 60.0) -> bytes:
        """kubectl directly against the member; its standard output. A failure fails the test with what it said."""
        done = self.run_inside(self.kubectl_command(*arguments), stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr.decode(errors='replace')}"
        return done.stdout

    def obey(self, text: str) -> list[str]:
        """Run the kubectl commands of a text, as whoever reads it would; the lines."""
        commands = [line.strip() for line in text.splitlines() if line.strip().startswith("kubectl ")]
        for command in commands:
            self.kubectl(*command.split()[1:])
        return commands

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """`kubectl apply` of objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items).encode())

    @contextmanager
    def busybox(self, name: str, script: str = pods.FOREVER) -> Iterator[str]:
        """A pod of namespace default that runs a shell script, ready; its name. It is deleted afterwards."""
        self.run_pod(pods.busybox(name, script, image=self.image))
        try:
            yield name
        finally:
            self.kubectl("delete", "pod", name, "--ignore-not-found", "--wait=false")

    def run_pod(self, manifest: Mapping[str, Any], *, deadline_s: int = 60) -> None:
        """Create a pod and return when it is ready; the deadline's failure carries its description.

        Skips the test where no pod can run.
        """
        if self.node is None:
            pytest.skip(f"cluster {self.name} has no node, so no pod runs")
        self.apply(manifest)
        metadata = manifest["metadata"]
        which = ["--namespace", metadata.get("namespace", "default"), f"pod/{metadata['name']}"]
        waiting = self.kubectl_command("wait", "--for=condition=Ready", f"--timeout={deadline_s}s", *which)
        done = self.run_inside(waiting, timeout_s=deadline_s + 10)
        assert done.returncode == 0, self.kubectl("describe", *which).decode()
