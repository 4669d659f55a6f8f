"""A command in a pod whose way is cut has not succeeded, whichever way kubectl took."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, member_one: Member) -> Iterator[Host]:
    """With its member `fragile`, whose agent is the last of `agents`."""
    with Host(tmp_path_factory.mktemp("cut"), (member_one.host_address,) if member_one.isolated else ()) as made:
        made.up()
        made.join(member_one, "fragile")
        yield made


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_a_command_whose_agent_is_killed_has_not_succeeded(host: Host, member_one: Member, websockets: str) -> None:
    with member_one.busybox(f"patient-{websockets}") as pod:
        words = host.kubectl_command("fragile", "exec", pod, "--", "sh", "-c", "echo begun; sleep 600")
        environment = {**os.environ, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
        command = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        assert command.stdout is not None
        assert command.stdout.readline() == b"begun\n"
        host.agents[-1].stop(signal.SIGKILL)
        _, said = command.communicate(timeout=30)
    assert command.returncode == 1, said
    if websockets == "false":
        assert b"cluster fragile" in said
    host.agent(member_one, None, "--name", "fragile")
    eventually(lambda: host.serves("fragile"), "requests reach fragile")
