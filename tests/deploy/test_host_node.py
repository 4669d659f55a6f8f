"""The host's chart on a real node with Services and DNS, from the images: what a user sees from install to uninstall.

Soak: it takes a node, kube-proxy, CoreDNS and the images (SKERRY_TEST_IMAGES names a docker-archive with both; otherwise they are
built, minutes). What was seen is printed: run with -s.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.docker import context as made
from skerry import __version__
from tests.deploy import docker as dockers
from tests.deploy.agentchart import CHART as AGENT_CHART
from tests.deploy.agentchart import NAMESPACE
from tests.deploy.hostchart import RELEASE
from tests.deploy.nodehost import BUS_PORT, DATA_MIB, DOOR_PORT, NodeHost, load
from tests.deploy.test_images import DOCKERFILE
from tests.e2e.federation import SKERRY, eventually
from tests.kube import services
from tests.kube.forwarding import Forwarder
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.soak, pytest.mark.timeout(1800)]

MUNICH, BERGEN = "munich", "bergen"
AGENT_PODS = "app.kubernetes.io/name=skerry-agent"
LOOPS = """
import http.client, json, ssl, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
context, until, done, failed = ssl._create_unverified_context(), time.monotonic() + seconds, 0, []
while time.monotonic() < until:
    connection = http.client.HTTPSConnection(address, port, timeout=10, context=context)
    try:
        connection.request("GET", "/readyz")
        done += connection.getresponse().status == 200
    except (OSError, http.client.HTTPException) as error:
        failed.append(repr(error))
    finally:
        connection.close()
    time.sleep(0.02)
print(json.dumps([done, failed]))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Both images as a docker-archive."""
    if given := os.environ.get("SKERRY_TEST_IMAGES"):
        yield Path(given)
        return
    directory = tmp_path_factory.mktemp("images")
    made.make(directory / "context")
    try:
        with dockers.running() as docker:
            base = dockers.base(docker)
            tags = {"host": f"skerry:{__version__}", "agent": f"skerry-agent:{__version__}"}
            for image, tag in tags.items():
                flags = ["--build-arg", f"BASE={base}", "--network=none", "--target", image, "--tag", tag]
                docker("build", *flags, "--file", str(DOCKERFILE), str(directory / "context"))
            docker("save", "-o", str(directory / "images.tar"), *tags.values())
    except dockers.Unavailable as error:
        pytest.skip(str(error))
    yield directory / "images.tar"


@pytest.fixture(scope="module")
def node(
    member_one: Member, archive: Path, helms: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NodeHost]:
    directory = tmp_path_factory.mktemp("node")
    load(member_one, archive)
    data = directory / "data"
    data.mkdir()
    os.chown(data, 65532, 65532)  # a volume of a real class is given to its pod's group
    for parent in (directory, *directory.parents):
        if str(parent).startswith("/tmp/pytest-of"):
            parent.chmod(parent.stat().st_mode | 0o011)
    volume = {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "skerry-data"},
        "spec": {
            "capacity": {"storage": f"{DATA_MIB}Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "here",
            "hostPath": {"path": str(data)}, "persistentVolumeReclaimPolicy": "Retain",
        },
    }  # fmt: skip
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    member_one.apply(
        volume, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforce}}
    )
    with services.running(member_one, directory):
        yield NodeHost(helms["helm-4"], member_one, directory)
    member_one.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    member_one.kubectl("delete", "persistentvolume", "skerry-data", "--wait=false")


def told(line: str) -> None:
    """For the transcript."""
    print(f"  | {line}", flush=True)


def data(node: NodeHost, context: str) -> None:
    """get, apply and watch, there."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-door"}, "data": {"a": "b"}}
    node.kubectl(context, "apply", "-f", "-", stdin=json.dumps(manifest).encode())
    watched = node.kubectl(context, "get", "configmap", "by-door", "-w", "--request-timeout=3s", "-o", "name")
    assert "configmap/by-door" in watched
    node.kubectl(context, "delete", "configmap", "by-door")


def everything(node: NodeHost, context: str, member: Member) -> None:
    """get, apply, watch, logs, exec and cp, there."""
    data(node, context)
    file = node.directory / f"{context}.txt"
    file.write_text(context)
    with member.busybox("shell", "echo said; " + "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"):
        assert node.kubectl(context, "logs", "shell") == "said\n"
        node.kubectl(context, "cp", str(file), "shell:/tmp/copied")
        assert node.kubectl(context, "exec", "shell", "--", "cat", "/tmp/copied") == context


def test_installed_it_is_ready(node: NodeHost) -> None:
    address = node.member.netns.address if node.member.netns else ""
    node.values["addresses"] = [f"{address}:{DOOR_PORT}"]
    node.values["bus"]["addresses"] = [f"{node.member.host_address}:{BUS_PORT}"]
    begun = time.monotonic()
    node.release("install", "--wait", "--timeout", "180s")
    told(f"helm install --wait: {time.monotonic() - begun:.1f} s")
    pods = json.loads(node.member.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
    restarts = sum(each["restartCount"] for pod in pods for each in pod["status"]["containerStatuses"])
    told(f"{len(pods)} pods, {restarts} restarts")
    told(node.helm("test", RELEASE).splitlines()[-1])


def test_the_administrator_works_through_the_service(node: NodeHost) -> None:
    eventually(lambda: "skerry-host" in node.fetch(), "the host's own cluster is there", 60)
    assert "skerry-tower" in node.kubectl("skerry-host", "get", "pods", "-n", NAMESPACE)
    everything(node, "skerry-host", node.member)
    told("get, apply, watch, logs, exec, cp through the front door")


def test_a_rolling_restart_of_towers_loses_no_new_connection(node: NodeHost) -> None:
    node.release("upgrade", "--wait", "--timeout", "120s", tower={**node.values["tower"], "replicas": 2})
    assert node.member.netns is not None
    command = [sys.executable, "-I", "-c", LOOPS, node.member.netns.address, str(DOOR_PORT), "45"]
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(json.loads(node.ok(command, 120))))
    thread.start()
    node.member.kubectl("rollout", "restart", "deployment/skerry-tower", "-n", NAMESPACE)
    node.member.kubectl("rollout", "status", "deployment/skerry-tower", "-n", NAMESPACE, "--timeout=90s", timeout_s=100)
    thread.join()
    done, failed = answers[0]
    told(f"two towers restarted under {done + len(failed)} new connections: {len(failed)} failed")
    assert failed == []


class NodeAgent:
    """The agent's release on another node."""

    def __init__(self, node: NodeHost, member: Member) -> None:
        self.node, self.member = node, member

    def release(self, verb: str, *options: str) -> None:
        """Install or upgrade, and wait."""
        where = ("-n", NAMESPACE, "--kubeconfig", str(self.member.kubeconfig))
        command = [str(self.node.binary), verb, "skerry-agent", str(AGENT_CHART), *where, *options]
        done = self.member.run_inside([*command, "--wait", "--timeout", "120s"], timeout_s=150)
        assert done.returncode == 0, f"{done.stderr.decode()}\n{self.described()}"

    def identity(self) -> tuple[str, str]:
        """Its seed, and the UID of its Cluster object."""
        seed = ("get", "secret", "skerry-agent-state", "-n", NAMESPACE, "-o", "jsonpath={.data.seed}")
        return self.member.kubectl(*seed).decode(), str(self.node.cluster(MUNICH)["metadata"]["uid"])

    def rolled_out(self) -> None:
        """Return when all pods are ready, and Cluster munich is."""
        words = ("rollout", "status", "deployment/skerry-agent", "-n", NAMESPACE, "--timeout=120s")
        self.member.kubectl(*words, timeout_s=130)
        eventually(lambda: self.node.ready(MUNICH).get("status") == "True", "munich is ready", 60)

    def described(self) -> str:
        """What the pods logged, for people."""
        words = ("logs", "deployment/skerry-agent", "-n", NAMESPACE, "--tail=15")
        return self.member.run_inside(self.member.kubectl_command(*words)).stdout.decode()


@pytest.fixture(scope="module")
def agent(node: NodeHost, member_two: Member, archive: Path) -> Iterator[NodeAgent]:
    """Not installed yet; its network has a way to the bus, and no other."""
    load(member_two, archive)
    assert node.member.netns is not None
    directory = node.directory / MUNICH
    directory.mkdir()
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    with (
        Forwarder(member_two.host_address, BUS_PORT, node.member.netns, node.member.netns.address, BUS_PORT),
        services.running(member_two, directory),
    ):
        member_two.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforce}})
        yield NodeAgent(node, member_two)
        member_two.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_an_agent_of_another_cluster_joins_by_its_chart(node: NodeHost, agent: NodeAgent) -> None:
    node.release(
        "upgrade", "--wait", "--timeout", "120s",
        bus={**node.values["bus"], "addresses": [f"{agent.member.host_address}:{BUS_PORT}"]},
    )  # fmt: skip
    node.fetch()
    token = node.directory / "token"
    token.write_text(node.skerry("token", "create", MUNICH))
    begun = time.monotonic()
    agent.release("install", "--set-file", f"token={token}")
    agent.rolled_out()
    told(f"an agent by its chart is Ready: {time.monotonic() - begun:.1f} s")
    node.fetch()
    everything(node, "skerry-munich", agent.member)
    told("get, apply, watch, logs, exec, cp through the agent")


def test_a_direct_member_is_reached_from_the_pods_of_the_host(
    node: NodeHost, plain_cluster: Member, tmp_path: Path
) -> None:
    node.fetch()
    url = urlsplit(plain_cluster.url)
    assert url.port is not None
    document = json.loads(plain_cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    at = f"https://{node.member.host_address}:{url.port}"
    for each in document["clusters"]:
        each["cluster"] |= {"server": at, "tls-server-name": url.hostname}
    file = tmp_path / "bergen.kubeconfig"
    file.write_text(json.dumps(document))
    with Forwarder(node.member.host_address, url.port, None, "127.0.0.1", url.port):
        node.ok(
            [
                SKERRY,
                "cluster",
                "join",
                BERGEN,
                "--direct",
                "--kubeconfig",
                str(file),
                "--host-kubeconfig",
                str(node.admin),
            ]
        )
        eventually(lambda: node.ready(BERGEN).get("status") == "True", "bergen is ready", 60)
        node.fetch()
        data(node, f"skerry-{BERGEN}")
        assert (
            plain_cluster.kubectl("get", "namespaces", "-o", "name").decode().split()
            == node.kubectl(f"skerry-{BERGEN}", "get", "namespaces", "-o", "name").split()
        )
        node.ok([SKERRY, "cluster", "remove", BERGEN, "--host-kubeconfig", str(node.admin)])
    told("get, apply, watch on a direct member from the host's pods")


def test_pods_of_an_agent_that_are_deleted_ten_times_are_one_member(node: NodeHost, agent: NodeAgent) -> None:
    before = agent.identity()
    for _ in range(10):
        agent.member.kubectl("delete", "pod", "-n", NAMESPACE, "-l", AGENT_PODS, "--wait=true")
        agent.rolled_out()
    assert agent.identity() == before
    told("ten deletions of the agent's pod: the same identity, no new token")


def test_replicas_of_an_agent_are_replaced_and_the_member_is_ready_all_the_time(
    node: NodeHost, agent: NodeAgent
) -> None:
    agent.release("upgrade", "--reuse-values", "--set", "replicas=2")
    agent.rolled_out()
    eventually(lambda: node.cluster(MUNICH)["status"]["agent"]["replicas"] == 2, "both are heard", 60)
    before, since = agent.identity(), node.ready(MUNICH)["lastTransitionTime"]
    agent.member.kubectl("rollout", "restart", "deployment/skerry-agent", "-n", NAMESPACE)
    agent.rolled_out()
    eventually(lambda: node.cluster(MUNICH)["status"]["agent"]["replicas"] == 2, "two are left", 90)
    assert (agent.identity(), node.ready(MUNICH)["lastTransitionTime"]) == (before, since)
    told("a rolling restart of two replicas: Ready all the time")


def test_a_node_is_drained_of_its_agent_which_comes_back_with_it(node: NodeHost, agent: NodeAgent) -> None:
    agent.release("upgrade", "--reuse-values", "--set", "replicas=1")
    agent.rolled_out()
    before, name = agent.identity(), str(agent.member.node)
    begun = time.monotonic()
    drain = ("drain", name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
    agent.member.kubectl(*drain, timeout_s=130)
    told(f"kubectl drain of the agent's node: {time.monotonic() - begun:.1f} s")
    agent.member.kubectl("uncordon", name)
    agent.rolled_out()
    assert agent.identity() == before


def test_upgraded_rolled_back_and_uninstalled(node: NodeHost) -> None:
    keys = node.member.kubectl("get", "secret", "skerry-keys", "-n", NAMESPACE, "-o", "jsonpath={.data}")
    node.release("upgrade", "--wait", "--timeout", "120s", logLevel="debug")
    node.helm("rollback", RELEASE, "--wait", "--timeout", "120s")
    assert node.member.kubectl("get", "secret", "skerry-keys", "-n", NAMESPACE, "-o", "jsonpath={.data}") == keys
    assert "host" in node.skerry("cluster", "list")
    node.helm("uninstall", RELEASE, "--wait", "--timeout", "120s")
    secrets = ("root", "keys", "nats", "controller-manager", "tower", "admin")
    wanted = {*(f"secret/skerry-{each}" for each in secrets), "persistentvolumeclaim/data-skerry-nats-0"}
    eventually(lambda: node.kept() <= wanted, "its pods are gone", 120)
    told(f"left by helm uninstall: {', '.join(sorted(node.kept()))}")
    assert node.kept() == wanted
