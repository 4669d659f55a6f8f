"""The bootstrap against a real cluster, with no more rights than its Role gives it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.incluster.secrets import ClusterSecrets, connected
from skerry.errors import Forbidden
from skerry.member.kubeconfig import KubeconfigError
from tests.cli.incluster.contract import SecretsContract
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.integration]
NAMES = ("skerry-admin", "skerry-controller-manager", "skerry-keys", "skerry-nats", "skerry-root", "skerry-tower")


@pytest.fixture
def namespace(plain_cluster: Member) -> Iterator[str]:
    """A new one."""
    name = f"host-{os.urandom(4).hex()}"
    plain_cluster.kubectl("create", "namespace", name)
    yield name
    plain_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def secrets(plain_cluster: Member, namespace: str) -> AsyncIterator[ClusterSecrets]:
    async with connected(namespace, str(plain_cluster.kubeconfig), "") as found:
        yield found


class TestCluster(SecretsContract):
    """A real cluster's Secrets keep the same as those in memory."""


def command(member: Member, namespace: str, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-P", "-m", "skerry.cli", "bootstrap", "-n", namespace, *words]
    return subprocess.Popen(
        [*argv, "--kubeconfig", str(member.kubeconfig)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stored(member: Member, namespace: str) -> dict[str, Any]:
    found = json.loads(
        member.kubectl("-n", namespace, "get", "secrets", "-l", "skerry.dev/installed=host", "-o", "json")
    )
    return {each["metadata"]["name"]: each["data"] for each in found["items"]}


def test_two_at_once_make_one_host_and_a_third_changes_nothing(plain_cluster: Member, namespace: str) -> None:
    both = [command(plain_cluster, namespace, "--address", "host.example") for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
    before = stored(plain_cluster, namespace)
    assert tuple(sorted(before)) == NAMES
    uid = plain_cluster.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    assert base64.b64decode(before["skerry-keys"]["host-uid"]) == uid
    out, err = command(plain_cluster, namespace, "--address", "host.example").communicate(timeout=90)
    assert (out, stored(plain_cluster, namespace)) == ("", before), err
    plain_cluster.kubectl("-n", namespace, "delete", "secret", "skerry-tower")
    out, _ = command(plain_cluster, namespace, "--address", "host.example").communicate(timeout=90)
    assert out == "skerry-tower was written\n"
    assert stored(plain_cluster, namespace)["skerry-keys"] == before["skerry-keys"]


async def test_a_right_that_is_missing_is_named(plain_cluster: Member, namespace: str, tmp_path: Path) -> None:
    account = ("-n", namespace, "create")
    plain_cluster.kubectl(*account, "serviceaccount", "nobody")
    token = plain_cluster.kubectl(*account, "token", "nobody").decode().strip()
    config = json.loads(plain_cluster.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    kubeconfig = tmp_path / "nobody"
    kubeconfig.write_text(json.dumps(config))
    async with connected(namespace, str(kubeconfig), "") as secrets:
        await _refused(secrets, namespace)


async def _refused(secrets: ClusterSecrets, namespace: str) -> None:
    with pytest.raises(Forbidden, match=f"does not let the bootstrap get Secret a in namespace {namespace}"):
        await secrets.get("a")
    with pytest.raises(Forbidden, match="get Namespace kube-system"):
        await secrets.kube_system()


async def test_where_no_cluster_is_known_it_says_so() -> None:
    with pytest.raises(KubeconfigError, match="does not run in a pod with a service account"):
        async with connected("ns", "", ""):
            pass
