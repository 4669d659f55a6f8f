"""The applier against a real API server: what is wanted is there, what is not ours is left alone, and each state is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from skerry.api.desired import Options, State
from skerry.api.names import HOST_LABEL, OWNER_LABEL, WORKSPACE_LABEL
from skerry.desired import owners, repairs
from skerry.desired.applier import Applier
from skerry.desired.objects import Objects, Placed
from skerry.desired.owners import ObjectReference
from skerry.errors import Forbidden
from skerry.member.identity import HOST_ANNOTATION, HOST_NAME_ANNOTATION, KUBE_SYSTEM, owner_of
from skerry.member.upstream import Upstream
from tests.desired.bucket import HOST, NAME, Bucket, key_of
from tests.desired.cluster import BINDINGS, RBAC, Cluster

pytestmark = pytest.mark.kube


async def test_what_is_wanted_is_there_in_the_order_that_it_needs(cluster: Cluster) -> None:
    binding = cluster.bucket.put("tenancy", cluster.binding())
    space = cluster.bucket.put("tenancy", cluster.space())
    await cluster.settled(binding, State.APPLIED)
    await cluster.settled(space, State.APPLIED)
    found = await cluster.ask("GET", cluster.path())
    assert found["metadata"]["labels"] == {OWNER_LABEL: "tenancy", HOST_LABEL: HOST}
    assert [each["manager"] for each in found["metadata"]["managedFields"]] == ["skerry-tenancy"]
    await cluster.until(lambda: cluster.applier.progress() == ("e1", cluster.bucket.last))
    assert cluster.applier.state.report().problems == ()


async def test_a_change_is_applied_and_a_withdrawal_takes_it_away(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding(group="skerry:a"))
    await cluster.settled(key, State.APPLIED)
    cluster.bucket.put("tenancy", cluster.binding(group="skerry:b"))
    await cluster.until(lambda: cluster.applier.state.entries[key].tried == cluster.bucket.last)
    assert (await cluster.ask("GET", cluster.path()))["subjects"][0]["name"] == "skerry:b"
    cluster.bucket.withdraw(key)
    await cluster.settled(key, None)
    assert await cluster.ask("GET", cluster.path()) == 404


async def test_a_namespace_that_is_being_deleted_is_not_withdrawn_yet_and_nobodys_until_it_is_gone(
    cluster: Cluster,
) -> None:
    """What is in it may not become another's, who is let into a namespace of that name."""
    path, merge = f"/api/v1/namespaces/{cluster.namespace}", "application/merge-patch+json"
    key = cluster.bucket.put("tenancy", cluster.space(labels={"for": "first"}), withdraw="Delete")
    await cluster.settled(key, State.APPLIED)
    before = await cluster.ask("PATCH", path, {"metadata": {"finalizers": ["x.dev/f"]}}, merge)
    cluster.bucket.withdraw(key)
    await cluster.settled(key, State.WAITING)
    assert "is being deleted" in cluster.message(key)
    (problem,) = cluster.applier.state.report().problems
    assert problem.key == key
    cluster.bucket.put("tenancy", cluster.space(labels={"for": "second"}), withdraw="Delete")
    await cluster.until(lambda: cluster.applier.state.entries[key].tried == cluster.bucket.last)
    assert cluster.state(key) is State.WAITING
    assert (await cluster.ask("GET", path))["metadata"]["labels"]["for"] == "first"
    await cluster.ask("PATCH", path, {"metadata": {"finalizers": None}}, merge)
    await cluster.settled(key, State.APPLIED)
    after = await cluster.ask("GET", path)
    assert (after["metadata"]["labels"]["for"], after["metadata"]["uid"] != before["metadata"]["uid"]) == (
        "second",
        True,
    )


async def test_what_waits_for_a_namespace_is_applied_when_that_appears(cluster: Cluster) -> None:
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.WAITING)
    assert cluster.namespace in cluster.message(key)
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    async with asyncio.timeout(2):
        await cluster.settled(key, State.APPLIED)


async def test_what_belongs_into_a_namespace_that_is_being_deleted_waits_for_the_next_one(cluster: Cluster) -> None:
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["example.org/held"]}}
    await cluster.ask("POST", path, held)
    await cluster.ask("DELETE", f"/api/v1/namespaces/{cluster.namespace}")
    key = cluster.bucket.put("tenancy", cluster.binding())
    try:
        await cluster.settled(key, State.WAITING)
        assert "terminated" in cluster.message(key)
    finally:
        patch = {"metadata": {"finalizers": None}}
        await cluster.ask("PATCH", f"{path}/held", patch, "application/merge-patch+json")


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.later.example"},
    "spec": {
        "group": "later.example",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
        ],
    },
}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_what_waits_for_a_kind_is_applied_when_that_is_served(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No owner of today may want such kinds; the row is that of one to come."""
    row = owners.Owner(name="later", kinds={("later.example", "Widget"): lambda document: ""})
    monkeypatch.setitem(cast(dict[str, owners.Owner], owners.OWNERS), "later", row)
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    widget = {
        "apiVersion": "later.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": cluster.namespace},
    }  # fmt: skip
    key = cluster.bucket.put("later", widget)
    await cluster.settled(key, State.WAITING)
    assert "later.example/v1 is not served" in cluster.message(key)
    try:
        await cluster.ask("POST", CRDS, WIDGETS)
        await cluster.settled(key, State.APPLIED)
        assert await cluster.there(f"/apis/later.example/v1/namespaces/{cluster.namespace}/widgets/w")
    finally:
        await cluster.ask("DELETE", f"{CRDS}/widgets.later.example")


async def test_what_exists_is_left_alone_unless_it_may_be_adopted(cluster: Cluster) -> None:
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    await cluster.ask("POST", BINDINGS.format(cluster.namespace), cluster.binding(group="skerry:theirs"))
    key = cluster.bucket.put("tenancy", cluster.binding(group="skerry:ours"))
    await cluster.settled(key, State.EXISTS)
    assert "not Skerry's" in cluster.message(key)
    cluster.bucket.put("tenancy", cluster.binding(group="skerry:ours"), adopt="Same")
    await cluster.until(lambda: "differs" in cluster.message(key))
    assert (await cluster.ask("GET", cluster.path()))["subjects"][0]["name"] == "skerry:theirs"
    cluster.bucket.put("tenancy", cluster.binding(group="skerry:theirs"), adopt="Same")
    await cluster.settled(key, State.APPLIED)
    assert (await cluster.ask("GET", cluster.path()))["metadata"]["labels"][OWNER_LABEL] == "tenancy"


async def test_what_has_to_be_taken_is_taken_where_that_is_said(cluster: Cluster) -> None:
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    await cluster.ask("POST", BINDINGS.format(cluster.namespace), cluster.binding(group="skerry:theirs"))
    key = cluster.bucket.put("tenancy", cluster.binding(group="skerry:ours"), adopt="Force")
    await cluster.settled(key, State.APPLIED)
    assert (await cluster.ask("GET", cluster.path()))["subjects"][0]["name"] == "skerry:ours"


@pytest.mark.parametrize(
    "labels", [{OWNER_LABEL: "quota", HOST_LABEL: HOST}, {OWNER_LABEL: "tenancy", HOST_LABEL: "other"}]
)
async def test_what_belongs_to_others_is_never_taken(cluster: Cluster, labels: dict[str, str]) -> None:
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    await cluster.ask("POST", BINDINGS.format(cluster.namespace), cluster.binding(group="skerry:theirs", labels=labels))
    key = cluster.bucket.put("tenancy", cluster.binding(group="skerry:ours"), adopt="Force", conflicts="Force")
    await cluster.settled(key, State.FOREIGN)
    assert (await cluster.ask("GET", cluster.path()))["subjects"][0]["name"] == "skerry:theirs"


async def test_a_field_of_somebody_else_is_a_conflict_that_names_them(cluster: Cluster) -> None:
    key = cluster.bucket.put("tenancy", cluster.space(labels={"team": "a"}))
    await cluster.settled(key, State.APPLIED)
    theirs = cluster.space(labels={"team": "b"})
    query = "?fieldManager=kubectl-edit&force=true"
    await cluster.ask("PATCH", f"/api/v1/namespaces/{cluster.namespace}{query}", theirs, "application/apply-patch+yaml")
    await cluster.settled(key, State.CONFLICT)
    assert "kubectl-edit" in cluster.message(key)
    assert ".metadata.labels.team" in cluster.message(key)
    cluster.bucket.put("tenancy", cluster.space(labels={"team": "a"}), conflicts="Force")
    await cluster.settled(key, State.APPLIED)


async def test_what_is_changed_or_deleted_on_the_member_is_put_right(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding(group="skerry:a"))
    await cluster.settled(key, State.APPLIED)
    await cluster.ask("DELETE", cluster.path())
    async with asyncio.timeout(2):
        while not await cluster.there(cluster.path()):
            await asyncio.sleep(0.05)
    other = {"subjects": [{"apiGroup": RBAC, "kind": "Group", "name": "skerry:eve"}]}
    await cluster.ask("PATCH", cluster.path(), other, "application/merge-patch+json")
    await cluster.settled(key, State.CONFLICT)
    found = (await cluster.ask("GET", cluster.path()))["subjects"][0]["name"]
    assert found == "skerry:eve"
    repaired = [(each.key, each.by) for each in (await cluster.applier.report()).repairs]
    assert repaired == [(key, "")], "nobody is told to have deleted it: an API server does not know"


async def test_another_ones_labels_and_annotations_are_no_drift(cluster: Cluster) -> None:
    key = cluster.bucket.put("tenancy", cluster.space())
    await cluster.settled(key, State.APPLIED)
    tried = cluster.applier._controller.counts.reconciles
    mine = {"metadata": {"labels": {"mine": "x"}}}
    await cluster.ask("PATCH", f"/api/v1/namespaces/{cluster.namespace}", mine, "application/merge-patch+json")
    probe = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(probe, State.APPLIED)
    assert cluster.applier._controller.counts.reconciles == tried + 1


async def test_who_fights_is_named_and_left(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    async with asyncio.timeout(15):
        while cluster.state(key) is not State.FIGHTING:
            if cluster.state(key) is State.APPLIED:
                await cluster.ask("DELETE", cluster.path())
            await asyncio.sleep(0.05)
    assert "as often as it is put right" in cluster.message(key)


async def test_a_namespace_stays_unless_it_is_said_to_go(cluster: Cluster) -> None:
    keeps = cluster.bucket.put("tenancy", cluster.space())
    goes = cluster.bucket.put("tenancy", cluster.space(f"{cluster.namespace}-x"), withdraw="Delete")
    await cluster.settled(keeps, State.APPLIED)
    await cluster.settled(goes, State.APPLIED)
    cluster.bucket.withdraw(keeps)
    cluster.bucket.withdraw(goes)
    await cluster.settled(keeps, None)
    await cluster.settled(goes, None)
    left = await cluster.ask("GET", f"/api/v1/namespaces/{cluster.namespace}")
    assert OWNER_LABEL not in left["metadata"].get("labels", {})
    assert "skerry-tenancy" not in [each["manager"] for each in left["metadata"].get("managedFields", [])]
    assert not await cluster.there(f"/api/v1/namespaces/{cluster.namespace}-x")


async def test_what_is_orphaned_stays_without_us_also_for_an_applier_that_never_saw_the_entry(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding(), withdraw="Orphan")
    await cluster.settled(key, State.APPLIED)
    cluster.bucket.silent = True
    cluster.bucket.withdraw(key)
    cluster.bucket.complete("tenancy")
    other = cluster.made()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(other.run())
        await _labelled(cluster, False)
        task.cancel()
    found = await cluster.ask("GET", cluster.path())
    assert found["metadata"].get("annotations") in (None, {})
    assert found["subjects"]


async def test_of_a_namespace_that_is_kept_no_label_of_ours_stays(cluster: Cluster) -> None:
    labels = {WORKSPACE_LABEL: "team", "theirs": "stays"}
    key = cluster.bucket.put("tenancy", cluster.space(labels=labels), withdraw="Orphan")
    await cluster.settled(key, State.APPLIED)
    path = f"/api/v1/namespaces/{cluster.namespace}"
    assert (await cluster.ask("GET", path))["metadata"]["labels"][WORKSPACE_LABEL] == "team"
    cluster.bucket.withdraw(key)
    await cluster.settled(key, None)
    left = (await cluster.ask("GET", path))["metadata"]["labels"]
    assert not {WORKSPACE_LABEL, OWNER_LABEL, HOST_LABEL} & set(left)
    assert left["theirs"] == "stays"


async def _labelled(cluster: Cluster, labelled: bool) -> None:
    async with asyncio.timeout(20):
        while OWNER_LABEL in (await cluster.ask("GET", cluster.path()))["metadata"].get("labels", {}) is not labelled:
            await asyncio.sleep(0.05)


async def test_absence_is_believed_of_an_owner_that_is_complete_only(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    cluster.bucket.made_anew("e2")
    cluster.applier.told("e2", 0, lead=True)
    await cluster.until(lambda: cluster.applier.state.epoch == "e2")
    assert await cluster.there(cluster.path())
    space = cluster.bucket.put("tenancy", cluster.space())
    await cluster.until(lambda: cluster.applier.state.entries[space].tried == 1)
    assert await cluster.there(cluster.path())
    cluster.bucket.complete("tenancy")
    await cluster.settled(key, None)
    assert await cluster.ask("GET", cluster.path()) == 404
    assert await cluster.there(f"/api/v1/namespaces/{cluster.namespace}")


async def test_a_forged_withdrawal_costs_a_look_and_nothing_else(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    syncs = cluster.bucket.syncs
    cluster.applier.feed.heard(key, cluster.bucket.last + 1, None)
    await cluster.until(lambda: cluster.bucket.syncs > syncs)
    assert cluster.state(key) is State.APPLIED
    assert await cluster.there(cluster.path())


async def test_what_is_forged_or_played_again_changes_nothing(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding(group="skerry:a"))
    old = cluster.bucket.entries[key][1]
    assert old is not None
    await cluster.settled(key, State.APPLIED)
    cluster.bucket.put("tenancy", cluster.binding(group="skerry:b"))
    await cluster.until(lambda: cluster.applier.state.entries[key].tried == cluster.bucket.last)
    other = Bucket()
    other.put("tenancy", cluster.binding(group="skerry:eve"))
    forged = other.entries[key][1]
    for data in (old, forged, old[:-1], b"{}", old.replace(b"skerry:a", b"skerry:x")):
        cluster.applier.feed.heard(key, cluster.bucket.last + 10, data)
    probe = cluster.bucket.put("tenancy", cluster.binding("skerry:probe"))
    await cluster.settled(probe, State.APPLIED)
    assert (await cluster.ask("GET", cluster.path()))["subjects"][0]["name"] == "skerry:b"


async def test_what_the_owners_row_or_the_ceiling_refuses_is_told_and_not_tried(cluster: Cluster) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "default"}}
    stolen = cluster.bucket.put("tenancy", secret)
    await cluster.settled(stolen, State.REFUSED)
    assert "may not want Secret" in cluster.message(stolen)
    reads_only = cluster.made(guard=lambda owner, which: "this member's ceiling refuses it")
    async with asyncio.TaskGroup() as group:
        cluster.applier.lead = False
        task = group.create_task(reads_only.run())
        key = cluster.bucket.put("tenancy", cluster.space())
        await cluster.until(
            lambda: key in reads_only.state.entries and reads_only.state.entries[key].state is State.REFUSED
        )
        task.cancel()
    assert not await cluster.there(f"/api/v1/namespaces/{cluster.namespace}")


async def test_while_paused_nothing_moves_and_afterwards_everything_does(cluster: Cluster) -> None:
    settings = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AgentSettings", "metadata": {"name": "agent"}}
    pause = cluster.bucket.put("registry", {**settings, "spec": {"paused": True}})
    await cluster.settled(pause, State.APPLIED)
    space = cluster.bucket.put("tenancy", cluster.space())
    await cluster.until(lambda: space in cluster.applier.state.entries)
    await cluster.until(lambda: cluster.applier.state.synced == cluster.bucket.last)
    assert cluster.state(space) is State.PENDING
    assert cluster.applier.progress() == ("e1", cluster.bucket.last - 1)
    assert not await cluster.there(f"/api/v1/namespaces/{cluster.namespace}")
    cluster.bucket.put("registry", {**settings, "spec": {"paused": False}})
    await cluster.settled(space, State.APPLIED)
    cluster.bucket.put("registry", {**settings, "spec": {"paused": True}})
    await cluster.until(lambda: cluster.applier.paused)
    binding = cluster.bucket.put("tenancy", cluster.binding("skerry:late"))
    await cluster.until(lambda: binding in cluster.applier.state.entries)
    cluster.bucket.withdraw(pause)
    await cluster.settled(binding, State.APPLIED)


async def test_what_is_changed_while_paused_is_pending_then_put_right_once_and_nobody_fought(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "FIGHTS", 2)
    settings = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AgentSettings", "metadata": {"name": "agent"}}
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    for _ in range(3):
        await cluster.settled(key, State.APPLIED)
        cluster.bucket.put("registry", {**settings, "spec": {"paused": True}})
        await cluster.until(lambda: cluster.applier.paused)
        for _ in range(3):  # theirs, as often as they like
            await cluster.ask("DELETE", cluster.path())
            await cluster.settled(key, State.PENDING)
            assert not await cluster.there(cluster.path())
            await cluster.ask("POST", BINDINGS.format(cluster.namespace), cluster.binding(labels={"mine": "x"}))
        await cluster.ask("DELETE", cluster.path())
        cluster.bucket.put("registry", {**settings, "spec": {"paused": False}})
        await cluster.until(lambda: not cluster.applier.paused)
    await cluster.settled(key, State.APPLIED)
    assert await cluster.there(cluster.path())
    (repair,) = (await cluster.applier.report()).repairs
    assert repair.key == key


async def test_what_comes_after_another_waits_for_it(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    first = key_of("tenancy", cluster.binding("skerry:first"))
    second = cluster.bucket.put("tenancy", cluster.binding("skerry:second"), after=(first,))
    await cluster.settled(second, State.WAITING)
    assert first in cluster.message(second)
    cluster.bucket.put("tenancy", cluster.binding("skerry:first"))
    await cluster.settled(second, State.APPLIED)


async def test_what_comes_after_one_that_fails_waits_and_nothing_else_does(cluster: Cluster) -> None:
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    await cluster.ask("POST", BINDINGS.format(cluster.namespace), cluster.binding("skerry:theirs"))
    first = cluster.bucket.put("tenancy", cluster.binding("skerry:theirs", group="skerry:ours"))
    second = cluster.bucket.put("tenancy", cluster.binding("skerry:second"), after=(first,))
    other = cluster.bucket.put("tenancy", cluster.binding("skerry:other"))
    await cluster.settled(other, State.APPLIED)
    await cluster.settled(first, State.EXISTS)
    await cluster.settled(second, State.WAITING)
    await cluster.until(lambda: cluster.applier.progress() == ("e1", cluster.bucket.last))
    assert {each.key for each in cluster.applier.state.report().problems} == {first, second}
    await cluster.ask("DELETE", cluster.path("skerry:theirs"))
    await cluster.settled(second, State.APPLIED)


async def test_what_the_members_people_have_refused_is_refused_in_their_words(cluster: Cluster) -> None:
    admission, name = "/apis/admissionregistration.k8s.io/v1", cluster.namespace
    match = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "resourceRules": [
            {
                "apiGroups": [RBAC],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["rolebindings"],
            },
        ],
    }
    policy = {"validations": [{"expression": "false", "message": "nobody binds here"}], "matchConstraints": match}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    for plural, spec in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
        await cluster.ask("POST", f"{admission}/{plural}", {"metadata": {"name": name}, "spec": spec})
    try:
        async with asyncio.timeout(60):
            while isinstance(await cluster.ask("POST", f"{BINDINGS.format(name)}?dryRun=All", cluster.binding()), dict):
                await asyncio.sleep(0.1)
        key = cluster.bucket.put("tenancy", cluster.binding())
        await cluster.settled(key, State.REFUSED)
        assert "nobody binds here" in cluster.message(key)
    finally:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            await cluster.ask("DELETE", f"{admission}/{plural}/{name}")


class Held(Objects):
    """A write is answered late."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream, HOST)
        self.written, self.answered = asyncio.Event(), asyncio.Event()

    async def apply(self, document: Any, owner: str, options: Options) -> Placed:
        """Done, and told when it is let go."""
        made = await super().apply(document, owner, options)
        self.written.set()
        await self.answered.wait()
        return made


class Recording(Objects):
    """What was written, in order."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream, HOST)
        self.writes: list[tuple[str, str]] = []
        """Name, and the group that it names; empty for what was taken away."""

    async def apply(self, document: Any, owner: str, options: Options) -> Placed:
        """Noted when it is done."""
        made = await super().apply(document, owner, options)
        subjects = document.get("subjects") or [{"name": "-"}]
        self.writes.append((document["metadata"]["name"], subjects[0]["name"]))
        return made

    async def withdraw(self, which: ObjectReference, owner: str, *, keep: bool = False, fenced: bool = False) -> bool:
        """The same."""
        gone = await super().withdraw(which, owner, keep=keep, fenced=fenced)
        if gone:
            self.writes.append((which.name, ""))
        return gone


async def test_away_for_long_each_key_is_written_once_the_latest_and_in_order(cluster: Cluster) -> None:
    """500 changes of 200 keys while it was away, deletions too; what others need comes first and goes last."""
    objects = Recording(cluster.upstream)
    applier = Applier(NAME, objects, cluster.bucket, cluster.bucket.verify)
    cluster.applier.lead = False
    kept = [f"skerry:kept-{n}" for n in range(10)]
    space = cluster.bucket.put("tenancy", cluster.space())
    keys = {name: cluster.bucket.put("tenancy", cluster.binding(name, group="skerry:before")) for name in kept}
    async with asyncio.TaskGroup() as group:
        task = group.create_task(applier.run())
        await cluster.until(lambda: applier.progress() == ("e1", cluster.bucket.last))
        objects.writes.clear()
        latest: dict[str, str] = {}
        for change in range(500):
            name = kept[change // 20] if change < 200 and change % 20 == 0 else f"skerry:n-{change % 190}"
            latest[name] = f"skerry:g-{change}"
            keys[name] = cluster.bucket.put("tenancy", cluster.binding(name, group=latest[name]))
        for name in (*kept[:5], *(f"skerry:n-{n}" for n in range(15))):
            cluster.bucket.withdraw(keys[name])
            latest[name] = ""
        cluster.bucket.withdraw(space)
        applier.feed.ask()
        await cluster.until(lambda: applier.progress() == ("e1", cluster.bucket.last))
        task.cancel()
    assert len(keys) == 200
    never = {f"skerry:n-{n}" for n in range(15)}
    assert sorted(objects.writes) == sorted((name, group) for name, group in latest.items() if name not in never)
    items = (await cluster.ask("GET", BINDINGS.format(cluster.namespace)))["items"]
    there = {each["metadata"]["name"]: each["subjects"][0]["name"] for each in items}
    assert there == {name: group for name, group in latest.items() if group}


async def test_an_agent_that_is_killed_between_a_write_and_its_report_writes_nothing_twice(cluster: Cluster) -> None:
    """What comes back applies everything once more, which changes nothing that is there, and its first report is whole."""
    cluster.applier.lead = False
    held = Held(cluster.upstream)
    killed = Applier(NAME, held, cluster.bucket, cluster.bucket.verify)
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(killed.run())
        async with asyncio.timeout(20):
            await held.written.wait()
        task.cancel()
    assert killed.state.report().counts["tenancy"] == {State.PENDING: 1}
    before = (await cluster.ask("GET", cluster.path()))["metadata"]
    back = cluster.made()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(back.run())
        await cluster.until(lambda: back.progress() == ("e1", cluster.bucket.last))
        task.cancel()
    report = await back.report()
    assert (report.applied, report.counts["tenancy"], report.problems) == (cluster.bucket.last, {State.APPLIED: 1}, ())
    assert back.state.entries[key].tried == cluster.bucket.last
    after = (await cluster.ask("GET", cluster.path()))["metadata"]
    assert (after["uid"], after["resourceVersion"]) == (before["uid"], before["resourceVersion"])


async def test_two_that_both_think_that_they_lead_harm_nothing(cluster: Cluster) -> None:
    other = cluster.made()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(other.run())
        cluster.bucket.put("tenancy", cluster.space())
        keys = [cluster.bucket.put("tenancy", cluster.binding(f"skerry:{n}")) for n in range(10)]
        for n in range(10):
            cluster.bucket.put("tenancy", cluster.binding(f"skerry:{n}", group="skerry:b"))
        cluster.bucket.withdraw(keys[0])
        last = ("e1", cluster.bucket.last)
        await cluster.until(lambda: cluster.applier.progress() == other.progress() == last)
        task.cancel()
    for applier in (cluster.applier, other):
        report = applier.state.report()
        assert report.problems == ()
        assert report.counts["tenancy"] == {State.APPLIED: 10}
    items = (await cluster.ask("GET", BINDINGS.format(cluster.namespace)))["items"]
    assert [each["subjects"][0]["name"] for each in items] == ["skerry:b"] * 9


async def test_everything_is_withdrawn_by_order_and_nothing_that_is_not_ours(cluster: Cluster) -> None:
    await cluster.made().withdraw_all("before")  # what other tests left
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    theirs = cluster.binding("theirs")
    await cluster.ask("POST", BINDINGS.format(cluster.namespace), theirs)
    mark = {"metadata": {"annotations": {HOST_ANNOTATION: HOST, HOST_NAME_ANNOTATION: "isle"}}}
    await cluster.ask("PATCH", KUBE_SYSTEM, mark, "application/merge-patch+json")
    await cluster.applier.withdraw_all("o1")
    items = (await cluster.ask("GET", BINDINGS.format(cluster.namespace)))["items"]
    assert [each["metadata"]["name"] for each in items] == ["theirs"]
    assert owner_of((await cluster.ask("GET", KUBE_SYSTEM))["metadata"]) == ("", "")
    report = await cluster.applier.report()
    assert (report.order, report.problems, report.counts, report.unmarked) == ("o1", (), {}, True)
    assert report.withdrawn == 1, "the namespace stays, and is nobody's"
    cluster.bucket.put("tenancy", cluster.binding(group="skerry:b"))
    assert cluster.applier.state.entries == {}
    await cluster.applier.withdraw_all("o1")
    assert (await cluster.applier.report()).withdrawn == 1, "the same order again takes nothing more away"
    assert await cluster.ask("GET", cluster.path()) == 404


async def test_what_a_host_before_left_and_nobody_wants_goes_once_the_mark_is_ours_and_its_owner_is_complete(
    cluster: Cluster,
) -> None:
    former = Objects(cluster.upstream, "former")
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    for name in ("skerry:edit", "skerry:view"):
        await former.apply(cluster.binding(name), "tenancy", Options())
    wanted = cluster.bucket.put("tenancy", cluster.binding("skerry:edit"))
    await cluster.settled(wanted, State.FOREIGN)
    cluster.bucket.complete("tenancy")
    space = cluster.bucket.put("tenancy", cluster.space(), adopt="Same")
    await cluster.settled(space, State.APPLIED)
    assert await cluster.there(cluster.path("skerry:view")), "the mark is not ours"
    mark = {"metadata": {"annotations": {HOST_ANNOTATION: HOST, HOST_NAME_ANNOTATION: "isle"}}}
    await cluster.ask("PATCH", KUBE_SYSTEM, mark, "application/merge-patch+json")
    try:
        taker = cluster.made()  # the agent of a cluster that is taken over starts after it is marked
        async with asyncio.TaskGroup() as group:
            task = group.create_task(taker.run())
            async with asyncio.timeout(30):
                while await cluster.there(cluster.path("skerry:view")):
                    await asyncio.sleep(0.05)
            await cluster.until(lambda: taker.state.entries[wanted].state is State.APPLIED)
            task.cancel()
        found = await cluster.ask("GET", cluster.path())
        assert found["metadata"]["labels"] == {OWNER_LABEL: "tenancy", HOST_LABEL: HOST}
    finally:
        gone = {"metadata": {"annotations": {HOST_ANNOTATION: None, HOST_NAME_ANNOTATION: None}}}
        await cluster.ask("PATCH", KUBE_SYSTEM, gone, "application/merge-patch+json")


async def test_a_namespace_outlives_the_order_although_its_entry_would_have_deleted_it(cluster: Cluster) -> None:
    await cluster.made().withdraw_all("before")
    space = cluster.bucket.put("tenancy", cluster.space(), withdraw="Delete")
    await cluster.settled(space, State.APPLIED)
    await cluster.applier.withdraw_all("o1")
    metadata = (await cluster.ask("GET", f"/api/v1/namespaces/{cluster.namespace}"))["metadata"]
    assert "deletionTimestamp" not in metadata
    assert not [each for each in metadata.get("labels", {}) if "skerry" in each]
    assert (await cluster.applier.report()).withdrawn == 0


async def test_by_an_order_to_keep_everything_stays_as_nobodys(cluster: Cluster) -> None:
    """Also what its entry would have deleted."""
    space = cluster.bucket.put("tenancy", cluster.space(), withdraw="Delete")
    key = cluster.bucket.put("tenancy", cluster.binding())
    for each in (space, key):
        await cluster.settled(each, State.APPLIED)
    await cluster.applier.withdraw_all("o1", keep=True)
    for path in (cluster.path(), f"/api/v1/namespaces/{cluster.namespace}"):
        metadata = (await cluster.ask("GET", path))["metadata"]
        assert "deletionTimestamp" not in metadata
        assert not [
            each for each in (*metadata.get("labels", {}), *metadata.get("annotations", {})) if "skerry" in each
        ]
        assert "skerry-tenancy" not in {each["manager"] for each in metadata.get("managedFields", [])}
    report = await cluster.applier.report()
    assert (report.order, report.problems, report.counts, report.withdrawn) == ("o1", (), {}, 2)


async def test_what_no_entry_names_any_more_is_withdrawn_by_order_too(cluster: Cluster) -> None:
    """An applier that never heard of it finds it by its labels."""
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    cluster.bucket.away = True
    later = cluster.made()
    await later.withdraw_all("o1")
    assert await cluster.ask("GET", cluster.path()) == 404


async def test_what_cannot_be_withdrawn_is_named_in_the_report(cluster: Cluster) -> None:
    cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    refusing = cluster.made()
    refusing._objects = Objects(cluster.upstream, HOST, check=_refuses)
    await refusing.withdraw_all("o1")
    report = await refusing.report()
    assert {(each.key, each.state, each.message) for each in report.problems} >= {(key, State.FAILED, "not now")}
    assert report.unmarked, "there was no mark"
    assert await cluster.there(cluster.path())


def _refuses() -> None:
    raise Forbidden("not now")


async def test_of_a_bucket_made_anew_nothing_is_withdrawn_before_its_owner_is_complete_and_then_what_it_has_not(
    cluster: Cluster,
) -> None:
    """Also when the owner says so long after the applier learned of the new bucket."""
    cluster.bucket.put("tenancy", cluster.space())
    keys = [cluster.bucket.put("tenancy", cluster.binding(f"skerry:{name}")) for name in "ab"]
    for key in keys:
        await cluster.settled(key, State.APPLIED)
    cluster.bucket.made_anew("e2")
    cluster.applier.told("e2", 1, lead=True)
    await cluster.until(lambda: cluster.applier.state.epoch == "e2")
    cluster.bucket.put("tenancy", cluster.space())
    cluster.bucket.put("tenancy", cluster.binding("skerry:b"))
    await cluster.until(lambda: cluster.applier.progress() == ("e2", cluster.bucket.last))
    assert await cluster.there(cluster.path("skerry:a"))
    cluster.bucket.complete("tenancy")
    await cluster.settled(keys[0], None)
    assert await cluster.ask("GET", cluster.path("skerry:a")) == 404
    assert await cluster.there(cluster.path("skerry:b"))


async def test_what_a_start_finds_on_the_member_is_withdrawn_once_its_owner_is_complete(cluster: Cluster) -> None:
    """An applier that was away when the entry went, and its owner not complete yet when it looked."""
    space = cluster.bucket.put("tenancy", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    await cluster.settled(key, State.APPLIED)
    del cluster.bucket.entries[key]
    cluster.bucket.appliers.clear()
    later = cluster.made()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(later.run())
        await cluster.until(lambda: later.state.entries and later.state.entries[space].state is State.APPLIED)
        await cluster.until(lambda: key in later.state._strays)
        cluster.bucket.complete("tenancy")
        await cluster.until(lambda: key not in later.state._strays and key not in later.state.entries)
        task.cancel()
    assert await cluster.ask("GET", cluster.path()) == 404


async def test_what_is_withdrawn_while_it_is_being_written_goes(cluster: Cluster) -> None:
    """It counted as withdrawn, by the write that had just made it, and stayed."""
    objects = Held(cluster.upstream)
    applier = Applier(NAME, objects, cluster.bucket, cluster.bucket.verify)
    await cluster.ask("POST", "/api/v1/namespaces", cluster.space())
    key = cluster.bucket.put("tenancy", cluster.binding())
    cluster.applier.lead = False
    async with asyncio.TaskGroup() as group:
        task = group.create_task(applier.run())
        async with asyncio.timeout(20):
            await objects.written.wait()
        applier.state.withdraw(key, 1.0)
        objects.answered.set()
        await cluster.until(lambda: key not in applier.state.entries)
        task.cancel()
    assert await cluster.ask("GET", cluster.path()) == 404


async def test_a_kind_in_the_wrong_scope_is_told(cluster: Cluster) -> None:
    objects = Objects(cluster.upstream, HOST)
    with pytest.raises(Exception, match="needs a namespace"):
        await objects.read(ObjectReference(f"{RBAC}/v1", "RoleBinding", "", "a"))
    with pytest.raises(Exception, match="is not served by this cluster"):
        await objects.read(ObjectReference("none.dev/v1", "Nothing", "", "a"))
