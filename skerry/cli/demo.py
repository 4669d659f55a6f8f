"""`skerry up --demo`: two members with real API servers, each behind its own agent, and a short tour with real kubectl.

Members come from the first that works: contexts in SKERRY_DEMO_KUBECONFIG; binaries of a control plane that are found or
were built before; kind or k3d with a running Docker; a build with the Go toolchain. The controller manager is a part of it:
without it the roles view, edit and admin are empty, and who has skerry:view reads nothing. They run under a supervisor
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
from skerry.cli import agents, kubeconfig, launch, state, tour
from skerry.cli.api import Api, path_of
from skerry.cli.failure import MISSING, TIMED_OUT, Failure
from skerry.cli.plan import ChildProcess, Locked, Plan, is_locked, lock, write_json, write_pid
from skerry.cli.term import ProgressLine, program, progress, say
from skerry.errors import SkerryError

MEMBERS = ["m1", "m2"]
READY_S = 60.0
POLL_S = 0.1
STOP_S = 45.0
API_SERVER_STOP_S = 2.0
"""It waits for its own watches when it is told to stop; nothing is lost when it is killed."""


@dataclass(frozen=True, kw_only=True)
class DemoMember:
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
    with progress() as display:
        members = _given() or _local(directory, display, bound=bound)
    api = Api(kubeconfig.context([root / "host" / "admin.kubeconfig"], ""))
    with progress() as display:
        for member in members:
            _join(root, api, member, limit_s, display, bound=bound)
        _wait_ready(api, [member.name for member in members], limit_s, display)
    tour.show(root, api, [member.name for member in members])


# Where members come from


def _given() -> list[DemoMember]:
    """Contexts of SKERRY_DEMO_KUBECONFIG, two at most."""
    named = os.environ.get("SKERRY_DEMO_KUBECONFIG", "")
    if not named:
        return []
    path = Path(named).expanduser().absolute()
    contexts = [str(entry["name"]) for entry in kubeconfig.read(path).get("contexts") or []]
    if not contexts:
        raise Failure(f"SKERRY_DEMO_KUBECONFIG ({path}) has no contexts", MISSING)
    return [DemoMember(name=n, kubeconfig=path, context=c) for n, c in zip(MEMBERS, contexts, strict=False)]


def _local(directory: Path, display: ProgressLine, *, bound: bool) -> list[DemoMember]:
    from skerry.localkube import binaries

    plan = binaries.plan(("etcd", *binaries.CONTROL_PLANE))
    if plan.missing or plan.to_build:
        containers = _containers(directory, display)
        if containers:
            return containers
    if set(plan.missing) == {binaries.KUBE_CONTROLLER_MANAGER}:
        say(f"the demo members have no controller manager: {plan.missing[binaries.KUBE_CONTROLLER_MANAGER]}")
    elif plan.missing:
        what = "; ".join(f"{name}: {how}" for name, how in plan.missing.items())
        raise Failure(
            f"no demo members: neither kind nor k3d with a running Docker, and for a control plane of our own is missing "
            f"{what}. The host is up; join a cluster of your own: {program()} token create NAME",
            MISSING,
        )
    display.clear()
    executables = binaries.obtain((*plan.found, *plan.to_build), progress=say)
    return _control_planes(directory, executables, display, bound=bound)


def _control_planes(
    directory: Path, executables: Mapping[str, Path], display: ProgressLine, *, bound: bool
) -> list[DemoMember]:
    from skerry.localkube import cluster

    try:
        lock_number = lock(directory / "lock")
    except Locked:
        return [DemoMember(name=name, kubeconfig=directory / name / "kubeconfig") for name in MEMBERS]
    write_pid(lock_number)
    prepared = [cluster.prepare(directory / name, name=name, executables=executables) for name in MEMBERS]
    processes = [_process(spec.name, spec.argv, spec.env, spec.stop_grace_s) for c in prepared for spec in c.specs]
    write_json(directory / "plan.json", Plan(version=__version__, processes=processes))
    supervisor = launch.start(directory, lock_number, detach=not bound)
    os.close(lock_number)
    launch.wait_ready(directory, supervisor, READY_S, display, "the demo's control planes")
    deadline = time.monotonic() + READY_S
    for one in prepared:
        while reason := one.why_not_ready():
            if time.monotonic() > deadline:
                log = directory / "logs" / f"{one.api_server.name}.log"
                text = launch.tail(log, launch.TAIL_LINES)
                raise Failure(
                    f"demo member {one.name} is not ready after {READY_S:g} s: {reason}", TIMED_OUT, tail=text
                )
            display.show(f"demo member {one.name}: {reason}")
            time.sleep(POLL_S)
    return [DemoMember(name=one.name, kubeconfig=one.kubeconfig) for one in prepared]


def _process(name: str, argv: tuple[str, ...], env: Mapping[str, str], stop_s: float) -> ChildProcess:
    from skerry.cli.bootstrap import leashed

    return ChildProcess(name=name, argv=leashed(list(argv)), env=dict(env), stop_s=min(stop_s, API_SERVER_STOP_S))


def _containers(directory: Path, display: ProgressLine) -> list[DemoMember]:
    """Clusters of kind or k3d, if one of them is installed and Docker runs."""
    tool = next((tool for tool in ("kind", "k3d") if shutil.which(tool)), "")
    if not tool or not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return []
    members = []
    for name in MEMBERS:
        display.show(f"starting demo member {name} with {tool}: a minute or two")
        target = directory / name / "kubeconfig"
        target.parent.mkdir(mode=0o700, exist_ok=True)
        if not target.exists():
            _create_container(tool, f"skerry-demo-{name}", target)
            (directory / name / "tool").write_text(tool)
        members.append(DemoMember(name=name, kubeconfig=target))
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


def _join(root: Path, api: Api, member: DemoMember, limit_s: float, display: ProgressLine, *, bound: bool) -> None:
    agent = agents.LocalAgent(
        directory=root / "agents" / member.name,
        name=member.name,
        kubeconfig=str(member.kubeconfig),
        context=member.context,
    )
    display.show(f"joining {member.name}")
    if is_locked(agent.lock):
        return
    token = "" if agent.joined else _token(api, member.name)
    agents.detached(agent, token, "", limit_s, display, bound=bound)


def _token(api: Api, name: str) -> str:
    body = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "JoinToken",
        "metadata": {"name": f"{name}-demo-{os.getpid()}"},
        "spec": {"clusterName": name, "ttl": "10m"},
    }
    return str(api.post(path_of("jointokens"), body)["status"]["token"])


def _wait_ready(api: Api, names: list[str], limit_s: float, display: ProgressLine) -> None:
    deadline = time.monotonic() + limit_s
    while waiting := [name for name in names if not _is_ready(api, name)]:
        if time.monotonic() > deadline:
            raise Failure(
                f"not Ready after {limit_s:g} s: {', '.join(waiting)}; see {program()} clusters -o wide", TIMED_OUT
            )
        display.show(f"waiting for {', '.join(waiting)}")
        time.sleep(POLL_S)


def _is_ready(api: Api, name: str) -> bool:
    try:
        conditions = api.get(path_of("clusters", name)).get("status", {}).get("conditions", [])
    except SkerryError:
        return False
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


# Stopping


def stop(root: Path) -> None:
    """Stop the demo's agents and control planes; all is kept."""
    with progress() as display:
        for name in MEMBERS:
            directory = root / "agents" / name
            if directory.exists():
                agents.stop(agents.LocalAgent(directory=directory, name=name), STOP_S, display)
        launch.stop(root / "demo" / "lock", STOP_S, lambda: display.show("stopping the demo members"))


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
