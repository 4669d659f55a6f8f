"""Direct members: the host reaches their API servers itself, and everything above the transport is as with an agent."""

from __future__ import annotations

import http.client
import json
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from skerry.api.kinds import BUILT_IN
from tests.e2e.federation import Done, Host, eventually
from tests.e2e.gate import Gate, kubeconfig, token_of
from tests.kube.member import Member
from tests.kube.provider import Provider

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

INSTALLED = "skerry.dev/installed=direct"


@pytest.fixture(scope="module")
def paused(host: Host) -> None:
    """From now on the module's own host, which would put back within seconds what is missing, does nothing on the cluster: the
    tests that follow let it join another one.
    """
    host.ok("cluster", "pause", "near")
    eventually(lambda: _applied(host, "registry") == ["agent"], "the pause is known", 60)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """For `another`."""
    with Host(tmp_path_factory.mktemp("second")) as made:
        made.up()
        yield made


@pytest.fixture
def another(second: Host, paused: None, plain_cluster: Member) -> Iterator[Host]:
    """Another host, without members, and the cluster without anything that joining leaves on it."""
    _forget(plain_cluster)
    yield second
    clusters = (second.get("/apis/skerry.dev/v1alpha1/clusters") or {})["items"]
    for name in [each["metadata"]["name"] for each in clusters if each["spec"]["role"] == "member"]:
        second.ok("cluster", "remove", name)
    _forget(plain_cluster)


def _applied(host: Host, owner: str) -> list[str]:
    """Names of a service's entries that are in place on `near`."""
    listed = json.loads(host.ok("desired", "near", "--owner", owner, "--state", "Applied", "-o", "json"))
    return sorted(each["key"].rsplit(".", 1)[1] for each in listed["items"])


def _forget(member: Member) -> None:
    member.kubectl("delete", "clusterrolebinding,clusterrole,namespace", "-l", INSTALLED, "--wait=false")
    member.kubectl("delete", "clusterrolebinding", "--ignore-not-found", *BUILT_IN)
    member.kubectl("annotate", "namespace", "kube-system", "skerry.dev/host-", "skerry.dev/host-name-")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, plain_cluster: Member) -> Iterator[Host]:
    """A host with one direct member, `near`, which looks at it once: other tests let the same cluster join other hosts."""
    with Host(tmp_path_factory.mktemp("direct"), environment={"SKERRY_LOOK_S": "86400"}) as made:
        made.up()
        made.ok("cluster", "join", "near", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
        yield made
        made.ok("cluster", "remove", "near")
        _forget(plain_cluster)


def _bindings(member: Member) -> list[str]:
    """Names of ours."""
    listed = member.kubectl("get", "clusterrolebinding", "-o", "name").decode().split()
    return sorted(name for each in listed if (name := each.rsplit("/", 1)[1]).startswith("skerry:"))


def _refused(host: Host, *arguments: str) -> str:
    done = host.skerry(*arguments)
    assert done.returncode != 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def _join(host: Host, name: str, file: Path, *options: str) -> Done:
    return host.skerry("cluster", "join", name, "--direct", "--kubeconfig", str(file), *options)


def _conditions(host: Host, name: str) -> dict[str, dict[str, str]]:
    document = json.loads(host.kubectl(None, "get", "cluster", name, "-o", "json"))
    return {each["type"]: each for each in document["status"]["conditions"]}


def _front(
    host: Host, path: str, kubeconfig_file: Path, headers: dict[str, str], method: str = "GET"
) -> tuple[int, str]:
    """One request to the front door as a client with its own mind would send it."""
    document = json.loads(kubeconfig_file.read_text())
    server = urlsplit(next(c for c in document["clusters"] if c["name"] == "skerry")["cluster"]["server"])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection(server.hostname or "", server.port or 443, context=context, timeout=30)
    token = document["users"][0]["user"]["token"]
    connection.request(method, path, headers={"Authorization": f"Bearer {token}", **headers})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_it_is_ready_at_once_and_shows_how_it_is_reached(host: Host) -> None:
    row = next(line for line in host.ok("clusters").splitlines() if line.startswith("near"))
    assert row.split()[1:4] == ["member", "direct", "True"]
    applied = "DesiredApplied"
    eventually(
        lambda: _conditions(host, "near").get(applied, {}).get("status") == "True", "nothing is left to apply", 30
    )
    conditions = _conditions(host, "near")
    assert {kind: each["status"] for kind, each in conditions.items()} == {
        "Joined": "True", "Reachable": "True", "Ready": "True", "CredentialsValid": "True",
        "RightsComplete": "True", "CertificateValid": "True", "VersionSupported": "True", "ClockSynced": "True",
        applied: "True",
    }  # fmt: skip
    document = json.loads(host.kubectl(None, "get", "cluster", "near", "-o", "json"))
    eventually(lambda: "ms" in host.ok("clusters"), "the prober's round trip in the table", 15)
    assert document["status"]["credentials"]["revision"] == 1


def test_nothing_is_installed_but_the_bindings_and_the_mark(host: Host, plain_cluster: Member) -> None:
    assert _bindings(plain_cluster) == sorted(BUILT_IN)
    assert plain_cluster.kubectl("get", "namespace,deployment,secret", "-A", "-l", INSTALLED, "-o", "name") == b""
    mark = plain_cluster.kubectl("get", "ns", "kube-system", "-o", "jsonpath={.metadata.annotations}").decode()
    assert "skerry.dev/host" in mark


def test_kubectl_works_through_the_host(host: Host, plain_cluster: Member) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "b" * 100_000}}
    host.kubectl("near", "apply", "--server-side", "-f", "-", stdin=json.dumps(manifest).encode())
    assert plain_cluster.kubectl("get", "configmap", "applied", "-o", "jsonpath={.data.a}") == b"b" * 100_000
    assert "applied" in host.kubectl("near", "get", "configmaps")
    host.kubectl("near", "delete", "configmap", "applied")


def test_a_watch_gets_every_event_at_once(host: Host, plain_cluster: Member) -> None:
    command = host.kubectl_command("near", "get", "configmaps", "--watch", "-o", "name")
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watch.stdout is not None
    try:
        plain_cluster.kubectl("create", "configmap", "seen")
        lines = iter(watch.stdout.readline, b"")
        assert any(line.strip() == b"configmap/seen" for line in lines)
    finally:
        watch.kill()
        watch.communicate()
        plain_cluster.kubectl("delete", "configmap", "seen")


def test_a_viewer_reads_and_the_member_itself_says_no_to_writes(host: Host) -> None:
    viewer = host.credential("vera", "skerry:view")
    host.kubectl("near", "get", "configmaps", kubeconfig=viewer)
    done = host.kubectl_run("near", "create", "configmap", "no", kubeconfig=viewer)
    assert done.returncode == 1
    assert b"skerry:vera" in done.stderr


def test_who_holds_no_group_learns_nothing(host: Host) -> None:
    nobody = host.credential("norman")
    done = host.kubectl_run("near", "get", "configmaps", kubeconfig=nobody)
    assert done.returncode == 1
    assert b"may not use cluster" in done.stderr


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate-User": "system:admin", "Impersonate-Group": "system:masters"},
        {"impersonate_group": "system:masters"},
        {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"},
        {"X_Remote_Group": "system:masters"},
        {"Connection": "Impersonate-User, Impersonate-Group, Authorization"},
        {"X-Forwarded-Access-Token": "x", "Cookie": "a=b"},
    ],
)
def test_no_header_makes_a_viewer_more_than_a_viewer(host: Host, headers: dict[str, str]) -> None:
    viewer = host.credential("vera", "skerry:view")
    status, body = _front(host, "/clusters/near/api/v1/secrets", viewer, headers)
    assert status == 403, body


def test_the_credential_is_shown_nowhere(host: Host, plain_cluster: Member) -> None:
    document = json.loads(plain_cluster.kubectl("config", "view", "--flatten", "--minify", "--raw", "-o", "json"))
    user = document["users"][0]["user"]
    needles = [value for value in (user.get("token"), user.get("client-key-data")) if value]
    shown = host.kubectl(None, "get", "cluster", "near", "-o", "yaml", "--show-managed-fields")
    files = [path for path in host.state.rglob("*") if path.is_file()]
    kept = b"\n".join(path.read_bytes() for path in files)
    for needle in needles:
        assert needle not in shown
        assert needle.encode() not in kept


def test_the_same_cluster_is_not_joined_twice(host: Host, plain_cluster: Member) -> None:
    said = _refused(host, "cluster", "join", "again", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
    assert "near" in said


def test_an_agent_may_not_join_it_either(host: Host, plain_cluster: Member, tmp_path: Path) -> None:
    for name in ("near", "other"):
        agent = host.agent(plain_cluster, host.token(name), state=tmp_path / name)
        assert agent.exits() != 0
        assert "near" in agent.said()


def test_an_administrator_of_a_host_cannot_be_somebody_who_is_not(host: Host) -> None:
    viewer = host.credential("vera", "skerry:view")
    done = host.kubectl_run(None, "create", "--raw", "/apis/skerry.dev/v1alpha1/clusters/far/connection", "-f", "-",
                            stdin=b"{}", kubeconfig=viewer)  # fmt: skip
    assert done.returncode == 1
    assert b"forbidden" in done.stderr.lower()


# Joining with other forms


def test_a_token_in_a_file_is_taken_by_its_content(another: Host, plain_cluster: Member, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(token_of(plain_cluster, "by-file"))
    file = kubeconfig(plain_cluster, tmp_path / "config", user={"tokenFile": str(token)})
    assert _join(another, "filed", file).returncode == 0
    token.unlink()
    another.kubectl("filed", "get", "namespaces")
    valid = _conditions(another, "filed")["CredentialsValid"]
    assert (valid["status"], valid["reason"]) == ("True", "ExpiresSoon")
    assert "less than a day" in valid["message"]


def _plugin(directory: Path, token: str) -> dict[str, Any]:
    """A user whose credential comes from a program that counts its runs."""
    script = directory / "plugin"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
    script.write_text(f"#!/bin/sh\necho run >>{directory / 'runs'}\ncat <<'E'\n{json.dumps(answer)}\nE\n")
    script.chmod(stat.S_IRWXU)
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "command": str(script), "interactiveMode": "Never",
        }
    }  # fmt: skip


def test_an_exec_plugin_is_run_once_here_and_an_account_takes_its_place(
    another: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    file = kubeconfig(plain_cluster, tmp_path / "config", user=_plugin(tmp_path, token_of(plain_cluster, "by-plugin")))
    said = _refused(another, "cluster", "join", "plugged", "--direct", "--kubeconfig", str(file))
    assert "--create-service-account" in said
    assert not (tmp_path / "runs").exists()
    done = _join(another, "plugged", file, "--create-service-account")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs").read_text() == "run\n"
    another.kubectl("plugged", "create", "configmap", "through-the-account")
    another.kubectl("plugged", "delete", "configmap", "through-the-account")
    account = "system:serviceaccount:skerry-system:skerry-direct"
    for question in (["create", "pods"], ["get", "secrets"], ["escalate", "clusterroles"]):
        answer = plain_cluster.run_inside(plain_cluster.kubectl_command("auth", "can-i", *question, "--as", account))
        assert answer.stdout.strip() == b"no"
    first = plain_cluster.kubectl("get", "secrets", "-n", "skerry-system", "-o", "name")
    renewed = another.skerry("cluster", "set", "plugged", "--kubeconfig", str(file), "--create-service-account")
    assert renewed.returncode == 0, renewed.stderr
    second = plain_cluster.kubectl("get", "secrets", "-n", "skerry-system", "-o", "name")
    assert len(second.split()) == 1
    assert first != second
    eventually(lambda: another.serves("plugged"), "the new token works", 10)


def test_another_host_takes_a_cluster_over_only_when_told_to(another: Host, plain_cluster: Member) -> None:
    plain_cluster.kubectl(
        "annotate", "namespace", "kube-system", "skerry.dev/host=another", "skerry.dev/host-name=elsewhere"
    )
    assert "elsewhere" in _refused(
        another, "cluster", "join", "mine", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig)
    )
    done = _join(another, "mine", plain_cluster.kubeconfig, "--take-over")
    assert done.returncode == 0, done.stderr
    assert another.ready("mine")


def test_a_credential_that_may_not_impersonate_is_refused_by_name(
    another: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    plain_cluster.kubectl("create", "serviceaccount", "weak")
    token = plain_cluster.kubectl("create", "token", "weak").decode().strip()
    plain_cluster.kubectl("create", "clusterrolebinding", "weak", "--clusterrole=view", "--serviceaccount=default:weak")
    file = kubeconfig(plain_cluster, tmp_path / "config", user={"token": token})
    said = _refused(another, "cluster", "join", "weak", "--direct", "--kubeconfig", str(file))
    assert "impersonat" in said
    assert _bindings(plain_cluster) == []


def test_a_dry_run_changes_nothing(another: Host, plain_cluster: Member) -> None:
    done = _join(another, "dry", plain_cluster.kubeconfig, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "dry" not in another.ok("clusters", "-o", "name")
    assert _bindings(plain_cluster) == []


# Rotation, outage, removal


def test_a_credential_is_rotated_and_another_clusters_is_refused(
    another: Host, plain_cluster: Member, kube: Provider, tmp_path: Path
) -> None:
    old = kubeconfig(plain_cluster, tmp_path / "old", user={"token": token_of(plain_cluster, "old-one")})
    assert _join(another, "turning", old).returncode == 0
    another.kubectl("turning", "get", "namespaces")
    with kube.plain(tmp_path, "another") as other:
        said = _refused(another, "cluster", "set", "turning", "--kubeconfig", str(other.kubeconfig))
    assert other.uid in said
    new = kubeconfig(plain_cluster, tmp_path / "new", user={"token": token_of(plain_cluster, "new-one")})
    another.ok("cluster", "set", "turning", "--kubeconfig", str(new))
    plain_cluster.kubectl("delete", "serviceaccount", "old-one")
    eventually(lambda: another.serves("turning"), "the new credential", 15)
    document = json.loads(another.kubectl(None, "get", "cluster", "turning", "-o", "json"))
    assert document["status"]["credentials"]["revision"] == 2
    plain_cluster.kubectl("delete", "serviceaccount", "new-one")
    eventually(
        lambda: _conditions(another, "turning")["CredentialsValid"]["reason"] == "Refused", "a refused credential", 30
    )
    done = another.kubectl_run("turning", "get", "namespaces")
    assert b"skerry cluster set" in done.stderr


def test_an_api_server_that_is_down_is_an_honest_error_and_recovers_by_itself(
    another: Host, plain_cluster: Member, tmp_path: Path
) -> None:
    with Gate(plain_cluster.url) as gate:
        file = kubeconfig(plain_cluster, tmp_path / "config", server=f"https://127.0.0.1:{gate.port}")
        done = _join(another, "gated", file)
        assert done.returncode == 0, done.stderr
        another.kubectl("gated", "get", "namespaces")
        watch = subprocess.Popen(
            another.kubectl_command("gated", "get", "--raw", "/api/v1/configmaps?watch=true&resourceVersion=0"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert watch.stdout is not None
        assert watch.stdout.readline()
        gate.shut()
        watch.communicate(timeout=20)
        assert watch.returncode != 0
        status, body = _front(another, "/clusters/gated/api/v1/namespaces", another.kubeconfig(), {})
        assert status in (502, 503), body
        assert "nothing was executed" in body
        eventually(lambda: not another.ready("gated"), "not Ready", 30)
        assert _conditions(another, "gated")["Reachable"]["status"] == "False"
        gate.reopen()
        eventually(lambda: another.ready("gated"), "Ready again", 30)
        another.kubectl("gated", "get", "namespaces")
        gate.shut()
        removed = another.skerry("cluster", "remove", "gated")
        assert removed.returncode == 0, removed.stderr
        assert f"-l {INSTALLED}" in removed.stderr
    assert "gated" not in another.ok("clusters", "-o", "name")


def test_a_removed_member_is_cut_and_its_name_is_free(another: Host, plain_cluster: Member) -> None:
    assert _join(another, "leaver", plain_cluster.kubeconfig).returncode == 0
    watch = subprocess.Popen(
        another.kubectl_command("leaver", "get", "--raw", "/api/v1/configmaps?watch=true&resourceVersion=0"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert watch.stdout is not None
    assert watch.stdout.readline()
    another.ok("cluster", "remove", "leaver")
    _, said = watch.communicate(timeout=20)
    assert watch.returncode != 0, said
    assert _join(another, "leaver", plain_cluster.kubeconfig).returncode == 0


def test_a_host_that_restarts_still_reaches_it(another: Host, plain_cluster: Member) -> None:
    assert _join(another, "lasting", plain_cluster.kubeconfig).returncode == 0
    another.ok("down")
    another.up()
    eventually(lambda: another.serves("lasting"), "kubectl works again", 30)
    another.wait_ready("lasting")
