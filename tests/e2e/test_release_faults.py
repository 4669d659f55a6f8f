"""Releases on a bad day: whoever takes part is killed, members are away or removed, people lose their rights.

Who is killed at which step is a sample; all of it is `test_release_kills`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.appstore.helm.slots import SITS_S
from skerry.api.conditions import condition_of
from tests.e2e.federation import eventually
from tests.e2e.killing import NAMESPACE, Case, Ground
from tests.e2e.releasing import API, Installed

pytestmark = [pytest.mark.kube, pytest.mark.timeout(240)]

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
APPS = {**APP, "targetNamespace": NAMESPACE}
SAMPLE = (
    Case("service", (("install", "before"), ("install", "after"))),
    Case("launcher", (("upgrade", "launch"),)),
    Case("helm", (("rollback", "before"), ("upgrade", "after"))),
    Case("agent", (("upgrade", "before"), ("rollback", "after"))),
    Case("API server", (("upgrade", "after"), ("upgrade", "before"))),
    Case("etcd", (("uninstall", "before"), ("uninstall", "after"))),
)


@pytest.fixture(scope="module")
def shop(killing: Ground) -> Mapping[str, Path]:
    """Workspace shop with its namespace on m1, and who works in it: their kubeconfigs."""
    killing.host.kubectl(None, "apply", "-f", "-", stdin=WORKSPACE.encode())
    eventually(
        lambda: b"shop" in killing.cluster.member.kubectl("get", "namespaces", "-o", "name"),
        "the workspace has its namespace",
        60,
    )
    return {name: killing.host.credential(name) for name in ("ann", "bob")}


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.victim)
def test_who_is_killed_in_the_middle_leaves_nothing_pending(killing: Ground, case: Case) -> None:
    killing.runs(case, hurry=True)


def revisions(killing: Ground, name: str) -> list[str]:
    """Status of each revision that helm lists, the oldest first."""
    return [each["status"] for each in killing.helm("history", name, "-n", NAMESPACE, "-o", "json")]


def test_a_member_that_missed_three_upgrades_gets_the_last_one_once(killing: Ground) -> None:
    web = Installed(killing.host, "missed")
    web.want(version="1.0.0", **APPS)
    web.deployed("m1", 1)
    killing.host.agents[-1].stop()
    web.until("m1", lambda status: status.get("phase") == "Waiting", "it waits", 90)
    assert "m1 is away" in web.on("m1")["message"]
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        web.want(version=version, **APPS)
    killing.agent_back()
    status = web.deployed("m1", 4, 90)
    assert (status["helm"]["revision"], status["helm"]["chart"]) == (2, "web-1.3.0")
    assert revisions(killing, "missed") == ["superseded", "deployed"]
    web.delete()
    web.gone()


def test_what_somebody_did_by_hand_meanwhile_is_left_so_until_it_is_wanted_back(killing: Ground) -> None:
    """While it was suspended, and while its member was away: what is resumed is not put back against them."""
    web = Installed(killing.host, "hand")
    for revision, version in enumerate(("1.0.0", "1.1.0"), 1):
        web.want(version=version, **APPS)
        web.deployed("m1", revision)
    web.patch(suspend=True)
    web.until("m1", lambda status: status.get("phase") == "Waiting", "it waits")
    killing.helm("rollback", "hand", "1", "-n", NAMESPACE)
    web.patch(suspend=False)
    by_hand(web, "web-1.0.0")
    web.act("own")
    by_hand(web, "web-1.0.0")
    web.act("retry")
    assert web.deployed("m1", 2)["helm"]["revision"] == 4
    killing.host.agents[-1].stop()
    web.until("m1", lambda status: status.get("phase") == "Waiting", "it waits", 90)
    killing.helm("uninstall", "hand", "-n", NAMESPACE)
    killing.agent_back()
    by_hand(web, None)
    assert killing.helm("list", "-n", NAMESPACE, "-o", "json") == []
    web.want(version="1.2.0", **APPS)
    web.deployed("m1", 3)
    web.delete()
    web.gone()


def by_hand(web: Installed, chart: str | None) -> None:
    """Wait until it is seen that somebody else has this chart of it there; None for nothing."""

    def is_seen(status: dict[str, Any]) -> bool:
        reason = (status.get("error") or {}).get("reason")
        return (reason, (status.get("helm") or {}).get("chart")) == ("ChangedByHand", chart)

    changes = (web.document() or {})["status"]["changes"]
    status = web.until("m1", lambda now: is_seen(now) and now["observedChanges"] == changes, "it is seen", 90)
    assert status["phase"] == "Blocked"
    assert f"skerry app retry {web.name}" in status["message"]


@pytest.mark.soak  # a minute long; on a busy machine a third one of the workspace was once seen to sit
@pytest.mark.timeout(420)
def test_hooks_that_never_end_hold_up_nobody_else_and_no_end(killing: Ground, shop: Mapping[str, Path]) -> None:
    """Two operations run on a member at a time. Those of a tenant that sit in hooks make room for others after a minute, and who
    deletes such a release does not wait for its hook.
    """
    stuck = [Installed(killing.host, f"stuck-{number}", "shop", shop["ann"]) for number in range(4)]
    pods = [f"{each.name}-before" for each in stuck]
    killing.hooks.hold(*pods)
    for each in stuck:
        each.want(version="1.0.0", hooks={"timeout": "15m"}, **APP)
    eventually(lambda: len(killing.helms()) == 2, "as many run as there are turns")
    other = Installed(killing.host, "other")
    other.want(version="1.0.0", **APPS)
    other.deployed("m1", 1, SITS_S + 45)
    other.want(version="1.1.0", **APPS)
    other.deployed("m1", 2, SITS_S / 2)  # those who sit count no more
    assert list(killing.helms()) == [each.name for each in stuck[:2]], "no more of a workspace sit than there are turns"
    assert [each.on("m1")["phase"] for each in stuck] == ["Installing"] * 4
    assert ["sit in hooks" in each.on("m1").get("message", "") for each in stuck] == [False, False, True, True]
    for each in stuck[2:]:  # these never began
        each.delete()
        each.gone()
    for each in stuck[:2]:
        each.delete()
    for each in stuck[:2]:
        each.until("m1", lambda status: status.get("phase") == "Uninstalling", "its hook is waited for no more")
    killing.hooks.hold()  # the hook of the end is another one
    for each in stuck[:2]:
        each.gone()
    other.delete()
    other.gone()
    assert killing.helm("list", "-A", "-o", "json") == []


def test_a_store_that_is_turned_off_in_the_middle_ends_what_it_began_and_begins_nothing(killing: Ground) -> None:
    begun, killed = Installed(killing.host, "begun"), Installed(killing.host, "killed")
    killing.hooks.hold("begun-before", "killed-before")
    for each in (begun, killed):
        each.want(version="1.0.0", **APPS)
        killing.hooks.reached(f"{each.name}-before")
    killing.host.ok("app", "store", "disable")
    killing.hooks.hold("killed-before")
    begun.deployed("m1", 1)
    killing.kill_process("controller-manager")
    killing.hooks.hold()
    status = killed.until("m1", lambda status: status.get("phase") == "Waiting", "it waits for the store")
    assert "the App Store is disabled on this host, so it is usable on no cluster" in status["message"]
    assert [each["name"] for each in killing.helm("list", "-A", "-o", "json")] == ["begun"], "nothing pending is left"
    begun.delete()
    begun.gone()
    killing.host.ok("app", "store", "enable")
    killed.deployed("m1", 1)
    killed.delete()
    killed.gone()


def test_a_version_that_is_suspended_in_the_middle_is_begun_nowhere_and_what_was_begun_ends(killing: Ground) -> None:
    web, late = Installed(killing.host, "web"), Installed(killing.host, "late")
    for each in (web, late):
        each.want(version="1.0.0", **APPS)
        each.deployed("m1", 1)
    late.patch(suspend=True)
    late.until("m1", lambda status: status.get("phase") == "Waiting", "it waits")
    killing.hooks.hold("web-before")
    for each in (web, late):
        each.patch(version="1.2.0")
    killing.hooks.reached("web-before")
    killing.host.ok("app", "review", "suspend", "web", "--global", "--version", "1.2.0", "-m", "CVE")
    killing.hooks.hold()
    web.deployed("m1", 2)
    late.patch(suspend=False)
    status = late.until("m1", lambda status: "Suspended" in status.get("message", ""), "it waits for another version")
    assert (status["phase"], status["helm"]["chart"]) == ("Waiting", "web-1.0.0")
    assert "skerry app review recover" in status["message"]
    late.patch(version="1.3.0")
    late.deployed("m1", 3)
    killing.host.ok("app", "review", "recover", "web", "--global", "--version", "1.2.0")
    for each in (web, late):
        each.delete()
        each.gone()


def test_who_is_revoked_in_the_middle_is_blocked_and_a_colleague_takes_over(
    killing: Ground, shop: Mapping[str, Path]
) -> None:
    ann, bob = (Installed(killing.host, "web", "shop", shop[name]) for name in ("ann", "bob"))
    ann.want(version="1.0.0", **APP)
    ann.deployed("m1", 1)
    killing.hooks.hold("web-after")
    ann.want(version="1.1.0", hooks={"timeout": "10s"}, **APP)  # for so long Helm asks, and is refused
    killing.hooks.reached("web-after")
    killing.host.ok("credential", "revoke", "--user", "ann")
    status = ann.until("m1", lambda status: status.get("phase") == "Blocked", "it is blocked")
    assert status["error"]["reason"] in ("Revoked", "Forbidden", "Unauthorized")
    assert "ann" in status["message"]
    assert "skerry app own web" in status["message"]
    config = ("-n", "shop", "get", "configmap", "web-config", "-o", "jsonpath={.data.chart}")
    assert killing.cluster.member.kubectl(*config) == b"1.1.0", "what runs, runs on"
    killing.hooks.hold()
    bob.act("own")
    bob.deployed("m1", 2, 90)
    bob.patch(version="1.2.0")
    bob.deployed("m1", 3)
    bob.delete()
    bob.gone()


def test_a_workspace_that_is_deleted_waits_for_its_apps_on_members_that_are_away(
    killing: Ground, shop: Mapping[str, Path]
) -> None:
    host = killing.host
    away, lost = (Installed(host, name, "shop", shop["bob"]) for name in ("away", "lost"))
    for each in (away, lost):
        each.want(version="1.0.0", **APP)
        each.deployed("m1", 1)
    host.agents[-1].stop()
    away.until("m1", lambda status: status.get("phase") == "Waiting", "it waits", 90)
    host.kubectl(None, "delete", "workspace", "shop", "--wait=false")
    status = away.until("m1", lambda status: "forget it" in status.get("message", ""), "it says what it waits for")
    assert "skerry app uninstall away --forget m1" in status["message"]
    document = host.get(f"{API}/workspaces/shop") or {}
    assert "appinstance away.m1" in condition_of(document, "NamespaceContentRemaining").message
    host.ok("app", "uninstall", "lost", "--forget", "m1", "-w", "shop")
    lost.gone()
    killing.agent_back()
    status = away.until("m1", lambda status: status.get("phase") == "Blocked", "who had it has no rights any more")
    assert "skerry app own away -w shop, or leave what runs there: " in status["message"]
    assert "skerry app uninstall away --forget m1 -w shop" in status["message"]
    host.ok("app", "own", "away", "-w", "shop")
    away.gone()
    eventually(lambda: host.get(f"{API}/workspaces/shop") is None, "the workspace is gone")
    assert [each["name"] for each in killing.helm("list", "-n", "shop", "-o", "json")] == ["lost"]


def test_a_member_that_is_removed_in_the_middle_holds_up_no_end(killing: Ground) -> None:
    """The last, for it is gone."""
    web = Installed(killing.host, "removed")
    killing.hooks.hold("removed-before")
    web.want(version="1.0.0", **APPS)
    killing.hooks.reached("removed-before")
    killing.host.ok("cluster", "remove", "m1")
    web.delete()
    web.gone(30)
