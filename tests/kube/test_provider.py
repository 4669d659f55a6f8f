"""The provider itself: its clusters are real, apart, and closed; what later tests stand on."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kube import netns, packages, pods
from tests.kube.member import Member
from tests.kube.netns import Namespace

pytestmark = [pytest.mark.kube, pytest.mark.timeout(180)]

_A_FEW_MEGABYTES = 5_000_003


@pytest.fixture(scope="module")
def pod(member_one: Member) -> Iterator[str]:
    """Name of a busybox pod that runs on member one."""
    with member_one.busybox("provider") as name:
        yield name


def test_a_plain_cluster_answers_from_the_host(plain_cluster: Member) -> None:
    version = json.loads(plain_cluster.kubectl("version", "--output=json"))
    assert version["serverVersion"]["gitVersion"].startswith("v1.")


def test_a_plain_cluster_has_controllers(plain_cluster: Member) -> None:
    plain_cluster.kubectl("create", "namespace", "gone")
    plain_cluster.kubectl("delete", "namespace", "gone", "--timeout=60s")


@pytest.mark.node
def test_members_are_told_apart_by_the_uid_of_kube_system(member_one: Member, member_two: Member) -> None:
    assert len({member_one.uid, member_two.uid, ""}) == 3


@pytest.mark.node
def test_a_credential_of_one_member_is_worth_nothing_at_the_other(member_one: Member, member_two: Member) -> None:
    if not member_one.token:
        pytest.skip("of these clusters no token is known")
    foreign = member_two.kubectl_command("get", "namespaces", f"--token={member_one.token}", "--kubeconfig=/dev/null")
    where = [f"--server={member_two.url}", f"--certificate-authority={member_two.ca}"]
    done = member_two.run_inside([*foreign, *where])
    assert done.returncode != 0
    assert b"Unauthorized" in done.stderr or b"must be logged in" in done.stderr


@pytest.mark.node
def test_logs_come_from_the_pod(member_one: Member) -> None:
    with member_one.busybox("talker", f"echo hello from the reef; {pods.FOREVER}") as talker:
        _eventually(lambda: member_one.kubectl("logs", talker) == b"hello from the reef\n")


@pytest.mark.node
def test_exec_carries_input_output_and_the_exit_code(member_one: Member, pod: str) -> None:
    script = "cat; echo done; exit 7"
    command = member_one.kubectl_command("exec", "--stdin", pod, "--", "sh", "-c", script)
    done = member_one.run_inside(command, stdin=b"some\0bytes\n")
    assert (done.stdout, done.returncode) == (b"some\0bytes\ndone\n", 7)


@pytest.mark.node
def test_cp_is_byte_exact_in_both_directions(member_one: Member, pod: str, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(_A_FEW_MEGABYTES))
    member_one.kubectl("cp", str(there), f"{pod}:/tmp/file")
    inside = member_one.kubectl("exec", pod, "--", "sha256sum", "/tmp/file").split()[0].decode()
    member_one.kubectl("cp", f"{pod}:/tmp/file", str(back))
    assert inside == hashlib.sha256(there.read_bytes()).hexdigest()
    assert back.read_bytes() == there.read_bytes()


@pytest.mark.node
def test_port_forward_reaches_a_server_in_the_pod(member_one: Member) -> None:
    server = "mkdir /tmp/www; echo from the pod > /tmp/www/index.html; httpd -f -p 8080 -h /tmp/www"
    with member_one.busybox("server", server) as name:
        command = member_one.command(member_one.kubectl_command("port-forward", f"pod/{name}", ":8080"))
        with subprocess.Popen(command, stdout=subprocess.PIPE) as forward:
            try:
                assert forward.stdout is not None
                port = forward.stdout.readline().split(b" -> ")[0].rsplit(b":", 1)[1].decode()
                done = member_one.run_inside(["busybox", "wget", "-qO-", f"http://127.0.0.1:{port}/"])
            finally:
                forward.terminate()
    assert done.stdout == b"from the pod\n"


@pytest.mark.node
def test_a_pod_that_names_no_node_runs(member_one: Member, pod: str) -> None:
    assert pod, "here pods run at all"
    image = f"--image={member_one.image}"
    member_one.kubectl("create", "deployment", "swarm", image, "--replicas=2", "--", "sleep", "1000")
    member_one.kubectl("rollout", "status", "deployment/swarm", "--timeout=60s", timeout_s=70)
    member_one.kubectl("delete", "deployment", "swarm")


@pytest.mark.node
def test_a_pod_reaches_its_api_server_and_the_host(member_one: Member, pod: str) -> None:
    dial = ["exec", pod, "--", "nc", "-w", "5"]
    member_one.kubectl(*dial, "10.0.0.1", "443", "-e", "/bin/true")
    with _listener(member_one.host_address) as server:
        member_one.kubectl(*dial, member_one.host_address, str(server.getsockname()[1]), "-e", "/bin/true")


@pytest.mark.node
def test_a_member_dials_out_to_the_host(namespace_one: Namespace) -> None:
    with _listener(namespace_one.host_address) as server:
        assert netns.connects(*server.getsockname(), source=namespace_one)


@pytest.mark.node
def test_the_host_connects_to_no_port_on_which_a_member_listens(namespace_one: Namespace) -> None:
    address = namespace_one.address
    ports = netns.listening_ports(namespace_one)
    open_inside = {port for port in ports if netns.connects(address, port, source=namespace_one)}
    assert {6443, 10250} <= open_inside
    assert [port for port in ports if netns.connects(address, port)] == []


@pytest.mark.node
def test_the_host_cannot_connect_to_a_port_that_is_opened_later(namespace_one: Namespace) -> None:
    with namespace_one.entered():
        server = _listener("0.0.0.0")
    with server:
        port = server.getsockname()[1]
        assert netns.connects(namespace_one.address, port, source=namespace_one)
        assert not netns.connects(namespace_one.address, port)


@pytest.mark.node
def test_members_cannot_connect_to_each_other(namespace_one: Namespace, namespace_two: Namespace) -> None:
    for source, target in ((namespace_one, namespace_two), (namespace_two, namespace_one)):
        assert not netns.connects(target.address, 6443, source=source)
        assert not netns.connects(target.host_address, 6443, source=source)


@pytest.mark.node
def test_a_member_cannot_make_the_host_forward(namespace_one: Namespace, namespace_two: Namespace) -> None:
    """Even with a route of its own: what is asked here is the host's kernel, not the member's good behaviour."""
    ip = packages.required("ip")
    namespace_one.run([ip, "route", "add", namespace_two.address, "via", namespace_one.host_address])
    try:
        assert not netns.connects(namespace_two.address, 6443, source=namespace_one)
    finally:
        namespace_one.run([ip, "route", "del", namespace_two.address])


def _listener(address: str) -> socket.socket:
    server = socket.socket()
    server.bind((address, 0))
    server.listen()
    return server


def _eventually(holds: Callable[[], bool], deadline_s: float = 20.0) -> None:
    until = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < until, "did not become true before the deadline"
        time.sleep(0.1)
