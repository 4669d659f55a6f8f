"""Joining, waiting, leaving and coming back, with a real cluster; how a join is refused is `cli/test_refused_joins`."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.identity import jointoken
from tests.e2e.federation import SKERRY, Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host to which nothing has joined."""
    with Host(tmp_path_factory.mktemp("joining")) as made:
        made.up()
        yield made


def _refused(host: Host, member: Member, token: str, *options: str, state: Path) -> str:
    agent = host.agent(member, token, *options, state=state)
    assert agent.exits() != 0
    said = agent.said()
    assert "Traceback" not in said
    return said


def test_a_token_works_for_one_key_only_and_a_cluster_has_one_name(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    token = host.token("first")
    agent = host.agent(plain_cluster, token, state=tmp_path)
    host.wait_ready("first", agent)
    assert "token" in _refused(host, plain_cluster, token, state=tmp_path / "other-key")
    said = _refused(host, plain_cluster, host.token("second"), state=tmp_path / "second-name")
    assert "first" in said
    host.ok("cluster", "remove", "first")


def test_an_agent_keeps_its_identity_over_a_restart(host: Host, plain_cluster: Member, tmp_path: Path) -> None:
    _cleaned(plain_cluster)
    agent = host.join(plain_cluster, "keeper", state=tmp_path)
    uid = host.kubectl(None, "get", "cluster", "keeper", "-o", "jsonpath={.metadata.uid}")
    agent.stop()
    eventually(lambda: not host.ready("keeper"), "not Ready after the agent left", 15)
    again = host.agent(plain_cluster, None, "--name", "keeper", state=tmp_path)
    host.wait_ready("keeper", again)
    assert host.kubectl(None, "get", "cluster", "keeper", "-o", "jsonpath={.metadata.uid}") == uid
    host.ok("cluster", "remove", "keeper")


def test_a_removed_member_is_cut_cannot_return_and_frees_its_name(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    _cleaned(plain_cluster)
    agent = host.join(plain_cluster, "leaver", state=tmp_path / "first")
    host.kubectl("leaver", "get", "namespaces")
    host.ok("cluster", "remove", "leaver")
    eventually(lambda: "leaver" not in host.ok("clusters", "-o", "name"), "the cluster is gone", 5)
    assert agent.exits() == 1
    assert "removed" in agent.said()
    again = host.agent(plain_cluster, None, "--name", "leaver", state=tmp_path / "first")
    assert again.exits() == 1
    host.join(plain_cluster, "leaver", state=tmp_path / "fresh")
    host.ok("cluster", "remove", "leaver")


def test_a_cluster_waits_until_it_is_approved_also_beyond_its_tokens_end(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    _cleaned(plain_cluster)
    token = host.token("waits", "--approval", "--ttl", "10s")
    agent = host.agent(plain_cluster, token, state=tmp_path)
    _waits(host, "waits")
    eventually(lambda: "skerry cluster approve waits" in agent.said(), "the agent says so", 10)
    refused = host.kubectl_run("waits", "get", "namespaces")
    assert refused.returncode == 1
    assert b"approv" in refused.stderr
    assert b"skerry:" not in plain_cluster.kubectl("get", "clusterrolebindings", "-o", "name")
    assert b"skerry.dev" not in plain_cluster.kubectl("get", "namespace", "kube-system", "-o", "yaml")
    over = jointoken.decode(token, 0).expires + 1
    eventually(lambda: time.time() > over, "the token's end", 30)
    host.ok("cluster", "approve", "waits", "--reason", "it is ours")
    host.wait_ready("waits", agent)
    host.kubectl("waits", "get", "namespaces")
    again = host.skerry("cluster", "approve", "waits")
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1), again.stderr
    host.ok("cluster", "remove", "waits")
    assert agent.exits() == 1
    assert _traces(plain_cluster) == (False, False)


def test_what_leaves_as_soon_as_it_was_approved_takes_away_what_joining_wrote(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    _cleaned(plain_cluster)
    agent = host.agent(plain_cluster, host.token("brief", "--approval"), state=tmp_path)
    _waits(host, "brief")
    host.ok("cluster", "approve", "brief")
    host.wait_ready("brief", agent)
    said = host.skerry("cluster", "remove", "brief").stderr
    assert agent.exits() == 1
    assert re.fullmatch(_GONE.format(name="brief"), said), f"{said}\n{agent.said()}"
    assert _traces(plain_cluster) == (False, False)


def test_a_start_in_the_background_that_waits_for_approval_says_so_and_exits_with_5(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(host.token("pends", "--approval"))
    where = ("--state", str(tmp_path))
    started = plain_cluster.command([
        SKERRY, "agent", "--token-file", str(token), "--kubeconfig", str(plain_cluster.kubeconfig), *where, "--detach",
        "--wait", "8s",
    ])  # fmt: skip
    try:
        done = subprocess.run(started, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 5, done.stderr
        assert re.search(r"waiting for approval on host \S+: skerry cluster approve pends", done.stderr), done.stderr
    finally:
        subprocess.run(plain_cluster.command([SKERRY, "agent", "stop", "pends", *where]), check=True, timeout=60)
        host.ok("cluster", "deny", "pends")


@pytest.mark.parametrize("options", [(), ("--now",)], ids=["unreached", "now"])
def test_what_a_removal_leaves_goes_by_the_commands_that_it_prints(
    host: Host, plain_cluster: Member, tmp_path: Path, options: tuple[str, ...]
) -> None:
    _cleaned(plain_cluster)
    agent = host.agent(plain_cluster, host.token("leaves"), state=tmp_path)
    host.wait_ready("leaves", agent)
    host.ok("desired", "wait", "leaves")
    if not options:
        agent.stop(signal.SIGKILL)
        eventually(lambda: not host.ready("leaves"), "it is away", 15)
    first, *lines, revoked, removed = host.skerry("cluster", "remove", "leaves", *options).stderr.splitlines()
    assert (first, revoked, removed) == ("not reached: left there:", "credentials revoked", "cluster leaves removed")
    assert _traces(plain_cluster) == (True, True)
    for line in lines:
        if not line.startswith("  #"):
            program, *words = shlex.split(line)
            assert program == "kubectl"
            plain_cluster.kubectl(*words)
    assert _traces(plain_cluster) == (False, False)


def test_a_cluster_with_an_agent_joins_directly_under_no_other_name(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    _cleaned(plain_cluster)
    agent = host.agent(plain_cluster, host.token("agents"), state=tmp_path)
    host.wait_ready("agents", agent)
    file = str(plain_cluster.kubeconfig)
    done = host.skerry("cluster", "join", "directs", "--direct", "--kubeconfig", file)
    assert done.returncode == 1
    failed = [line for line in done.stderr.splitlines() if line.startswith("fail")]
    assert [line.split()[1] for line in failed] == ["duplicate"], done.stderr
    assert failed[0].endswith("has joined already, as agents")
    assert host.cluster("directs") == {}
    host.ok("cluster", "remove", "agents")


_GONE = "cleaned on the member: [1-9][0-9]* objects\ncredentials revoked\ncluster {name} removed\n"


def _traces(cluster: Member) -> tuple[bool, bool]:
    """Whether there is a binding of the host, and its mark."""
    return (
        b"skerry:" in cluster.kubectl("get", "clusterrolebindings", "-o", "name"),
        b"skerry.dev" in cluster.kubectl("get", "namespace", "kube-system", "-o", "yaml"),
    )


def _cleaned(cluster: Member) -> None:
    """What the test before has left there, whose host ended first, or whose agent had no time to take it away."""
    for line in cluster.kubectl("get", "clusterrolebindings", "-o", "name").split():
        if b"skerry:" in line:
            cluster.kubectl("delete", line.decode())
    cluster.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


def test_a_cluster_that_is_denied_is_told_why_and_leaves_nothing(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    agent = host.agent(plain_cluster, host.token("unwanted", "--approval"), state=tmp_path)
    _waits(host, "unwanted")
    host.ok("cluster", "deny", "unwanted", "--reason", "who are you")
    assert agent.exits() == 1
    assert "who are you" in agent.said().splitlines()[-1]
    eventually(lambda: not host.cluster("unwanted"), "it is gone", 10)
    again = host.agent(plain_cluster, None, "--name", "unwanted", state=tmp_path)
    assert again.exits() == 1
    assert "who are you" in again.said().splitlines()[-1]
    assert b"skerry:" not in plain_cluster.kubectl("get", "clusterrolebindings", "-o", "name")


def _waits(host: Host, name: str) -> None:
    """Until kubectl shows that it waits for approval."""
    chosen = ("get", "cluster", name, "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}')
    eventually(lambda: host.kubectl_run(None, *chosen).stdout == b"ApprovalPending", "it waits", 30)


def test_a_read_only_member_cannot_be_written_to_by_the_administrator_of_the_host(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    _cleaned(plain_cluster)
    agent = host.join(plain_cluster, "sealed", "--read-only", state=tmp_path)
    host.kubectl("sealed", "get", "configmaps")
    _assert_is_read_only(host, "sealed")
    for options, check in (((), _assert_is_read_only), (("--ceiling-off",), _assert_is_open)):
        assert agent.stop() == 0
        eventually(lambda: not host.ready("sealed"), "its end is told", 10)
        agent = host.agent(plain_cluster, None, "--name", "sealed", *options, state=tmp_path)
        host.wait_ready("sealed", agent)
        check(host, "sealed")
    told = "its own administrator set its ceiling: open (before: read-only)"
    eventually(lambda: told in host.kubectl(None, "events", "--for", "cluster/sealed"), "the change is told", 10)


def _assert_is_read_only(host: Host, member: str) -> None:
    done = host.kubectl_run(member, "create", "configmap", "no")
    assert done.returncode == 1
    assert b"read-only" in done.stderr


def _assert_is_open(host: Host, member: str) -> None:
    host.kubectl(member, "create", "configmap", "yes")
