"""The host's keys are replaced under a running watch, with one member awake, one that wakes up in time and one that does not."""

from __future__ import annotations

import json
import subprocess
import threading

import pytest

from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(480)]


class Watcher:
    """A client that watches ConfigMaps of a member, and goes on where it was when it is cut."""

    def __init__(self, host: Host, member: str) -> None:
        self._host, self._member = host, member
        self.names: list[str] = []
        self._over, self._version = threading.Event(), "0"
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.2):
            path = f"/api/v1/namespaces/default/configmaps?watch=true&resourceVersion={self._version}"
            command = self._host.kubectl_command(self._member, "get", "--raw", path)
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as self._process:
                assert self._process.stdout is not None
                for line in self._process.stdout:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:  # it was cut within a line
            return
        if event["type"] == "ADDED":
            self._version = event["object"]["metadata"]["resourceVersion"]
            self.names.append(event["object"]["metadata"]["name"])

    def end(self) -> None:
        self._over.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join(20)


def test_keys_are_replaced_with_a_member_asleep(federation: Host, member_two: Member, plain_cluster: Member) -> None:
    host = federation
    lost = host.join(plain_cluster, "three")
    lost.stop()
    asleep = next(each for each in host.agents if each.log.parent.name == f"agent-{member_two.name}")
    host.kubeconfig("one")
    watcher, made = Watcher(host, "one"), list[str]()

    def make() -> None:
        """One more ConfigMap, through the host."""
        name = f"key-{len(made)}"
        eventually(lambda: host.kubectl_run("one", "create", "configmap", name).returncode == 0, f"{name} is made")
        made.append(name)

    try:
        make()
        asleep.stop()
        for key in ("secrets", "sys", "signing"):
            host.ok("keys", "rotate", key)
            make()
        waits = host.skerry("keys", "rotate", "trust-root", "--wait", "3s")
        told = ["1 of 3 moved" in waits.stderr, "two (agent" in waits.stderr, "three (agent" in waits.stderr]
        assert (waits.returncode, *told) == (5, True, True, True), waits
        refused = host.skerry("keys", "finish", "trust-root")
        assert (refused.returncode, "would be lost" in refused.stderr) == (1, True), refused
        make()
        again = host.agent(member_two, None)
        eventually(lambda: host.serves("two"), "two serves again")
        moved = eventually(lambda: _moved(host) == 2, "two has moved, three is away", 60)
        assert moved
        host.ok("keys", "finish", "trust-root", "--drop-away")
        for key in ("sys", "signing", "secrets"):
            host.ok("keys", "finish", key)
            make()
        listed = json.loads(host.ok("keys", "list", "-o", "json"))
        assert {each["state"] for each in listed} == {"in use"}
        eventually(lambda: host.serves("one") and host.serves("two"), "both serve", 60)
        eventually(lambda: [name for name in watcher.names if name.startswith("key-")] == made, "nothing is lost")
        assert "being replaced" in again.said()
        _comes_back(host, plain_cluster)
    finally:
        watcher.end()


def _moved(host: Host) -> int:
    listed = json.loads(host.ok("keys", "list", "-o", "json"))
    return int(next(each["moved"] for each in listed if each["key"] == "trust-root"))


def _comes_back(host: Host, member: Member) -> None:
    """An agent that was away while the trust root that it believes was dropped says what to do, and joins anew so."""
    agent = host.agent(member, None, "--name", "three")
    eventually(lambda: "skerry cluster remove three" in agent.said(), "it says how it comes back", 60)
    assert not host.serves("three")
    agent.stop()
    host.ok("cluster", "remove", "three")
    host.wait_ready("three", host.agent(member, host.token("three")))
    eventually(lambda: host.serves("three"), "three serves again", 60)
