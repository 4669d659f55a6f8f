"""What a member says about itself is bounded, and is about itself, and about the past."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.reports import checked
from skerry.api.desired import BY, ENTRIES, MESSAGE, PROBLEMS, REPAIRS, Problem, Repair, Report, State
from skerry.errors import BadRequest

NOW = 1000.0


def problem(**changes: Any) -> Problem:
    fields = {"key": "m1.tenancy._.namespace._.a", "revision": 1, "state": State.FAILED, "message": "x", "since": 5.0}
    return Problem(**{**fields, **changes})


def of(**fields: Any) -> Report:
    return checked("m1", Report(**{"epoch": "e", "applied": 1, **fields}), NOW)


@pytest.mark.parametrize(
    "fields",
    [{"epoch": "e" * 65}, {"order": "o" * 65}, {"applied": -1}, {"more": -1}],
    ids=lambda each: next(iter(each)),
)
def test_nonsense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        of(**fields)


@pytest.mark.parametrize(
    ("since", "kept"), [(5.0, 5.0), (-1.0, 0.0), (-1e300, 0.0), (NOW + 1, NOW), (1e300, NOW), (float("inf"), NOW)]
)
def test_a_problem_began_in_the_past(since: float, kept: float) -> None:
    """Such as can be written as a time: people and listings read it."""
    assert of(problems=(problem(since=since),)).problems[0].since == kept


def test_problems_of_others_and_of_no_key_are_left_out() -> None:
    assert of(problems=(problem(key="m2.tenancy._.namespace._.a"), problem(key="x"), problem())).problems == (
        problem(),
    )


def test_it_says_no_more_than_a_report_holds() -> None:
    report = of(problems=(problem(message="y" * 9999),) * (PROBLEMS + 5), more=ENTRIES + 5)
    assert (len(report.problems), len(report.problems[0].message), report.more) == (PROBLEMS, MESSAGE, ENTRIES)


def test_counts_are_of_owners_and_states_that_exist() -> None:
    counts = {"tenancy": {"Applied": 3, "Broken": 1, "Failed": -1, "Pending": ENTRIES + 1}, "vendor": {"Applied": 1}}
    assert of(counts=counts).counts == {"tenancy": {"Applied": 3}}


def test_repairs_are_of_the_member_in_the_past_and_bounded() -> None:
    key = "m1.tenancy._.namespace._.a"
    hostile = [
        Repair(key="m2.tenancy._.namespace._.a"),
        Repair(key="x" * 100_000),
        Repair(key=key, by="a\x1b]0;b\n" + "c" * 999, last=1e300),
        Repair(key=key, last=-1.0),
    ]
    assert of(repairs=(*hostile, *[Repair(key=key)] * 99)).repairs == (
        Repair(key=key, by="a ]0;b " + "c" * (BY - 7), last=NOW),
        *[Repair(key=key)] * (REPAIRS - 3),
    )


def test_what_is_within_bounds_is_kept_whole() -> None:
    """Each field: of one that is forgotten nobody hears."""
    report = Report(
        epoch="e", applied=1, counts={"tenancy": {"Failed": 1}}, problems=(problem(),), more=2, order="o1", withdrawn=4,
        repairs=(Repair(key=problem().key, by="kubectl", last=5.0),), unmarked=True,
    )  # fmt: skip
    empty = Report(epoch="", applied=0)
    assert all(getattr(report, each) != getattr(empty, each) for each in Report.__struct_fields__)
    assert checked("m1", report, NOW) == report
