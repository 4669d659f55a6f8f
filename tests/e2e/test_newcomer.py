"""The main job with a real node: what a platform engineer does in the first hour, through the host."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.federation import Host, eventually, free_port
from tests.kube import netns, pods
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "greeting"}, "data": {"text": "hello"}}


@pytest.fixture(scope="module")
def pod(federation: Host, member_one: Member) -> str:
    """A busybox pod that was made through the host and runs on member one."""
    federation.kubectl("one", "apply", "-f", "-", stdin=json.dumps(pods.busybox("sailor")).encode())
    federation.kubectl("one", "wait", "--for=condition=Ready", "--timeout=60s", "pod/sailor")
    return "sailor"


def test_the_host_lists_itself_and_both_members(federation: Host) -> None:
    rows = [line.split() for line in federation.kubectl(None, "get", "clusters", "--no-headers").splitlines()]
    assert [(row[0], row[1], row[2], row[3]) for row in rows if row[0] != "host"] == [
        ("one", "member", "agent", "True"),
        ("two", "member", "agent", "True"),
    ]
    assert [row[1] for row in rows if row[0] == "host"] == ["host"]


def test_an_object_applied_through_the_host_is_on_the_member(federation: Host, member_one: Member) -> None:
    federation.kubectl("one", "apply", "-f", "-", stdin=json.dumps(CONFIG_MAP).encode())
    assert json.loads(member_one.kubectl("get", "configmap", "greeting", "-o", "json"))["data"] == {"text": "hello"}


def test_a_change_made_through_the_host_is_seen_by_a_watch(federation: Host) -> None:
    watch = subprocess.Popen(
        federation.kubectl_command("one", "get", "configmaps", "-w", "-o", "name"), stdout=subprocess.PIPE
    )
    try:
        out = watch.stdout
        assert out is not None
        assert out.readline()
        federation.kubectl("one", "create", "configmap", "seen-by-the-watch")
        eventually(lambda: b"seen-by-the-watch" in out.readline(), "the watch event")
    finally:
        watch.terminate()
        watch.communicate()


def test_logs_follow_a_pod(federation: Host) -> None:
    talker = pods.busybox("crier", f"echo ahoy; sleep 1; echo again; {pods.FOREVER}")
    federation.kubectl("one", "apply", "-f", "-", stdin=json.dumps(talker).encode())
    federation.kubectl("one", "wait", "--for=condition=Ready", "--timeout=60s", "pod/crier")
    follow = subprocess.Popen(federation.kubectl_command("one", "logs", "-f", "crier"), stdout=subprocess.PIPE)
    try:
        assert follow.stdout is not None
        assert [follow.stdout.readline(), follow.stdout.readline()] == [b"ahoy\n", b"again\n"]
    finally:
        follow.terminate()
        follow.communicate()


def test_exec_carries_input_output_and_the_exit_code(federation: Host, pod: str) -> None:
    done = federation.kubectl_run("one", "exec", "-i", pod, "--", "sh", "-c", "cat; exit 7", stdin=b"some\0bytes\n")
    assert (done.stdout, done.returncode) == (b"some\0bytes\n", 7)


def test_exec_has_a_terminal(federation: Host, pod: str) -> None:
    command = federation.kubectl_command("one", "exec", "-it", pod, "--", "sh", "-c", "tty; stty size")
    done = subprocess.run(
        ["script", "-qec", " ".join(command), "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"/dev/" in done.stdout, done.stdout


@pytest.mark.parametrize("protocol", ["websocket", "spdy"])
def test_cp_is_byte_exact_in_both_directions(federation: Host, pod: str, tmp_path: Path, protocol: str) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(20_000_003))
    environment = {**os.environ, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": str(protocol == "websocket").lower()}
    for source, target in ((str(there), f"{pod}:/tmp/file"), (f"{pod}:/tmp/file", str(back))):
        command = federation.kubectl_command("one", "cp", source, target)
        done = subprocess.run(command, env=environment, capture_output=True, timeout=90, check=False)
        assert done.returncode == 0, f"{done.stderr!r}{federation.logs()}\n{federation.agents[0].said()}"
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()


def test_port_forward_reaches_a_server_in_a_pod(federation: Host) -> None:
    server = pods.busybox(
        "e2e-server", "mkdir /tmp/www; echo from the pod > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www"
    )
    federation.kubectl("one", "apply", "-f", "-", stdin=json.dumps(server).encode())
    federation.kubectl("one", "wait", "--for=condition=Ready", "--timeout=60s", "pod/e2e-server")
    port = free_port()
    command = federation.kubectl_command("one", "port-forward", "pod/e2e-server", f"{port}:8080")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as forward:
        try:
            assert forward.stdout is not None
            assert forward.stdout.readline().startswith(b"Forwarding from")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
                assert answer.read() == b"from the pod\n"
        finally:
            forward.terminate()


def test_nothing_connects_to_a_member(federation: Host, member_one: Member, member_two: Member) -> None:
    assert member_one.netns is not None
    assert member_two.netns is not None
    for port in (6443, 10250):
        assert not netns.connects(member_one.netns.address, port)
        assert not netns.connects(member_one.netns.address, port, source=member_two.netns)


def test_each_member_shows_its_own_objects_only(federation: Host) -> None:
    federation.kubectl("two", "create", "configmap", "only-on-two")
    assert "only-on-two" not in federation.kubectl("one", "get", "configmaps", "-o", "name")
    assert "only-on-two" in federation.kubectl("two", "get", "configmaps", "-o", "name")
