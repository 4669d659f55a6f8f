"""Which rule decides about a request, and what it may never record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.api.auditpolicy import AuditPolicySpec
from skerry.audit.meaning import meaning_of
from skerry.audit.policy import Asked, AuditDecision, Policy, is_private

LABELS = {"m1": {"env": "prod"}, "m2": {"env": "test"}}


def policy(*rules: dict[str, Any]) -> Policy:
    spec = msgspec.convert({"rules": list(rules)}, AuditPolicySpec)
    return Policy(spec, LABELS.get)


def decide(
    target: str,
    *rules: dict[str, Any],
    method: str = "GET",
    user: str = "alice",
    groups: tuple[str, ...] = (),
    cluster: str = "m1",
) -> AuditDecision:
    info = meaning_of(method.encode(), target.encode()).info
    return policy(*rules).decide(Asked(user, groups, cluster, info))


PODS = "/api/v1/namespaces/a/pods"


@pytest.mark.parametrize(
    ("target", "level"),
    [
        ("/healthz", "None"), ("/livez/ping", "None"), ("/version", "None"), ("/", "None"), ("/api", "None"), ("/apis/apps/v1", "None"),
        ("/openapi/v3?x=1", "None"), ("/metrics", "Metadata"), ("/audit?user=a", "Metadata"), ("/logs", "Metadata"),
        (PODS, "Metadata"), (f"{PODS}/p/log", "Metadata"), (f"{PODS}/p/exec?command=ls", "Request"),
        (f"{PODS}/p/attach", "Request"), (f"{PODS}/p/portforward", "Request"), ("/api/v1/nodes/n/proxy/x", "Metadata"),
        ("/a/%zz", "Metadata"),
    ],
)  # fmt: skip
def test_what_is_built_in(target: str, level: str) -> None:
    assert decide(target).level == level


def test_the_first_rule_that_fits_counts_and_the_built_in_ones_are_behind_all() -> None:
    quiet = {"level": "None", "users": ["robot"], "resources": [{"group": "", "resources": ["pods"]}]}
    assert decide(PODS, quiet, user="robot").level == "None"
    assert decide(PODS, quiet).level == "Metadata"
    assert decide(f"{PODS}/p/exec", quiet, user="robot").level == "Request", "pods are not pods/exec"
    assert decide("/healthz", {"level": "Request"}).level == "Metadata", "a path is private: it is nobody's object"


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"users": ["alice"]}, True), ({"users": ["bob"]}, False), ({"userGroups": ["x", "shop"]}, True), ({"userGroups": ["x"]}, False),
        ({"verbs": ["get", "list"]}, True), ({"verbs": ["watch"]}, False), ({"verbs": ["*"]}, True),
        ({"namespaces": ["a"]}, True), ({"namespaces": ["b", ""]}, False),
        ({"resources": [{"resources": ["pods"]}]}, True), ({"resources": [{"group": "apps", "resources": ["pods"]}]}, False),
        ({"resources": [{"group": ""}]}, True), ({"resources": [{"resources": ["*"]}]}, True),
        ({"resources": [{"resources": ["pods/*"]}]}, True), ({"resources": [{"resources": ["pods/log"]}]}, False),
        ({"resources": [{"resources": ["pods"], "resourceNames": ["p"]}]}, False),
        ({"nonResourceURLs": ["*"]}, False),
        ({"clusters": {"names": ["m1"]}}, True), ({"clusters": {"names": ["m2"]}}, False),
        ({"clusters": {"selector": {"matchLabels": {"env": "prod"}}}}, True),
        ({"clusters": {"selector": {"matchLabels": {"env": "test"}}}}, False),
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_fits_by_each_of_its_parts(rule: dict[str, Any], fits: bool) -> None:
    decision = decide(PODS, {"level": "None", **rule}, groups=("shop",))
    assert (decision.level == "None") is fits


@pytest.mark.parametrize(
    ("resources", "fits"),
    [
        (["pods"], False),
        (["pods/log"], True),
        (["*/log"], True),
        (["pods/*"], True),
        (["*"], True),
        (["*/exec"], False),
    ],
    ids=str,
)
def test_subresources_are_named(resources: list[str], fits: bool) -> None:
    rule = {"level": "None", "resources": [{"resources": resources}]}
    assert (decide(f"{PODS}/p/log", rule).level == "None") is fits


@pytest.mark.parametrize(("path", "fits"), [("/metrics", True), ("/met*", True), ("*", True), ("/metric", False)])
def test_paths_end_with_a_star_or_are_whole(path: str, fits: bool) -> None:
    assert (decide("/metrics", {"level": "None", "nonResourceURLs": [path]}, cluster="").level == "None") is fits


def test_a_rule_of_clusters_is_about_no_request_to_the_host_itself() -> None:
    everywhere = {"level": "None", "clusters": {"selector": {}}}
    clusters = "/apis/skerry.dev/v1alpha1/clusters"
    assert decide(clusters, everywhere, cluster="").level == "Metadata"
    assert decide(PODS, everywhere, cluster="m2").level == "None"
    assert decide(PODS, everywhere, cluster="nowhere").level == "Metadata"


def test_a_rule_says_more_than_a_level() -> None:
    rule = {"level": "Metadata", "required": True, "record": "tty", "omitStages": ["ResponseStarted"]}
    assert decide(PODS, rule) == AuditDecision("Metadata", True, "tty", ("ResponseStarted",))
    assert policy(rule).requires
    assert not policy().requires
    assert policy({"level": "None", "clusters": {"selector": {}}}).selects
    assert not policy({"level": "None", "clusters": {"names": ["m1"]}}).selects


PRIVATE = (
    "/api/v1/namespaces/a/secrets", "/api/v1/namespaces/a/configmaps/c", "/api/v1/namespaces/a/serviceaccounts/s/token",
    "/apis/authentication.k8s.io/v1/tokenreviews", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/skerry.dev/v1alpha1/credentials", "/apis/skerry.dev/v1alpha1/jointokens/t", "/apis/skerry.dev/v1alpha1/inspectioncredentials",
    "/apis/skerry.dev/v1alpha1/eventsinks", "/apis/skerry.dev/v1alpha1/clusters/m1/connection", "/api/v1/namespaces/a/services/s/proxy/login", "/logs",
)  # fmt: skip


@pytest.mark.parametrize("target", PRIVATE)
@pytest.mark.parametrize("level", ["Request", "RequestResponse"])
def test_bodies_that_may_hold_secrets_are_never_recorded(target: str, level: str) -> None:
    assert is_private(meaning_of(b"POST", target.encode()).info)
    assert decide(target, {"level": level}, method="POST").level == "Metadata"
    assert decide(f"{PODS}/p", {"level": level}, method="PUT").level == level
