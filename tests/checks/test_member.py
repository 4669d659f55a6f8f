"""The checks of a member by its Cluster: what each condition means, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.checks.member import MEMBER, OF_CLUSTER, identity, mode_of, owner


def cluster(mode: str = "agent", *conditions: tuple[str, str, str, str], **parts: Any) -> dict[str, Any]:
    listed = [{"type": t, "status": s, "reason": r, "message": m} for t, s, r, m in conditions]
    status = {"conditions": listed, "uid": "u1", **parts.get("status", {})}
    return {
        "metadata": {"name": "m1"},
        "spec": {"connection": {"mode": mode}, **parts.get("spec", {})},
        "status": status,
    }


GOOD = ("Ready", "True", "AgentConnected", "its agent is connected")


@pytest.mark.parametrize(
    ("check", "conditions", "result", "found", "remedy"),
    [
        ("presence", [GOOD], "pass", "its agent is connected", ""),
        ("presence", [("Ready", "True", "", "")], "pass", "it is ready", ""),
        ("presence", [], "fail", "the host does not know it", "log of its agent"),
        ("presence", [("Ready", "False", "APIServerUnreachable", "no: mend it")], "fail", "no", "mend it"),
        (
            "presence",
            [("Ready", "Unknown", "HeartbeatLost", "lost"), ("Reachable", "False", "HeartbeatLost", "silent since 9")],
            "fail", "silent since 9", "log of its agent",
        ),
        ("presence", [GOOD, ("Quarantined", "True", "Flood", "it floods")], "warn", "it floods", "log of its agent"),
        ("presence", [GOOD, ("Flapping", "True", "Flapping", "5 times")], "warn", "5 times", "log of its agent"),
        ("credentials", [], "skip", "does not know it yet", ""),
        ("credentials", [("CredentialsValid", "True", "Valid", "good")], "pass", "good", ""),
        ("credentials", [("CredentialsValid", "False", "Expired", "over: renew")], "fail", "over", "renew"),
        ("credentials", [("CertificateValid", "False", "Expired", "over")], "fail", "over", "another credential"),
        ("credentials", [("CredentialsValid", "True", "ExpiresSoon", "soon")], "warn", "soon", "renew it"),
        ("clock", [("ClockSynced", "False", "Ahead", "ahead: follow")], "warn", "ahead", "follow"),
        ("clock", [("ClockSynced", "True", "InSync", "in time")], "pass", "in time", ""),
        ("version", [("VersionSupported", "False", "AgentTooOld", "")], "warn", "AgentTooOld", "update it"),
        ("permissions", [("RightsComplete", "False", "RightsMissing", "no: kubectl x")], "fail", "no", "kubectl x"),
        ("permissions", [("RightsComplete", "True", "Repaired", "again there")], "warn", "again there", "look who"),
        ("permissions", [("RightsComplete", "True", "Complete", "all")], "pass", "all", ""),
        ("desired", [("DesiredApplied", "False", "Problems", "2 are not")], "warn", "2 are not", "skerry desired m1"),
        ("desired", [("DesiredApplied", "True", "Applied", "all")], "pass", "all", ""),
    ],
)  # fmt: skip
def test_a_condition_is_an_outcome_with_the_next_step(
    check: str, conditions: list[tuple[str, str, str, str]], result: str, found: str, remedy: str
) -> None:
    outcome = OF_CLUSTER[f"member.{check}"](cluster("agent", *conditions))
    assert (outcome.result, found in outcome.found, remedy in outcome.next) == (result, True, True)
    assert bool(outcome.next) is (result in {"warn", "fail"})


def test_what_is_paused_is_not_behind() -> None:
    paused = cluster("agent", ("DesiredApplied", "False", "x", "y"), spec={"paused": True})
    assert OF_CLUSTER["member.desired"](paused).result == "skip"


@pytest.mark.parametrize(
    ("mode", "agent", "result"),
    [
        ("direct", {}, "skip"),
        ("agent", {}, "fail"),
        ("agent", {"replicas": 0}, "fail"),
        ("agent", {"replicas": 2}, "pass"),
    ],
)
def test_agents_are_counted_where_there_are_any(mode: str, agent: dict[str, Any], result: str) -> None:
    assert OF_CLUSTER["member.agents"](cluster(mode, status={"agent": agent})).result == result


def test_a_cluster_that_says_nothing_has_an_outcome_for_each() -> None:
    bare: dict[str, Any] = {"metadata": {"name": "m1"}}
    assert mode_of(bare) == ""
    assert all(judge(bare).found for judge in OF_CLUSTER.values())
    assert set(OF_CLUSTER) < set(MEMBER)


def test_another_cluster_is_told_with_both_uids() -> None:
    assert identity(cluster(), {"uid": "u1"}).result == "pass"
    outcome = identity(cluster(), {"uid": "u2"})
    assert (outcome.result, "u2" in outcome.found, "u1" in outcome.found) == ("fail", True, True)


@pytest.mark.parametrize(
    ("annotations", "result"),
    [
        ({"skerry.dev/host": "h"}, "pass"),
        ({}, "warn"),
        (["odd"], "warn"),
        ({"skerry.dev/host": "other"}, "fail"),
        ({"skerry.dev/host": "other", "skerry.dev/host-name": "theirs"}, "fail"),
    ],
)
def test_the_mark_says_whose_it_is(annotations: object, result: str) -> None:
    outcome = owner("h", {"annotations": annotations})
    assert outcome.result == result
    assert ("theirs" in outcome.found) is ("theirs" in str(annotations))
