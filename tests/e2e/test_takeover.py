"""A cluster changes hands between two whole hosts, both ways and back, and is never served by both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.api.kinds import BUILT_IN
from tests.e2e.federation import Agent, Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(480)]

LOOK = {"SKERRY_LOOK_S": "2"}
ACCESS = "clusterroles,rolebindings,clusterrolebindings"
GRANT: dict[str, Any] = {
    "apiVersion": "skerry.dev/v1alpha1",
    "kind": "AccessGrant",
    "metadata": {"name": "team"},
    "spec": {
        "subjects": [{"kind": "Group", "name": "team"}],
        "role": "edit",
        "clusters": {"names": ["m1"]},
        "namespaces": ["default"],
    },
}
"""The same on both hosts: what it needs on the cluster has the same name, and the label of the one that wrote it."""
ALONE = {**GRANT, "metadata": {"name": "alone"}, "spec": {**GRANT["spec"], "role": "view"}}
"""On the first host alone."""


@pytest.fixture(scope="module")
def east(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The host that has the cluster first."""
    with Host(tmp_path_factory.mktemp("east"), (), LOOK) as host:
        host.up()
        yield host


@pytest.fixture(scope="module")
def west(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The one that takes it over."""
    with Host(tmp_path_factory.mktemp("west"), (), LOOK) as host:
        host.up()
        yield host


class Held:
    """The cluster as m1 of a host, with the agent that it has there, if it has one."""

    def __init__(self, host: Host, member: Member, mode: str, state: Path) -> None:
        self.host, self._member, self._mode, self._state = host, member, mode, state
        self._agent: Agent | None = None

    def join(self, *options: str) -> None:
        """By the way of this mode, until it is Ready."""
        file = self._member.kubeconfig
        if self._mode == "direct":
            self.host.ok("cluster", "join", "m1", "--direct", "--kubeconfig", str(file), *options)
        else:
            self._agent = self.host.agent(self._member, self.host.token("m1"), *options, state=self._state)
        self.host.wait_ready("m1", self._agent)

    def is_refused(self) -> str:
        """What is said to a join that does not ask to take over."""
        if self._mode == "direct":
            done = self.host.skerry("cluster", "join", "m1", "--direct", "--kubeconfig", str(self._member.kubeconfig))
            assert done.returncode == 1
            return done.stderr
        agent = self.host.agent(self._member, self.host.token("m1"), state=self._state.with_name("refused"))
        assert agent.exits() == 1
        return agent.said()

    def take_back(self) -> None:
        """What the message tells to do."""
        if self._agent is None:
            file = str(self._member.kubeconfig)
            self.host.ok("cluster", "set", "m1", "--kubeconfig", file, "--take-over")
            return
        assert self._agent.stop() == 0
        self._agent = self.host.agent(self._member, None, "--name", "m1", "--take-over", state=self._state)

    def enforces(self) -> None:
        """Until its grant is in place there, and all else that it wants, under its own label."""
        self.grants(GRANT)
        assert self.written() == {*BUILT_IN, "skerry:namespaces", "skerry:edit"}

    def grants(self, grant: dict[str, Any]) -> None:
        """Until a grant is in place there."""
        self.host.kubectl(None, "apply", "-f", "-", stdin=json.dumps(grant).encode())
        waited = self.host.skerry("desired", "wait", "m1", "--timeout", "60s")
        assert waited.returncode == 0, waited.stderr
        name = grant["metadata"]["name"]
        self.host.kubectl(None, "wait", f"accessgrant/{name}", "--for=condition=Enforced", "--timeout=30s")

    def written(self) -> set[str]:
        """The names of what carries its label there."""
        labelled = self._member.kubectl("get", ACCESS, "-A", "-l", f"skerry.dev/host={self.uid}", "-o", "name")
        return {each.rpartition("/")[2] for each in labelled.decode().split()}

    @property
    def uid(self) -> str:
        """Of the host."""
        return str(self.host.cluster("host")["status"]["uid"])

    def condition(self, kind: str) -> dict[str, str]:
        """Of m1 on this host; empty if there is none."""
        found = self.host.cluster("m1").get("status", {}).get("conditions", [])
        return next((each for each in found if each["type"] == kind), {})

    def has_lost_it_to(self, other: Held) -> None:
        """It says so by name, and answers no request with the cluster's data."""
        eventually(lambda: self.condition("Joined").get("reason") == "TakenOver", "the loss is told", 15)
        assert other.uid in self.condition("Joined")["message"]
        done = self.host.kubectl_run("m1", "get", "namespaces")
        assert done.returncode != 0
        assert other.uid in done.stderr.decode()

    def serves(self) -> None:
        """Until a request arrives."""
        eventually(lambda: self.host.ready("m1") and self.host.serves("m1"), "it is served", 60)


@pytest.fixture
def between(east: Host, west: Host, plain_cluster: Member) -> Iterator[None]:
    """The cluster is nobody's again after a test that failed in the middle."""
    yield
    for host in (east, west):
        host.skerry("cluster", "remove", "m1")
        host.kubectl(None, "delete", "accessgrant", "team", "alone", "--ignore-not-found")
    plain_cluster.kubectl("delete", "clusterrolebinding", "--ignore-not-found", *BUILT_IN, "skerry:namespaces")
    plain_cluster.kubectl("delete", "clusterrole", "--ignore-not-found", "skerry:namespaces")
    plain_cluster.kubectl("delete", "rolebinding", "--ignore-not-found", "skerry:edit", "skerry:view")
    plain_cluster.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


@pytest.mark.usefixtures("between")
@pytest.mark.parametrize(
    ("first", "second"), [("agent", "direct"), pytest.param("direct", "agent", marks=pytest.mark.soak)]
)
def test_a_cluster_goes_to_another_host_and_comes_back(
    east: Host, west: Host, plain_cluster: Member, tmp_path: Path, first: str, second: str
) -> None:
    here, there = (
        Held(east, plain_cluster, first, tmp_path / "east"),
        Held(west, plain_cluster, second, tmp_path / "west"),
    )
    here.join()
    here.enforces()
    here.grants(ALONE)
    assert "skerry:view" in here.written()
    refused = there.is_refused()
    assert here.uid in refused
    assert "--take-over" in refused
    here.serves()

    there.join("--take-over")
    here.has_lost_it_to(there)
    there.serves()
    there.enforces()

    eventually(lambda: not here.written(), "what only the host before wanted is withdrawn", 30)
    east.kubectl(None, "delete", "accessgrant", "alone")

    here.take_back()
    there.has_lost_it_to(here)
    here.serves()

    assert "nothing on it was touched" in west.skerry("cluster", "remove", "m1").stderr
    for name in BUILT_IN:
        plain_cluster.kubectl("get", "clusterrolebinding", name)
    here.serves()
    here.enforces()
    east.ok("cluster", "remove", "m1")
    assert b"skerry:" not in plain_cluster.kubectl("get", ACCESS, "-A", "-o", "name")
    assert b"skerry.dev" not in plain_cluster.kubectl("get", "namespace", "kube-system", "-o", "yaml")
