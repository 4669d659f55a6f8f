"""A real kubectl that changes things: create, apply on both sides, edit, patch, label, replace, diff, delete, wait."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.errors import NotFound
from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

TEAM = """
apiVersion: skerry.dev/v1alpha1
kind: Workspace
metadata: {name: team, labels: {tier: gold}}
spec:
  displayName: Team
  members:
  - {kind: User, name: alice, role: view}
  clusters: {names: [m1]}
"""
GRANT = """
apiVersion: skerry.dev/v1alpha1
kind: AccessGrant
metadata: {name: ops}
spec:
  subjects: [{kind: Group, name: ops}]
  clusters: {selector: {matchLabels: {env: prod}}}
  role: edit
  namespaces: [shop]
"""
SETTING = """
apiVersion: skerry.dev/v1alpha1
kind: Setting
metadata: {name: join.approval}
spec: {value: "true"}
"""
REQUEST = """
apiVersion: skerry.dev/v1alpha1
kind: AccessRequest
metadata: {generateName: req-}
spec: {clusters: {names: [m1]}, namespaces: [shop], role: edit, reason: INC-1}
"""
SELF_APPROVAL = SETTING.replace("join.approval", "access.self-approval")


class Kubectl:
    """kubectl against one host API."""

    def __init__(self, world: World, home: Path) -> None:
        self._world = world
        self._home = home

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        return await self._world.kubectl(*arguments, stdin=stdin, home=self._home)

    async def ok(self, *arguments: str, stdin: str = "", editor: str = "") -> str:
        """stdout of a command that succeeds in silence."""
        code, out, err = await self._world.kubectl(*arguments, stdin=stdin, home=self._home, editor=editor)
        assert (code, err) == (0, ""), err
        return out

    async def read(self, name: str) -> dict[str, object]:
        """A workspace."""
        found: dict[str, object] = json.loads(await self.ok("get", "workspace", name, "-o", "json"))
        return found


@pytest.fixture
async def kubectl(world: World, tmp_path: Path) -> AsyncIterator[Kubectl]:
    found = Kubectl(world, tmp_path)
    yield found
    await found.run("delete", "workspaces,accessgrants,accessrequests,settings", "--all", "--wait=false")


async def test_apply_says_created_unchanged_and_configured(kubectl: Kubectl) -> None:
    assert await kubectl.ok("apply", "-f", "-", stdin=TEAM) == "workspace.skerry.dev/team created\n"
    assert await kubectl.ok("apply", "-f", "-", stdin=TEAM) == "workspace.skerry.dev/team unchanged\n"
    changed = TEAM.replace("displayName: Team", "displayName: Squad")
    assert await kubectl.ok("apply", "-f", "-", stdin=changed) == "workspace.skerry.dev/team configured\n"
    assert "Squad" in await kubectl.ok("get", "ws")


async def test_what_is_read_can_be_applied_again(kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "-f", "-", stdin=TEAM)
    read = await kubectl.ok("get", "workspace", "team", "-o", "yaml")
    assert await kubectl.ok("apply", "-f", "-", stdin=read) == "workspace.skerry.dev/team configured\n"
    again = await kubectl.ok("get", "workspace", "team", "-o", "yaml")
    assert await kubectl.ok("replace", "-f", "-", stdin=again) == "workspace.skerry.dev/team replaced\n"
    assert await kubectl.ok("apply", "--server-side", "-f", "-", stdin=TEAM) == (
        "workspace.skerry.dev/team serverside-applied\n"
    )  # fmt: skip


async def test_server_side_conflicts_and_force(kubectl: Kubectl) -> None:
    await kubectl.ok("apply", "--server-side", "--field-manager=one", "-f", "-", stdin=TEAM)
    other = TEAM.replace("displayName: Team", "displayName: Squad")
    apply = ("apply", "--server-side", "--field-manager=two", "-f", "-")
    code, _, err = await kubectl.run(*apply, stdin=other)
    assert code == 1
    assert 'Apply failed with 1 conflict: conflict with "one": .spec.displayName' in err
    assert (
        await kubectl.ok(*apply, "--force-conflicts", stdin=other) == "workspace.skerry.dev/team serverside-applied\n"
    )


async def test_a_dry_run_of_apply_changes_nothing(kubectl: Kubectl) -> None:
    out = await kubectl.ok("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=TEAM)
    assert out == "workspace.skerry.dev/team serverside-applied (server dry run)\n"
    assert await kubectl.ok("get", "ws", "-o", "name") == ""


@pytest.mark.parametrize("side", ["--server-side=false", "--server-side=true"])
async def test_diff_shows_what_apply_would_do(kubectl: Kubectl, side: str) -> None:
    await kubectl.ok("apply", side, "-f", "-", stdin=TEAM)
    assert await kubectl.ok("diff", side, "-f", "-", stdin=TEAM) == ""
    changed = TEAM.replace("displayName: Team", "displayName: Squad")
    code, out, _ = await kubectl.run("diff", side, "-f", "-", stdin=changed)
    assert code == 1
    assert "-  displayName: Team" in out
    assert "+  displayName: Squad" in out


async def test_edit(kubectl: Kubectl, tmp_path: Path) -> None:
    await kubectl.ok("create", "-f", "-", stdin=TEAM)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/displayName: Team/displayName: Edited/" "$1"\n')
    editor.chmod(0o755)
    assert await kubectl.ok("edit", "workspace", "team", editor=str(editor)) == "workspace.skerry.dev/team edited\n"
    assert (await kubectl.read("team"))["spec"]["displayName"] == "Edited"  # type: ignore[index]


async def test_patch_in_both_ways_and_not_in_the_third(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "-f", "-", stdin=TEAM)
    patched = "workspace.skerry.dev/team patched\n"
    merge = ("patch", "workspace", "team", "--type=merge", "-p", '{"spec":{"displayName":"M"}}')
    assert await kubectl.ok(*merge) == patched
    assert await kubectl.ok(*merge) == "workspace.skerry.dev/team patched (no change)\n"
    operation = '[{"op":"add","path":"/spec/members/-","value":{"kind":"Group","name":"g"}}]'
    assert await kubectl.ok("patch", "ws", "team", "--type=json", "-p", operation) == patched
    members = (await kubectl.read("team"))["spec"]["members"]  # type: ignore[index]
    assert members[1] == {"kind": "Group", "name": "g", "role": "view"}
    code, _, err = await kubectl.run("patch", "ws", "team", "-p", "{}")
    assert code == 1
    assert "application/strategic-merge-patch+json" in err or "unknown format" in err


async def test_label_and_annotate(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "-f", "-", stdin=TEAM)
    assert await kubectl.ok("label", "ws", "team", "a=b") == "workspace.skerry.dev/team labeled\n"
    assert await kubectl.ok("annotate", "ws", "team", "note=hello") == "workspace.skerry.dev/team annotated\n"
    assert await kubectl.ok("label", "ws", "team", "tier-") == "workspace.skerry.dev/team unlabeled\n"
    metadata = (await kubectl.read("team"))["metadata"]
    assert metadata["labels"] == {"a": "b"}  # type: ignore[index]
    code, _, err = await kubectl.run("label", "ws", "team", "a=c")
    assert code == 1
    assert "'a' already has a value (b)" in err


async def test_a_cluster_is_labelled_and_paused_and_keeps_its_role(world: World, kubectl: Kubectl) -> None:
    await world.made("m1")
    code, _, err = await kubectl.run("label", "cluster", "m1", "env=prod")
    assert code == 1
    assert "the service registry" in err


async def test_a_grant_says_whether_it_is_enforced(kubectl: Kubectl) -> None:
    code, out, err = await kubectl.run("create", "-f", "-", stdin=GRANT)
    assert (code, out) == (0, "accessgrant.skerry.dev/ops created\n")
    assert err == ""
    out = await kubectl.ok("get", "grant", "--no-headers")
    assert out.split()[:5] == ["ops", "Group:ops", "edit", "env=prod", "False"]
    waited = await kubectl.ok("wait", "accessgrant/ops", "--for=condition=Enforced=false", "--timeout=5s")
    assert waited == "accessgrant.skerry.dev/ops condition met\n"


async def test_unknown_fields_are_refused_by_default_and_warned_of_when_asked(kubectl: Kubectl) -> None:
    strange = TEAM.replace("displayName:", "colour:")
    code, _, err = await kubectl.run("create", "-f", "-", stdin=strange)
    assert code == 1
    assert 'strict decoding error: unknown field "spec.colour"' in err
    code, _, err = await kubectl.run("create", "--validate=warn", "-f", "-", stdin=strange)
    assert (code, err) == (0, 'Warning: unknown field "spec.colour"\n')


async def test_what_breaks_a_rule_is_named(kubectl: Kubectl) -> None:
    code, _, err = await kubectl.run("create", "-f", "-", stdin=GRANT.replace("role: edit", "role: owner"))
    assert code == 1
    assert 'spec.role: Unsupported value: "owner": supported values: "view", "edit", "admin", "cluster-admin"' in err


async def test_a_setting_is_made_changed_and_taken_back(kubectl: Kubectl, tmp_path: Path) -> None:
    assert await kubectl.ok("apply", "-f", "-", stdin=SETTING) == "setting.skerry.dev/join.approval created\n"
    assert (await kubectl.ok("get", "settings", "--no-headers")).split()[:2] == ["join.approval", "true"]
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/value: "true"/value: "false"/\' "$1"\n')
    editor.chmod(0o755)
    await kubectl.ok("edit", "setting", "join.approval", editor=str(editor))
    assert await kubectl.ok("get", "setting", "join.approval", "-o", "jsonpath={.spec.value}") == "false"
    assert await kubectl.ok("delete", "setting", "join.approval") == 'setting.skerry.dev "join.approval" deleted\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SETTING.replace("join.approval", "join.aproval"), 'Unsupported value: "join.aproval": supported values: "join.app'),
        (SETTING.replace('"true"', '"yes"'), 'spec.value: Invalid value: "yes": must be true or false'),
        (SETTING.replace('"true"', "true"), "spec.value"),
    ],
)  # fmt: skip
async def test_a_setting_that_there_is_not_is_refused_with_what_there_is(
    kubectl: Kubectl, text: str, said: str
) -> None:
    code, _, err = await kubectl.run("create", "-f", "-", stdin=text)
    assert code == 1
    assert said in err


async def test_access_is_asked_for_once_shown_in_a_table_and_approved(kubectl: Kubectl) -> None:
    made = await kubectl.ok("create", "-f", "-", stdin=REQUEST)
    name = made.split()[0].partition("/")[2]
    code, again, said = await kubectl.run("create", "-f", "-", stdin=REQUEST)
    assert (code, again) == (0, made)
    assert f"Warning: accessrequest {name} covers this and waits for approval until" in said
    row = (await kubectl.ok("get", "areq", "--field-selector=status.state=Pending", "--no-headers")).split()
    assert [row[0], *row[1:6], row[7]] == [name, "admin", "edit", "m1", "shop", "Pending", "INC-1"]
    path = f"/apis/skerry.dev/v1alpha1/accessrequests/{name}/approve"
    code, _, said = await kubectl.run("create", "--raw", path, "-f", "-", stdin="{}")
    assert code == 1
    assert "somebody else has to approve it (Setting access.self-approval)" in said
    await kubectl.ok("create", "-f", "-", stdin=SELF_APPROVAL)
    done = json.loads(await kubectl.ok("create", "--raw", path, "-f", "-", stdin='{"duration": "1h", "comment": "go"}'))
    assert (done["status"]["state"], done["status"]["approvals"][0]["own"]) == ("Approved", True)
    labelled = ("get", "accessgrants", "-l", "skerry.dev/because=request", "-o", "name")
    assert await kubectl.ok(*labelled) == f"accessgrant.skerry.dev/{name}\n"
    await kubectl.ok("create", "--raw", path.replace("approve", "end"), "-f", "-", stdin="{}")
    assert await kubectl.ok(*labelled) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REQUEST.replace("INC-1", "''"), "spec.reason: Required value: say why"),
        (REQUEST.replace("INC-1", '"\\e[2J"'), 'spec.reason: Invalid value: " [2J": use printable characters'),
        (REQUEST.replace("role: edit", "role: owner"), 'spec.role: Unsupported value: "owner"'),
        (
            REQUEST.replace("role: edit", "role: edit, duration: 9h"),
            "must be between 1s and 8h; Setting access.longest says so",
        ),
    ],
    ids=["no reason", "escapes", "no role", "too long"],
)
async def test_what_cannot_be_asked_for_is_named(kubectl: Kubectl, text: str, said: str) -> None:
    code, _, err = await kubectl.run("create", "-f", "-", stdin=text)
    assert code == 1
    assert said in err


async def test_delete_waits_for_finalizers(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "-f", "-", stdin=TEAM.replace("labels:", "finalizers: [x.dev/f], labels:"))
    deleting = asyncio.ensure_future(kubectl.run("delete", "ws", "team"))
    try:
        async with asyncio.timeout(10):
            while "deletionTimestamp" not in (await kubectl.read("team"))["metadata"]:  # type: ignore[operator]
                assert not deleting.done()
        await kubectl.ok("patch", "ws", "team", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        assert (await deleting)[1] == 'workspace.skerry.dev "team" deleted\n'
    finally:
        deleting.cancel()
        with contextlib.suppress(asyncio.CancelledError, NotFound):
            await deleting


async def test_dependents_follow_their_owner(world: World, kubectl: Kubectl) -> None:
    await kubectl.ok("create", "-f", "-", stdin=TEAM)
    uid = (await kubectl.read("team"))["metadata"]["uid"]  # type: ignore[index]
    owner = f"ownerReferences: [{{apiVersion: skerry.dev/v1alpha1, kind: Workspace, name: team, uid: {uid}, blockOwnerDeletion: true}}]"
    await kubectl.run("create", "-f", "-", stdin=GRANT.replace("name: ops}", f"name: ops, {owner}}}", 1))
    waiting = ("wait", "accessgrant/ops", "--for=delete", "--timeout=10s")
    await kubectl.ok("delete", "ws", "team", "--cascade=foreground")
    await kubectl.ok(*waiting)
    assert await kubectl.ok("get", "ws", "-o", "name") == ""


async def test_orphans_stay_without_their_reference(kubectl: Kubectl) -> None:
    await kubectl.ok("create", "-f", "-", stdin=TEAM)
    uid = (await kubectl.read("team"))["metadata"]["uid"]  # type: ignore[index]
    owner = f"ownerReferences: [{{apiVersion: skerry.dev/v1alpha1, kind: Workspace, name: team, uid: {uid}}}]"
    await kubectl.run("create", "-f", "-", stdin=GRANT.replace("name: ops}", f"name: ops, {owner}}}", 1))
    await kubectl.ok("delete", "ws", "team", "--cascade=orphan")
    left = json.loads(await kubectl.ok("get", "accessgrant", "ops", "-o", "json"))
    assert "ownerReferences" not in left["metadata"]
