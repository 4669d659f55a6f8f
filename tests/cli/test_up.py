"""A real host by the real command line: up, second up, crashes, formats, addresses, down."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.plan import RunStatus, is_locked, read_status
from skerry.httpwire.names import server_name

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
DEADLINE_S = 30.0
Done = subprocess.CompletedProcess[str]


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Host:
    """One state directory and the command line on it."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.listen, self.bus = f"127.0.0.1:{_port()}", f"127.0.0.1:{_port()}"
        self.env = {**os.environ, "SKERRY_STATE": str(self.state), "KUBECONFIG": str(directory / "kubeconfig")}
        self.env.pop("SKERRY_TOKEN_FILE", None)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "skerry.cli", *words]

    def run(self, *words: str, stdin: str = "") -> Done:
        return subprocess.run(
            self.command(*words), env=self.env, input=stdin, capture_output=True, text=True, timeout=90
        )

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def up(self, *words: str) -> Done:
        return self.run("up", "--detach", "--listen", self.listen, "--bus", self.bus, *words)

    def started(self, *words: str) -> None:
        done = self.up(*words)
        assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "-o", "json").stdout)
        return found

    @property
    def now(self) -> RunStatus:
        """What its supervisor says, read from its file: waiting by calls of `status` costs more than what is waited for."""
        return read_status(self.state / "host") or RunStatus()

    def pids(self) -> dict[str, int]:
        return {process.name: process.pid for process in self.now.processes}

    @property
    def supervisor(self) -> int:
        return int((self.state / "host" / "lock").read_text())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    if is_locked(made.state / "host" / "lock"):
        made.run("down")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host for tests that leave it as it is."""
    made = Host(tmp_path_factory.mktemp("up"))
    made.started()
    yield made
    made.run("down")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host that has run, and was stopped."""
    made = Host(tmp_path_factory.mktemp("once"))
    made.started()
    made.ok("down")
    return made


@pytest.fixture
def stopped(once: Host) -> Iterator[Host]:
    """The same for one test; what that leaves running is stopped."""
    assert not is_locked(once.state / "host" / "lock")
    yield once
    if is_locked(once.state / "host" / "lock"):
        once.run("down")


def ignoring(number: str, words: list[str]) -> list[str]:
    """The command, started by a shell that ignores a signal (`INT`)."""
    return ["sh", "-c", f"trap '' {number}; exec \"$@\"", "sh", *words]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# While it runs


def test_status_tells_programs_everything(running: Host) -> None:
    found = running.status()
    assert set(found) == {"version", "state", "api", "appStore", "bus", "ready", "processes", "clusters", "leaders"}
    assert found["ready"] is True
    assert [p["name"] for p in found["processes"]] == ["nats-server", "controller-manager", "tower"]
    assert set(found["processes"][0]) == {"name", "pid", "ready", "reason", "log"}
    assert found["clusters"] == {"total": 0, "ready": 0, "states": {}, "desired": {"members": 0, "entries": 0}}
    manager = next(each["pid"] for each in found["processes"] if each["name"] == "controller-manager")
    assert found["leaders"]["registry"].split("/")[1] == str(manager)
    assert "leader of registry: " in running.run("status").stdout


def test_a_second_up_says_that_it_is_running_and_where(running: Host) -> None:
    done = running.up()
    assert done.returncode == 0
    assert "is running already" in done.stdout
    assert running.listen in done.stdout


def test_a_second_up_with_other_options_names_the_difference_and_the_way_out(running: Host) -> None:
    done = running.up("--address", "host.example")
    assert done.returncode == 1
    assert "--address is not set, asked: host.example" in done.stderr
    assert "down" in done.stderr


def test_nothing_secret_is_readable_by_others(running: Host) -> None:
    for path in [running.state, *running.state.rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_no_secret_is_in_a_command_line_or_an_environment(running: Host) -> None:
    token = (running.state / "host" / "admin.token").read_text().strip()
    for pid in [running.supervisor, *running.pids().values()]:
        for name in ("cmdline", "environ"):
            text = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")
            assert token not in text
            assert "PRIVATE KEY" not in text


def test_the_admin_sees_the_host_in_the_clusters_table(running: Host) -> None:
    lines = running.ok("clusters").splitlines()
    assert lines[0].split()[:4] == ["NAME", "ROLE", "CONNECTION", "READY"]
    assert lines[1].split()[:4] == ["host", "host", "none", "True"]


@pytest.mark.parametrize(
    ("style", "start"), [("json", "{"), ("yaml", "kind: ClusterList"), ("name", "cluster.skerry.dev/host")]
)
def test_clusters_in_other_formats(running: Host, style: str, start: str) -> None:
    assert running.ok("cluster", "list", "-o", style).startswith(start)


def test_a_join_token_is_alone_on_stdout_with_a_line_to_copy_and_a_warning(running: Host) -> None:
    done = running.run("token", "create", "m1")
    assert done.returncode == 0
    assert len(done.stdout.split()) == 1
    assert done.stdout.startswith("skerry-join-")
    assert f"echo {done.stdout.strip()} | " in done.stderr
    assert "warning: the token carries a loopback address (127.0.0.1)" in done.stderr
    assert "m1" in running.ok("token", "list")


def test_a_credential_is_alone_on_stdout_and_can_be_revoked(running: Host) -> None:
    done = running.run("credential", "create", "ann", "--group", "skerry:view")
    assert done.stdout.startswith("skerry_")
    assert len(done.stdout.split()) == 1
    name = done.stderr.split()[-1]
    assert name in running.ok("credential", "list")
    running.ok("credential", "revoke", name)
    assert name not in running.ok("credential", "list")


def test_all_that_a_user_has_can_be_revoked_and_for_good(running: Host) -> None:
    assert "name one credential, or a user" in running.run("credential", "revoke").stderr
    assert "name one credential, or a user" in running.run("credential", "revoke", "abc", "--user", "ben").stderr
    assert (
        "all credentials of ben are revoked: revocation" in running.run("credential", "revoke", "--user", "ben").stderr
    )
    assert "revoked for good" in running.run("credential", "revoke", "--user", "ben", "--for-good").stderr
    assert "is disabled already" in running.run("credential", "revoke", "--user", "ben").stderr
    assert "user 'ben' is disabled" in running.run("credential", "create", "ben").stderr
    assert "would be locked out" in running.run("credential", "revoke", "--user", "admin").stderr


def test_a_refusal_of_the_host_is_one_line_and_with_json_a_status(running: Host) -> None:
    words = ("credential", "create", "eve", "--group", "system:masters")
    done = running.run(*words)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(running.run(*words, "-o", "json").stderr)["code"] == 422


def test_removing_what_does_not_exist_fails(running: Host) -> None:
    done = running.run("cluster", "remove", "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_a_kubeconfig_is_json_on_stdout(running: Host) -> None:
    document = json.loads(running.ok("kubeconfig"))
    assert document["current-context"] == "skerry"
    assert document["clusters"][0]["cluster"]["server"] == f"https://{running.listen}"


def test_a_kubeconfig_of_an_unknown_member_fails(running: Host) -> None:
    assert "no cluster m9" in running.run("kubeconfig", "m9").stderr


def test_merging_writes_where_kubectl_would(running: Host) -> None:
    running.ok("kubeconfig", "--merge", "--use", "skerry")
    text = Path(running.env["KUBECONFIG"]).read_text()
    assert "current-context: skerry" in text


def test_merging_over_another_hosts_entries_is_refused_with_a_way_out(running: Host, tmp_path: Path) -> None:
    theirs = (
        "apiVersion: v1\nkind: Config\nusers: [{name: skerry, user: {token: precious}}]\n"
        'clusters: [{name: skerry, cluster: {server: "https://other.test"}}]\n'
        "contexts: [{name: skerry, context: {cluster: skerry, user: skerry}}]\n"
    )
    path = tmp_path / "config"
    path.write_text(theirs)
    env = {**running.env, "KUBECONFIG": str(path)}
    words = running.command("kubeconfig", "--merge")
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert f"user skerry in {path}" in done.stderr
    assert "--name NAME" in done.stderr
    assert path.read_text() == theirs
    done = subprocess.run([*words, "--name", "mine"], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "precious" in path.read_text()
    assert "name: mine" in path.read_text()


def test_the_front_door_answers_to_the_names_of_members(running: Host) -> None:
    authority = (running.state / "host" / "pki" / "ca.crt").read_text()
    [host] = json.loads(running.ok("clusters", "-o", "json"))["items"]
    address, _, port = running.listen.rpartition(":")
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection((address, int(port)), 10) as plain,
        context.wrap_socket(plain, server_hostname=server_name("m1", host["status"]["uid"])) as secure,
    ):
        secure.sendall(b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n")
        assert secure.recv(12) == b"HTTP/1.1 401"  # of the host it would be open


def test_the_clients_work_from_anywhere_with_a_kubeconfig(running: Host, tmp_path: Path) -> None:
    running.ok("kubeconfig", "--output", str(tmp_path / "k"))
    env = {**running.env, "SKERRY_STATE": str(tmp_path / "none")}
    words = running.command("clusters", "-o", "name", "--kubeconfig", str(tmp_path / "k"))
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=30)
    assert done.stdout == "cluster.skerry.dev/host\n"


def test_logs_are_shown_by_name(running: Host) -> None:
    assert "Server is ready" in running.ok("logs", "nats-server")
    assert running.run("logs", "nobody").returncode == 1


def test_a_kill_of_each_process_is_repaired(running: Host) -> None:
    for name in ("nats-server", "controller-manager", "tower"):
        before = running.pids()[name]
        os.kill(before, signal.SIGKILL)
        _eventually(lambda n=name, b=before: running.pids()[n] not in (0, b), f"{name} is not started again")  # type: ignore[misc]
    _eventually(lambda: running.now.ready, "not ready again")
    running.ok("clusters")


# Starts and ends


def test_down_stops_everything_and_keeps_the_state(stopped: Host) -> None:
    stopped.started()
    pids = [stopped.supervisor, *stopped.pids().values()]
    stopped.ok("down")
    assert not any(map(_alive, pids))
    assert stopped.run("status").returncode == 3
    assert stopped.ok("down") == ""
    assert (stopped.state / "host" / "admin.token").exists()


def test_purge_deletes_the_state_and_our_kubeconfig_entries(host: Host) -> None:
    host.started()
    host.ok("kubeconfig", "--merge")
    done = host.run("down", "--purge")
    assert done.returncode == 0
    assert not host.state.exists()
    assert "skerry" not in Path(host.env["KUBECONFIG"]).read_text()


def test_kill_9_of_the_supervisor_leaves_no_orphans_and_the_next_up_recovers(stopped: Host) -> None:
    stopped.started()
    pids = list(stopped.pids().values())
    os.kill(stopped.supervisor, signal.SIGKILL)
    _eventually(lambda: not any(map(_alive, pids)), "orphans")
    assert stopped.run("status").returncode == 3
    done = stopped.up()
    assert done.returncode == 0, done.stderr
    assert "not stopped properly" in done.stderr
    stopped.ok("clusters")


def test_in_the_foreground_ctrl_c_stops_everything_and_exits_130(host: Host) -> None:
    words = host.command("up", "--listen", host.listen, "--bus", host.bus)
    with subprocess.Popen(words, env=host.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as front:
        _eventually(lambda: host.now.ready, "not ready")
        pids = [host.supervisor, *host.pids().values()]
        front.send_signal(signal.SIGINT)
        _, err = front.communicate(timeout=DEADLINE_S)
    assert front.returncode == 130
    assert "Traceback" not in err
    _eventually(lambda: not any(map(_alive, pids)), "processes are left")


def test_started_by_a_script_in_the_background_it_hears_ctrl_c_as_soon_as_it_is_up(host: Host) -> None:
    """`up &` of a shell without job control starts with SIGINT ignored, until `follow` has a handler for it."""
    words = ignoring("INT", host.command("up", "--listen", host.listen, "--bus", host.bus))
    with subprocess.Popen(words, env=host.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as front:
        assert front.stdout is not None
        assert any("is up after" in line for line in front.stdout)
        front.send_signal(signal.SIGINT)
        supervisor = host.supervisor
        assert front.wait(DEADLINE_S) == 130
    _eventually(lambda: not _alive(supervisor), "the supervisor is left")


def test_kill_9_of_the_foreground_leaves_no_orphans(host: Host) -> None:
    words = host.command("up", "--listen", host.listen, "--bus", host.bus)
    with subprocess.Popen(words, env=host.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as front:
        _eventually(lambda: host.now.ready, "not ready")
        pids = [host.supervisor, *host.pids().values()]
        front.kill()
    _eventually(lambda: not any(map(_alive, pids)), "orphans")


def test_a_port_in_use_is_named_and_nothing_is_left(host: Host) -> None:
    with socket.socket() as other:
        address, port = host.listen.split(":")
        other.bind((address, int(port)))
        other.listen()
        done = host.up()
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot listen on {host.listen}: Address already in use")
    assert "--listen" in done.stderr
    assert list((host.state / "host").iterdir()) == []


def test_a_state_directory_that_cannot_be_written_is_named(host: Host) -> None:
    host.state.touch()
    done = host.up()
    assert done.returncode == 1
    assert "is not writable" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_newer_state_is_refused_naming_both_versions(host: Host) -> None:
    (host.state / "host").mkdir(parents=True)
    (host.state / "host" / "state.json").write_text(json.dumps({"format": 99, "version": "9.9.9"}))
    done = host.up()
    assert done.returncode == 1
    assert "format 99, written by skerry 9.9.9" in done.stderr


def test_older_state_is_migrated_after_a_copy_and_is_the_same_host(stopped: Host) -> None:
    path = stopped.state / "host" / "state.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "format": 0}))
    done = stopped.up()
    assert done.returncode == 0, done.stderr
    copy = stopped.state / "host.format-0"
    assert str(copy) in done.stderr
    assert json.loads((copy / "state.json").read_text())["format"] == 0
    assert json.loads(path.read_text()) == document
    assert "host" in stopped.ok("clusters")


def test_a_start_that_takes_too_long_is_exit_5_with_the_tail_of_a_log_and_goes_on(host: Host) -> None:
    for wait_s in (0.3, 0.6, 1.2):  # on a busy machine nothing has logged anything after so short a time
        done = host.up("--wait", f"{wait_s}s")
        assert done.returncode == 5
        assert f"not ready after {wait_s} s" in done.stderr
        if "--- " in done.stderr:
            break
        host.ok("down")
    tail = done.stderr.partition("not ready after")[2].splitlines()[
        1
    ]  # before it, on a busy machine, what is waited for
    assert tail.startswith("--- ")
    assert ".log" in tail
    _eventually(lambda: host.now.ready, "it does not go on")


def test_a_new_address_reissues_the_certificate_under_the_same_authority(stopped: Host) -> None:
    ca, token = ((stopped.state / "host" / name).read_bytes() for name in ("pki/ca.crt", "admin.token"))
    stopped.started("--address", "localhost", "--address", "10.11.12.13")
    assert (stopped.state / "host" / "pki" / "ca.crt").read_bytes() == ca
    assert (stopped.state / "host" / "admin.token").read_bytes() == token
    port = int(stopped.listen.rpartition(":")[2])
    tls = ssl.create_default_context(cafile=stopped.state / "host" / "pki" / "ca.crt")
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as s,
    ):
        names = s.getpeercert() or {}
    assert ("IP Address", "10.11.12.13") in names["subjectAltName"]
    assert stopped.status()["api"] == f"https://localhost:{port}"
    token_text = stopped.ok("token", "create", "m1")
    from skerry.identity import jointoken

    bus_port = stopped.bus.rpartition(":")[2]
    assert jointoken.decode(token_text).servers == [f"tls://localhost:{bus_port}", f"tls://10.11.12.13:{bus_port}"]


def test_without_nats_server_the_prerequisite_is_named_with_exit_4(host: Host, tmp_path: Path) -> None:
    from skerry.cli import bootstrap
    from skerry.cli.failure import MISSING, Failure
    from skerry.cli.plan import UpOptions

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
        with pytest.raises(Failure, match="nats-server") as caught:
            bootstrap.prepare(tmp_path, UpOptions(listen=host.listen, bus=host.bus))
    assert caught.value.code == MISSING
    assert list(tmp_path.iterdir()) == []
