"""Which Namespaces workspaces want on members, and what they say of them."""

from __future__ import annotations

from typing import Any

import pytest

from services.tenancy import namespaces
from services.tenancy.enforced import Member, Placement, Standing
from services.tenancy.namespaces import Owned, Place
from skerry.api.conditions import Verdict
from skerry.api.desired import Options, Problem, Report, State
from skerry.api.grants import OwnedNamespace, Workspace
from skerry.api.meta import Document
from skerry.desired.owners import refusal
from tests.access.grants import workspace
from tests.tenancy.test_enforced import cluster

PLACE = Place("m1", "shop")
KEY = "m1.tenancy._.namespace._.shop"
PLACED = Placement("uid-1", "e", {KEY: 5})
SHOP: Document = {"cluster": "m1", "name": "shop"}


def team(*named: Document, name: str = "team", uid: str = "uid-1", **metadata: Any) -> Workspace:
    """A workspace that names these, each bound to the Cluster with this UID."""
    owned = [{"cluster": each["cluster"], "name": each["name"], "uid": uid, "state": "Creating"} for each in named]
    return workspace(name, owned=owned, namespaces=[*named], **metadata)


def test_what_is_named_and_bound_is_wanted_with_the_workspaces_label_and_nothing_else() -> None:
    wanted = namespaces.owned_on([team({**SHOP, "adopt": True, "whenRemoved": "Delete"})], "m1", "uid-1")
    assert wanted == {Owned("team", "shop", adopt=True, deletes=True)}
    want = namespaces.want(*wanted)
    metadata = {"name": "shop", "labels": {"skerry.dev/workspace": "team"}}
    assert want.document == {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    assert want.options == Options(adopt="Same", withdraw="Delete")
    assert [(each.kind, each.name) for each in want.because] == [("Workspace", "team")]
    assert refusal("tenancy", want.document) == ""


def test_unless_it_is_said_nothing_is_adopted_or_deleted() -> None:
    (wanted,) = namespaces.owned_on([team(SHOP)], "m1", "uid-1")
    assert namespaces.want(wanted).options == Options(adopt="Never", withdraw="Orphan")


@pytest.mark.parametrize(
    "given",
    [
        team(SHOP, uid="another"),
        team(SHOP, uid=""),
        team({**SHOP, "cluster": "m2"}),
        workspace("team", owned=[], namespaces=[SHOP]),
        workspace("team", owned=[{**SHOP, "uid": "uid-1", "state": "Ready"}], namespaces=[]),
    ],
    ids=["other-cluster-of-the-name", "not-bound", "elsewhere", "not-claimed", "not-named-any-more"],
)
def test_what_is_not_both_named_and_bound_is_not_wanted(given: Workspace) -> None:
    assert namespaces.owned_on([given], "m1", "uid-1") == frozenset()


def test_a_workspace_that_goes_wants_nothing() -> None:
    given = team(SHOP)
    going = type(given)(
        metadata=type(given.metadata)(name="team", deletion_timestamp="2026-01-01T00:00:00Z"),
        spec=given.spec,
        status=given.status,
    )
    assert namespaces.owned_on([going], "m1", "uid-1") == frozenset()
    assert namespaces.moved(given, going) == {"m1"}


def test_one_namespace_is_wanted_for_one_workspace() -> None:
    both = [team(SHOP, name="b"), team(SHOP, name="a")]
    assert namespaces.owned_on(both, "m1", "uid-1") == {Owned("a", "shop", adopt=False, deletes=False)}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, set()),
        (None, team(SHOP), {"m1"}),
        (team(SHOP), None, {"m1"}),
        (team(SHOP), team(SHOP), set()),
        (team(SHOP), team({**SHOP, "adopt": True}), {"m1"}),
        (team(SHOP), team(SHOP, {"cluster": "m2", "name": "shop"}), {"m2"}),
    ],
    ids=["nothing", "new", "gone", "same", "changed", "one-more"],
)
def test_clusters_on_which_something_else_is_wanted(
    before: Workspace | None, after: Workspace | None, expected: set[str]
) -> None:
    assert namespaces.moved(before, after) == expected


# What is said


def said(
    state: State | None = None,
    *,
    before: str = "",
    placement: Placement | None = PLACED,
    more: int = 0,
    **cluster_is: Any,
) -> tuple[str, str]:
    """State and message with this problem reported of the namespace."""
    problems = () if state is None else (Problem(key=KEY, revision=5, state=state, message="why"),)
    member = Member(
        "uid-1", cluster(**cluster_is), placement, Report(epoch="e", applied=9, problems=problems, more=more)
    )
    was = OwnedNamespace(cluster="m1", name="shop", uid="uid-1", state=before, message="was") if before else None
    seen = namespaces.observed(PLACE, member, KEY, was)
    assert (seen.cluster, seen.name, seen.uid) == ("m1", "shop", "uid-1")
    return str(seen.state), seen.message


HIDDEN = "whether it is there is not known: administrators see why with skerry desired"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (said(), ("Ready", "")),
        (said(before="Exists"), ("Ready", "")),
        (said(State.EXISTS), ("Exists", "why: adopt: true takes it in")),
        (said(State.EXISTS, before="Ready"), ("Exists", "why: adopt: true takes it in")),
        (said(State.FOREIGN, before="Ready"), ("Problem", "why")),
        (said(State.REFUSED, before="Ready"), ("Problem", "why")),
        (said(State.FAILED), ("Problem", "why")),
        (said(State.FAILED, before="Ready"), ("Ready", "why")),
        (said(State.FIGHTING, before="Ready"), ("Ready", "why")),
        (said(State.PENDING), ("Creating", "")),
        (said(State.WAITING), ("Waiting", "why")),
        (said(State.WAITING, before="Ready"), ("Ready", "why")),
        (said(more=3), ("Problem", HIDDEN)),
        (said(placement=PLACED._replace(revisions={}, problem="grant x is refused")), ("Problem", HIDDEN)),
        (said(placement=PLACED._replace(revisions={KEY: 10})), ("Creating", "")),
        (said(ready="False"), ("Away", "its agent is away")),
        (said(ready="False", before="Ready"), ("Ready", "its agent is away")),
        (said(paused=True), ("Waiting", "the cluster is paused: nothing is brought in place there")),
        (said(desired="NotSupported"),
         ("NotSupported", "its agent is too old for namespaces to be made there: update it")),
        (said(desired="NotSupported", before="Ready"),
         ("NotSupported", "its agent is too old for namespaces to be made there: update it")),
        (said(placement=None), ("Creating", "")),
        (said(placement=None, before="Ready"), ("Ready", "was")),
        (said(placement=None, before="Exists"), ("Exists", "was")),
        (said(placement=PLACED._replace(revisions={}), before="Ready"), ("Ready", "")),
    ],
)  # fmt: skip
def test_a_namespace_is_what_the_member_says_and_stays_ready_until_it_says_whose_it_is(
    given: tuple[str, str], expected: tuple[str, str]
) -> None:
    assert given == expected


def test_what_was_ready_on_another_cluster_of_the_name_counts_for_nothing() -> None:
    before = OwnedNamespace(cluster="m1", name="shop", uid="another", state="Ready")
    seen = namespaces.observed(PLACE, Member("uid-1", cluster(ready="False"), PLACED, None), KEY, before)
    assert seen.state == "Away"
    seen = namespaces.observed(PLACE, Member("uid-1", cluster(), PLACED, None), KEY, before)
    assert seen.state == "Creating"


def test_who_else_has_it_is_not_said_and_it_is_bound_to_nothing() -> None:
    taken, going = namespaces.unclaimed(PLACE, going=False), namespaces.unclaimed(PLACE, going=True)
    assert (taken.state, taken.message, taken.uid) == (Standing.PROBLEM, "owned by another workspace", "")
    assert (going.state, going.uid) == (Standing.WAITING, "")
    assert "it is free when the cluster has taken that away" in going.message


def test_without_its_cluster_it_keeps_what_it_was_bound_to() -> None:
    for replaced, state in ((False, "NoCluster"), (True, "ClusterReplaced")):
        seen = namespaces.unbound(PLACE, "uid-0", replaced=replaced)
        assert (seen.state, seen.uid) == (state, "uid-0")


def test_ready_counts_them_and_names_the_others_the_worst_first() -> None:
    def of(state: str, name: str = "shop", message: str = "") -> OwnedNamespace:
        return OwnedNamespace(cluster="m1", name=name, uid="uid-1", state=state, message=message)

    assert namespaces.verdict([]) == Verdict("True", "NoNamespaces", "it names no namespaces on members")
    assert namespaces.verdict([of("Ready")]) == Verdict("True", "Ready", "1 of 1 namespaces are ready")
    mixed = [of("Creating"), of("Ready"), of("Exists", "till", "it is there")]
    text = "1 of 3 namespaces are ready; Exists: till on m1 (it is there); Creating: shop on m1"
    assert namespaces.verdict(mixed) == Verdict("False", "Exists", text)
    many = namespaces.verdict([of("Away", f"n{number}") for number in range(7)])
    assert many.message == (
        "0 of 7 namespaces are ready; Away: n0 on m1, n1 on m1, n2 on m1, n3 on m1, n4 on m1 and 2 more"
    )


def test_the_status_has_what_is_not_empty() -> None:
    seen = OwnedNamespace(cluster="m1", name="shop", state="Problem", message="why")
    assert namespaces.listed([seen]) == [{**SHOP, "state": "Problem", "message": "why"}]


# Written again


def stored(*bound: Document) -> Document:
    return {"metadata": {"name": "team"}, "spec": {"namespaces": [SHOP]}, "status": {"namespaces": [*bound]}}


@pytest.mark.parametrize(
    ("uid", "now", "may", "stays"),
    [
        ("uid-0", "uid-1", True, False),
        ("uid-0", "uid-1", False, True),
        ("uid-1", "uid-1", True, True),
        ("uid-0", "", True, True),
        ("", "uid-1", True, True),
    ],
    ids=["replaced", "not-for-who-may-not", "same", "no-cluster", "not-bound"],
)
def test_written_again_it_is_bound_anew_to_the_cluster_of_the_name(
    uid: str, now: str, *, may: bool, stays: bool
) -> None:
    document = stored({**SHOP, "uid": uid})
    after = namespaces.rewritten(document, lambda name: now, lambda document, place: may and place == PLACE)
    assert after["status"]["namespaces"] == ([{**SHOP, "uid": uid}] if stays else [])
    assert after["spec"] == document["spec"]


def test_one_without_a_status_stays_as_it_is() -> None:
    document = {"metadata": {"name": "team"}, "spec": {}}
    assert namespaces.rewritten(document, str, lambda document, place: True) == document


def test_a_workspace_as_one_that_does_not_name_a_namespace() -> None:
    other = {"cluster": "m2", "name": "shop"}
    document = {"metadata": {}, "spec": {"displayName": "x", "namespaces": [SHOP, other]}}
    assert namespaces.without(document, PLACE)["spec"] == {"displayName": "x", "namespaces": [other]}
    assert namespaces.without({"spec": {}}, PLACE)["spec"] == {"namespaces": []}
