"""`skerry preflight` on a real API server: nodes that it is told of, pods on them, quotas, ranges, Pod Security."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from skerry.cli.__main__ import main
from tests.deploy import agentchart, hostchart
from tests.kube import madeup
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

pytestmark = pytest.mark.kube
NAMESPACE = "skerry-room"


@pytest.fixture(scope="module", autouse=True)
def namespace(plain_cluster: Member) -> Iterator[None]:
    plain_cluster.kubectl("create", "namespace", NAMESPACE)
    yield
    delete_namespaces(plain_cluster, NAMESPACE)


@pytest.fixture
def cluster(plain_cluster: Member, capsys: pytest.CaptureFixture[str]) -> Iterator[Cluster]:
    cluster = Cluster(plain_cluster, capsys)
    yield cluster
    cluster.close()


class Cluster:
    """A cluster whose nodes a test makes up: no kubelet needs them."""

    def __init__(self, member: Member, capsys: pytest.CaptureFixture[str]) -> None:
        self.member, self._capsys = member, capsys
        self._made: list[dict[str, Any]] = []

    def apply(self, *documents: dict[str, Any]) -> None:
        self._made += documents
        self.member.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents).encode())

    def node(self, name: str, sizes: dict[str, str] = madeup.SPARE, **options: Any) -> None:
        self._made.append(madeup.node(self.member, name, sizes, **options))

    def pod(self, name: str, node: str | None, requests: dict[str, str], **labels: str) -> None:
        container = {"name": "c", "image": "x", "resources": {"requests": requests}}
        spec = {
            "containers": [container],
            **({"nodeName": node} if node else {}),
            "automountServiceAccountToken": False,
        }
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def preflight(
        self, *words: str, where: str = "--host", kubeconfig: Path | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The exit code, and the document."""
        path = str(kubeconfig or self.member.kubeconfig)
        code = main(["preflight", where, "--kubeconfig", path, "-n", NAMESPACE, "-o", "json", *words])
        return code, json.loads(self._capsys.readouterr().out)

    def of_token(self, token: str, directory: Path) -> Path:
        """A kubeconfig with this token."""
        config = yaml.safe_load(self.member.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        path = directory / "token.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    def close(self) -> None:
        pods = [each for each in self._made if each["kind"] == "Pod"]
        self.member.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce-")
        if pods:
            self.member.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--force", "--grace-period=0")
        for each in reversed(self._made):
            if each["kind"] != "Pod":
                where = ["-n", NAMESPACE] if "namespace" in each["metadata"] else []
                self.member.kubectl("delete", each["kind"], each["metadata"]["name"], *where, "--ignore-not-found")


def states(document: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in document["checks"]}


def check(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in document["checks"] if each["name"] == name)


def test_a_host_fits_on_one_node(cluster: Cluster) -> None:
    cluster.node("room-a")
    code, document = cluster.preflight("--set", "bus.persistence.enabled=false")
    assert (code, document["where"], document["verdict"]) == (0, "host", "pass"), document
    placed = {each["name"]: [place["node"] for place in each["placed"]] for each in document["workloads"]}
    assert placed == {
        "skerry-controller-manager": ["room-a", "room-a"],
        "skerry-tower": ["room-a"],
        "skerry-nats": ["room-a"],
    }
    tower = next(each for each in document["workloads"] if each["name"] == "skerry-tower")
    assert tower["requests"] == {"cpu": "100m", "memory": "128Mi"}
    assert tower["limits"] == {"cpu": "500m", "memory": "256Mi"}


def test_what_lacks_is_named_with_the_nearest_node(cluster: Cluster) -> None:
    cluster.node("room-a", {"cpu": "1", "memory": "4Gi", "pods": "110"})
    cluster.node("room-b", {"cpu": "1", "memory": "1Gi", "pods": "110"})
    cluster.pod("eats", "room-a", {"cpu": "950m"})
    cluster.pod("eats-too", "room-b", {"cpu": "930m"})
    code, document = cluster.preflight(where="--agent")
    assert (code, document["verdict"]) == (1, "fail")
    assert document["workloads"][0]["missing"] == [{"replica": 0, "node": "room-b", "cpu": "30m", "memory": "0"}]
    assert "skerry-agent: node room-b is nearest and lacks cpu 30m" in check(document, "room")["message"]
    cluster.member.kubectl("delete", "pod", "eats-too", "-n", NAMESPACE, "--force", "--grace-period=0")
    code, document = cluster.preflight(where="--agent")
    assert (code, document["workloads"][0]["placed"]) == (0, [{"replica": 0, "node": "room-b"}])


def test_nodes_that_take_nothing_are_counted_by_why(cluster: Cluster) -> None:
    cluster.node("room-a", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    cluster.node("room-b", unschedulable=True)
    cluster.node("room-c", ready="Unknown")
    code, document = cluster.preflight(where="--agent")
    assert code == 1
    assert check(document, "nodes")["message"].startswith("0 of 3 nodes may take pods of ours (")
    for reason in ("1 taint gpu=yes:NoSchedule", "1 cordoned", "1 not ready"):
        assert reason in check(document, "nodes")["message"]
    code, document = cluster.preflight(
        "--set", "tolerations[0].key=gpu,tolerations[0].operator=Exists", where="--agent"
    )
    assert (code, document["workloads"][0]["placed"]) == (0, [{"replica": 0, "node": "room-a"}])


def test_three_servers_want_three_hosts(cluster: Cluster) -> None:
    cluster.node("room-a")
    cluster.node("room-b", {"cpu": "10m", "memory": "4Gi", "pods": "110"})
    code, document = cluster.preflight("--set", "bus.replicas=3,bus.persistence.enabled=false")
    assert (code, states(document)["room"]) == (1, "fail")
    cluster.node("room-c")
    assert cluster.preflight("--set", "bus.replicas=3,bus.persistence.enabled=false")[0] == 1  # the full one has fewest
    cluster.node("room-d")
    code, document = cluster.preflight("--set", "bus.replicas=3,bus.persistence.enabled=false")
    assert code == 0
    servers = next(each for each in document["workloads"] if each["name"] == "skerry-nats")
    assert sorted(each["node"] for each in servers["placed"]) == ["room-a", "room-c", "room-d"]


def test_an_earlier_installation_makes_room_for_the_next(cluster: Cluster) -> None:
    cluster.node("room-a", {"cpu": "150m", "memory": "1Gi", "pods": "110"})
    cluster.pod(
        "skerry-agent-0", "room-a", {"cpu": "100m", "memory": "128Mi"}, **{"app.kubernetes.io/part-of": "skerry"}
    )
    code, document = cluster.preflight(where="--agent")
    assert (code, states(document)["room"], states(document)["installed"]) == (0, "pass", "pass")
    assert (document["verdict"], states(document)["surge"]) == ("warn", "warn")


def test_pods_that_wait_are_a_warning(cluster: Cluster) -> None:
    cluster.node("room-a")
    cluster.pod("waits", None, {"cpu": "64"})
    code, document = cluster.preflight(where="--agent")
    assert (code, document["verdict"], states(document)["pending"]) == (0, "warn", "warn")
    assert "1 pods wait" in check(document, "pending")["message"]


def test_quotas_ranges_and_pod_security_say_what_they_refuse(cluster: Cluster) -> None:
    cluster.node("room-a")
    metadata = {"name": "small", "namespace": NAMESPACE}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": metadata,
            "spec": {"hard": {"requests.cpu": "50m", "pods": "9"}},
        }
    )
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": metadata,
            "spec": {"limits": [{"type": "Container", "max": {"memory": "200Mi"}}]},
        }
    )
    code, document = cluster.preflight(where="--agent")
    assert (code, states(document)["quota"], states(document)["limits"], states(document)["admission"]) == (
        1,
        "fail",
        "fail",
        "fail",
    )
    assert (
        "ResourceQuota small of namespace skerry-room: requests.cpu: 100m needed, 50m of 50m left"
        in check(document, "quota")["message"]
    )
    assert "skerry-agent: limits memory to 256Mi, at most 200Mi is allowed" in check(document, "limits")["message"]
    assert "maximum memory usage per Container is 200Mi" in check(document, "admission")["message"]


def test_pods_of_ours_are_admitted_where_only_restricted_ones_are(cluster: Cluster) -> None:
    cluster.node("room-a")
    cluster.member.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    _, document = cluster.preflight("--set", "bus.persistence.enabled=false")
    assert states(document)["admission"] == "pass"


def test_a_volume_needs_a_storage_class(cluster: Cluster) -> None:
    cluster.node("room-a")
    code, document = cluster.preflight()
    assert (code, check(document, "storage")["message"]) == (1, "no StorageClass is the default one (none)")
    cluster.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "fast"},
            "provisioner": "x.example",
        }
    )
    assert cluster.preflight("--set", "bus.persistence.storageClass=fast")[0] == 0
    code, document = cluster.preflight("--set", "bus.persistence.storageClass=slow")
    assert (code, check(document, "storage")["message"]) == (1, "there is no StorageClass slow (fast)")


def test_who_may_not_look_knows_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.member.kubectl("create", "serviceaccount", "blind", "-n", NAMESPACE)
    token = cluster.member.kubectl("create", "token", "blind", "-n", NAMESPACE).decode().strip()
    path = cluster.of_token(token, tmp_path)
    code, document = cluster.preflight(where="--agent", kubeconfig=path)
    assert code in {1, 4}
    assert states(document)["rights"] == "fail"
    assert "create deployments.apps" in check(document, "rights")["message"]
    assert states(document)["nodes"] == "unknown"
    assert "nodes is forbidden" in check(document, "nodes")["message"]


def test_a_cluster_that_does_not_answer_is_not_known(cluster: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(cluster.member.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    path = tmp_path / "gone.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    code, document = cluster.preflight(kubeconfig=path)
    assert (code, document["verdict"], states(document)) == (4, "unknown", {"api.reach": "unknown"})


def test_nothing_is_installed_on_a_direct_member(cluster: Cluster) -> None:
    code, document = cluster.preflight(where="--direct")
    assert (code, document["workloads"]) == (0, [])
    assert "room" not in states(document)


def test_all_objects_of_an_agent_are_tried(cluster: Cluster) -> None:
    cluster.node("room-a")
    code, document = cluster.preflight(where="--agent")
    assert (code, states(document)["manifest"]) == (0, "pass"), document
    assert re.fullmatch(r"(\d+) of \1 objects are accepted", check(document, "manifest")["message"])
    left = cluster.member.kubectl("get", "all,secrets,configmaps", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=skerry", "-o", "name")  # fmt: skip
    assert left == b""


def test_where_its_namespace_is_missing_the_rest_is_tried(cluster: Cluster) -> None:
    cluster.node("room-a")
    code, document = cluster.preflight("-n", "nowhere", where="--agent")
    assert (code, states(document)["admission"], states(document)["manifest"]) == (0, "warn", "pass")
    assert "so they are not tried (" in check(document, "manifest")["message"]


def test_what_helm_rendered_is_tried_as_it_is(cluster: Cluster, helms: Mapping[str, Path], tmp_path: Path) -> None:
    cluster.node("room-a", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    file = tmp_path / "manifest.yaml"
    values = {"replicas": 2, "tolerations": [{"key": "gpu", "operator": "Exists"}]}
    rendered = agentchart.template(helms["helm-4"], values, tmp_path).stdout
    file.write_text(rendered.replace(agentchart.NAMESPACE, NAMESPACE))
    code, document = cluster.preflight("--manifest", str(file), where="--agent")
    assert (code, states(document)["manifest"]) == (0, "pass"), document
    assert len(document["workloads"][0]["placed"]) == 2
    assert main(["preflight", "--agent", "-n", "other", "--manifest", str(file)]) == 2
    text = file.read_text().replace("cpu: 100m", "cpu: 3").replace("cpu: 500m", "cpu: 4")
    file.write_text(text.replace("policy/v1", "policy/v9"))
    code, document = cluster.preflight("--manifest", str(file), where="--agent")
    assert (code, states(document)["room"], states(document)["manifest"]) == (1, "fail", "fail")
    assert "PodDisruptionBudget skerry-agent is refused" in check(document, "manifest")["message"]
    assert "serves no PodDisruptionBudget of policy/v9" in check(document, "manifest")["message"]


def test_all_objects_of_a_host_are_tried_as_helm_renders_them(
    cluster: Cluster, helms: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.node("room-a")
    values = {"bus": {"persistence": {"enabled": False}}, "manageHost": True}
    code, rendered, err = hostchart.manifest(helms["helm-4"], values, tmp_path)
    assert code == 0, err
    monkeypatch.setattr(sys, "stdin", io.StringIO(rendered.replace(agentchart.NAMESPACE, NAMESPACE)))
    code, document = cluster.preflight("--manifest", "-")
    assert (code, states(document)["manifest"], states(document)["admission"]) == (0, "pass", "pass"), document
    placed = {each["name"]: len(each["placed"]) for each in document["workloads"]}
    assert placed == {"skerry-controller-manager": 2, "skerry-tower": 1, "skerry-nats": 1}


def test_a_policy_that_refuses_an_object_is_told_in_its_words(cluster: Cluster) -> None:
    cluster.node("room-a")
    quota = {"hard": {"count/configmaps": "0"}}
    metadata = {"name": "none", "namespace": NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": quota})
    code, document = cluster.preflight(where="--agent")
    assert (code, states(document)["manifest"]) == (1, "fail")
    assert "ConfigMap skerry-agent is refused (" in check(document, "manifest")["message"]
    assert "exceeded quota: none" in check(document, "manifest")["message"]


def test_a_grant_that_the_credential_may_not_give_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    cluster.node("room-a")
    cluster.member.kubectl("create", "serviceaccount", "installer", "-n", NAMESPACE)
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch", "create", "patch", "update"]},
        {"nonResourceURLs": ["*"], "verbs": ["get"]},
    ]
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "room-installer"}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "room-installer"}
    account = {"kind": "ServiceAccount", "name": "installer", "namespace": NAMESPACE}
    cluster.apply({**kind, "kind": "ClusterRole", "rules": rules})
    cluster.apply({**kind, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [account]})
    token = cluster.member.kubectl("create", "token", "installer", "-n", NAMESPACE).decode().strip()
    code, document = cluster.preflight(where="--agent", kubeconfig=cluster.of_token(token, tmp_path))
    assert (code, states(document)["rights"], states(document)["manifest"]) == (1, "pass", "fail"), document
    assert "attempting to grant RBAC permissions not currently held" in check(document, "manifest")["message"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what would be installed: one of --host, --agent and --direct"),
        (["--host", "--agent"], "say what would be installed: one of --host, --agent and --direct"),
        (["--host", "-o", "wide"], "-o wide: use json or yaml"),
        (["--host", "--manifest", "/nowhere"], "--manifest /nowhere cannot be read: No such file or directory"),
        (["--host", "--manifest", "x", "--set", "a=b"], "--manifest says all that is installed: leave out -f, --set and --direct"),
        (["--host", "--set", "tower.replicas=ten"], "values.tower.replicas: Expected `int | null`, got `str`"),
        (["--host", "--set", "tower.replicas=21"], "values.tower.replicas: 21, 0 to 20 are possible"),
        (["--agent", "--set", "resources.requests.cpu=much"], "values.resources.requests: 'much' is not an amount: write it as 100m, 2 or 1.5Gi"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preflight", *words]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"error: {message}\n")
