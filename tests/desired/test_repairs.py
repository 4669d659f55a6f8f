"""What was changed on a member and put right, and what is a fight."""

from __future__ import annotations

from skerry.api.desired import BY, REPAIRS, Repair
from skerry.desired.repairs import FIGHT_S, FIGHTS, Repairs


def test_what_drifted_is_a_repair_once_it_is_in_place_and_what_did_not_is_none() -> None:
    repairs = Repairs()
    repairs.applied("a", 1.0)
    repairs.drifted("a", "kubectl")
    assert not repairs.latest
    repairs.applied("a", 2.0)
    repairs.applied("a", 3.0)
    assert repairs.latest == (Repair(key="a", by="kubectl", last=2.0),)


def test_many_changes_before_it_is_put_right_are_one_repair_by_who_came_last() -> None:
    repairs = Repairs()
    for by in ("kubectl", "", "x" * 1000):
        repairs.drifted("a", by)
    repairs.applied("a", 2.0)
    assert repairs.latest == (Repair(key="a", by="x" * BY, last=2.0),)


def test_the_last_ones_are_told_each_object_once() -> None:
    repairs = Repairs()
    for number in (*range(REPAIRS + 3), 5):
        repairs.drifted(f"k{number}", "")
        repairs.applied(f"k{number}", float(number))
    assert [each.key for each in repairs.latest] == [
        f"k{number}" for number in (*range(3, REPAIRS + 3), 5) if number != 5
    ] + ["k5"]


def test_changes_that_are_answered_as_often_within_a_minute_are_a_fight() -> None:
    repairs = Repairs()
    assert [repairs.fought("a", float(number)) for number in range(FIGHTS)] == [False] * (FIGHTS - 1) + [True]
    assert not repairs.fought("b", 0.0)


def test_changes_over_a_longer_time_are_no_fight() -> None:
    repairs = Repairs()
    assert not any(repairs.fought("a", number * FIGHT_S / (FIGHTS - 1)) for number in range(20))


def test_what_is_not_wanted_any_more_is_forgotten() -> None:
    repairs = Repairs()
    for number in range(FIGHTS - 1):
        repairs.fought("a", float(number))
    repairs.drifted("a", "kubectl")
    repairs.forget("a")
    repairs.forget("b")
    repairs.applied("a", 9.0)
    assert repairs.latest == ()
    assert not repairs.fought("a", 9.0)
