"""A tenant through the whole system, with kubectl against a real API server: sees her own, reaches it, and loses it at once."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federation import Host, eventually
from tests.kube.contents import delete_namespaces
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]


def grant(**spec: Any) -> bytes:
    """alice may edit in namespace default of m1."""
    base = {"subjects": [{"kind": "User", "name": "alice"}], "clusters": {"names": ["m1"]}, "role": "edit"}
    return json.dumps(
        {
            "apiVersion": "skerry.dev/v1alpha1",
            "kind": "AccessGrant",
            "metadata": {"name": "alice-edit"},
            "spec": {**base, "namespaces": ["default"], **spec},
        }
    ).encode()


@pytest.mark.parametrize("mode", ["agent", pytest.param("direct", marks=pytest.mark.soak)])
def test_a_tenant_sees_and_reaches_her_own_and_loses_it_within_a_second(
    new_host: Callable[..., Host], plain_cluster: Member, mode: str
) -> None:
    host = new_host()
    if mode == "direct":
        host.ok("cluster", "join", "m1", "--direct", "--kubeconfig", str(plain_cluster.kubeconfig))
        host.wait_ready("m1")
    else:
        host.join(plain_cluster, "m1")
    try:
        _story(host)
        _workspace(host, plain_cluster)
        if mode == "agent":
            _on_call(host)
    finally:
        plain_cluster.kubectl("delete", "configmap", "c", "--ignore-not-found")
        delete_namespaces(plain_cluster, "till", "team-a")


def _story(host: Host) -> None:
    host.kubeconfig("m1")
    alice = host.credential("alice")

    def run(*arguments: str) -> tuple[int, str, str]:
        done = host.kubectl_run("m1", *arguments, kubeconfig=alice)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    assert "no AccessGrant is for them" in run("get", "pods", "-n", "default")[2]
    host.kubectl(None, "apply", "-f", "-", stdin=grant())
    host.kubectl(None, "wait", "accessgrant/alice-edit", "--for=condition=Enforced", "--timeout=30s")
    state = json.loads(host.kubectl(None, "get", "accessgrant", "alice-edit", "-o", "json"))["status"]
    assert [(each["name"], each["state"]) for each in state["clusters"]] == [("m1", "Enforced")]

    assert sorted(host.kubectl(None, *_OWN, kubeconfig=alice).split()) == [
        "accessgrant.skerry.dev/alice-edit",
        "cluster.skerry.dev/m1",
        "namespace/skerry-apps",
    ], "no workspace, and neither the host nor what others have; the pool is everybody's who has a role"
    hidden = host.kubectl_run(None, "get", "cluster", "host", kubeconfig=alice)
    assert hidden.stderr.decode().startswith('Error from server (NotFound): clusters.skerry.dev "host" not found')
    assert "cluster/m1" in host.kubectl(None, "get", "events", "-A", kubeconfig=alice)
    assert host.kubectl_run(None, "auth", "can-i", "get", "clusters/host", kubeconfig=alice).stdout.startswith(b"no - ")

    assert run("create", "configmap", "c", "-n", "default")[0] == 0
    code, _, err = run("get", "pods", "-n", "kube-system")
    assert code == 1
    assert "alice has edit in namespace default there (AccessGrant alice-edit)" in err
    assert "forbidden" in err
    assert run("get", "namespaces", "-o", "name") == (0, "namespace/default\n", "")
    assert run("auth", "can-i", "create", "pods", "-n", "default")[1] == "yes\n"
    assert run("auth", "can-i", "create", "pods", "-n", "kube-public")[1] == "no\n"
    assert run("auth", "can-i", "get", "nodes", "--subresource=proxy")[1].startswith("no - nodes/proxy is refused")
    assert _admin_may(host, "get", "nodes", "--subresource=proxy").startswith("no - nodes/proxy is refused")

    watching = _watch(host, alice)
    eventually(lambda: b'"name":"c"' in watching.log.read_bytes(), "the watch has begun")
    started = time.monotonic()
    host.kubectl(None, "delete", "accessgrant", "alice-edit")
    assert watching.process.wait(30) is not None
    assert time.monotonic() - started < 10  # of which kubectl's own start is most
    assert "no AccessGrant is for them" in run("get", "configmaps", "-n", "default")[2]
    eventually(
        lambda: host.skerry("desired", "wait", "m1").stderr.endswith("4 entries are in place\n"), "withdrawn", 60
    )


def workspace(*namespaces: dict[str, Any]) -> bytes:
    """Workspace team, with carol for its admin and bob, who edits."""
    members = [{"kind": "User", "name": "carol", "role": "admin"}, {"kind": "User", "name": "bob", "role": "edit"}]
    spec = {
        "members": members,
        "clusters": {"names": ["m1"]},
        "namespaces": [{"cluster": "m1", **each} for each in namespaces],
    }
    head = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": "team"}}
    return json.dumps({**head, "spec": spec}).encode()


def _workspace(host: Host, member: Member) -> None:
    """A workspace has a namespace made and takes one in; bob works in them and nowhere else, until carol lets him go."""
    bob, carol = host.credential("bob"), host.credential("carol")
    member.kubectl("create", "namespace", "till")

    def run(*arguments: str) -> tuple[int, str]:
        done = host.kubectl_run("m1", *arguments, kubeconfig=bob)
        return done.returncode, (done.stdout or done.stderr).decode()

    def states() -> list[str]:
        status = json.loads(host.kubectl(None, "get", "workspace", "team", "-o", "json")).get("status") or {}
        return [each["state"] for each in status.get("namespaces") or ()]

    made = {"name": "team-a", "whenRemoved": "Delete"}
    host.kubectl(None, "apply", "-f", "-", stdin=workspace(made, {"name": "till"}))
    eventually(lambda: states() == ["Ready", "Exists"], "one is made, the other was there")
    labels = json.loads(member.kubectl("get", "namespace", "team-a", "-o", "json"))["metadata"]["labels"]
    assert labels.pop("skerry.dev/host")
    assert labels == {
        "kubernetes.io/metadata.name": "team-a",
        "skerry.dev/owner": "tenancy",
        "skerry.dev/workspace": "team",
    }
    eventually(lambda: run("create", "configmap", "c", "-n", "team-a")[0] == 0, "bob works there")
    for elsewhere in ("till", "default"):
        code, said = run("get", "configmaps", "-n", elsewhere)
        assert code == 1
        assert "forbidden" in said
    assert run("get", "namespaces", "-o", "name") == (0, "namespace/team-a\n")

    host.kubectl(None, "apply", "-f", "-", stdin=workspace(made, {"name": "till", "adopt": True}))
    host.kubectl(None, "wait", "workspace/team", "--for=condition=Ready", "--timeout=30s")
    eventually(lambda: run("create", "configmap", "c", "-n", "till")[0] == 0, "and in what was adopted")

    watching = _watch(host, bob, "team-a")
    eventually(lambda: b'"name":"c"' in watching.log.read_bytes(), "the watch has begun")
    alone = {"spec": {"members": [{"kind": "User", "name": "carol", "role": "admin"}]}}
    host.kubectl(None, "patch", "workspace", "team", "--type=merge", "-p", json.dumps(alone), kubeconfig=carol)
    assert watching.process.wait(30) is not None
    assert run("get", "configmaps", "-n", "team-a")[0] == 1

    host.kubectl(None, "delete", "workspace", "team")
    eventually(
        lambda: host.skerry("desired", "wait", "m1").stderr.endswith("4 entries are in place\n"), "withdrawn", 60
    )
    labels = json.loads(member.kubectl("get", "namespace", "till", "-o", "json"))["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": "till"}, "it is nobody's, and stays"
    eventually(
        lambda: not member.kubectl("get", "namespace", "team-a", "--ignore-not-found", "-o", "name"), "deleted", 60
    )


def _on_call(host: Host) -> None:
    """alice asks for edit in a namespace; bob, an admin of the cluster, gives it with kubectl and with the command line."""
    alice, bob = host.credential("alice"), host.credential("bob")
    host.ok("grant", "bob", "admin", "--cluster", "m1", "--wait", "60s")

    def skerry(who: Path, *words: str) -> tuple[int, str, str]:
        done = host.skerry(*words, "--kubeconfig", str(who), "--context", "skerry")
        return done.returncode, done.stdout.strip().rpartition("/")[2], done.stderr

    def ask(*words: str) -> tuple[int, str, str]:
        return skerry(
            alice, "request", "create", "edit", "--cluster", "m1", "-n", "default", "--reason", "INC-1", *words
        )

    def may_write() -> bool:
        return host.kubectl_run("m1", "get", "configmaps", "-n", "default", kubeconfig=alice).returncode == 0

    assert not may_write()
    code, name, said = ask()
    assert code == 0, said
    assert "waits for approval until" in said
    code, again, said = ask("--wait", "1s")
    assert (code, again) == (5, name)
    assert f"Warning: accessrequest {name} covers this and waits for approval" in said
    assert "own: somebody else has to approve it" in skerry(alice, "request", "approve", name)[2]
    path = f"/apis/skerry.dev/v1alpha1/accessrequests/{name}/approve"
    answer = host.kubectl(None, "create", "--raw", path, "-f", "-", stdin=b'{"comment": "go"}', kubeconfig=bob)
    assert json.loads(answer)["status"]["state"] == "Approved"
    eventually(may_write, "what was approved works")
    assert (
        host.kubectl(None, "get", "accessrequest", name, "-o", "jsonpath={.status.state}", kubeconfig=alice)
        == "Approved"
    )
    assert skerry(alice, "request", "end", name)[0] == 0
    assert not may_write()

    code, name, said = ask("--for", "1h")
    assert code == 0, said
    code, _, said = skerry(bob, "request", "approve", name, "--for", "15s", "--wait", "12s")
    assert code == 0, said
    assert "approved by bob until" in said
    assert said.endswith("on m1\n")
    eventually(may_write, "what was approved works")
    listed = host.kubectl_run("m1", "get", "configmaps", "-n", "default", kubeconfig=alice)
    assert f"Warning: AccessGrant {name} ends at" in listed.stderr.decode()
    ends = datetime.fromisoformat(
        host.kubectl(None, "get", "accessrequest", name, "-o", "jsonpath={.status.ends}", kubeconfig=alice)
    ).timestamp()
    eventually(lambda: not may_write(), "its end", 90)
    assert time.time() >= ends - 1  # the cut of what runs is tried at the front door (tests/proxy/test_granted.py)
    eventually(
        lambda: host.kubectl(None, "get", "accessrequest", name, "-o", "jsonpath={.status.state}") == "Ended",
        "it is over",
    )
    host.ok("revoke", *host.kubectl(None, "get", "accessgrants", "-o", "jsonpath={.items[*].metadata.name}").split())


_OWN = ("get", "clusters,accessgrants,workspaces,ns", "-o", "name")


def _admin_may(host: Host, *arguments: str) -> str:
    return host.kubectl_run("m1", "auth", "can-i", *arguments).stdout.decode()


class Watch:
    """`kubectl get -w` in the background."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)


def _watch(host: Host, kubeconfig: Path, namespace: str = "default") -> Watch:
    # one request, which is not repeated when it is cut, as kubectl's own watch would be
    # from what the API server's cache holds: for a newer state than that it may wait for ever, and answer 504 (1.36)
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=true&resourceVersion=0"
    return Watch(host.kubectl_command("m1", "get", "--raw", path, kubeconfig=kubeconfig), host.directory / "watch.log")
