"""Pods of the cluster that the host runs in, through the host: what runs for long, and both ways."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e import ownhost
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]
SCRIPT = "i=0; trap 'exit 0' TERM; while :; do echo line $i; i=$((i+1)); sleep 1 & wait $!; done"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, member_one: Member) -> Iterator[Host]:
    """A host that manages it, with the account of the chart."""
    directory = tmp_path_factory.mktemp("own")
    ownhost.accounts(member_one)
    file = ownhost.kubeconfig(member_one, "skerry-controller-manager", directory)
    with (
        member_one.reachable(),
        Host(directory / "host", environment={"SKERRY_HOST_KUBECONFIG": str(file)}) as made,
    ):
        made.up()
        made.wait_ready("host")
        yield made
    ownhost.forget(member_one)


@pytest.fixture(scope="module")
def pod(member_one: Member) -> Iterator[str]:
    """One that says a line each second."""
    with member_one.busybox("talker", SCRIPT) as name:
        yield name


def test_its_nodes_are_counted(host: Host) -> None:
    eventually(lambda: host.cluster("host")["status"].get("nodes") == 1, "the inventory is collected")


def test_exec_carries_input_output_and_the_exit_code(host: Host, pod: str) -> None:
    done = host.kubectl_run("host", "exec", "-i", pod, "--", "sh", "-c", "cat; exit 7", stdin=b"some\0bytes\n")
    assert (done.returncode, done.stdout) == (7, b"some\0bytes\n")


def test_logs_are_followed(host: Host, pod: str) -> None:
    command = host.kubectl_command("host", "logs", "-f", "--tail=1", pod)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        lines = [following.stdout.readline().split() for _ in range(3)]
        following.kill()
    numbers = [int(number) for word, number in lines]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


def test_who_may_view_gets_no_shell(host: Host, pod: str) -> None:
    host.kubeconfig("host")
    erin = host.credential("erin")
    grant = {
        "apiVersion": "skerry.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": "erin"},
        "spec": {"subjects": [{"kind": "User", "name": "erin"}], "clusters": {"names": ["host"]}, "role": "view"},
    }  # fmt: skip
    host.kubectl(None, "apply", "-f", "-", stdin=ownhost.encoded(grant))
    host.kubectl(None, "wait", "accessgrant/erin", "--for=condition=Enforced", "--timeout=30s")
    assert host.kubectl("host", "logs", "--tail=1", pod, kubeconfig=erin).startswith("line")
    done = host.kubectl_run("host", "exec", pod, "--", "true", kubeconfig=erin)
    assert done.returncode == 1
    assert b'User "skerry:erin" cannot' in done.stderr
