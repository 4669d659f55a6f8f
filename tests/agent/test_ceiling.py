"""The ceiling as a table: what leaves the agent and what does not."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.ceiling import entry_refusal, is_self_review, refusal
from services.agent.reviews import intersect
from skerry import protobuf
from skerry.api.v1alpha1 import Ceiling
from skerry.desired.owners import ObjectReference
from skerry.errors import BadRequest
from skerry.httpwire import requestinfo
from skerry.httpwire.reviews import question
from skerry.httpwire.target import parse_target
from skerry.protobuf import MAGIC

READ_ONLY = Ceiling(read_only=True)
NO_EXEC = Ceiling(no_exec=True)
SPACES = Ceiling(namespaces=["a", "b"])
NONE = Ceiling()
POD = "/api/v1/namespaces/a/pods/p"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

ALLOWED = [
    (NONE, "DELETE", "/api/v1/nodes/n"),
    (NONE, "GET", f"{POD}/exec?command=id"),
    (READ_ONLY, "GET", "/api/v1/pods"),
    (READ_ONLY, "GET", "/api/v1/pods?watch=true"),
    (READ_ONLY, "GET", "/api/v1/watch/namespaces/a/pods"),
    (READ_ONLY, "GET", f"{POD}/log?follow=true"),
    (READ_ONLY, "HEAD", "/version"),
    (READ_ONLY, "OPTIONS", "/version"),
    (READ_ONLY, "GET", "/openapi/v3"),
    (READ_ONLY, "POST", REVIEW),
    (READ_ONLY, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"),
    (NO_EXEC, "GET", f"{POD}/log"),
    (NO_EXEC, "DELETE", POD),
    (NO_EXEC, "GET", "/apis/apps/v1/namespaces/a/deployments/proxy"),
    (SPACES, "GET", POD),
    (SPACES, "DELETE", "/api/v1/namespaces/b/secrets/s"),
    (SPACES, "GET", "/api/v1/namespaces/a"),
    (SPACES, "GET", "/apis/apps/v1"),
    (SPACES, "GET", "/openapi/v3/apis/apps/v1"),
    (SPACES, "GET", "/version"),
    (SPACES, "POST", REVIEW),
]

REFUSED = [
    (NONE, "GET", "/api/v1/nodes/n/proxy/run", "nodes/proxy"),
    (NONE, "GET", "/api/v1/nodes/n/proxy", "nodes/proxy"),
    (NONE, "GET", "/api/v1/nodes/n/%70roxy/run", "nodes/proxy"),
    (NONE, "GET", "/api/v1/proxy/nodes/n/run", "nodes/proxy"),
    (NONE, "CONNECT", "/api/v1/nodes/n/proxy", "nodes/proxy"),
    (READ_ONLY, "POST", "/api/v1/namespaces/a/pods", "create pods is refused by this member's ceiling"),
    (READ_ONLY, "POST", "/api/v1/namespaces/a/pods", "--read-only"),
    (READ_ONLY, "PATCH", f"{POD}?dryRun=All", "--read-only"),
    (READ_ONLY, "DELETE", "/api/v1/namespaces/a/pods", "--read-only"),
    (READ_ONLY, "GET", f"{POD}/exec?command=id", "--read-only"),
    (READ_ONLY, "GET", f"{POD}/exec", "get pods/exec is refused by this member's ceiling"),
    (READ_ONLY, "GET", f"{POD}/attach", "--read-only"),
    (READ_ONLY, "GET", f"{POD}/portforward", "--read-only"),
    (READ_ONLY, "GET", f"{POD}/proxy/", "--read-only"),
    (READ_ONLY, "GET", "/api/v1/namespaces/a/services/s/proxy/", "--read-only"),
    (READ_ONLY, "GET", "/api/v1/proxy/namespaces/a/services/s/", "--read-only"),
    (READ_ONLY, "POST", "/api/v1/namespaces/a/serviceaccounts/s/token", "--read-only"),
    (READ_ONLY, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "--read-only"),
    (READ_ONLY, "POST", "/version", "--read-only"),
    (READ_ONLY, "POST", "/version", "post /version is refused by this member's ceiling"),
    (READ_ONLY, "POST", "/apis/evil.io/v1/selfsubjectaccessreviews", "--read-only"),
    (NO_EXEC, "POST", f"{POD}/exec", "--no-exec"),
    (NO_EXEC, "GET", f"{POD}/exec", "--no-exec"),
    (NO_EXEC, "GET", f"{POD}/%65xec", "--no-exec"),
    (NO_EXEC, "GET", f"{POD}/attach", "--no-exec"),
    (NO_EXEC, "GET", f"{POD}/portforward", "--no-exec"),
    (NO_EXEC, "GET", f"{POD}:80/proxy/x", "--no-exec"),
    (NO_EXEC, "GET", "/api/v1/proxy/namespaces/a/services/s/", "--no-exec"),
    (NO_EXEC, "GET", "/api/v1/namespaces/a/services/https:s:1/proxy", "--no-exec"),
    (SPACES, "GET", "/api/v1/namespaces/c/pods", "namespace 'c'"),
    (SPACES, "GET", "/api/v1/watch/namespaces/c/pods", "namespace 'c'"),
    (SPACES, "GET", "/api/v1/namespaces/c/pods", "only --namespaces a, b"),
    (SPACES, "GET", "/api/v1/pods", "without a namespace"),
    (SPACES, "GET", "/api/v1/namespaces", "without a namespace"),
    (SPACES, "GET", "/api/v1/namespaces/c", "namespace 'c'"),
    (SPACES, "GET", "/api/v1/nodes", "without a namespace"),
    (SPACES, "POST", f"{RBAC}/clusterrolebindings", "without a namespace"),
    (SPACES, "GET", "/metrics", "/metrics is refused by this member's ceiling: only --namespaces a, b"),
    (SPACES, "GET", "/logs/", "/logs/"),
    (SPACES, "GET", "/apisx", "/apisx"),
]


def resolve(method: str, target: str) -> requestinfo.RequestInfo:
    parsed = parse_target(target.encode())
    return requestinfo.resolve(method.encode(), parsed.path, parsed.query)


@pytest.mark.parametrize(("ceiling", "method", "target"), ALLOWED)
def test_leaves_the_agent(ceiling: Ceiling, method: str, target: str) -> None:
    assert refusal(ceiling, resolve(method, target)) == ""


@pytest.mark.parametrize("ceiling", [READ_ONLY, NO_EXEC])
def test_an_upgrade_that_is_no_watch_or_log_reaches_into_something(ceiling: Ceiling) -> None:
    console = "/apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/vm/console"
    assert refusal(ceiling, resolve("GET", console), upgrade=True)
    assert not refusal(ceiling, resolve("GET", f"{POD}/log?follow=true"), upgrade=True)
    assert not refusal(ceiling, resolve("GET", "/api/v1/pods?watch=true"), upgrade=True)


@pytest.mark.parametrize(("ceiling", "method", "target", "says"), REFUSED)
def test_is_refused_naming_the_ceiling(ceiling: Ceiling, method: str, target: str, says: str) -> None:
    assert says in refusal(ceiling, resolve(method, target))


ROLE = ObjectReference(api_version="rbac.authorization.k8s.io/v1", kind="ClusterRole", namespace="", name="r")
BINDING = ObjectReference(api_version="rbac.authorization.k8s.io/v1", kind="RoleBinding", namespace="c", name="b")
SPACE = ObjectReference(api_version="v1", kind="Namespace", namespace="", name="a")
MAP = ObjectReference(api_version="v1", kind="ConfigMap", namespace="a", name="m")
ELSEWHERE = ObjectReference(api_version="v1", kind="Namespace", namespace="", name="c")


@pytest.mark.parametrize(
    ("ceiling", "owner", "which", "says"),
    [
        (Ceiling(desired="All"), "registry", MAP, ""),
        (Ceiling(desired="None"), "tenancy", ROLE, "the host may keep nothing here (--ceiling-desired)"),
        (Ceiling(desired="Access"), "tenancy", ROLE, ""),
        (
            Ceiling(desired="Access"),
            "tenancy",
            MAP,
            "ConfigMap is refused by this member's ceiling: the host may keep RBAC",
        ),
        (Ceiling(desired="Access"), "registry", ROLE, "the host may keep RBAC of tenants only here"),
        (Ceiling(desired="All", namespaces=["a", "b"]), "registry", MAP, ""),
        (Ceiling(desired="All", namespaces=["a", "b"]), "registry", SPACE, ""),
        (Ceiling(desired="All", namespaces=["a", "b"]), "tenancy", ROLE, ""),
        (Ceiling(desired="All", namespaces=["a", "b"]), "registry", ROLE, "only --namespaces a, b"),
        (Ceiling(desired="All", namespaces=["a", "b"]), "tenancy", BINDING, "only --namespaces a, b"),
        (Ceiling(desired="All", namespaces=["a", "b"]), "registry", ELSEWHERE, "only --namespaces a, b"),
    ],
)
def test_what_the_host_may_keep_in_place_is_as_the_ceiling_says(
    ceiling: Ceiling, owner: str, which: ObjectReference, says: str
) -> None:
    found = entry_refusal(ceiling, owner, which)
    assert says in found
    assert bool(found) is bool(says)


def test_a_self_review_is_told_from_others_of_that_name() -> None:
    assert is_self_review(resolve("POST", REVIEW))
    assert not is_self_review(resolve("GET", REVIEW))
    assert not is_self_review(resolve("POST", "/apis/evil.io/v1/selfsubjectaccessreviews"))


@pytest.mark.parametrize(
    ("ceiling", "attributes", "allowed"),
    [
        (READ_ONLY, {"verb": "get", "resource": "pods", "namespace": "a"}, True),
        (READ_ONLY, {"verb": "create", "resource": "pods", "namespace": "a"}, False),
        (READ_ONLY, {"verb": "*", "resource": "*"}, False),
        (NO_EXEC, {"verb": "create", "resource": "pods", "subresource": "exec"}, False),
        (SPACES, {"verb": "get", "resource": "pods", "namespace": "a"}, True),
        (SPACES, {"verb": "get", "resource": "pods"}, False),
        (NONE, {"verb": "get", "resource": "nodes", "subresource": "proxy"}, False),
    ],
)
def test_an_access_review_agrees_with_the_request(ceiling: Ceiling, attributes: dict[str, str], allowed: bool) -> None:
    asked = question({"spec": {"resourceAttributes": attributes}})
    assert asked is not None
    assert (refusal(ceiling, asked) == "") is allowed


def test_a_review_of_a_path_is_judged_too() -> None:
    asked = question({"spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}})
    assert asked is not None
    assert "/metrics" in refusal(SPACES, asked)


def _field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2, len(value))) + value


def test_an_access_review_in_protobuf_is_read() -> None:
    wanted = _field(1, b"a") + _field(2, b"delete") + b"\x50\x01" + _field(5, b"pods")
    body = MAGIC + _field(1, b"") + _field(2, _field(1, b"") + _field(2, _field(1, wanted)))
    attributes = protobuf.access_attributes(protobuf.review_spec(body))
    assert attributes == {"resourceAttributes": {"namespace": "a", "verb": "delete", "resource": "pods"}}
    asked = question({"spec": attributes})
    assert asked is not None
    assert "--read-only" in refusal(READ_ONLY, asked)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_review_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        protobuf.access_attributes(protobuf.review_spec(MAGIC + data))


@pytest.mark.parametrize("document", [{}, {"spec": None}, {"spec": []}, {"spec": {"resourceAttributes": 1}}])
def test_a_review_that_asks_nothing_is_left_to_the_api_server(document: dict[str, object]) -> None:
    assert question(document) is None


def test_a_rules_review_is_cut_down_to_the_ceiling() -> None:
    rules = [
        {"verbs": ["*"], "apiGroups": [""], "resources": ["pods", "pods/exec"]},
        {"verbs": ["delete"], "apiGroups": [""], "resources": ["secrets"]},
        {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews"]},
    ]
    document = {"spec": {"namespace": "a"}, "status": {"resourceRules": rules, "incomplete": False}}
    status = intersect(document, READ_ONLY)["status"]
    assert [(rule["verbs"], rule["resources"]) for rule in status["resourceRules"]] == [
        (["get", "list", "watch"], ["pods"]),
        (["create"], ["selfsubjectaccessreviews"]),
    ]
    assert status["incomplete"] is True


def test_a_rules_review_of_another_namespace_is_empty() -> None:
    document = {"spec": {"namespace": "c"}, "status": {"resourceRules": [{"verbs": ["get"], "resources": ["pods"]}]}}
    assert intersect(document, SPACES)["status"]["resourceRules"] == []
