"""Releases whose hooks wait until the test lets them go, so that whoever takes part in an operation can be killed at each of its steps.

The chart has a Pod for a hook before and one after each of Helm's operations, others for its rollback. There is no node, so a Pod ends when somebody says so
in its status: `Hooks` says it of all but those that are held. An operation stands still at a step as long as its Pod is held.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import CONFIG, Installed, helm, shelve
from tests.kube.breakable import BreakableCluster
from tests.kube.member import Member

Operation: TypeAlias = Literal["install", "upgrade", "rollback", "recovery", "uninstall"]
"""As a user knows them; `recovery` is Helm's own rollback, to which a release with `onFailure: Rollback` comes."""
Step: TypeAlias = Literal["launch", "before", "after"]
"""The program begins; the hook before runs; all objects are there, and the hook after runs."""
Victim: TypeAlias = Literal["launcher", "helm", "service", "front door", "agent", "API server", "etcd"]
VERBS: Mapping[Operation, str] = {
    "install": "upgrade",
    "upgrade": "upgrade",
    "rollback": "upgrade",
    "recovery": "rollback",
    "uninstall": "uninstall",
}
"""What Helm is told."""
NAMESPACE = "apps"
HOOKS = """
{{- range $step, $events := dict "before" "pre-install,pre-upgrade,pre-delete" "after" "post-install,post-upgrade,post-delete" "back-before" "pre-rollback" "back-after" "post-rollback" }}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ $.Release.Name }}-{{ $step }}
  annotations: {helm.sh/hook: "{{ $events }}", helm.sh/hook-delete-policy: before-hook-creation}
spec: {restartPolicy: Never, containers: [{name: a, image: none}]}
{{- end }}
"""
FILES = {"values.yaml": "color: blue\n", "templates/config.yaml": CONFIG, "templates/hooks.yaml": HOOKS}
REFUSED = (
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-big}\ndata: {a: {{ repeat 1100000 "x" }}}\n'
)
"""The API server takes no ConfigMap of more than a MiB."""
VERSIONS = {
    **dict.fromkeys(("1.0.0", "1.1.0", "1.2.0", "1.3.0"), FILES),
    "2.0.0": {**FILES, "templates/refused.yaml": REFUSED},
}
FROZEN_S = 5.0
POLL_S = 0.15


class Hooks:
    """Ends the Pods of hooks on a cluster, but for those that are held; no two have one name."""

    def __init__(self, member: Member) -> None:
        self._member, self._held = member, frozenset[str]()
        parts = urlsplit(member.url)
        self._address, self._tls = (parts.hostname or "", parts.port), ssl.create_default_context(cafile=str(member.ca))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Hooks:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def hold(self, *pods: str) -> None:
        """From now on these run, and all others end."""
        self._held = frozenset(pods)

    def reached(self, pod: str) -> None:
        """Wait until it is there and has not ended."""
        eventually(lambda: pod in self._pending(), f"the hook {pod} runs", 60)

    def _work(self) -> None:
        while not self._over.wait(POLL_S):
            with suppress(OSError, HTTPException, ValueError):
                for pod, namespace in self._pending().items():
                    if pod not in self._held:
                        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/status"
                        self._ask("PATCH", path, {"status": {"phase": "Succeeded"}})

    def _pending(self) -> dict[str, str]:
        """Those that have not ended, and their namespaces."""
        try:
            pods = self._ask("GET", "/api/v1/pods")["items"]
        except (OSError, HTTPException, ValueError, KeyError):
            return {}
        metadata = [each["metadata"] for each in pods if each["status"].get("phase") == "Pending"]
        return {each["name"]: each["namespace"] for each in metadata}

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = HTTPSConnection(*self._address, context=self._tls, timeout=2)
        headers = {"Authorization": f"Bearer {self._member.token}", "Content-Type": "application/merge-patch+json"}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


class Subject:
    """A release under test: brought to where an operation begins, begun, and waited for."""

    def __init__(self, host: Host, name: str, cluster: str = "m1") -> None:
        self.release, self.name, self.cluster, self._revision = Installed(host, name), name, cluster, 0
        self._version = self._before = ""
        self.told: list[str] = []
        """Why it stood still, as the user reads it."""

    def ready(self, operation: Operation) -> None:
        """Bring it to where the operation begins."""
        if operation == "install":
            self.end()
        elif not self._version:
            self._want("1.0.0")
            self.release.deployed(self.cluster, self._revision, 90)
        if operation == "rollback" and self._revision == 1:
            self._want("1.1.0")
            self.release.deployed(self.cluster, self._revision, 90)

    def begin(self, operation: Operation) -> None:
        """Have the user ask for it."""
        self.told = []
        match operation:
            case "install":
                self._want("1.0.0")
            case "upgrade":
                self._want("1.1.0" if self._version == "1.0.0" else "1.0.0")
            case "recovery":
                self._before = self._version
                self._want("2.0.0", onFailure="Rollback")
            case "rollback":
                self.release.act("rollback", {})
                self._revision += 1
                self._version = "1.1.0" if self._version == "1.0.0" else "1.0.0"
            case "uninstall":
                self.release.delete()

    def ended(self, operation: Operation, deadline_s: float, *, hurry: bool) -> None:
        """Wait until it is as the user wants it. `hurry`: try again at once what says that it failed, as a user may."""
        until = time.monotonic() + deadline_s
        while not self._is_done(operation):
            status = self.release.on(self.cluster)
            phase, message = status.get("phase", ""), status.get("message", "")
            if phase in ("Failed", "Blocked", "Waiting") and message not in ("", *self.told):
                self.told.append(message)
            if hurry and phase == "Failed" and operation != "recovery":
                self.release.act("retry")
            if time.monotonic() > until:
                raise AssertionError(
                    f"{operation} of {self.name} did not come to its end: {json.dumps(status, indent=1)}{self.release.host.logs()}"
                )
            time.sleep(0.2)
        if operation == "uninstall":
            self._revision, self._version = 0, ""
        if operation == "recovery":  # it is as it was, and wants what failed
            self.end()

    def end(self) -> None:
        """Uninstall it, if it is there."""
        if self._version:
            self.release.delete()
            self.release.gone(90)
        self._revision, self._version = 0, ""

    def _want(self, version: str, **more: Any) -> None:
        self.release.want(
            app="skerry-apps/web",
            version=version,
            clusters={"names": [self.cluster]},
            targetNamespace=NAMESPACE,
            **more,
        )
        self._revision, self._version = self._revision + 1, version

    def _is_done(self, operation: Operation) -> bool:
        if operation == "uninstall":
            return self.release.document() is None
        status = self.release.on(self.cluster)
        phase, chart = status.get("phase"), (status.get("helm") or {}).get("chart")
        if operation == "recovery":
            return (phase, chart, bool(status.get("message"))) == ("Failed", f"web-{self._before}", True)
        return (phase, status.get("revision"), chart) == ("Deployed", self._revision, f"web-{self._version}")


def hook(release: str, operation: Operation, step: Step) -> str:
    """The Pod that runs at a step of an operation."""
    return f"{release}-{'back-' * (operation == 'recovery')}{step}"


class Case(NamedTuple):
    """Who is killed, and at which steps of which operations: of two releases at once."""

    victim: Victim
    moments: tuple[tuple[Operation, Step], ...]

    def __str__(self) -> str:
        return f"{self.victim}: {', '.join(f'{operation} {step}' for operation, step in self.moments)}"


class Ground:
    """A host, its member `m1` on a cluster that breaks, and who is killed."""

    def __init__(self, host: Host, cluster: BreakableCluster, hooks: Hooks, program: Path) -> None:
        self.host, self.cluster, self.hooks, self._helm = host, cluster, hooks, program
        self.subjects = [Subject(host, "one"), Subject(host, "two")]

    def runs(self, case: Case, *, hurry: bool, deadline_s: float = 120.0) -> str:
        """Kill at these steps, and wait until all is as it is wanted; what the user was told meanwhile."""
        pairs = list(zip(self.subjects, case.moments, strict=False))
        for subject, (operation, _) in pairs:
            subject.ready(operation)
        pods = [hook(subject.name, *moment) for subject, moment in pairs if moment[1] != "launch"]
        self.hooks.hold(*pods)
        launchers = {subject.name: VERBS[moment[0]] for subject, moment in pairs if moment[1] == "launch"}
        launched = self._launching(launchers)
        for subject, (operation, _) in pairs:
            subject.begin(operation)
        launched()
        for pod in pods:
            self.hooks.reached(pod)
        self._kill(case.victim)
        self.hooks.hold()
        for subject, (operation, _) in pairs:
            subject.ended(operation, deadline_s, hurry=hurry)
        assert [
            each for each in self.helm("list", "-A", "-o", "json") if each["status"] not in ("deployed", "failed")
        ] == []
        return "; ".join(dict.fromkeys(text for subject, _ in pairs for text in subject.told))

    def helm(self, *arguments: str) -> Any:
        """What helm says with the member's own kubeconfig."""
        return helm(self._helm, self.cluster.member, *arguments)

    def helms(self) -> dict[str, int]:
        """Helms that change a release, by the name of that: their process ids."""
        running = {words[2]: pid for pid, words in children(self.manager) if words[1] in VERBS.values()}
        return dict(sorted(running.items()))

    def kill_helm(self, release: str) -> None:
        """kill -9 of the Helm that changes a release."""
        if pid := self.helms().get(release):
            os.kill(pid, signal.SIGKILL)

    def agent_back(self) -> None:
        """Start the member's agent again; it need not be Ready yet."""
        self.host.agent(self.cluster.member, None)

    def _kill(self, victim: Victim) -> None:
        match victim:
            case "launcher":
                pass
            case "helm":
                for subject in self.subjects:
                    self.kill_helm(subject.name)
            case "service" | "front door":
                self.kill_process("controller-manager" if victim == "service" else "tower")
            case "agent":
                self.host.agents[-1].stop(signal.SIGKILL)
                self.agent_back()
            case "API server":
                self.cluster.kill("kube-apiserver")
                time.sleep(1.0)  # Helm and the agent meet nobody there
                self.cluster.start("kube-apiserver")
            case "etcd":
                with self.cluster.frozen("etcd"):
                    time.sleep(FROZEN_S)

    def kill_process(self, name: str) -> None:
        """kill -9 of one of the host's own, and wait until it is back."""
        killed = self.host.processes()[name]["pid"]
        os.kill(killed, signal.SIGKILL)

        def is_back() -> bool:
            process = self.host.processes()[name]
            return bool(process["ready"]) and process["pid"] != killed

        eventually(is_back, f"{name} is back", 60)

    @property
    def manager(self) -> int:
        """The process that has the App Store."""
        return int(self.host.processes()["controller-manager"]["pid"])

    def _launching(self, wanted: Mapping[str, str]) -> Callable[[], None]:
        """Have the programs killed that launch Helm, by release and what Helm is to do; the function waits until they were."""
        manager, left = self.manager, dict(wanted)

        def look() -> None:
            until = time.monotonic() + 60
            while left and time.monotonic() < until:
                for pid, words in children(manager):
                    if words[3].endswith("enter.py") and left.get(words[6]) == words[5]:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                            del left[words[6]]

        thread = threading.Thread(target=look)
        thread.start()

        def wait() -> None:
            thread.join()
            assert not left, "no launcher was seen"

        return wait


def children(parent: int) -> Iterator[tuple[int, list[str]]]:
    """Processes that a process started, and their command lines, of five words at least."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        with suppress(OSError):
            for pid in (task / "children").read_text().split():
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                yield int(pid), [*words, *[""] * 6]


@contextmanager
def ground(directory: Path, cluster: BreakableCluster, helms: Mapping[str, Path]) -> Iterator[Ground]:
    """A host with the App Store on, its member `m1`, and the versions of `web` on its shelf."""
    cluster.member.kubectl("create", "namespace", NAMESPACE)
    with Host(directory) as host, Hooks(cluster.member) as hooks:
        host.up()
        host.join(cluster.member, "m1")
        host.ok("app", "store", "enable")
        shelve(host, "web", *VERSIONS.items())
        yield Ground(host, cluster, hooks, helms["helm-4"])
