"""Things that break: processes are killed, the host restarts, the agent sleeps past the life of its credential."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]


def _pid(host: Host, name: str) -> int:
    return int(host.processes()[name]["pid"])


def _healthy(host: Host) -> bool:
    return all(each["ready"] for each in host.processes().values())


def serves(host: Host, name: str) -> None:
    """Wait until requests reach the member: its agent has found the host again. What is stored of it says so before."""
    eventually(lambda: host.serves(name), f"requests reach {name}", 30)


def test_an_agent_that_was_away_for_longer_than_its_credential_lives_comes_back_alone(
    new_host: Callable[..., Host], plain_cluster: Member
) -> None:
    """Before the others: their host keeps the cluster."""
    host = new_host(SKERRY_AGENT_TTL_S="8")
    agent = host.join(plain_cluster, "sleeper")
    agent.process.send_signal(signal.SIGSTOP)
    eventually(lambda: not host.ready("sleeper"), "not Ready while asleep", 60)
    started = time.monotonic()
    eventually(lambda: time.monotonic() - started > 10, "the credential ran out", 15)
    agent.process.send_signal(signal.SIGCONT)
    host.wait_ready("sleeper", agent, 60)
    host.kubectl("sleeper", "get", "namespaces")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One that comes back from all that most of these tests do to it."""
    with Host(tmp_path_factory.mktemp("bad-days")) as host:
        host.up()
        yield host


@pytest.fixture
def host(standing: Host, plain_cluster: Member) -> Host:
    """With its member `fragile`, whose agent is the last of `agents`."""
    if not standing.agents:
        standing.join(plain_cluster, "fragile")
    elif standing.agents[-1].process.poll() is not None:
        standing.agent(plain_cluster, None, "--name", "fragile")
    serves(standing, "fragile")
    standing.wait_ready("fragile", standing.agents[-1])
    return standing


def test_a_member_whose_agent_stopped_is_a_503_at_once_that_says_since_when(host: Host) -> None:
    host.agents[-1].stop()
    eventually(lambda: not host.ready("fragile"), "not Ready", 15)
    started = time.monotonic()
    done = host.kubectl_run("fragile", "get", "namespaces")
    assert time.monotonic() - started < 15
    assert done.returncode == 1
    assert b"fragile" in done.stderr
    assert b"since" in done.stderr


def test_a_killed_agent_comes_back_and_a_watch_was_cut_not_ended(host: Host, plain_cluster: Member) -> None:
    raw = host.kubectl_command("fragile", "get", "--raw", "/api/v1/configmaps?watch=true&resourceVersion=0")
    watch = subprocess.Popen(raw, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watch.stdout is not None
    assert watch.stdout.readline()
    host.agents[-1].stop(signal.SIGKILL)
    _, said = watch.communicate(timeout=20)
    assert watch.returncode != 0, said
    host.agent(plain_cluster, None, "--name", "fragile")
    serves(host, "fragile")


@pytest.mark.parametrize("process", ["nats-server", "controller-manager", "tower"])
def test_a_killed_process_of_the_host_is_replaced_and_everything_works_again(host: Host, process: str) -> None:
    host.kubectl("fragile", "create", "configmap", f"before-{process}")
    old = _pid(host, process)
    os.kill(old, signal.SIGKILL)
    eventually(lambda: _pid(host, process) not in (0, old) and _healthy(host), f"{process} is replaced", 30)
    host.wait_ready("fragile", host.agents[-1])
    eventually(
        lambda: host.kubectl_run("fragile", "get", "configmap", f"before-{process}").returncode == 0, "kubectl", 15
    )


def test_a_host_that_was_stopped_and_started_finds_its_members_again(host: Host) -> None:
    host.ok("down")
    host.up()
    serves(host, "fragile")
    host.wait_ready("fragile", host.agents[-1])


def test_a_supervisor_that_was_killed_leaves_no_orphans_and_its_lock_is_recovered(host: Host) -> None:
    pids = [int(each["pid"]) for each in host.status()["processes"]]
    run = json.loads((host.state / "host" / "run.json").read_text())
    os.kill(int(run["pid"]), signal.SIGKILL)
    eventually(lambda: not any(_alive(pid) for pid in pids), "no orphans", 15)
    assert host.skerry("status").returncode == 3
    host.up()
    serves(host, "fragile")
    host.wait_ready("fragile", host.agents[-1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_state_of_a_newer_format_is_refused_naming_both_and_an_older_one_is_migrated_after_a_copy(
    new_host: Callable[..., Host],
) -> None:
    host = new_host()
    host.ok("down")
    path = host.state / "host" / "state.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "format": document["format"] + 1}))
    done = host.skerry("up", "--detach", "--listen", host.listen, "--bus", host.bus)
    assert done.returncode == 1
    assert str(document["format"]) in done.stderr
    assert str(document["format"] + 1) in done.stderr
    path.write_text(json.dumps(document))
    host.up()
