"""`skerry up --demo`: two members with real API servers, each behind its own agent, and a short tour with real kubectl.

Members come from the first that works: contexts in SKERRY_DEMO_KUBECONFIG; kube-apiserver and etcd that are found or were
built before; kind or k3d with a running Docker; a build with the Go toolchain. The control planes run under a supervisor
of their own in `<state>/demo`, the agents as `skerry agent --detach` would start them, so `skerry down` can stop all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry import __version__
from skerry.cli import agents, kubeconfig, launch, state
from skerry.cli.api import Api, path_of
from skerry.cli.failure import MISSING, TIMED_OUT, Failure
from skerry.cli.plan import Locked, Plan, Process, is_locked, lock, write_json, write_pid, write_private
from skerry.cli.term import Progress, out, program, progress, say
from skerry.errors import SkerryError

MEMBERS = ["m1", "m2"]
READY_S = 60.0
KUBECTL_S = 30.0
POLL_S = 0.1
STOP_S = 45.0
API_SERVER_STOP_S = 2.0
"""It waits for its own watches when it is told to stop; nothing is lost when it is killed."""
CONFIG_MAP = """apiVersion: v1
kind: ConfigMap
metadata:
  name: skerry-tour
  namespace: default
data:
  greeting: {greeting}
"""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A cluster that will join: its name, and how its agent reaches it."""

    name: str
    kubeconfig: Path
    context: str = ""


def run(root: Path, limit_s: float, *, bound: bool) -> None:
    """Members, agents, tour. The host runs already. `bound`: all of it ends with this process.

    Raises Failure: 4 if no cluster can be had here.
    """
    directory = root / "demo"
    state.make_private(directory)
    with progress() as shown:
        members = _given() or _local(directory, shown, bound=bound)
    api = Api(kubeconfig.context([root / "host" / "admin.kubeconfig"], ""))
    with progress() as shown:
        for member in members:
            _join(root, api, member, limit_s, shown, bound=bound)
        _wait_ready(api, [member.name for member in members], limit_s, shown)
    _tour(root, api, [member.name for member in members])


# Where members come from


def _given() -> list[Member]:
    """Contexts of SKERRY_DEMO_KUBECONFIG, two at most."""
    named = os.environ.get("SKERRY_DEMO_KUBECONFIG", "")
    if not named:
        return []
    path = Path(named).expanduser().absolute()
    contexts = [str(entry["name"]) for entry in kubeconfig.read(path).get("contexts") or []]
    if not contexts:
        raise Failure(f"SKERRY_DEMO_KUBECONFIG ({path}) has no contexts", MISSING)
    return [Member(name=n, kubeconfig=path, context=c) for n, c in zip(MEMBERS, contexts, strict=False)]


def _local(directory: Path, shown: Progress, *, bound: bool) -> list[Member]:
    from skerry.localkube import binaries

    plan = binaries.plan(("etcd", binaries.KUBE_APISERVER))
    if plan.missing or plan.to_build:
        containers = _containers(directory, shown)
        if containers:
            return containers
    if plan.missing:
        what = "; ".join(f"{name}: {how}" for name, how in plan.missing.items())
        raise Failure(
            f"no demo members: neither kind nor k3d with a running Docker, and for a control plane of our own is missing "
            f"{what}. The host is up; join a cluster of your own: {program()} token create NAME",
            MISSING,
        )
    shown.clear()
    found = binaries.obtain(("etcd", binaries.KUBE_APISERVER), progress=say)
    return _control_planes(directory, found, shown, bound=bound)


def _control_planes(directory: Path, executables: Mapping[str, Path], shown: Progress, *, bound: bool) -> list[Member]:
    from skerry.localkube import cluster

    try:
        lock_number = lock(directory / "lock")
    except Locked:
        return [Member(name=name, kubeconfig=directory / name / "kubeconfig") for name in MEMBERS]
    write_pid(lock_number)
    prepared = [cluster.prepare(directory / name, name=name, executables=executables) for name in MEMBERS]
    processes = [_process(spec.name, spec.argv, spec.env, spec.stop_grace_s) for c in prepared for spec in c.specs]
    write_json(directory / "plan.json", Plan(version=__version__, processes=processes))
    supervisor = launch.start(directory, lock_number, detach=not bound)
    os.close(lock_number)
    launch.wait_ready(directory, supervisor, READY_S, shown, "the demo's control planes")
    deadline = time.monotonic() + READY_S
    for one in prepared:
        while reason := one.why_not_ready():
            if time.monotonic() > deadline:
                log = directory / "logs" / f"{one.api_server.name}.log"
                text = launch.tail(log, launch.TAIL_LINES)
                raise Failure(
                    f"demo member {one.name} is not ready after {READY_S:g} s: {reason}", TIMED_OUT, tail=text
                )
            shown.show(f"demo member {one.name}: its API server is starting")
            time.sleep(POLL_S)
    return [Member(name=one.name, kubeconfig=one.kubeconfig) for one in prepared]


def _process(name: str, argv: tuple[str, ...], env: Mapping[str, str], stop_s: float) -> Process:
    from skerry.cli.bootstrap import leashed

    return Process(name=name, argv=leashed(list(argv)), env=dict(env), stop_s=min(stop_s, API_SERVER_STOP_S))


def _containers(directory: Path, shown: Progress) -> list[Member]:
    """Clusters of kind or k3d, if one of them is installed and Docker runs."""
    tool = next((tool for tool in ("kind", "k3d") if shutil.which(tool)), "")
    if not tool or not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return []
    members = []
    for name in MEMBERS:
        shown.show(f"starting demo member {name} with {tool}: a minute or two")
        target = directory / name / "kubeconfig"
        target.parent.mkdir(mode=0o700, exist_ok=True)
        if not target.exists():
            _create_container(tool, f"skerry-demo-{name}", target)
            (directory / name / "tool").write_text(tool)
        members.append(Member(name=name, kubeconfig=target))
    return members


def _create_container(tool: str, name: str, target: Path) -> None:
    commands = {
        "kind": [["kind", "create", "cluster", "--name", name, "--kubeconfig", str(target), "--wait", "180s"]],
        "k3d": [
            ["k3d", "cluster", "create", name, "--no-lb", "--wait", "--kubeconfig-update-default=false"],
            ["k3d", "kubeconfig", "write", name, "--output", str(target)],
        ],
    }
    for command in commands[tool]:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Failure(f"{' '.join(command[:3])} failed for demo member {name}", tail=done.stderr)


# Joining


def _join(root: Path, api: Api, member: Member, limit_s: float, shown: Progress, *, bound: bool) -> None:
    agent = agents.Agent(
        directory=root / "agents" / member.name,
        name=member.name,
        kubeconfig=str(member.kubeconfig),
        context=member.context,
    )
    shown.show(f"joining {member.name}")
    if is_locked(agent.lock):
        return
    token = "" if agent.joined else _token(api, member.name)
    agents.detached(agent, token, "", limit_s, shown, bound=bound)


def _token(api: Api, name: str) -> str:
    body = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "JoinToken",
        "metadata": {"name": f"{name}-demo-{os.getpid()}"},
        "spec": {"clusterName": name, "ttl": "10m"},
    }
    return str(api.post(path_of("jointokens"), body)["status"]["token"])


def _wait_ready(api: Api, names: list[str], limit_s: float, shown: Progress) -> None:
    deadline = time.monotonic() + limit_s
    while waiting := [name for name in names if not _is_ready(api, name)]:
        if time.monotonic() > deadline:
            raise Failure(
                f"not Ready after {limit_s:g} s: {', '.join(waiting)}; see {program()} clusters -o wide", TIMED_OUT
            )
        shown.show(f"waiting for {', '.join(waiting)}")
        time.sleep(POLL_S)


def _is_ready(api: Api, name: str) -> bool:
    try:
        conditions = api.get(path_of("clusters", name)).get("status", {}).get("conditions", [])
    except SkerryError:
        return False
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


# The tour


def _tour(root: Path, api: Api, names: list[str]) -> None:
    from skerry.localkube.binaries import kubectl

    who = api.context
    config = root / "demo" / "kubeconfig"
    document = kubeconfig.build(who.prefix, names, server=who.server, ca=who.ca, token=who.token)
    write_private(config, kubeconfig.text(document).encode())
    tool = _Kubectl(kubectl(), config, who.prefix)
    out("")
    out("A short tour. Every line is a real kubectl, talking to the host; the members accept no connection.")
    tool.show("", "get", "clusters")
    for name in names:
        tool.show(name, "apply", "-f", "-", stdin=CONFIG_MAP.format(greeting=f"hello-{name}"))
    tool.watch(names[0], CONFIG_MAP.format(greeting="changed-while-watched"))
    if not _has_nodes(tool, names[0]):
        out("")
        out("The demo members have an API server and no node: pods do not run on them (join a real cluster for that).")
    out("")
    out("Now you:")
    out(f"  export KUBECONFIG={config}")
    out(f"  {tool.name} --context {who.prefix}-{names[0]} get namespaces")
    out(f"  {program()} down --purge        when you are done")


def _has_nodes(tool: _Kubectl, name: str) -> bool:
    return bool(tool.output(name, "get", "nodes", "-o", "name").strip())


class _Kubectl:
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

    def show(self, member: str, *words: str, stdin: str = "") -> None:
        """Run it, print what it prints. Raises Failure if it fails."""
        self._announce(member, *words)
        out(self.output(member, *words, stdin=stdin).rstrip())

    def output(self, member: str, *words: str, stdin: str = "") -> str:
        """Its output. Raises Failure if it fails or takes too long."""
        try:
            done = subprocess.run(
                self._argv(member, *words), input=stdin, capture_output=True, text=True, timeout=KUBECTL_S
            )
        except subprocess.TimeoutExpired as error:
            raise Failure(f"kubectl {' '.join(words)} did not end in {KUBECTL_S:g} s", TIMED_OUT) from error
        if done.returncode:
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
        import select

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


# Stopping


def stop(root: Path) -> None:
    """Stop the demo's agents and control planes; all is kept."""
    with progress() as shown:
        for name in MEMBERS:
            directory = root / "agents" / name
            if directory.exists():
                agents.stop(agents.Agent(directory=directory, name=name), STOP_S, shown)
        launch.stop(root / "demo" / "lock", STOP_S, lambda: shown.show("stopping the demo members"))


def purge(root: Path) -> None:
    """Delete what the demo made; binaries that were built for it stay in the cache, which is named."""
    from skerry.localkube.binaries import cache_dir

    for name in MEMBERS:
        tool = root / "demo" / name / "tool"
        if tool.exists():
            _delete_container(tool.read_text(), f"skerry-demo-{name}")
        shutil.rmtree(root / "agents" / name, ignore_errors=True)
    shutil.rmtree(root / "demo", ignore_errors=True)
    say("deleted the demo members and their agents")
    if cache_dir().exists():
        say(f"kept the Kubernetes binaries in {cache_dir()} (make clean-cache deletes them)")


def _delete_container(tool: str, name: str) -> None:
    command = ["kind", "delete", "cluster", "--name", name] if tool == "kind" else ["k3d", "cluster", "delete", name]
    if shutil.which(tool):
        subprocess.run(command, capture_output=True)
