"""A tenant of the host's own API with each kubectl that must work: sees, changes and asks for what is the tenant's, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients import tools
from tests.clients.conftest import KUBECTLS
from tests.e2e.federation import Host, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

Run = Callable[..., tuple[int, str]]
API = "skerry.dev/v1alpha1"


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest) -> Path:
    name = f"kubectl-{request.param}"
    try:
        return tools.obtain([name], print)[name]
    except tools.Unavailable as error:
        if os.environ.get("SKERRY_TEST_KUBE_REQUIRED") == "1":
            pytest.fail(f"SKERRY_TEST_KUBE_REQUIRED=1, but: {error}", pytrace=False)
        pytest.skip(str(error))


@pytest.fixture
def bob(host: Host, kubectl: Path) -> Run:
    """kubectl as bob: exit code, and what it said."""
    kubeconfig = host.credential("bob")

    def run(*arguments: str, stdin: str = "") -> tuple[int, str]:
        command = [str(kubectl), "--kubeconfig", str(kubeconfig), "--context", "skerry", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=90)
        return done.returncode, done.stdout + done.stderr

    return run


def workspace(name: str, admin: str) -> dict[str, Any]:
    members = [{"kind": "User", "name": admin, "role": "admin"}]
    return {"apiVersion": API, "kind": "Workspace", "metadata": {"name": name}, "spec": {"members": members}}


def test_a_tenant_has_what_is_the_tenants_with_each_kubectl(host: Host, bob: Run) -> None:
    items = [workspace("bobs", "bob"), workspace("anns", "ann")]
    host.kubectl(
        None, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    )
    eventually(lambda: bob("get", "workspaces", "-o", "name") == (0, "workspace.skerry.dev/bobs\n"), "bob's is there")
    code, said = bob("get", "workspaces,accessgrants,clusters,namespaces", "-A", "-o", "name")
    assert (code, sorted(said.split())) == (0, ["namespace/bobs", "namespace/skerry-apps", "workspace.skerry.dev/bobs"])
    assert bob("get", "workspace", "anns")[1].startswith(
        'Error from server (NotFound): workspaces.skerry.dev "anns" not found'
    )
    assert [bob("auth", "can-i", verb, f"workspaces/{name}")[0] for verb in ("get", "patch", "delete") for name in ("bobs", "anns")] == [
        0, 1, 0, 1, 1, 1,
    ]  # fmt: skip
    assert bob("wait", "workspace/bobs", "--for=condition=Ready", "--timeout=60s")[0] == 0

    assert bob("patch", "workspace", "bobs", "--type=merge", "-p", '{"spec":{"displayName":"Bob"}}')[0] == 0
    mine = workspace("bobs", "bob")
    mine["spec"]["displayName"] = "Bob's"
    assert bob("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(mine))[0] == 0
    assert bob("get", "workspace", "bobs", "-o", "jsonpath={.spec.displayName}") == (0, "Bob's")
    code, said = bob("delete", "workspace", "bobs")
    assert (code, "ask an administrator of the host" in said) == (1, True)
    for name in ("anns", "nobodys"):
        assert "NotFound" in bob("patch", "workspace", name, "--type=merge", "-p", '{"spec":{"displayName":"x"}}')[1]
    code, said = bob("describe", "workspace", "bobs")
    assert code == 0
    assert "NoNamespaces" in said

    asked = {"apiVersion": API, "kind": "AccessRequest", "metadata": {"generateName": "req-"}}
    spec = {"clusters": {"names": ["m1"]}, "role": "view", "reason": "INC-1"}
    code, said = bob("create", "-f", "-", "-o", "name", stdin=json.dumps({**asked, "spec": spec}))
    assert code == 0, said
    assert bob("get", "accessrequests", "-o", "jsonpath={.items[*].status.requestedBy}") == (0, "bob")
    assert bob("get", "--raw", f"/apis/{API}/accessgrants")[0] == 0
    name = said.strip().rpartition("/")[2]
    host.kubectl(None, "delete", "accessrequest", name)
    host.kubectl(None, "delete", "workspaces", "bobs", "anns")
