"""kubectl 1.35, 1.36 and 1.37 in the hands of a tenant, who has edit in one namespace and view in another: what she may do works
as for an administrator, and what she may not do says why and what to do next.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.clients.shore import Client
from tests.clients.test_kubectl_streams import run_pod
from tests.e2e.federation import eventually

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

LOOKED_AT = "default"
"""Where she has view."""


class Tenant(NamedTuple):
    """Her kubectl, the administrator's, and the namespace of both, in which she has edit."""

    user: str
    kubectl: Client
    admin: Client
    namespace: str


@pytest.fixture(scope="module")
def tenant(kubectl: Client) -> Tenant:
    namespace, host = kubectl.first[1], kubectl.shore.host
    user = f"tess-{namespace}-{kubectl.shore.mode}"
    file = host.credential(user)
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**document, "current-context": kubectl.shore.context}))
    _grant(kubectl, user, "edit", namespace)
    _grant(kubectl, user, "view", LOOKED_AT)
    return Tenant(user, kubectl.having(KUBECONFIG=str(file)), kubectl, namespace)


def _grant(admin: Client, user: str, role: str, namespace: str) -> str:
    """The name of a grant that is in place."""
    name = f"{user}-{role}"
    host, clusters = admin.shore.host, {"names": [admin.shore.name]}
    spec: dict[str, Any] = {"subjects": [{"kind": "User", "name": user}], "clusters": clusters}
    spec |= {"role": role, "namespaces": [namespace]}
    head = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": name}}
    host.kubectl(None, "apply", "-f", "-", stdin=json.dumps({**head, "spec": spec}).encode())
    host.kubectl(None, "wait", f"accessgrant/{name}", "--for=condition=Enforced", "--timeout=60s")
    return name


def config_map(name: str, **data: str) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).encode()


def test_she_applies_gets_and_deletes_her_own(tenant: Tenant) -> None:
    said = [tenant.kubectl.ok("apply", "-f", "-", stdin=config_map("mine", key=value)).split()[-1] for value in "122"]
    assert said == ["created", "configured", "unchanged"]
    assert tenant.kubectl.ok("get", "configmap", "mine", "-o", "jsonpath={.data.key}") == "2"
    tenant.kubectl.ok("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=config_map("mine", key="3"))
    assert tenant.admin.ok("get", "configmap", "mine", "-o", "jsonpath={.data.key}") == "3"
    tenant.kubectl.ok("delete", "configmap", "mine")


def test_she_watches_her_own_until_it_is_taken_away(tenant: Tenant) -> None:
    user = f"{tenant.user}-leaver"
    file = tenant.admin.shore.host.credential(user)
    document = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**document, "current-context": tenant.admin.shore.context}))
    grant = _grant(tenant.admin, user, "view", tenant.namespace)
    leaver = tenant.admin.having(KUBECONFIG=str(file))
    with leaver.start("get", "configmaps", "--watch-only", "-o", "name") as watching:
        names = iter(range(100))

        def seen() -> bool:
            tenant.kubectl.ok("create", "configmap", f"seen-{next(names)}")
            return watching.line_within(1.0) is not None

        eventually(seen, "the watch shows what is made")
        tenant.admin.shore.host.kubectl(None, "delete", "accessgrant", grant)
        started = time.monotonic()
        assert watching.process.wait(30) is not None
        assert time.monotonic() - started < 20
    refused = leaver.run("get", "configmaps")
    assert refused.returncode == 1
    assert b"no AccessGrant is for them" in refused.stderr
    tenant.kubectl.ok("delete", "configmap", *(f"seen-{number}" for number in range(next(names))))


def test_she_reads_logs_and_runs_commands_in_her_own_pod(tenant: Tenant) -> None:
    pod = run_pod(tenant.kubectl, "tess", "echo ahoy; sleep 3600")
    eventually(lambda: tenant.kubectl.ok("logs", pod) == "ahoy\n", "it has spoken")
    for websocket in ("true", "false"):
        streaming = tenant.kubectl.having(KUBECTL_REMOTE_COMMAND_WEBSOCKETS=websocket)
        done = streaming.run("exec", pod, "--", "sh", "-c", "echo out; exit 3")
        assert (done.returncode, done.stdout) == (3, b"out\n"), done.stderr
    tenant.kubectl.ok("delete", "pod", pod, "--wait=false", "--grace-period=0", "--force")


def test_her_list_of_namespaces_is_her_own(tenant: Tenant) -> None:
    names = tenant.kubectl.ok("get", "namespaces", "-o", "name").split()
    assert names == sorted(f"namespace/{each}" for each in (tenant.namespace, LOOKED_AT))


QUESTIONS = {
    ("create", "pods"): "yes",
    ("get", "pods/log"): "yes",
    ("create", "pods", "--subresource=exec"): "yes",
    ("create", "rolebindings"): "no",
    ("list", "pods", "-n", LOOKED_AT): "yes",
    ("create", "pods", "-n", LOOKED_AT): "no",
    ("list", "secrets", "-n", "kube-system"): "no",
    ("list", "nodes"): "no",
    ("get", "nodes", "--subresource=proxy"): "no - nodes/proxy is refused",
    ("list", "namespaces"): "yes",
}


def test_can_i_says_what_the_requests_do(tenant: Tenant) -> None:
    answers = {
        question: tenant.kubectl.run("auth", "can-i", *question).stdout.decode().strip() for question in QUESTIONS
    }
    assert [question for question, answer in QUESTIONS.items() if not answers[question].startswith(answer)] == []
    rules = tenant.kubectl.ok("auth", "can-i", "--list")
    assert "configmaps" in rules
    assert tenant.kubectl.ok("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == f"skerry:{tenant.user}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("get pods -n kube-system", "view in namespace default, edit in namespace {namespace}"),
        ("create configmap x -n default", "{user} has view in namespace default there (AccessGrant {user}-"),
        ("create rolebinding x --clusterrole=view --user=x", "edit in namespace {namespace} there"),
        ("get nodes", "more takes another AccessGrant"),
    ],
)
def test_what_she_may_not_says_why_and_what_next(tenant: Tenant, arguments: str, says: str) -> None:
    done = tenant.kubectl.run(*arguments.split())
    said = done.stderr.decode()
    assert done.returncode == 1
    assert "Error from server (Forbidden)" in said or "forbidden" in said
    assert f"cluster {tenant.admin.shore.name} refused this, not the host" in said
    for part in says.format(user=tenant.user, namespace=tenant.namespace).split(", "):
        assert part in said
    assert f"skerry explain access --cluster {tenant.admin.shore.name} " in said


def test_the_next_step_of_a_refusal_can_be_typed(tenant: Tenant) -> None:
    refused = tenant.kubectl.run("create", "configmap", "x", "-n", LOOKED_AT).stderr.decode()
    command = refused[refused.index("skerry explain access ") :].splitlines()[0].split()[1:]
    file = Path(tenant.kubectl.extra["KUBECONFIG"])
    done = tenant.admin.shore.host.skerry(*command, "--kubeconfig", str(file), "--context", "skerry")
    assert done.returncode == 1
    assert done.stdout.startswith(f"denied: {tenant.user} may not create configmaps in namespace {LOOKED_AT} on ")
    assert "next      skerry request create edit " in done.stdout
