"""The tour of `skerry up --demo`: a few real kubectl commands through the host, shown with what they print."""

from __future__ import annotations

import select
import shutil
import subprocess
import time
from pathlib import Path

from skerry.cli import kubeconfig
from skerry.cli.api import Api, clusters, named_by, path_of
from skerry.cli.failure import TIMED_OUT, Failure
from skerry.cli.term import out, program
from skerry.identity.files import write_private

KUBECTL_S = 30.0
VIEWER = "vera"
NO = 1
"""Exit code of `kubectl auth can-i` when the answer is no."""
CONFIG_MAP = """apiVersion: v1
kind: ConfigMap
metadata:
  name: skerry-tour
  namespace: default
data:
  greeting: {greeting}
"""


def show(root: Path, api: Api, names: list[str]) -> None:
    """Walk through host and members. Raises Failure if a command fails."""
    from skerry.localkube.binaries import kubectl

    who = api.context
    config = root / "demo" / "kubeconfig"
    uid = named_by(api, clusters(api))
    document = kubeconfig.build(
        who.prefix, names, server=who.server, ca=who.ca, token=who.token, uid=uid, tls_name=who.server_name
    )
    document["users"].append({"name": VIEWER, "user": {"token": _viewer(api)}})
    write_private(config, kubeconfig.text(document).encode())
    tool = _TourKubectl(kubectl(), config, who.prefix)
    out("")
    out("A short tour. Every line is a real kubectl, talking to the host; the members accept no connection.")
    tool.show("", "get", "clusters")
    for name in names:
        tool.show(name, "apply", "-f", "-", stdin=CONFIG_MAP.format(greeting=f"hello-{name}"))
    tool.watch(names[0], CONFIG_MAP.format(greeting="changed-while-watched"))
    _colleague(tool, names[0])
    if not tool.output(names[0], "get", "nodes", "-o", "name").strip():
        out("")
        out("The demo members have an API server and no node: pods do not run on them (join a real cluster for that).")
    out("")
    out("Now you:")
    out(f"  export KUBECONFIG={config}")
    out(f"  {tool.name} --context {who.prefix}-{names[0]} get namespaces")
    out(f"  {program()} down --purge        when you are done")


def _viewer(api: Api) -> str:
    body = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Credential",
        "metadata": {},
        "spec": {"user": VIEWER, "groups": ["skerry:view"], "ttl": "1h"},
    }
    return str(api.post(path_of("credentials"), body)["status"]["token"])


def _colleague(tool: _TourKubectl, member: str) -> None:
    """Somebody who reads and cannot write, where the cluster has a controller that gives the role view its rules."""
    out("")
    if not tool.output(member, "get", "clusterrole", "view", "-o", "jsonpath={.rules}").strip():
        out(
            f"{member} has no controller manager, so its roles view, edit and admin are empty: skerry:view reads nothing."
        )
        return
    out(f"A colleague, with a token of {program()} credential create {VIEWER} --group skerry:view:")
    tool.show(member, "--user", VIEWER, "get", "configmap", "skerry-tour")
    tool.show(member, "--user", VIEWER, "auth", "can-i", "delete", "configmaps", expected=NO)


class _TourKubectl:
    """kubectl through the host, shown with what it prints."""

    def __init__(self, binary: Path, config: Path, prefix: str) -> None:
        self._binary, self._config, self._prefix = binary, config, prefix
        self.name = "kubectl" if shutil.which("kubectl") == str(binary) else str(binary)

    def _argv(self, member: str, *words: str) -> list[str]:
        context = f"{self._prefix}-{member}" if member else self._prefix
        return [str(self._binary), "--kubeconfig", str(self._config), "--context", context, *words]

    def _announce(self, member: str, *words: str) -> None:
        out("")
        context = f"{self._prefix}-{member}" if member else self._prefix
        out(f"$ kubectl --context {context} {' '.join(words)}")

    def show(self, member: str, *words: str, stdin: str = "", expected: int = 0) -> None:
        """Run it, print what it prints. Raises Failure if it ends otherwise than expected."""
        self._announce(member, *words)
        out(self.output(member, *words, stdin=stdin, expected=expected).rstrip())

    def output(self, member: str, *words: str, stdin: str = "", expected: int = 0) -> str:
        """Its output. Raises Failure if it ends otherwise than expected, or takes too long."""
        try:
            done = subprocess.run(
                self._argv(member, *words), input=stdin, capture_output=True, text=True, timeout=KUBECTL_S
            )
        except subprocess.TimeoutExpired as error:
            raise Failure(f"kubectl {' '.join(words)} did not end in {KUBECTL_S:g} s", TIMED_OUT) from error
        if done.returncode != expected:
            raise Failure(f"kubectl {' '.join(words)} failed: {done.stderr.strip()}")
        return done.stdout

    def watch(self, member: str, changed: str) -> None:
        """Watch a ConfigMap, change it, and print the event that arrives."""
        words = ["get", "configmap", "skerry-tour", "--watch-only", "--output-watch-events"]
        words += ["-o", "jsonpath={.type} {.object.metadata.name}: {.object.data.greeting}{'\\n'}"]
        self._announce(member, *words[:5], "&")
        watching = subprocess.Popen(self._argv(member, *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self._change_until_seen(member, changed, watching)
        finally:
            watching.kill()
            watching.communicate()

    def _change_until_seen(self, member: str, changed: str, watching: subprocess.Popen[bytes]) -> None:
        """The watch may not have begun when the first change is made: change again until an event is seen."""
        if watching.stdout is None:
            return
        deadline, number = time.monotonic() + KUBECTL_S, 0
        self._announce(member, "apply", "-f", "-")
        while time.monotonic() < deadline:
            number += 1
            answer = self.output(member, "apply", "-f", "-", stdin=changed.replace("watched", f"watched-{number}"))
            if number == 1:
                out(answer.rstrip())
            if select.select([watching.stdout], [], [], 1.0)[0]:
                out(f"[watch] {watching.stdout.readline().decode().rstrip()}")
                return
        raise Failure(f"no watch event from {member} in {KUBECTL_S:g} s", TIMED_OUT)
