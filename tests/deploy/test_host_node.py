"""The host's chart on a real node with Services and DNS, from the images: what a user sees from install to uninstall.

Soak: it takes a node, kube-proxy, CoreDNS and the images (SKERRY_TEST_IMAGES names a docker-archive with both; otherwise they are
built, minutes). What was seen is printed: run with -s.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy.docker import context as made
from skerry import __version__
from tests.deploy import docker as dockers
from tests.deploy.agentchart import CHART as AGENT_CHART
from tests.deploy.agentchart import NAMESPACE
from tests.deploy.hostchart import CHART, RELEASE
from tests.deploy.test_images import DOCKERFILE
from tests.e2e.federation import SKERRY, eventually
from tests.kube import packages, services
from tests.kube.forwarding import Forwarder
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.soak, pytest.mark.timeout(1800)]

DOOR_PORT, BUS_PORT = 30443, 30422
DATA_MIB = 512
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


def load(member: Member, archive: Path) -> None:
    """Give the images to the node of a member."""
    socket = next(path.parent / "containerd.sock" for path in member.logs if (path.parent / "containerd.sock").exists())
    ctr = [
        packages.required("ctr"),
        "--address",
        str(socket),
        "--namespace",
        "k8s.io",
        "images",
        "import",
        str(archive),
    ]
    done = subprocess.run(ctr, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class NodeHost:
    """The release on a node, and how a user reaches it: from inside the member's network."""

    def __init__(self, binary: Path, member: Member, directory: Path) -> None:
        self.binary, self.member, self.directory = binary, member, directory
        self.admin = directory / "admin"
        self.values: dict[str, Any] = {
            "manageHost": True,
            "tower": {"service": {"type": "NodePort", "nodePort": DOOR_PORT}, "graceSeconds": 20},
            "bus": {
                "service": {"type": "NodePort", "nodePort": BUS_PORT},
                "persistence": {"size": f"{DATA_MIB}Mi", "storageClass": "here"},
            },
        }

    def helm(self, *words: str) -> str:
        """Run helm where the member is."""
        return self.ok([str(self.binary), *words, "-n", NAMESPACE, "--kubeconfig", str(self.member.kubeconfig)], 300)

    def release(self, verb: str, *options: str, **values: Any) -> str:
        """Install or upgrade."""
        file = self.directory / "values.json"
        file.write_text(json.dumps({**self.values, **values}))
        return self.helm(verb, RELEASE, str(CHART), "-f", str(file), *options)

    def ok(self, command: list[str], timeout_s: float = 60.0, stdin: bytes | None = None) -> str:
        """Run where the member is; a failure fails the test with what it said and what the pods say."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.member.kubeconfig),
            "SKERRY_STATE": str(self.directory / "none"),
        }
        done = self.member.run_inside(command, timeout_s=timeout_s, env=environment, stdin=stdin)
        assert done.returncode == 0, f"{command}: {done.stderr.decode()}\n{self.described()}"
        return done.stdout.decode()

    def skerry(self, *words: str) -> str:
        """The command line as the administrator."""
        return self.ok([SKERRY, *words, "--kubeconfig", str(self.admin)])

    def kubectl(self, *words: str, stdin: bytes | None = None) -> str:
        """kubectl through the front door, on the host's own cluster."""
        command = self.member.kubectl_command("--context", "skerry-host", *words)
        command[command.index("--kubeconfig") + 1] = str(self.admin)
        return self.ok(command, stdin=stdin)

    def state(self, name: str) -> str:
        """Status of condition Ready of a member; empty as long as there is none."""
        items = json.loads(self.skerry("cluster", "list", "-o", "json"))["items"]
        conditions = [
            each for item in items if item["metadata"]["name"] == name for each in item["status"]["conditions"]
        ]
        return next((str(each["status"]) for each in conditions if each["type"] == "Ready"), "")

    def kept(self) -> set[str]:
        """What there is of the host in its namespace."""
        kinds = (
            "deployments,statefulsets,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,"
            "secrets,persistentvolumeclaims,pods"
        )
        words = ("get", kinds, "-n", NAMESPACE, "-l", "skerry.dev/installed=host", "-o", "name")
        return set(self.member.kubectl(*words).decode().split())

    def fetch(self) -> str:
        """The administrator's kubeconfig, as users fetch it."""
        place = f"{self.member.name}/{NAMESPACE}"
        self.ok([SKERRY, "kubeconfig", "--from", place, "--output", str(self.admin)])
        return self.admin.read_text()

    def described(self) -> str:
        """What the pods are and logged, for people."""
        lines = [
            self.member.run_inside(self.member.kubectl_command(*words, "-n", NAMESPACE)).stdout.decode()[-4000:]
            for words in (
                ["get", "pods,pvc,svc", "-o", "wide"],
                ["get", "events", "--sort-by=.lastTimestamp"],
                ["logs", "deployment/skerry-controller-manager", "--all-containers", "--tail=15"],
                ["logs", "deployment/skerry-tower", "--tail=10"],
                ["logs", "statefulset/skerry-nats", "--all-containers", "--tail=10"],
            )
        ]
        return "\n".join(lines)


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
    assert "skerry-tower" in node.kubectl("get", "pods", "-n", NAMESPACE)
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-door"}, "data": {"a": "b"}}
    node.kubectl("apply", "-f", "-", stdin=json.dumps(manifest).encode())
    watched = node.kubectl("get", "configmap", "by-door", "-w", "--request-timeout=3s", "-o", "name")
    assert "configmap/by-door" in watched
    with node.member.busybox("shell", "echo said; " + "trap 'exit 0' TERM; while :; do sleep 1 & wait; done"):
        assert node.kubectl("logs", "shell") == "said\n"
        assert node.kubectl("exec", "shell", "--", "cat", "/etc/passwd").startswith("root:")
    node.kubectl("delete", "configmap", "by-door")
    told("get, apply, watch, logs, exec through the front door")


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


def test_an_agent_of_another_cluster_joins_by_its_chart(node: NodeHost, member_two: Member, archive: Path) -> None:
    load(member_two, archive)
    assert node.member.netns is not None
    node.release(
        "upgrade", "--wait", "--timeout", "120s",
        bus={**node.values["bus"], "addresses": [f"{member_two.host_address}:{BUS_PORT}"]},
    )  # fmt: skip
    node.fetch()
    token = node.directory / "token"
    token.write_text(node.skerry("token", "create", "munich"))
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    with (
        Forwarder(member_two.host_address, BUS_PORT, node.member.netns, node.member.netns.address, BUS_PORT),
        services.running(member_two, node.directory),
    ):
        member_two.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforce}})
        begun = time.monotonic()
        install = [
            str(node.binary),
            "install",
            "skerry-agent",
            str(AGENT_CHART),
            "-n",
            NAMESPACE,
            "--kubeconfig",
            str(member_two.kubeconfig),
        ]
        done = member_two.run_inside(
            [*install, "--set-file", f"token={token}", "--wait", "--timeout", "120s"], timeout_s=150
        )
        assert done.returncode == 0, done.stderr.decode()
        eventually(lambda: node.state("munich") == "True", "munich is ready", 60)
        told(f"an agent by its chart is Ready: {time.monotonic() - begun:.1f} s")


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
