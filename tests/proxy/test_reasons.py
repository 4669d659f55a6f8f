"""What explanations are made of, by rows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.proxy import reasons
from services.proxy.authn import CachedCredential, ProviderVersion
from skerry.access import MemberRequest, Reach
from skerry.access.holdings import Basis, Holding, group_scope, role_scope
from skerry.api.explanations import ExplanationSpec
from skerry.api.messages import Caller

ALICE = Caller(user="alice", groups=("org:shop",))


def spec(**attributes: str) -> ExplanationSpec:
    kind = "nonResourceAttributes" if "path" in attributes else "resourceAttributes"
    return msgspec.convert({"cluster": "m1", kind: attributes}, ExplanationSpec)


def holding(name: str, *scopes: tuple[str, str], kind: str = "AccessGrant") -> Holding:
    return Holding(Basis(kind, name), ("ualice",), tuple(role_scope(*each) for each in scopes))


@pytest.mark.parametrize(
    ("name", "provider", "expires", "source"),
    [
        ("3f9a", None, 0.0, ("Credential", "", "1970-01-01T00:00:00Z")),
        ("certificate:3f", None, 0.0, ("Certificate", "", "1970-01-01T00:00:00Z")),
        ("token:3f", ProviderVersion("corp", "u", 1), 60.0, ("IdentityProvider", "corp", "1970-01-01T00:01:00Z")),
        ("token:3f", None, 60.0, ("TokenReview", "", "1970-01-01T00:01:00Z")),
    ],
)
def test_who_is_told_by_what_was_shown(
    name: str, provider: ProviderVersion | None, expires: float, source: tuple[str, str, str]
) -> None:
    identity = reasons.identity_of(CachedCredential(name, ALICE, expires, provider=provider))
    assert (identity.user, identity.groups) == ("alice", ["org:shop"])
    assert (identity.source, identity.provider, identity.expires) == source


@pytest.mark.parametrize(
    ("asked", "verb", "namespace", "words"),
    [
        (spec(verb="delete", resource="pods", namespace="shop"), "delete", "shop", "delete on pods"),
        (spec(verb="get", resource="namespaces", name="shop"), "get", "shop", "get on namespaces"),
        (spec(verb="get", resource="namespaces", name="shop", namespace="till"), "get", "till", "get on namespaces"),
        (spec(verb="list", resource="namespaces"), "list", "", "list on namespaces"),
        (spec(verb="get", resource="jobs", group="batch", subresource="status"), "get", "", "get on jobs.batch/status"),
        (spec(verb="GET", path="/healthz"), "get", "", "GET on /healthz"),
        (ExplanationSpec(cluster="m1"), "", "", ""),
    ],
)
def test_a_request_is_read_as_the_proxy_would_see_it(
    asked: ExplanationSpec, verb: str, namespace: str, words: str
) -> None:
    request = reasons.request_of(asked)
    assert (request.member, request.verb, request.namespace) == ("m1", verb, namespace)
    assert reasons.action(asked) == words
    assert reasons.namespace_of(asked) == namespace
    assert reasons.subject(asked, ALICE) is ALICE
    assert reasons.subject(msgspec.structs.replace(asked, user="bob"), ALICE) == Caller(user="bob", groups=())


@pytest.mark.parametrize(
    ("reach", "namespace", "gives", "binding"),
    [
        (Reach(("skerry:view",), ()), "shop", ["Group skerry:view: view in the whole cluster"], "skerry:view"),
        (
            Reach((), (holding("a", ("edit", "shop"), ("view", "")), holding("b", ("view", "till")))),
            "shop",
            ["AccessGrant a: edit in namespace shop, view in the whole cluster"],
            "shop/skerry:edit",
        ),
        (
            Reach((), (holding("a", ("edit", "shop")), holding("b", ("view", "till")))),
            "",
            ["AccessGrant a: edit in namespace shop", "AccessGrant b: view in namespace till"],
            "",
        ),
        (
            Reach(
                (), (holding("w", ("edit", "shop"), kind="Workspace"), holding("w", ("view", "shop"), kind="Workspace"))
            ),
            "shop",
            ["Workspace w: edit in namespace shop, view in namespace shop"],
            "shop/skerry:edit",
        ),
        (
            Reach((), (Holding(Basis("AccessGrant", "g"), ("ualice",), (group_scope("dba"),)),)),
            "shop",
            ["AccessGrant g: skerry:dba in the whole cluster"],
            "",
        ),
    ],
    ids=["built-in", "both", "elsewhere", "twice", "own group"],
)
def test_a_basis_says_what_it_gives_here_or_else_elsewhere(
    reach: Reach, namespace: str, gives: list[str], binding: str
) -> None:
    assert [f"{each.kind} {each.name}: {each.gives}" for each in reasons.bases(reach, namespace)] == gives
    scopes = reasons.role_scopes(reach, namespace)
    assert (reasons.binding_of(scopes[0]) if scopes else "") == binding


@pytest.mark.parametrize(
    ("reason", "binding"),
    [
        ('RBAC: allowed by RoleBinding "skerry:edit/shop" of ClusterRole "edit" to Group "x"', "shop/skerry:edit"),
        ('RBAC: allowed by ClusterRoleBinding "skerry:view" of ClusterRole "view" to Group "x"', "skerry:view"),
        ("", ""),
        ("no", ""),
        ('x RBAC: allowed by RoleBinding "a/b"', ""),
    ],
)
def test_the_binding_is_read_from_the_members_reason(reason: str, binding: str) -> None:
    assert reasons.named_binding(reason) == binding


@pytest.mark.parametrize(
    ("verb", "subresource", "role"),
    [("list", "", "view"), ("get", "log", "view"), ("get", "exec", "edit"), ("delete", "", "edit"), ("", "", "edit")],
)
def test_the_likely_role_is_asked_for(verb: str, subresource: str, role: str) -> None:
    assert reasons.likely_role(MemberRequest("m1", verb, "pods", subresource)) == role
    assert reasons.asks_for(role, MemberRequest("m1", verb)) == f"skerry request create {role} --cluster m1 --reason …"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"cluster": "m1"}, "spec.resourceAttributes"),
        ({"cluster": "M 1", "resourceAttributes": {"verb": "get", "resource": "pods"}}, "spec.cluster"),
        ({"cluster": "m1", "resourceAttributes": {"resource": "pods"}}, "spec.resourceAttributes.verb"),
        ({"cluster": "m1", "resourceAttributes": {"verb": "get"}}, "spec.resourceAttributes.resource"),
        (
            {"cluster": "m1", "resourceAttributes": {"verb": "get", "resource": "p\u001b[1m"}},
            "spec.resourceAttributes.resource",
        ),
        (
            {"cluster": "m1", "resourceAttributes": {"verb": "g" * 999, "resource": "pods"}},
            "spec.resourceAttributes.verb",
        ),
        (
            {"cluster": "m1", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "a; rm -rf"}},
            "spec.resourceAttributes.namespace",
        ),
        ({"cluster": "m1", "nonResourceAttributes": {"verb": "get"}}, "spec.nonResourceAttributes.path"),
        (
            {
                "cluster": "m1",
                "resourceAttributes": {"verb": "get", "resource": "pods"},
                "nonResourceAttributes": {"verb": "get", "path": "/x"},
            },
            "spec.resourceAttributes",
        ),
        ({"cluster": "m1", "groups": ["a"], "resourceAttributes": {"verb": "get", "resource": "pods"}}, "spec.groups"),
        (
            {"cluster": "m1", "user": "system:admin", "resourceAttributes": {"verb": "get", "resource": "p"}},
            "spec.user",
        ),
        (
            {
                "cluster": "m1",
                "user": "a",
                "groups": ["Skerry:ns:shop:edit"],
                "resourceAttributes": {"verb": "get", "resource": "p"},
            },
            "spec.groups[0]",
        ),
        (
            {
                "cluster": "m1",
                "user": "a",
                "groups": ["g"] * 501,
                "resourceAttributes": {"verb": "get", "resource": "p"},
            },
            "spec.groups",
        ),
    ],
)
def test_a_question_that_makes_no_sense_names_the_field(asked: dict[str, Any], field: str) -> None:
    assert field in [each.field for each in reasons.problems(msgspec.convert(asked, ExplanationSpec))]


def test_a_question_that_makes_sense_has_no_problems() -> None:
    asked = msgspec.structs.replace(
        spec(verb="get", resource="pods", namespace="shop"), user="bob", groups=["skerry:view", "Domain Admins"]
    )
    assert reasons.problems(asked) == []
    assert reasons.problems(spec(verb="get", path="/healthz")) == []
