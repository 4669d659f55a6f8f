"""What is installed where: all that is on a cluster, compared before and after, by kind and name, with each option of a join; and
what is left after a removal, with the commands that are told for it. Not by labels: what has none would not be seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.hostchart import RELEASE
from tests.deploy.hostpods import HostPods
from tests.deploy.test_agent_install import Installed
from tests.e2e import ownhost
from tests.e2e.federation import Host, eventually
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

KINDS = (
    "namespaces,pods,deployments,statefulsets,daemonsets,replicasets,jobs,cronjobs,services,configmaps,secrets,serviceaccounts,"
    "roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,poddisruptionbudgets,customresourcedefinitions,"
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies,apiservices,resourcequotas,"
    "limitranges,persistentvolumeclaims,priorityclasses"
)
KUBERNETES = ("ConfigMap kube-root-ca.crt", "ServiceAccount default")
"""What it makes itself in each new namespace."""
BINDINGS = {f"ClusterRoleBinding skerry:{role}" for role in ("view", "edit", "admin", "cluster-admin")}
MARK = {"annotations of kube-system: skerry.dev/host, skerry.dev/host-name"}
ACCOUNT = {
    "ServiceAccount skerry-direct",
    "ClusterRole skerry:direct",
    "ClusterRoleBinding skerry:direct",
    "Secret skerry-direct-…",
}
NAMESPACE = {"Namespace skerry-system"}
AGENT = {
    "Deployment skerry-agent", "ConfigMap skerry-agent", "Secret skerry-agent-state", "Secret skerry-agent-token",
    "ServiceAccount skerry-agent", "Role skerry-agent", "RoleBinding skerry-agent", "ClusterRole skerry:agent",
    "ClusterRoleBinding skerry:agent", "NetworkPolicy skerry-agent",
}  # fmt: skip
OF_DEPLOYMENT = ("ReplicaSet ", "Pod ")
OF_HELM = "Secret sh.helm.release."
WORKLOADS = ("skerry-controller-manager", "skerry-tower", "skerry-nats")
HOST = {
    "Deployment skerry-controller-manager", "Deployment skerry-tower", "StatefulSet skerry-nats",
    *(f"{kind} {name}" for kind in ("ServiceAccount", "NetworkPolicy") for name in WORKLOADS), "NetworkPolicy skerry-test",
    "Service skerry", "Service skerry-bus", "Service skerry-nats", "PodDisruptionBudget skerry-controller-manager",
    "Role skerry-bootstrap", "RoleBinding skerry-bootstrap", "ClusterRole skerry:host", "ClusterRoleBinding skerry:host",
    "ClusterRole skerry:token-review", "ClusterRoleBinding skerry:token-review",
}  # fmt: skip
MANAGED = BINDINGS | {
    f"{kind} skerry:host-{part}" for kind in ("ClusterRole", "ClusterRoleBinding") for part in ("cluster", "requests")
}
BUS = {each for each in HOST if each.endswith(("skerry-nats", "skerry-bus"))}
VOLUME = "PersistentVolumeClaim data-skerry-nats-0"
KEYS = {f"Secret skerry-{each}" for each in ("root", "keys", "nats", "controller-manager", "tower", "admin")}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Host(tmp_path_factory.mktemp("host")) as made:
        made.up()
        yield made


@pytest.fixture
def added(plain_cluster: Member) -> Iterator[Callable[[], set[str]]]:
    """What there is on the cluster that was not there at the beginning of the test, of which nothing may be left at its end."""
    before = objects(plain_cluster)
    yield lambda: objects(plain_cluster) - before
    delete_namespaces(plain_cluster, "skerry-system", "edge", "shop")
    left = objects(plain_cluster) - before
    assert left == set()


def objects(member: Member) -> set[str]:
    """Kinds and names of all that is on a cluster, and our annotations of kube-system."""
    items = json.loads(member.kubectl("get", KINDS, "-A", "-o", "json"))["items"]
    names = {f"{each['kind']} {_name(each)}" for each in items}
    names = {each for each in names if each not in KUBERNETES and not each.startswith((*OF_DEPLOYMENT, OF_HELM))}
    system = next(each for each in items if (each["kind"], each["metadata"]["name"]) == ("Namespace", "kube-system"))
    marks = sorted(each for each in system["metadata"].get("annotations", {}) if "skerry.dev" in each)
    return names | ({f"annotations of kube-system: {', '.join(marks)}"} if marks else set())


def _name(document: dict[str, Any]) -> str:
    name: str = document["metadata"]["name"]
    return "skerry-direct-…" if name.startswith("skerry-direct-") else name


def applied(host: Host, name: str) -> bool:
    """Whether all that the host's services want there is in place."""
    return host.skerry("desired", "wait", name).returncode == 0


def grant(host: Host, name: str) -> None:
    """A role in namespace shop of a cluster, in place."""
    spec = {
        "subjects": [{"kind": "User", "name": "zoe"}],
        "clusters": {"names": [name]},
        "role": "edit",
        "namespaces": ["shop"],
    }
    document = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": "zoe"}, "spec": spec}
    host.kubectl(None, "apply", "-f", "-", stdin=ownhost.encoded(document))
    host.kubectl(None, "wait", "accessgrant/zoe", "--for=condition=Enforced", "--timeout=30s")


def test_on_a_direct_member_nothing_runs(host: Host, plain_cluster: Member, added: Callable[[], set[str]]) -> None:
    """Neither a workload nor a Service nor a ConfigMap, with grants neither; and when it goes, nothing is left."""
    host.ok("cluster", "join", "plain", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
    eventually(lambda: applied(host, "plain"), "all is in place")
    assert added() == BINDINGS | MARK
    plain_cluster.kubectl("create", "namespace", "shop")
    grant(host, "plain")
    narrow = {"RoleBinding skerry:edit", "ClusterRole skerry:namespaces", "ClusterRoleBinding skerry:namespaces"}
    assert added() == BINDINGS | MARK | narrow | {"Namespace shop"}
    host.kubectl(None, "delete", "accessgrant", "zoe")
    said = host.skerry("cluster", "remove", "plain", "--kubeconfig", str(plain_cluster.kubeconfig)).stderr
    assert "kubectl" not in said
    assert added() == {"Namespace shop"}


def test_a_direct_member_may_have_an_account_for_the_host(
    host: Host, plain_cluster: Member, added: Callable[[], set[str]]
) -> None:
    file = ("--kubeconfig", str(plain_cluster.kubeconfig))
    host.ok("cluster", "join", "account", "--direct", "--create-service-account", *file)
    eventually(lambda: applied(host, "account"), "all is in place")
    assert added() == BINDINGS | MARK | ACCOUNT | NAMESPACE
    said = host.skerry("cluster", "remove", "account", *file).stderr
    assert "the host's account is deleted in namespace skerry-system, which stays" in said
    assert added() == NAMESPACE


@pytest.mark.parametrize(
    "how", [(), *(pytest.param((each,), marks=pytest.mark.soak) for each in ("--now", "--keep-on-member"))], ids=str
)
def test_what_a_removal_leaves_is_told_with_the_commands_that_delete_it(
    host: Host, plain_cluster: Member, added: Callable[[], set[str]], how: tuple[str, ...]
) -> None:
    host.ok(
        "cluster", "join", "told", "--direct", "--create-service-account", "--kubeconfig", str(plain_cluster.kubeconfig)
    )
    eventually(lambda: applied(host, "told"), "all is in place")
    said = host.skerry("cluster", "remove", "told", *how).stderr
    assert added() >= ACCOUNT | NAMESPACE | (BINDINGS if how else set())
    assert plain_cluster.obey(said)
    plain_cluster.kubectl("wait", "--for=delete", "namespace/skerry-system", "--timeout=60s")
    assert added() == set()


def test_on_the_hosts_own_cluster_nothing_runs_but_the_host(
    host: Host, plain_cluster: Member, added: Callable[[], set[str]], tmp_path: Path
) -> None:
    """It is marked as that host's, so that no other one has it join; and what it leaves goes by the commands of its page."""
    with Host(tmp_path / "own", environment={"SKERRY_HOST_KUBECONFIG": str(plain_cluster.kubeconfig)}) as own:
        own.up()
        own.wait_ready("host")
        eventually(lambda: applied(own, "host"), "all is in place")
        assert added() == BINDINGS | MARK
        refused = host.skerry("cluster", "join", "other", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
        assert (refused.returncode, "belongs to host" in refused.stderr) == (1, True), refused.stderr
        assert added() == BINDINGS | MARK
    page = Path("docs/host-cluster.md").read_text()
    assert len(plain_cluster.obey(page[page.index("## What is left") :])) == 2
    assert added() == set()


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ({}, HOST | MANAGED),
        pytest.param(
            {"manageHost": False, "tokenReview": False},
            HOST - {each for each in HOST if each.endswith("token-review")},
            marks=pytest.mark.soak,
        ),
        pytest.param(
            {"bus": {"mode": "external", "external": {"servers": ["tls://n:4222"]}}},
            (HOST | MANAGED) - BUS,
            marks=pytest.mark.soak,
        ),
        (
            {"standalone": ["registry"], "tower": {"replicas": 2}, "networkPolicy": {"ingress": False}},
            {each for each in HOST | MANAGED if not each.startswith("NetworkPolicy")}
            | {f"{kind} skerry-registry" for kind in ("Deployment", "ServiceAccount", "PodDisruptionBudget")}
            | {"PodDisruptionBudget skerry-tower"},
        ),
    ],
    ids=["plain", "unmanaged", "external", "apart"],
)
def test_of_a_host_in_pods_there_is_what_its_page_lists(
    helms: Mapping[str, Path],
    plain_cluster: Member,
    added: Callable[[], set[str]],
    values: dict[str, Any],
    there: set[str],
    tmp_path: Path,
) -> None:
    kept = NAMESPACE | ({VOLUME} if "bus" not in values else set())
    pods = HostPods(helms["helm-4"], plain_cluster, tmp_path)
    pods.values = values
    said = pods.release("install", "--create-namespace")
    eventually(lambda: added() == there | kept, "it is installed")
    done = pods.bootstrap()
    assert done.returncode == 0, done.stderr
    kept |= KEYS | {f"Secret skerry-{each}" for each in values.get("standalone", ())}
    assert added() == there | kept
    pods.helm("uninstall", RELEASE)
    eventually(lambda: added() == kept, "it is uninstalled")
    commands = plain_cluster.obey(said[said.index("What deletes them too") :])
    assert len(commands) == (4 if values.get("manageHost", True) else 2)
    eventually(lambda: added() == NAMESPACE, "nothing is left")


@pytest.mark.parametrize(
    ("options", "more", "settings", "namespace", "image"),
    [
        ((), set(), {"SKERRY_READ_ONLY": "0", "SKERRY_CEILING_DESIRED": "All"}, "skerry-system", "skerry-agent:"),
        (("--replicas", "3", "-n", "edge"), {"PodDisruptionBudget skerry-agent"}, {}, "edge", "skerry-agent:"),
        (
            ("--read-only", "--no-exec", "--namespaces", "a,b", "--ceiling-desired", "None", "--image-registry", "m:5000/x"),
            set(),
            {"SKERRY_READ_ONLY": "1", "SKERRY_NO_EXEC": "1", "SKERRY_NAMESPACES": "a,b", "SKERRY_CEILING_DESIRED": "None"},
            "skerry-system",
            "m:5000/x/skerry-agent:",
        ),
    ],
    ids=["plain", "placed", "limited"],
)  # fmt: skip
def test_on_a_member_with_an_agent_there_is_the_agent_alone(
    host: Host,
    plain_cluster: Member,
    added: Callable[[], set[str]],
    options: tuple[str, ...],
    more: set[str],
    settings: dict[str, str],
    namespace: str,
    image: str,
) -> None:
    """With each option of `skerry join`; what was installed and never joined goes by its label."""
    file = ("--kubeconfig", str(plain_cluster.kubeconfig))
    late = host.skerry("join", "pods", *file, "--no-preflight", "--wait", "1s", *options)
    assert (late.returncode, f"the agent is installed in namespace {namespace}" in late.stderr) == (5, True), (
        late.stderr
    )
    assert added() == AGENT | BINDINGS | more | {f"Namespace {namespace}"}
    deployment = json.loads(plain_cluster.kubectl("get", "deployment", "skerry-agent", "-n", namespace, "-o", "json"))
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].startswith(image)
    assert deployment["spec"]["replicas"] == (3 if more else 1)
    config = json.loads(plain_cluster.kubectl("get", "configmap", "skerry-agent", "-n", namespace, "-o", "json"))[
        "data"
    ]
    assert config.items() >= settings.items()
    kinds = KINDS.replace("namespaces,", "").replace("apiservices,", "")
    plain_cluster.kubectl("delete", kinds, "-A", "-l", "skerry.dev/installed=agent", "--wait=true")
    assert added() == {f"Namespace {namespace}"}


def test_an_agent_that_joined_leaves_its_namespace_alone(
    host: Host, plain_cluster: Member, added: Callable[[], set[str]], tmp_path: Path
) -> None:
    file = ("--kubeconfig", str(plain_cluster.kubeconfig))
    host.skerry("join", "joined", *file, "--no-preflight", "--wait", "1s")
    installed = Installed(Path("helm"), plain_cluster, host, tmp_path)
    agent, _ = installed.pod()
    host.wait_ready("joined", agent, 60)
    eventually(lambda: applied(host, "joined"), "all is in place", 60)
    assert added() == AGENT | BINDINGS | MARK | NAMESPACE
    said = host.skerry("cluster", "remove", "joined", *file).stderr
    assert "the agent is deleted in namespace skerry-system, which stays" in said
    assert "kubectl" not in said
    assert agent.exits() == 1
    assert added() == NAMESPACE


def test_an_agent_that_is_away_is_taken_away_too(
    host: Host, plain_cluster: Member, added: Callable[[], set[str]], tmp_path: Path
) -> None:
    """Nobody withdraws what the host's services keep in place there but the command itself."""
    file = ("--kubeconfig", str(plain_cluster.kubeconfig))
    host.skerry("join", "away", *file, "--no-preflight", "--wait", "1s")
    installed = Installed(Path("helm"), plain_cluster, host, tmp_path)
    agent, _ = installed.pod()
    host.wait_ready("away", agent, 60)
    plain_cluster.kubectl("create", "namespace", "shop")
    grant(host, "away")
    assert agent.stop() == 0
    eventually(lambda: not host.ready("away"), "it is away", 60)
    assert added() > AGENT | BINDINGS | MARK | NAMESPACE
    host.kubectl(None, "delete", "accessgrant", "zoe")
    done = host.skerry("cluster", "remove", "away", *file)
    assert done.returncode == 0, done.stderr
    assert added() == NAMESPACE | {"Namespace shop"}
