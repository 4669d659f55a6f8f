"""The agent's chart on a real API server: installed by helm, run as its pod would be, upgraded, emptied, uninstalled."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from tests.deploy.agentchart import CHART, NAMESPACE, RELEASE, helm, make_namespace, template
from tests.e2e.federation import Agent, Host, eventually, free_port
from tests.kube import madeup
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

pytestmark = pytest.mark.kube

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
EVERYTHING = (
    "deployments,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,"
    "poddisruptionbudgets,namespaces"
)


@pytest.fixture(params=[pytest.param("helm-3", marks=pytest.mark.soak), "helm-4"])
def binary(request: pytest.FixtureRequest, helms: Mapping[str, Path]) -> Path:
    return helms[request.param]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("host")) as started:
        started.up()
        yield started


class Installed:
    """The chart's release on a cluster, and its pods as processes of this machine."""

    def __init__(self, binary: Path, member: Member, host: Host, directory: Path) -> None:
        self.binary, self.member, self.host, self.directory = binary, member, host, directory
        self.pods: list[Agent] = []

    def helm(self, *arguments: str) -> str:
        """Run helm against the cluster; a failure fails the test with what it said."""
        done = helm(self.binary, *arguments, "-n", NAMESPACE, "--kubeconfig", str(self.member.kubeconfig))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def release(self, verb: str, *options: str, **values: Any) -> str:
        """Install or upgrade with these values."""
        file = self.directory / "values.json"
        file.write_text(json.dumps(values))
        return self.helm(verb, RELEASE, str(CHART), "-f", str(file), *options)

    def data(self, kind: str, name: str) -> dict[str, str]:
        """Of a ConfigMap or Secret."""
        found: dict[str, str] = self.get(kind, name).get("data") or {}
        return found

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """An object."""
        arguments = ("get", kind, name, "-n", NAMESPACE, "-o", "json")
        found: dict[str, Any] = json.loads(self.member.kubectl(*arguments))
        return found

    def pod(self, **more: str) -> tuple[Agent, str]:
        """Run a pod: the container's environment, the account's token, the mounted token. With where it is asked for health."""
        number = len(self.pods)
        directory = self.directory / f"pod-{number}"
        directory.mkdir()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SKERRY_")} | self.data(
            "configmap", "skerry-agent"
        )
        if environment["SKERRY_TOKEN_FILE"]:
            file = directory / "token"
            file.write_bytes(base64.b64decode(self.data("secret", "skerry-agent-token")["token"]))
            environment["SKERRY_TOKEN_FILE"] = str(file)
        ops = f"127.0.0.1:{free_port()}"
        environment |= {
            "SKERRY_KUBECONFIG": str(self.account(directory)), "SKERRY_OPS_LISTEN": ops, "SKERRY_LOOK_S": "2",
            "SKERRY_TERMINATION_FILE": str(directory / "termination"), **more,
        }  # fmt: skip
        log = directory / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "services.agent"], env=environment, stdout=out, stderr=out, cwd=Path.cwd()
            )
        agent = Agent(process, log)
        self.pods.append(agent)
        return agent, f"http://{ops}"

    def account(self, directory: Path) -> Path:
        """A kubeconfig of the agent's service account."""
        token = self.member.kubectl("create", "token", "skerry-agent", "-n", NAMESPACE).decode().strip()
        document = json.loads(self.member.kubectl("config", "view", "--raw", "-o", "json"))
        for user in document["users"]:
            user["user"] = {"token": token}
        path = directory / "kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def left(self) -> list[str]:
        """What is there of an agent or a host, with any of our marks."""
        names: list[str] = []
        for label in ("skerry.dev/installed", "skerry.dev/host", "app.kubernetes.io/part-of=skerry"):
            names += self.member.kubectl("get", EVERYTHING, "-A", "-l", label, "-o", "name").decode().split()
        marks = self.member.kubectl(
            "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.annotations}"
        ).decode()
        return [*names, *(["the mark"] if "skerry.dev" in marks else [])]


@pytest.fixture
def installed(binary: Path, plain_cluster: Member, host: Host, tmp_path: Path) -> Iterator[Installed]:
    make_namespace(plain_cluster)
    plain_cluster.kubectl("label", "namespace", NAMESPACE, RESTRICTED)
    made = Installed(binary, plain_cluster, host, tmp_path)
    yield made
    for pod in made.pods:
        pod.stop(signal.SIGKILL)
    helm(binary, "uninstall", RELEASE, "-n", NAMESPACE, "--kubeconfig", str(plain_cluster.kubeconfig))
    delete_namespaces(plain_cluster, NAMESPACE)


def health(url: str) -> tuple[int, str]:
    """Status and text of /readyz."""
    try:
        with urlopen(f"{url}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except OSError as error:
        body = getattr(error, "read", bytes)()
        return getattr(error, "code", 0), body.decode()


def test_a_real_api_server_takes_all_of_it_strictly(
    installed: Installed, plain_cluster: Member, tmp_path: Path
) -> None:
    for values in (
        {"token": "x", "replicas": 3, "bus": {"servers": ["tls://h:4222"]}},
        {"networkPolicy": {"enabled": False}},
    ):
        manifest = template(installed.binary, values, tmp_path).stdout
        said = plain_cluster.kubectl(
            "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=manifest.encode()
        )
        assert b"deployment.apps/skerry-agent serverside-applied (server dry run)" in said
    pod = installed.directory / "pod.json"
    template_of = next(each for each in yaml.safe_load_all(manifest) if each and each["kind"] == "Deployment")["spec"][
        "template"
    ]
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "skerry-agent", "namespace": NAMESPACE},
    }
    plain_cluster.apply(account)
    pod.write_text(
        json.dumps(
            {**template_of, "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": NAMESPACE}}
        )
    )
    assert b"pod/x created (server dry run)" in plain_cluster.kubectl("create", "--dry-run=server", "-f", str(pod))
    plain_cluster.kubectl("delete", "serviceaccount", "skerry-agent", "-n", NAMESPACE)


def test_installed_upgraded_emptied_removed_and_uninstalled_it_leaves_nothing(
    installed: Installed, host: Host, plain_cluster: Member
) -> None:
    name = f"pod-{installed.binary.name[:6]}"
    installed.release("install", token=host.token(name))
    agent, url = installed.pod()
    host.wait_ready(name, agent, 60)
    eventually(lambda: health(url)[0] == 200, "the pod is ready")
    state = installed.data("secret", "skerry-agent-state")
    assert set(state) == {"seed", "agent.json", "user.creds", "renewal.creds"}
    eventually(lambda: host.skerry("desired", "wait", name).returncode == 0, "desired state is in place", 60)

    installed.release("upgrade", replicas=2, ceiling={"noExec": True}, podLabels={"team": "sea"})
    assert installed.data("secret", "skerry-agent-state") == state
    binding = installed.get("clusterrolebinding", "skerry:view")
    assert binding["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"
    assert binding["metadata"]["labels"]["skerry.dev/owner"] == "tenancy"
    second, _ = installed.pod()
    eventually(lambda: host.cluster(name)["status"]["agent"]["replicas"] == 2, "both pods are heard", 60)
    assert agent.stop() == 0
    assert host.ready(name)
    eventually(lambda: host.cluster(name)["status"]["agent"]["replicas"] == 1, "one is left", 60)
    assert host.cluster(name)["status"]["ceiling"]["noExec"] is True

    force = "--force-replace" if installed.binary.name.startswith("helm-4") else "--force"
    options = (force, "--server-side=false") if force == "--force-replace" else (force,)
    installed.release("upgrade", *options, logLevel="debug")
    eventually(
        lambda: installed.data("secret", "skerry-agent-state").keys() == state.keys(), "the state is written back", 30
    )
    assert installed.data("secret", "skerry-agent-state") == state
    assert host.ready(name)

    host.ok("cluster", "remove", name)
    assert second.exits() == 1
    last = second.said().splitlines()[-1]
    assert "was removed from host" in last
    assert (second.log.parent / "termination").read_text().strip() in last
    third, _ = installed.pod()
    assert (third.exits(), third.said().splitlines()[-1]) == (1, last)
    installed.helm("uninstall", RELEASE)
    assert installed.left() == []


@pytest.mark.parametrize("binary", [pytest.param("helm-3", marks=pytest.mark.soak), "helm-4"], indirect=True)
def test_joined_without_helm_taken_over_by_helm_and_taken_away(
    installed: Installed, host: Host, plain_cluster: Member, request: pytest.FixtureRequest
) -> None:
    name, member = f"join-{installed.binary.name[:6]}", ("--kubeconfig", str(plain_cluster.kubeconfig))
    full = host.skerry("join", name, *member)
    assert (full.returncode, "it does not fit: nodes, room; " in full.stderr) == (1, True), full.stderr
    assert installed.left() == []
    request.addfinalizer(lambda: plain_cluster.kubectl("delete", "node", f"{name}-node", "--ignore-not-found"))
    madeup.node(plain_cluster, f"{name}-node")
    checked = host.skerry("join", name, *member, "--dry-run")
    assert (checked.returncode, "pass  bindings" in checked.stdout) == (0, True), checked.stderr + checked.stdout
    late = host.skerry("join", name, *member, "--wait", "1s", "--read-only")
    assert (late.returncode, "its agent has not asked to join yet" in late.stderr) == (5, True), late.stderr
    agent, _ = installed.pod()
    host.wait_ready(name, agent, 60)
    assert host.cluster(name)["status"]["ceiling"]["readOnly"] is True
    again = host.skerry("join", name, *member)
    assert (again.returncode, f"a cluster {name} has joined already" in again.stderr) == (1, True)

    state = installed.data("secret", "skerry-agent-state")
    conflicts = ["--force-conflicts"] if installed.binary.name.startswith("helm-4") else []
    installed.release("upgrade", "--install", "--take-ownership", *conflicts, ceiling={"readOnly": True})
    assert installed.data("secret", "skerry-agent-state") == state
    refused = host.skerry("join", f"{name}-2", *member, "--no-preflight")
    assert (refused.returncode, "was installed by Helm" in refused.stderr) == (1, True)
    plain_cluster.kubectl("label", "clusterrolebinding", "skerry:agent", "app.kubernetes.io/managed-by-")

    removed = host.skerry("cluster", "remove", name, *member)
    assert (removed.returncode, "the agent is deleted" in removed.stderr) == (0, True), removed.stderr
    assert agent.exits() == 1
    assert installed.left() == []


@pytest.mark.parametrize("binary", ["helm-4"], indirect=True)
def test_what_is_printed_is_applied_by_kubectl_and_joins(
    installed: Installed, host: Host, plain_cluster: Member
) -> None:
    name = f"print-{installed.binary.name[:6]}"
    plain_cluster.kubectl("apply", "-f", "-", stdin=host.ok("join", name, "--print").encode())
    agent, _ = installed.pod()
    host.wait_ready(name, agent, 60)
    assert (
        "the agent is deleted"
        in host.skerry("cluster", "remove", name, "--kubeconfig", str(plain_cluster.kubeconfig)).stderr
    )
    assert installed.left() == []


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("binary", ["helm-4"], indirect=True)
def test_pods_that_are_deleted_again_and_again_are_one_agent_that_is_always_ready(
    installed: Installed, host: Host
) -> None:
    """Ten deletions, each of another kind of end, with a second replica beside: no token is used again, no key is another, and
    Ready never leaves True. Then a rolling restart of both, as the Deployment makes it: the new pod first.
    """
    installed.release("install", token=host.token("steady"), replicas=2)
    first, url = installed.pod()
    host.wait_ready("steady", first, 60)
    eventually(lambda: health(url)[0] == 200, "the pod is ready")
    state = installed.data("secret", "skerry-agent-state")
    uid = host.cluster("steady")["metadata"]["uid"]
    running = [first, _ready_pod(installed)]
    eventually(lambda: _replicas(host) == 2, "both are heard", 60)
    since = _since(host)
    for number in range(10):
        gone = running.pop(0)
        assert gone.stop(signal.SIGKILL if number % 2 else signal.SIGTERM) in (0, -signal.SIGKILL)
        running.append(_ready_pod(installed, SKERRY_TOKEN_FILE=""))
        assert host.ready("steady")
    for _ in range(2):
        running.append(_ready_pod(installed, SKERRY_TOKEN_FILE=""))
        assert running.pop(0).stop() == 0
        assert host.ready("steady")
    eventually(lambda: _replicas(host) == 2, "two are left", 90)
    assert _since(host) == since, "it was not Ready for a moment"
    assert installed.data("secret", "skerry-agent-state")["seed"] == state["seed"]
    cluster = host.cluster("steady")
    assert cluster["metadata"]["uid"] == uid
    assert not any(each["type"] == "Flapping" and each["status"] == "True" for each in cluster["status"]["conditions"])
    host.ok("cluster", "remove", "steady")


def _ready_pod(installed: Installed, **more: str) -> Agent:
    agent, url = installed.pod(**more)
    eventually(lambda: health(url)[0] == 200, "the pod is ready", 60)
    return agent


def _replicas(host: Host) -> int:
    count: int = host.cluster("steady")["status"]["agent"]["replicas"]
    return count


def _since(host: Host) -> str:
    ready = next(each for each in host.cluster("steady")["status"]["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "True", ready
    since: str = ready["lastTransitionTime"]
    return since
