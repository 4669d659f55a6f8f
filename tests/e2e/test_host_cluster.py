"""The cluster that the host runs in, as any other one through the host: kubectl against a real API server, for its administrator
and for tenants to whom it was given by name.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import ownhost
from tests.e2e.federation import Host, eventually
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]
CONTROLLER = "skerry-controller-manager"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member) -> Iterator[Host]:
    """A host that manages it, with the account of the chart."""
    directory = tmp_path_factory.mktemp("own")
    ownhost.accounts(plain_cluster)
    file = ownhost.kubeconfig(plain_cluster, CONTROLLER, directory)
    with Host(directory / "host", environment={"SKERRY_HOST_KUBECONFIG": str(file), "SKERRY_LOOK_S": "2"}) as made:
        made.up()
        made.wait_ready("host")
        yield made
    ownhost.forget(plain_cluster)


def grant(host: Host, name: str, user: str, **spec: Any) -> None:
    """An AccessGrant, as it was applied."""
    document = {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": {"name": name},
        "spec": {"subjects": [{"kind": "User", "name": user}], **spec},
    }
    host.kubectl(None, "apply", "-f", "-", stdin=json.dumps(document).encode())


def run(host: Host, user: Path, *arguments: str) -> tuple[int, str]:
    """kubectl at the host's own cluster as somebody; its exit code, and what it said."""
    done = host.kubectl_run("host", *arguments, kubeconfig=user)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_it_is_shown_as_members_are(host: Host, plain_cluster: Member) -> None:
    row = next(line for line in host.ok("clusters").splitlines() if line.startswith("host")).split()
    assert row[1:4] == ["host", "in-cluster", "True"]
    eventually(
        lambda: {each["type"] for each in host.cluster("host")["status"]["conditions"] if each["status"] == "True"}
        >= {"Joined", "Reachable", "Ready", "CredentialsValid", "RightsComplete", "CertificateValid", "VersionSupported",
            "ClockSynced", "DesiredApplied"},
        "all is well", 60,
    )  # fmt: skip
    status = host.cluster("host")["status"]
    uid = plain_cluster.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").decode()
    assert status["clusterUID"] == uid != status["uid"]
    assert status["kubernetesVersion"].startswith("v1.")
    assert status["nodes"] == 0


def test_doctor_looks_at_it(host: Host) -> None:
    report = json.loads(host.ok("doctor", "host", "-o", "json"))
    results = {each["name"]: each["result"] for each in report["checks"] if each["name"].startswith("member.")}
    assert {"member.tunnel", "member.api", "member.identity", "member.owner"} <= {
        name for name, result in results.items() if result == "pass"
    }


def test_its_administrator_works_there_and_is_seen_as_themselves(host: Host, plain_cluster: Member) -> None:
    host.kubectl("host", "create", "configmap", "mine", "-n", "default")
    assert plain_cluster.kubectl("get", "configmap", "mine", "-n", "default", "-o", "name") == b"configmap/mine\n"
    whoami = json.loads(host.kubectl("host", "auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert whoami["username"] == "skerry:admin"
    assert "skerry:cluster-admin" in whoami["groups"]
    command = host.kubectl_command("host", "get", "configmaps", "-n", "default", "-w", "-o", "name")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = {watching.stdout.readline().strip() for _ in range(2)}
        assert "configmap/mine" in first
        plain_cluster.kubectl("create", "configmap", "later", "-n", "default")
        assert watching.stdout.readline().strip() == "configmap/later"
        watching.kill()
    host.kubectl("host", "delete", "configmap", "mine", "later", "-n", "default")


def test_a_tenant_reaches_it_by_its_name_alone(host: Host) -> None:
    host.kubeconfig("host")
    alice, bob, carol = host.credential("alice"), host.credential("bob"), host.credential("carol", "skerry:edit")
    grant(host, "by-name", "alice", clusters={"names": ["host"]}, role="view")
    grant(host, "by-selector", "bob", clusters={"selector": {}}, role="cluster-admin")
    host.kubectl(None, "wait", "accessgrant/by-name", "--for=condition=Enforced", "--timeout=30s")
    assert run(host, alice, "get", "configmaps", "-n", "default", "-o", "name")[0] == 0
    for arguments in (("create", "configmap", "c"), ("get", "secrets", "-n", "skerry-system"), ("get", "nodes")):
        code, said = run(host, alice, *arguments)
        assert code == 1
        assert 'User "skerry:alice" cannot' in said
    for nobody in (bob, carol):
        code, said = run(host, nobody, "get", "namespaces")
        assert code == 1
        assert "skerry-controller-manager" not in said
    host.kubectl(None, "delete", "accessgrant", "by-name", "by-selector")
    assert run(host, alice, "get", "configmaps", "-n", "default")[0] == 1


def test_nobody_gets_the_hosts_own_account(host: Host) -> None:
    """It may impersonate anybody: whoever could use it would be everybody."""
    host.kubeconfig("host")
    dora = host.credential("dora")
    grant(host, "dora", "dora", clusters={"names": ["host"]}, role="view")
    host.kubectl(None, "wait", "accessgrant/dora", "--for=condition=Enforced", "--timeout=30s")
    for other in ("system:admin", f"system:serviceaccount:skerry-system:{CONTROLLER}", "skerry:admin"):
        assert "may not impersonate others" in run(host, dora, "auth", "whoami", "--as", other)[1]
    whoami = json.loads(host.kubectl("host", "auth", "whoami", "-o", "json", kubeconfig=dora))["status"]["userInfo"]
    assert (whoami["username"], whoami["groups"]) == ("skerry:dora", ["skerry:view", "system:authenticated"])
    for verb in ("impersonate", "create"):
        what = "users" if verb == "impersonate" else "clusterrolebindings"
        assert run(host, dora, "auth", "can-i", verb, what)[1].startswith("no")
    host.kubectl(None, "delete", "accessgrant", "dora")


def test_its_credential_is_nowhere_but_in_its_file(host: Host) -> None:
    secret = (host.directory.parent / f"{CONTROLLER}.token").read_text()
    assert secret not in host.kubectl(None, "get", "clusters", "-o", "json")
    for path in (host.state / "host").rglob("*"):
        if path.is_file() and path.stat().st_size < 50_000_000:
            assert secret.encode() not in path.read_bytes(), path


def test_a_renewed_token_is_used(host: Host, plain_cluster: Member) -> None:
    """The account's old tokens end with the account; nothing is restarted."""
    plain_cluster.kubectl("delete", "serviceaccount", CONTROLLER, "-n", "skerry-system")
    eventually(lambda: _ready(host)["reason"] == "Refused", "its token is refused", 60)
    assert "whose token kubelet renews" in _ready(host)["message"]
    refused = host.kubectl_run("host", "get", "nodes").stderr.decode()
    assert "not yours: it is the ServiceAccount of the host's pod" in refused
    ownhost.accounts(plain_cluster)
    (host.directory.parent / f"{CONTROLLER}.token").write_text(ownhost.token(plain_cluster, CONTROLLER))
    eventually(lambda: _ready(host)["status"] == "True", "the new one is taken", 60)
    assert host.kubectl_run("host", "get", "nodes").returncode == 0


def test_a_right_that_is_taken_away_is_named(host: Host, plain_cluster: Member) -> None:
    ownhost.accounts(plain_cluster, without="users")
    eventually(lambda: _ready(host)["reason"] == "RightsMissing", "it is seen", 60)
    assert "may not impersonate" in _ready(host)["message"]
    refused = host.kubectl_run("host", "get", "nodes").stderr.decode()
    assert f'"system:serviceaccount:skerry-system:{CONTROLLER}" cannot impersonate' in refused
    ownhost.accounts(plain_cluster)
    eventually(lambda: _ready(host)["status"] == "True", "it is back", 60)


def test_it_does_not_join_besides(host: Host, plain_cluster: Member) -> None:
    says = "is the one that this host runs in, and is managed already"
    direct = host.skerry("cluster", "join", "twice", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
    assert (direct.returncode, says in direct.stderr) == (1, True), direct.stderr
    agent = host.agent(plain_cluster, host.token("twice"))
    assert agent.exits() != 0
    assert says in agent.said()
    assert not host.cluster("twice")


def test_the_front_doors_account_does_what_it_is_for_and_no_more(
    host: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    """It is another one than that of the services, which write."""
    file = ownhost.kubeconfig(plain_cluster, "skerry-tower", tmp_path)

    def can(*arguments: str) -> bool:
        done = plain_cluster.run_inside(
            [plain_cluster.kubectl_command()[0], "--kubeconfig", str(file), "auth", "can-i", *arguments]
        )
        return done.stdout.strip() == b"yes"

    assert can("impersonate", "users")
    assert can("impersonate", "groups")
    assert can("get", "namespaces/kube-system")
    for no in (("get", "namespaces"), ("get", "secrets", "-n", "skerry-system"), ("create", "clusterrolebindings"),
               ("impersonate", "serviceaccounts"), ("impersonate", "uids")):  # fmt: skip
        assert not can(*no), no


def _ready(host: Host) -> dict[str, str]:
    conditions = host.cluster("host").get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {"reason": "", "message": "", "status": ""})
