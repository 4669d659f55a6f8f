"""What a grant says of itself: true to each member's own report."""

from __future__ import annotations

from typing import Any

import pytest

from services.tenancy.enforced import MOST, Member, Placement, Stand, Standing, listed, stand, verdict
from skerry.api.conditions import Verdict
from skerry.api.desired import Problem, Report, State
from skerry.api.meta import Document

KEYS = ("m1.tenancy.a", "m1.tenancy.b")
PLACED = Placement("uid-1", "e", {KEYS[0]: 5, KEYS[1]: 7, "m1.tenancy.other": 9})
DONE = Report(epoch="e", applied=9)


def cluster(*, ready: str = "True", desired: str = "Applied", **spec: Any) -> Document:
    conditions = [
        {"type": "Ready", "status": ready, "reason": "R", "message": "" if ready == "True" else "its agent is away"},
        {"type": "DesiredApplied", "status": "True", "reason": desired, "message": ""},
    ]
    return {"metadata": {"name": "m1"}, "spec": spec, "status": {"conditions": conditions}}


def on(report: Report | None = DONE, placement: Placement | None = PLACED, **more: Any) -> Stand:
    return stand("uid-1", "m1", Member("uid-1", cluster(**more), placement, report), KEYS, narrow=True)


def problem(state: State, key: str = KEYS[0], message: str = "why") -> Report:
    return Report(epoch="e", applied=9, problems=(Problem(key=key, revision=5, state=state, message=message),))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (on(), Stand(Standing.ENFORCED)),
        (on(problem(State.FORBIDDEN, key="m1.tenancy.other")), Stand(Standing.ENFORCED)),
        (on(placement=None), Stand(Standing.APPLYING)),
        (on(placement=PLACED._replace(uid="older")), Stand(Standing.APPLYING)),
        (on(placement=PLACED._replace(revisions={KEYS[0]: 5})), Stand(Standing.APPLYING)),
        (
            on(placement=Placement("uid-1", "e", {}, "5000 entries, the limit")),
            Stand(Standing.PROBLEM, "5000 entries, the limit"),
        ),
        (on(None), Stand(Standing.APPLYING)),
        (on(Report(epoch="e", applied=6)), Stand(Standing.APPLYING)),
        (on(Report(epoch="another", applied=9)), Stand(Standing.APPLYING)),
        (on(problem(State.WAITING)), Stand(Standing.WAITING, "why")),
        (on(problem(State.PENDING)), Stand(Standing.APPLYING)),
        (on(problem(State.FORBIDDEN)), Stand(Standing.PROBLEM, "why")),
        (on(problem(State.CONFLICT, message="a\nb" + "x" * 999)), Stand(Standing.PROBLEM, "a b" + "x" * 253)),
        (on(problem(State.REFUSED, message="")), Stand(Standing.PROBLEM, "Refused")),
        (
            on(Report(epoch="e", applied=9, more=3)),
            Stand(Standing.PROBLEM, "it has 3 problems: skerry desired tells which"),
        ),
        (on(ready="False"), Stand(Standing.AWAY, "its agent is away")),
        (on(paused=True), Stand(Standing.WAITING, "the cluster is paused: nothing is brought in place there")),
    ],
)
def test_how_a_grant_stands_on_a_member(given: Stand, expected: Stand) -> None:
    assert given == expected


def test_a_grant_for_a_cluster_that_is_not_there_or_another_now() -> None:
    assert stand("", "m1", None, (), narrow=False).standing is Standing.NO_CLUSTER
    replaced = stand("older", "m1", Member("uid-1", cluster(), PLACED, DONE), KEYS, narrow=True)
    assert replaced.standing is Standing.CLUSTER_REPLACED
    assert stand(None, "m1", Member("uid-1", cluster(), PLACED, DONE), KEYS, narrow=True).standing is Standing.ENFORCED


@pytest.mark.parametrize("reason", ["NotSupported", "Left"])
def test_without_the_channel_only_what_joining_made_holds(reason: str) -> None:
    member = Member("uid-1", cluster(desired=reason))
    assert stand("uid-1", "m1", member, KEYS, narrow=False).standing is Standing.ENFORCED
    assert stand("uid-1", "m1", member, KEYS, narrow=True).standing is Standing.NOT_SUPPORTED


def test_a_host_without_kubernetes_has_rights_and_no_bindings_and_a_member_that_just_joined_has_none_yet() -> None:
    member = Member("uid-1", {"metadata": {"name": "host"}, "status": {}})
    assert stand("uid-1", "host", member, KEYS, narrow=False).standing is Standing.ENFORCED
    assert stand("uid-1", "m1", member, KEYS, narrow=False).standing is Standing.AWAY


def test_what_needs_nothing_on_a_member_is_enforced_by_proxies_alone() -> None:
    assert stand("uid-1", "m1", Member("uid-1", cluster()), (), narrow=False).standing is Standing.ENFORCED


def stands(**of: Standing) -> dict[str, Stand]:
    return {name: Stand(each, f"why {name}" if each is not Standing.ENFORCED else "") for name, each in of.items()}


E, A, W, P = Standing.ENFORCED, Standing.AWAY, Standing.WAITING, Standing.PROBLEM


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (stands(m1=E, m2=E), Verdict("True", "Enforced", "on m1, m2")),
        (stands(m1=E, m2=A), Verdict("True", "Enforced", "on m1; when it is back on m2 (why m2)")),
        (stands(m1=A), Verdict("False", "Away", "when it is back on m1 (why m1)")),
        (stands(m1=E, m2=Standing.APPLYING), Verdict("False", "Applying", "on m1; being put in place on m2 (why m2)")),
        (stands(m1=E, m2=P), Verdict("False", "Partly", "on m1; not in place on m2 (why m2)")),
        (stands(m1=W), Verdict("False", "Waiting", "waiting on m1 (why m1)")),
        (stands(m1=W, m2=P), Verdict("False", "Partly", "waiting on m1 (why m1); not in place on m2 (why m2)")),
        (
            stands(m1=A, m2=Standing.NO_CLUSTER),
            Verdict("False", "NoCluster", "when it is back on m1 (why m1); not on m2 (why m2)"),
        ),
        (stands(m1=Standing.CLUSTER_REPLACED), Verdict("False", "ClusterReplaced", "not on m1 (why m1)")),
        (stands(m1=Standing.NOT_SUPPORTED), Verdict("False", "NotSupported", "not on m1 (why m1)")),
        ({}, Verdict("False", "NoCluster", "no cluster is selected")),
    ],
)
def test_the_condition(given: dict[str, Stand], expected: Verdict) -> None:
    assert verdict(given, "") == expected


def test_a_grant_that_ended_is_enforced_nowhere() -> None:
    assert verdict(stands(m1=E), "2026-01-01T00:00:00Z") == Verdict(
        "False", "Expired", "it ended at 2026-01-01T00:00:00Z"
    )


def test_enforced_is_never_said_while_something_reachable_is_not() -> None:
    for each in Standing:
        said = verdict(stands(m1=E, m2=each), "")
        assert (said.status == "True") is (each in (E, A))


def test_of_very_many_clusters_some_are_named() -> None:
    many = {f"m{number:03}": Stand(E) for number in range(200)}
    assert verdict(many, "").message == "on m000, m001, m002, m003, m004 and 195 more"
    many["m150"] = Stand(P, "why")
    entries = listed(many, None)
    assert (len(entries), entries[0]) == (MOST, {"name": "m150", "state": "Problem", "message": "why"})


def test_all_that_are_named_are_listed_with_the_uid_that_they_are_bound_to() -> None:
    entries = listed(stands(m2=E, m1=Standing.NO_CLUSTER), {"m2": "uid-2", "m1": ""})
    assert entries == [
        {"name": "m2", "uid": "uid-2", "state": "Enforced"},
        {"name": "m1", "state": "NoCluster", "message": "why m1"},
    ]
