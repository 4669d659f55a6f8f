"""`skerry up --demo` as on a fresh machine: real control planes, agents, the tour, and nothing left afterwards."""

from __future__ import annotations

import functools
import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skerry.localkube import binaries
from tests.cli.test_up import DEADLINE_S, Host, _alive, _eventually, ignoring

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    plan = binaries.plan(("etcd", *binaries.CONTROL_PLANE))
    if plan.to_build or plan.missing:
        pytest.skip("no kube-apiserver is built yet: python -m skerry.localkube build")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.run("down", "--purge")


@dataclass(frozen=True)
class Demo:
    """One that runs, and what was said at its start."""

    host: Host
    said: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """For tests that leave it as it is, and at last the one that ends it."""
    host = Host(tmp_path_factory.mktemp("demo"))
    try:
        done = host.up("--demo")
        assert done.returncode == 0, done.stderr
        yield Demo(host, done.stdout)
    finally:
        host.run("down", "--purge")


def _processes(host: Host) -> list[int]:
    """Pids of every process whose command line or environment names the state directory."""
    mark = str(host.state).encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "cmdline").read_bytes() or mark + b"/agents" in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_the_demo_shows_a_federation(demo: Demo) -> None:
    assert "skerry-tour created" in demo.said
    assert "[watch] MODIFIED skerry-tour" in demo.said
    assert "--user vera get configmap skerry-tour" in demo.said
    assert "pods do not run" in demo.said
    assert demo.host.status()["clusters"] == {
        "total": 2,
        "ready": 2,
        "states": {},
        "desired": {"members": 0, "entries": 0},
    }
    assert {line.split()[0] for line in demo.host.ok("clusters").splitlines()[1:]} == {"host", "m1", "m2"}


def test_a_viewer_reads_and_does_not_write(demo: Demo) -> None:
    host = demo.host
    config = host.state / "demo" / "kubeconfig"
    token = host.ok("credential", "create", "vera", "--group", "skerry:view").strip()
    kubectl = [str(binaries.kubectl(prefer_wheel=True)), "--kubeconfig", str(config), "--context", "skerry-m1"]
    run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    (config.parent / "token").write_text(token)
    document = json.loads(config.read_text())
    document["users"].append({"name": "viewer", "user": {"tokenFile": str(config.parent / "token")}})
    config.write_text(json.dumps(document))
    viewer = [*kubectl, "--user", "viewer"]
    read = run([*viewer, "get", "pods", "-A"])
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "No resources found\n")
    assert run([*viewer, "auth", "can-i", "get", "secrets"]).stdout == "no\n"
    assert "is forbidden" in run([*viewer, "create", "configmap", "c"]).stderr
    assert run([*kubectl, "create", "namespace", "shop"]).returncode == 0
    account = [*kubectl, "wait", "--for=create", "serviceaccount/default", "-n", "shop", f"--timeout={DEADLINE_S:.0f}s"]
    made = run(account)
    assert made.returncode == 0, made.stderr


def test_a_second_demo_is_the_same_one_and_purge_leaves_nothing(demo: Demo) -> None:
    host = demo.host
    again = host.up("--demo")
    assert again.returncode == 0, again.stderr
    purged = host.run("down", "--purge")
    assert purged.returncode == 0
    assert str(binaries.cache_dir()) in purged.stderr
    assert not host.state.exists()
    _eventually(lambda: not _processes(host), "processes are left")


def test_contexts_of_the_users_own_come_first(host: Host, tmp_path: Path) -> None:
    host.env["SKERRY_DEMO_KUBECONFIG"] = str(tmp_path / "empty")
    (tmp_path / "empty").write_text('{"contexts": []}')
    done = host.up("--demo")
    assert done.returncode == 4
    assert "has no contexts" in done.stderr
    assert host.status()["ready"] is True


def test_where_no_cluster_can_be_had_the_host_is_up_all_the_same(host: Host, tmp_path: Path) -> None:
    host.env |= {"SKERRY_CACHE": str(tmp_path / "cache"), "KUBEBUILDER_ASSETS": "", "PATH": "/usr/bin:/bin"}
    if any(Path(directory, "go").exists() for directory in ("/usr/bin", "/bin")):
        pytest.skip("go is installed where every PATH has it")
    done = host.up("--demo")
    assert done.returncode == 4
    assert "token create NAME" in done.stderr
    assert host.status()["ready"] is True


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.soak)])
def test_a_demo_in_the_foreground_ends_with_it(host: Host, tmp_path: Path, how: signal.Signals) -> None:
    words = ignoring("INT", host.command("up", "--demo", "--listen", host.listen, "--bus", host.bus))
    with (
        (tmp_path / "err").open("w+") as err,
        subprocess.Popen(words, env=host.env, stdout=subprocess.PIPE, stderr=err, text=True) as front,
    ):
        assert front.stdout is not None
        assert any("Now you:" in line for line in front.stdout), (tmp_path / "err").read_text()
        front.send_signal(how)
        front.stdout.read()
        assert front.wait(DEADLINE_S) == (130 if how is signal.SIGINT else -signal.SIGKILL)
    _eventually(lambda: not [pid for pid in _processes(host) if _alive(pid)], "processes are left")
