"""Releases on a bad day: services that are killed, members that are away or removed, people who lose their rights."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.federation import Host, eventually
from tests.e2e.releasing import Installed, emptied, helm, shelve
from tests.e2e.test_releases import FILES
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

HOOK = """
apiVersion: batch/v1
kind: Job
metadata:
  name: never
  annotations: {"helm.sh/hook": pre-upgrade, "helm.sh/hook-delete-policy": before-hook-creation}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: a, image: none}]
"""
WORKSPACE = """
apiVersion: skerry.dev/v1alpha1
kind: Workspace
metadata: {name: shop}
spec:
  clusters: {names: [m1]}
  members:
  - {kind: User, name: ann, role: edit}
  - {kind: User, name: bob, role: edit}
  namespaces: [{cluster: m1, name: shop}]
"""
APP = {"app": "skerry-apps/web", "clusters": {"names": ["m1"]}}
APPS = {**APP, "targetNamespace": "apps", "createNamespace": True}


@pytest.fixture
def host(tmp_path: Path, plain_cluster: Member) -> Iterator[Host]:
    """A host with the App Store on, an agent member `m1`, and versions of `web`: 2.0.0 has a hook that never ends."""
    emptied(plain_cluster)
    with Host(tmp_path / "host") as made:
        made.up()
        made.join(plain_cluster, "m1")
        made.kubectl(None, "patch", "appstore", "host", "--type=merge", "-p", '{"spec":{"enabled":true}}')
        plain = [(version, FILES) for version in ("1.0.0", "1.1.0", "1.2.0", "2.0.1")]
        shelve(made, "web", *plain, ("2.0.0", {**FILES, "templates/hook.yaml": HOOK}))
        yield made
        plain_cluster.kubectl("delete", "namespace", "apps", "shop", "--ignore-not-found", "--wait=false")


def revisions(program: Path, member: Member, namespace: str = "apps") -> list[str]:
    """Status of each revision that helm lists, the oldest first."""
    return [each["status"] for each in helm(program, member, "history", "web", "-n", namespace, "-o", "json")]


def _is_back(host: Host, killed: int) -> bool:
    manager = host.processes()["controller-manager"]
    return bool(manager["ready"]) and manager["pid"] != killed


def test_an_upgrade_that_was_killed_with_its_service_leaves_nothing_pending(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path]
) -> None:
    web = Installed(host, "web")
    web.want(version="1.0.0", **APPS)
    web.deployed("m1", 1)
    web.want(version="2.0.0", **APPS)
    program = helms["helm-4"]
    eventually(lambda: revisions(program, plain_cluster)[-1] == "pending-upgrade", "the upgrade is under way")
    killed = host.processes()["controller-manager"]["pid"]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: _is_back(host, killed), "the service is back", 60)
    web.want(version="2.0.1", **APPS)
    web.deployed("m1", 3, 120)
    assert revisions(program, plain_cluster) == ["superseded", "pending-upgrade", "superseded", "deployed"]
    (listed,) = helm(program, plain_cluster, "list", "-n", "apps", "-o", "json")
    assert listed["status"] == "deployed", "what was killed stays in its history alone"


def test_a_member_that_missed_three_upgrades_gets_the_last_one_once(
    host: Host, plain_cluster: Member, helms: Mapping[str, Path]
) -> None:
    web = Installed(host, "web")
    web.want(version="1.0.0", **APPS)
    web.deployed("m1", 1)
    host.agents[-1].stop()
    web.until("m1", lambda status: status.get("phase") == "Waiting", "it waits", 90)
    assert "m1 is away" in web.on("m1")["message"]
    for version in ("1.1.0", "1.2.0", "2.0.1"):
        web.want(version=version, **APPS)
    host.agent(plain_cluster, None)
    status = web.deployed("m1", 4, 90)
    assert (status["helm"]["revision"], status["helm"]["chart"]) == (2, "web-2.0.1")
    assert revisions(helms["helm-4"], plain_cluster) == ["superseded", "deployed"]


def test_a_member_that_is_removed_in_the_middle_holds_up_no_end(host: Host, plain_cluster: Member) -> None:
    web = Installed(host, "web")
    web.want(version="1.0.0", **APPS)
    web.deployed("m1", 1)
    web.want(version="2.0.0", **APPS)
    web.until("m1", lambda status: status.get("phase") == "Upgrading", "the upgrade is under way")
    host.ok("cluster", "remove", "m1")
    web.delete()
    web.gone(30)


def test_who_is_revoked_installs_nothing_more_their_app_runs_on_and_a_colleague_takes_over(
    host: Host, plain_cluster: Member
) -> None:
    host.kubectl(None, "apply", "-f", "-", stdin=WORKSPACE.encode())
    eventually(
        lambda: b"shop" in plain_cluster.kubectl("get", "namespaces", "-o", "name"),
        "the workspace has its namespace",
        60,
    )
    ann, bob = (Installed(host, "web", "shop", host.credential(name)) for name in ("ann", "bob"))
    ann.want(version="1.0.0", **APP)
    ann.deployed("m1", 1)
    ann.want(version="1.1.0", **APP)
    ann.deployed("m1", 2)
    host.ok("credential", "revoke", "--user", "ann")
    eventually(lambda: "Blocked" in ann.on("m1").get("phase", ""), "it is blocked", 120)
    status = ann.on("m1")
    assert status["error"]["reason"] in ("Revoked", "Forbidden", "Unauthorized")
    assert "ann" in status["message"]
    assert "skerry app own web" in status["message"]
    assert b"web-config" in plain_cluster.kubectl("-n", "shop", "get", "configmaps", "-o", "name")
    bob.act("own")
    bob.deployed("m1", 2)
    bob.patch(version="1.2.0")
    bob.deployed("m1", 3)
