"""Rules of AccessGrants and Workspaces, pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.tenancy import grants, workspaces
from skerry.api.meta import Document
from skerry.errors import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ALICE = {"kind": "User", "name": "alice"}


def grant(**spec: Any) -> Document:
    base = {"subjects": [ALICE], "clusters": {"names": ["m1"]}, "role": "view"}
    merged = {key: value for key, value in {**base, **spec}.items() if value is not None}
    return {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessGrant", "metadata": {"name": "g"}, "spec": merged}


def workspace(name: str = "team", **spec: Any) -> Document:
    return {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}


def uids(name: str) -> str:
    """Of the clusters that exist."""
    return {"m1": "uid-1", "m2": "uid-2"}.get(name, "")


def test_a_new_grant_is_bound_to_the_clusters_of_now_and_says_that_it_is_being_put_in_place() -> None:
    status = grants.admit(grant(clusters={"names": ["m1", "m9"]}), NOW, uids)["status"]
    assert status["clusters"] == [{"name": "m1", "uid": "uid-1"}, {"name": "m9"}]
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Enforced", "False", "Applying")
    assert grants.admit(grant(clusters={"selector": {}}), NOW, uids)["status"]["clusters"] == []


def test_a_grant_that_is_written_again_is_bound_anew_unchanged_or_not() -> None:
    enforced = {"type": "Enforced", "status": "True", "reason": "Enforced", "message": "on m1"}
    status = {"clusters": [{"name": "m1", "uid": "uid-1", "state": "Enforced"}], "conditions": [enforced]}
    stored = {**grant(), "status": status}
    assert grants.change(stored, stored, NOW, uids) == stored
    for document, uid in ((stored, "another"), ({**stored, "spec": {**stored["spec"], "role": "edit"}}, "uid-1")):
        changed = grants.change(stored, document, NOW, lambda name, uid=uid: uid)  # type: ignore[misc]
        assert changed["status"]["clusters"] == [{"name": "m1", "uid": uid}]
        assert [each["status"] for each in changed["status"]["conditions"]] == ["False"]
    gone = grants.change(stored, stored, NOW, lambda name: "")
    assert gone["status"]["clusters"] == [{"name": "m1"}]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"role": None, "groups": ["platform"]},
        {"subjects": [{"kind": "Group", "name": "ops"}, {"kind": "ServiceAccount", "name": "shop:deployer"}]},
        {"clusters": {"selector": {}}},
        {"clusters": {"selector": {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}}},
        {"namespaces": ["shop"], "expires": "2026-01-02T00:00:00Z"},
        {"subjects": [{"kind": "Group", "name": "org:team"}, {"kind": "Group", "name": "Domain Admins"}]},
        {"subjects": [{"kind": "User", "name": "auth0|x"}, {"kind": "User", "name": "jörg"}]},
    ],
)
def test_grants_that_are_taken(spec: Document) -> None:
    assert grants.admit(grant(**spec), NOW, uids)["spec"] == grant(**spec)["spec"]


@pytest.mark.parametrize(
    ("spec", "field", "said"),
    [
        ({"subjects": []}, "spec.subjects", "Required value"),
        ({"subjects": [{"kind": "User", "name": "system:admin"}]}, "spec.subjects[0].name", '"system:admin"'),
        ({"subjects": [{"kind": "ServiceAccount", "name": "x"}]}, "spec.subjects[0].name", "namespace:name"),
        ({"clusters": {}}, "spec.clusters", "exactly one of names and selector"),
        ({"clusters": {"names": ["a"], "selector": {}}}, "spec.clusters.selector", "exactly one of names and selector"),
        ({"clusters": {"names": ["a.b"]}}, "spec.clusters.names[0]", "DNS label"),
        ({"clusters": {"selector": {"matchLabels": {"-": "x"}}}}, "spec.clusters.selector.matchLabels", "name part"),
        ({"clusters": {"selector": {"matchExpressions": [{"key": "e", "operator": "In"}]}}},
         "spec.clusters.selector.matchExpressions[0].values", "Required value"),
        ({"groups": ["x"]}, "spec.groups", "use one of role and groups"),
        ({"role": None}, "spec.role", "view, edit, admin, cluster-admin"),
        ({"role": None, "groups": ["skerry:admin"]}, "spec.groups[0]", '"skerry:admin"'),
        ({"role": None, "groups": ["cluster-admin"]}, "spec.groups[0]", "use role"),
        ({"role": None, "groups": ["ns:shop:edit"]}, "spec.groups[0]", "no colon"),
        ({"role": None, "groups": ["g"] * 33}, "spec.groups", "Too many: 33: must have at most 32 items"),
        ({"subjects": [ALICE] * 257}, "spec.subjects", "Too many: 257: must have at most 256 items"),
        ({"namespaces": ["n"] * 257}, "spec.namespaces", "Too many: 257: must have at most 256 items"),
        ({"subjects": [{"kind": "User", "name": "serviceaccount:a:b"}]}, "spec.subjects[0].name", "ServiceAccount"),
        ({"subjects": [{"kind": "Group", "name": "SKERRY:x"}]}, "spec.subjects[0].name", "nobody's"),
        ({"namespaces": ["A"]}, "spec.namespaces[0]", "DNS label"),
        ({"namespaces": ["a"], "clusters": {"names": ["m1", "host"]}}, "spec.namespaces", "rights there are for all of it"),
        ({"role": "edit", "clusters": {"names": ["m1", "host"]}}, "spec.role", "but view or cluster-admin"),
        ({"role": "admin", "clusters": {"names": ["host"]}}, "spec.role", "has the keys of all members"),
        ({"expires": "tomorrow"}, "spec.expires", "RFC 3339"),
        ({"expires": "2026-01-02T00:00:00"}, "spec.expires", "with a zone"),
        ({"expires": "2025-01-01T00:00:00Z"}, "spec.expires", "in the future"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named(spec: Document, field: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        grants.admit(grant(**spec), NOW, uids)
    (cause,) = caught.value.details.causes
    assert cause.field == field
    assert said in cause.message


def test_a_grant_that_has_expired_can_still_be_changed() -> None:
    old = grant(expires="2025-01-01T00:00:00Z")
    assert grants.change(old, {**old, "spec": {**old["spec"], "role": "edit"}}, NOW, uids)["spec"]["role"] == "edit"
    with pytest.raises(Invalid, match="in the future"):
        grants.change(old, grant(expires="2025-01-02T00:00:00Z"), NOW, uids)


def test_a_workspace_that_is_taken() -> None:
    document = workspace(
        displayName="Team",
        members=[{**ALICE, "role": "edit"}],
        clusters={"selector": {}},
        namespaces=[{"cluster": "m1", "name": "shop"}],
    )
    assert workspaces.admit(document, {}, bool) == document
    assert workspaces.admit(document, document, lambda cluster: False) == document
    with pytest.raises(Invalid, match="is not among"):
        workspaces.admit(document, workspace(clusters={"names": ["m1"]}), lambda cluster: False)


RESERVED = "is reserved: default and names with kube- or skerry- in front"


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        (workspace("a.b"), "metadata.name", "use a DNS label: a-z, 0-9 and -, at most 63 characters, because it is also"),
        (workspace("default"), "metadata.name", RESERVED),
        (workspace("kube-system"), "metadata.name", RESERVED),
        (workspace(displayName="x" * 300), "spec.displayName", "may not be more than 256 characters"),
        (workspace(displayName="a\nb"), "spec.displayName", "use printable characters"),
        (workspace(members=[{"kind": "User", "name": "a\nb", "role": "view"}]), "spec.members[0].name", "nobody's"),
        (workspace(members=[{"kind": "ServiceAccount", "name": "ci"}]), "spec.members[0].name", "use namespace:name"),
        (workspace(members=[ALICE] * 1001), "spec.members", "Too many: 1001: must have at most 1000 items"),
        (workspace(clusters={}), "spec.clusters", "use exactly one of names and selector; selector: {} is every cluster"),
        (workspace(namespaces=[{"cluster": "m1", "name": "A"}]), "spec.namespaces[0].name", "use a DNS label"),
        (workspace(namespaces=[{"cluster": "m1", "name": "default"}]), "spec.namespaces[0].name", RESERVED),
        (workspace(namespaces=[{"cluster": "m1", "name": "kube-public"}]), "spec.namespaces[0].name", RESERVED),
        (workspace(namespaces=[{"cluster": "m1", "name": "skerry-system"}]), "spec.namespaces[0].name", RESERVED),
        (workspace(namespaces=[{"cluster": "host", "name": "shop"}]), "spec.namespaces[0].cluster",
         "a workspace has no namespaces on host: name a member"),
        (workspace(namespaces=[{"cluster": "m2", "name": "shop"}]), "spec.namespaces[0].cluster",
         "is not among spec.clusters: name it there, or give it labels that spec.clusters.selector selects"),
    ],
)  # fmt: skip
def test_a_workspace_that_breaks_a_rule(document: Document, field: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        workspaces.admit(document, {}, lambda cluster: cluster == "m1")
    (cause,) = caught.value.details.causes
    assert cause.field == field
    assert said in cause.message
