"""What is said beside a member's 403: what the caller has there, and nothing about anybody else."""

from __future__ import annotations

import pytest

from services.proxy.members.explain import explained
from skerry.access import MemberRequest
from skerry.api.messages import Caller
from tests.access.grants import access, grant

ALICE = Caller(user="alice", groups=("org:shop",))
PODS = MemberRequest("m1", "delete", "pods", namespace="shop")


def test_what_is_held_in_the_namespace_that_was_asked_for() -> None:
    compiled = access(
        grant("shop-view", namespaces=["shop"]), grant("other", subjects=[{"kind": "User", "name": "bob"}])
    )
    assert explained(ALICE, PODS, compiled, 0.0) == (
        "cluster m1 refused this, not the host: alice has view in namespace shop there (AccessGrant shop-view); more takes "
        "another AccessGrant, or RBAC on the cluster itself: skerry explain access --cluster m1 -n shop delete pods"
    )


def test_what_is_held_elsewhere_and_in_the_whole_cluster() -> None:
    compiled = access(grant("a", role="edit", namespaces=["shop", "till"]), grant("b", role=None, groups=["dba"]))
    text = explained(ALICE, PODS._replace(namespace="kube-system"), compiled, 0.0)
    assert "alice has skerry:dba in the whole cluster, edit in namespace shop, edit in namespace till there" in text
    operator = Caller(user="o", groups=("skerry:view",))
    assert "o has view in the whole cluster there; more" in explained(operator, PODS, access(), 0.0)


def test_of_very_many_some_are_named_and_who_lost_all_has_nothing() -> None:
    compiled = access(grant("a", namespaces=[f"n{number}" for number in range(300)]))
    assert "and 295 more there" in explained(ALICE, PODS._replace(namespace=""), compiled, 0.0)
    assert "alice has nothing any more there; more" in explained(ALICE, PODS, access(), 0.0)


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (MemberRequest("m1", "list", "nodes"), ": skerry explain access --cluster m1 list nodes"),
        (
            MemberRequest("m1", "update", "deployments", "scale", group="apps", namespace="shop"),
            ": skerry explain access --cluster m1 -n shop update deployments.apps/scale",
        ),
        (MemberRequest("m1", "get"), ""),
        (MemberRequest("m1", "get", "pods", namespace="a;rm -rf ~"), ""),
        (MemberRequest("m1", "get", "pods\x1b[2J"), ""),
        (MemberRequest("m1", "get", "pods", "--as=root"), ""),
        (MemberRequest("m1", "get", "--help"), ""),
    ],
)
def test_the_command_that_tells_more_is_said_if_it_can_be_typed_as_it_is(request_: MemberRequest, command: str) -> None:
    text = explained(ALICE, request_, access(), 0.0)
    assert text.endswith(f"RBAC on the cluster itself{command}")
