"""The host's chart on a real node with Services and DNS, and how its user reaches it: from inside the node's network."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.deploy.agentchart import NAMESPACE
from tests.deploy.hostchart import CHART, RELEASE
from tests.e2e.federation import SKERRY
from tests.kube import packages
from tests.kube.member import Member

DOOR_PORT, BUS_PORT = 30443, 30422
DATA_MIB = 512


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

    def kubectl(self, context: str, *words: str, stdin: bytes | None = None) -> str:
        """kubectl through the front door."""
        command = self.member.kubectl_command("--context", context, *words)
        command[command.index("--kubeconfig") + 1] = str(self.admin)
        return self.ok(command, stdin=stdin)

    def cluster(self, name: str) -> dict[str, Any]:
        """A Cluster object; empty where there is none."""
        items = json.loads(self.skerry("cluster", "list", "-o", "json"))["items"]
        return next((item for item in items if item["metadata"]["name"] == name), {})

    def ready(self, name: str) -> dict[str, Any]:
        """Condition Ready of a Cluster; empty as long as there is none."""
        conditions = self.cluster(name).get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == "Ready"), {})

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
