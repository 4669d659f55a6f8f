"""What a listing says of an entry, from the bucket's revision and the member's last report."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.listed import Became, Outcomes, owner, shows, states
from skerry.api.desired import Because, Problem, Report, State
from skerry.errors import BadRequest

KEY, OTHER = "m1.tenancy._.namespace._.shop", "m1.tenancy._.namespace._.store"
QUIET: dict[str, Any] = {"metadata": {"name": "m1"}}


def report(*problems: Problem, applied: int = 9, more: int = 0, **counts: int) -> Report:
    return Report(epoch="e", applied=applied, counts={"tenancy": counts}, problems=problems, more=more)


def problem(state: State, revision: int = 5, key: str = KEY) -> Problem:
    return Problem(key=key, revision=revision, state=state, message="why", since=7.0)


def became(said: Report | None, revision: int = 5, cluster: Any = QUIET, *, withdrawn: bool = False) -> Became | None:
    return Outcomes("e", said, cluster).of(KEY, "tenancy", revision, withdrawn=withdrawn)


def test_what_was_tried_and_is_no_problem_is_applied() -> None:
    assert became(report()) == Became("Applied")


def test_what_the_member_names_is_as_it_says_since_then() -> None:
    assert became(report(problem(State.CONFLICT))) == Became("Conflict", "why", 7.0)


@pytest.mark.parametrize(
    "said",
    [
        None,
        report(applied=4),
        Report(epoch="of an earlier bucket", applied=9),
        report(problem(State.PENDING)),
        report(problem(State.CONFLICT, revision=4)),
    ],
)
def test_what_was_not_tried_at_its_revision_is_pending(said: Report | None) -> None:
    assert became(said) == Became("Pending")


@pytest.mark.parametrize("reason", ["Paused", "Behind", "NotSupported"])
def test_why_nothing_is_tried_is_said(reason: str) -> None:
    condition = {"type": "DesiredApplied", "status": "False", "reason": reason, "message": "because"}
    assert became(None, cluster={**QUIET, "status": {"conditions": [condition]}}) == Became("Pending", "because")


def test_what_is_withdrawn_is_listed_until_it_is_gone() -> None:
    assert became(report(applied=4), withdrawn=True) == Became("Pending", "it is to be taken away")
    assert became(report(problem(State.FORBIDDEN)), withdrawn=True) == Became("Forbidden", "why", 7.0)
    assert became(report(), withdrawn=True) is None


def test_what_was_withdrawn_before_a_member_ever_said_anything_is_none_of_its() -> None:
    assert became(None, withdrawn=True) is None


def test_with_more_problems_than_a_report_names_nothing_of_that_owner_is_known_to_be_in_place() -> None:
    said = report(problem(State.CONFLICT, key=OTHER), more=2, Applied=3, Conflict=3)
    assert (became(said) or Became("")).state == "Unknown"


def test_an_owner_whose_problems_are_all_named_is_known_all_the_same() -> None:
    assert became(report(problem(State.CONFLICT, key=OTHER), more=2, Applied=3, Conflict=1)) == Became("Applied")
    assert became(report(more=2, Applied=3)) == Became("Applied")


def test_states_are_chosen_by_name() -> None:
    assert list(states("Applied, Conflict,")) == ["Applied", "Conflict"]
    assert {"Applied", "Pending", "Unknown"} <= set(states(""))
    with pytest.raises(BadRequest, match="there is no state 'Broken': there are Applied, Pending"):
        states("Applied,Broken")


def test_an_owner_is_one_of_the_table() -> None:
    assert (owner(""), owner("tenancy")) == ("", "tenancy")
    with pytest.raises(BadRequest, match="'vendor' is no owner of desired state: registry, tenancy are"):
        owner("vendor")


@pytest.mark.parametrize(
    ("kind", "group", "seen"),
    [
        ("AccessGrant", "skerry:cluster-admin", True),
        ("AccessGrant", "skerry:admin", False),
        ("Cluster", "skerry:view", True),
        ("Cluster", "skerry:other", False),
        ("Nonsense", "skerry:view", False),
    ],
)
def test_an_entry_is_seen_by_who_sees_what_it_is_for(kind: str, group: str, *, seen: bool) -> None:
    assert shows((Because(kind=kind, name="a"),), (group,)) is seen


def test_an_entry_for_nothing_in_particular_is_for_administrators() -> None:
    assert shows((), ("skerry:cluster-admin",))
    assert not shows((), ("skerry:view", "skerry:edit", "skerry:admin"))
