"""What was true when a cluster joined is looked at again: rights that go, files that rotate, another cluster in its place."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from skerry.api.kinds import BUILT_IN
from skerry.member import account
from tests.e2e.federation import Agent, Host, eventually
from tests.e2e.gate import Gate, kubeconfig, token_of
from tests.kube.member import Member
from tests.kube.provider import OwnClusters, Provider

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

LOOK = {"SKERRY_LOOK_S": "2"}
ADMINISTRATORS = "skerry:cluster-admin"
MANAGED = "app.kubernetes.io/managed-by=skerry"
INSTALLED = "skerry.dev/installed=direct"


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that looks often."""
    with Host(tmp_path_factory.mktemp("looking"), environment=LOOK) as made:
        made.up()
        yield made


@pytest.fixture
def host(looking: Host, plain_cluster: Member) -> Iterator[Host]:
    """It, without members; afterwards the cluster has nothing of what joining leaves on it."""
    yield looking
    if looking.cluster("m1"):
        looking.ok("cluster", "remove", "m1")
    for agent in looking.agents:
        agent.stop()
    plain_cluster.kubectl("delete", "clusterrolebinding,clusterrole,namespace", "-l", INSTALLED, "--wait=false")
    plain_cluster.kubectl("delete", "clusterrolebinding", "--ignore-not-found", *BUILT_IN)
    plain_cluster.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


def join(host: Host, mode: str, member: Member, file: Path) -> Agent | None:
    """The cluster joins as m1 with this kubeconfig."""
    if mode == "direct":
        host.ok("cluster", "join", "m1", "--direct", "--kubeconfig", str(file))
        return None
    try:
        place = host.directory / f"agent-{len(host.agents)}"
        agent = host.agent(replace(member, kubeconfig=file), host.token("m1"), state=place)
        host.wait_ready("m1", agent)
        return agent
    finally:
        host.members[member.name] = member


def condition(host: Host, kind: str) -> dict[str, str]:
    """Of m1; empty if there is none."""
    conditions = host.cluster("m1").get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def wait_for(host: Host, kind: str, reason: str) -> str:
    """Until the condition has this reason; its message."""
    eventually(lambda: condition(host, kind).get("reason") == reason, f"{kind} {reason}", 60)
    return condition(host, kind)["message"]


@pytest.mark.parametrize("mode", ["agent", pytest.param("direct", marks=pytest.mark.soak)])
def test_the_bindings_are_entries_and_one_that_was_deleted_is_there_again_at_once(
    host: Host, plain_cluster: Member, mode: str
) -> None:
    """What joining made is taken over as it is, without the label that earlier versions put on it."""
    join(host, mode, plain_cluster, plain_cluster.kubeconfig)
    assert host.serves("m1")
    plain_cluster.kubectl("label", "clusterrolebinding", ADMINISTRATORS, MANAGED)
    eventually(lambda: host.skerry("desired", "wait", "m1").stderr.endswith("4 entries are in place\n"), "entries", 60)
    eventually(lambda: "managed-by" not in _labels(plain_cluster, ADMINISTRATORS), "the label is taken off", 60)
    assert '"skerry.dev/owner":"tenancy"' in _labels(plain_cluster, ADMINISTRATORS)
    plain_cluster.kubectl("delete", "clusterrolebinding", ADMINISTRATORS)
    eventually(lambda: "tenancy" in _labels(plain_cluster, ADMINISTRATORS), "the binding is there again", 20)
    eventually(lambda: host.serves("m1"), "the administrator reads again")
    host.ok("cluster", "remove", "m1")
    left = plain_cluster.kubectl("get", "clusterrolebinding", "-o", "name").decode()
    assert "skerry:" not in left


@pytest.mark.parametrize("mode", [pytest.param("agent", marks=pytest.mark.soak), "direct"])
def test_what_is_to_be_kept_stays_on_a_member_that_is_removed_and_is_nobodys(
    host: Host, plain_cluster: Member, mode: str
) -> None:
    join(host, mode, plain_cluster, plain_cluster.kubeconfig)
    uid = host.cluster("m1")["metadata"]["uid"]
    eventually(lambda: host.skerry("desired", "wait", "m1").stderr.endswith("4 entries are in place\n"), "entries", 60)
    assert "stays, and nobody" in host.skerry("cluster", "remove", "m1", "--keep-on-member").stderr
    for name in BUILT_IN:
        assert "skerry.dev" not in _labels(plain_cluster, name)
        plain_cluster.kubectl("get", "clusterrolebinding", name)
    told = json.loads(host.kubectl(None, "get", "events", "-A", "-o", "json"))["items"]
    assert [each for each in told if each["reason"] == "LeftOnCluster" and each["involvedObject"]["uid"] == uid] == []


def _labels(member: Member, name: str) -> str:
    """Of a ClusterRoleBinding, as JSON; empty if it is not there."""
    arguments = ("get", "clusterrolebinding", name, "--ignore-not-found", "-o", "jsonpath={.metadata.labels}")
    return member.kubectl(*arguments).decode()


def test_what_an_older_account_may_not_repair_is_named_and_a_new_one_may(host: Host, plain_cluster: Member) -> None:
    file = str(plain_cluster.kubeconfig)
    host.ok("cluster", "join", "m1", "--direct", "--create-service-account", "--kubeconfig", file)
    wait_for(host, "RightsComplete", "Complete")
    kube_system = {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}
    group, names = "rbac.authorization.k8s.io", list(BUILT_IN)
    seen = {"apiGroups": [group], "resources": ["clusterrolebindings"], "resourceNames": names, "verbs": ["get"]}
    rules = json.dumps({"rules": [kube_system, seen, *(each for each in account.rules() if not _is_younger(each))]})
    plain_cluster.kubectl("patch", "clusterrole", account.ROLE, "--type=merge", "-p", rules)
    plain_cluster.kubectl("delete", "clusterrolebinding", ADMINISTRATORS)
    message = wait_for(host, "Ready", "RightsMissing")
    command = message.rpartition("): kubectl ")[2]
    assert command.startswith(f"create clusterrolebinding {ADMINISTRATORS}")
    eventually(lambda: "--create-service-account" in host.ok("desired", "m1", "-o", "wide"), "Forbidden", 60)
    host.ok("cluster", "set", "m1", "--create-service-account", "--kubeconfig", file)
    wait_for(host, "Ready", "Connected")
    eventually(lambda: host.skerry("desired", "wait", "m1").returncode == 0, "all is in place", 60)
    assert host.serves("m1")


def _is_younger(rule: dict[str, list[str]]) -> bool:
    """Whether a rule came with what tenancy keeps in place."""
    return bool({"bind", "create", "patch"} & set(rule["verbs"]))


def test_an_account_that_may_no_longer_impersonate_is_named(host: Host, plain_cluster: Member, tmp_path: Path) -> None:
    token = token_of(plain_cluster, "narrowed")
    try:
        join(host, "agent", plain_cluster, kubeconfig(plain_cluster, tmp_path / "config", user={"token": token}))
        role = ["--verb=get,list", "--resource=namespaces,nodes"]
        plain_cluster.kubectl("create", "clusterrole", "narrow", *role)
        plain_cluster.kubectl("delete", "clusterrolebinding", "narrowed")
        bound = ("--clusterrole=narrow", "--serviceaccount=default:narrowed")
        plain_cluster.kubectl("create", "clusterrolebinding", "narrowed", *bound)
        assert "impersonate" in wait_for(host, "Ready", "RightsMissing")
    finally:
        plain_cluster.kubectl("delete", "clusterrolebinding/narrowed", "clusterrole/narrow", "serviceaccount/narrowed")


def test_a_token_that_is_renewed_in_the_kubeconfig_is_used_without_a_restart(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    accounts = ("first-token", "second-token")
    file = kubeconfig(plain_cluster, tmp_path / "config", user={"token": token_of(plain_cluster, accounts[0])})
    try:
        agent = join(host, "agent", plain_cluster, file)
        assert host.serves("m1")
        kubeconfig(plain_cluster, file, user={"token": token_of(plain_cluster, accounts[1])})
        plain_cluster.kubectl("delete", "serviceaccount", accounts[0])
        eventually(
            lambda: host.serves("m1") and "were read again" in (agent.said() if agent else ""), "the new token", 90
        )
    finally:
        plain_cluster.kubectl("delete", "serviceaccount", *accounts, "--ignore-not-found")
        plain_cluster.kubectl("delete", "clusterrolebinding", *accounts)


@pytest.fixture(scope="module")
def twin(kube: Provider, plain_cluster: Member, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """Another cluster with the same authority, certificates and tokens: what a rebuilt one is."""
    if not isinstance(kube, OwnClusters):
        pytest.skip("the clusters were not made here")
    place = tmp_path_factory.mktemp("twin")
    shutil.copytree(plain_cluster.kubeconfig.parent / "pki", place / "pki")
    saved = json.loads((plain_cluster.kubeconfig.parent / "cluster.json").read_text())
    (place / "cluster.json").write_text(json.dumps({**saved, "ports": {}}))
    with kube.plain(place) as found:
        assert found.uid != plain_cluster.uid
        yield found


@pytest.mark.parametrize("mode", ["agent", pytest.param("direct", marks=pytest.mark.soak)])
def test_a_cluster_that_another_host_took_over_is_let_go_and_comes_back_when_it_is_taken_back(
    host: Host, plain_cluster: Member, mode: str
) -> None:
    join(host, mode, plain_cluster, plain_cluster.kubeconfig)
    assert host.serves("m1")
    mark = ("annotate", "namespace", "kube-system", "--overwrite")
    plain_cluster.kubectl(*mark, "skerry.dev/host=11111111-2222", "skerry.dev/host-name=mainland")
    for kind in ("Ready", "Joined"):
        assert "another host, 'mainland' (UID 11111111-2222)" in wait_for(host, kind, "TakenOver")
    refused = host.kubectl_run("m1", "create", "namespace", f"lost-{mode}")
    assert refused.returncode != 0
    assert "mainland" in refused.stderr.decode()
    plain_cluster.kubectl("delete", "clusterrolebinding", ADMINISTRATORS)
    time.sleep(5)  # two looks and more, each of which would put it right
    assert _labels(plain_cluster, ADMINISTRATORS) == ""
    plain_cluster.kubectl(*mark, f"skerry.dev/host={host.cluster('host')['status']['uid']}")
    wait_for(host, "Joined", "AgentJoined" if mode == "agent" else "DirectJoined")
    eventually(lambda: host.serves("m1"), "the administrator reads again")
    plain_cluster.kubectl(*mark, "skerry.dev/host=11111111-2222")
    wait_for(host, "Joined", "TakenOver")
    assert "nothing on it was touched" in host.skerry("cluster", "remove", "m1").stderr
    plain_cluster.kubectl("get", "clusterrolebinding", ADMINISTRATORS)


@pytest.mark.parametrize("mode", [pytest.param("agent", marks=pytest.mark.soak), "direct"])
def test_another_cluster_at_its_address_is_served_nothing_and_it_heals_by_itself(
    host: Host, plain_cluster: Member, twin: Member, mode: str, tmp_path: Path
) -> None:
    with Gate(plain_cluster.url) as gate:
        address = f"https://127.0.0.1:{gate.port}"
        join(host, mode, plain_cluster, kubeconfig(plain_cluster, tmp_path / "config", server=address))
        host.kubectl("m1", "create", "namespace", f"before-{mode}")
        watch = subprocess.Popen(
            host.kubectl_command("m1", "get", "--raw", "/api/v1/configmaps?watch=true&resourceVersion=0"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        gate.leads_to(twin.url)
        watch.communicate(timeout=30)
        assert watch.returncode != 0
        done = host.kubectl_run("m1", "create", "namespace", f"lost-{mode}")
        assert done.returncode != 0
        said = wait_for(host, "Ready", "WrongCluster")
        for text in (said, host.kubectl_run("m1", "get", "namespaces").stderr.decode()):
            for part in (twin.uid, plain_cluster.uid, "skerry cluster remove m1"):
                assert part in text
        names = twin.kubectl("get", "namespaces,clusterrolebindings", "-o", "name").decode()
        assert "lost" not in names
        assert "skerry" not in names
        gate.leads_to(plain_cluster.url)
        eventually(lambda: host.ready("m1"), "Ready again", 60)
        assert f"before-{mode}" in host.kubectl("m1", "get", "namespaces")
