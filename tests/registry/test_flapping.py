"""Members whose Ready changes again and again, by a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest

from services.registry.flapping import OFTEN, STABLE, WINDOW_S, Flaps
from services.registry.model import Now, at
from skerry.api.conditions import FLAPPING, condition_of


def cluster(ready: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "t"}]}}


def ready(document: dict[str, Any], status: str) -> dict[str, Any]:
    """The same Cluster with another Ready."""
    rest = [each for each in document["status"]["conditions"] if each["type"] != "Ready"]
    return {"status": {"conditions": [*cluster(status)["status"]["conditions"], *rest]}}


def now_at(mono: float) -> Now:
    return Now(mono, 1e9 + mono)


class Member:
    """One Cluster as it is stored; `turn` is what a registry does when Ready is another."""

    def __init__(self, since: float = 0.0) -> None:
        self.flaps, self.stored = Flaps(since), cluster("True")

    def turn(self, status: str, now: float) -> tuple[str, str]:
        after = self.flaps.observed("m", self.stored, ready(self.stored, status), now_at(now))
        self.flaps.stored("m", self.stored, after, now)
        self.stored = after
        return self.flapping

    def look(self, now: float) -> tuple[str, str]:
        self.stored = self.flaps.observed("m", self.stored, self.stored, now_at(now))
        return self.flapping

    @property
    def flapping(self) -> tuple[str, str]:
        return condition_of(self.stored, FLAPPING)[:2]


def test_the_fourth_change_within_ten_minutes_is_flapping_and_says_how_many() -> None:
    member = Member()
    assert [member.turn(status, now)[0] for now, status in enumerate(("False", "True", "False"))] == ["Unknown"] * 3
    assert member.turn("True", 3.0) == ("True", "ReadyChanges")
    assert "changed 4 times" in condition_of(member.stored, FLAPPING).message
    member.turn("False", 4.0)
    assert "changed 5 times" in condition_of(member.stored, FLAPPING).message
    assert condition_of(member.stored, "Ready").status == "False"


def test_unknown_and_false_are_one_to_who_sends_requests() -> None:
    member = Member()
    for now, status in enumerate(("False", "Unknown", "False", "Unknown", "False", "Unknown")):
        assert member.turn(status, now) == ("Unknown", "")


def test_slow_changes_are_no_flapping() -> None:
    member = Member()
    for number in range(20):
        assert member.turn("False" if number % 2 == 0 else "True", number * (WINDOW_S / 3)) == ("Unknown", "")


def test_it_ends_ten_minutes_after_by_itself() -> None:
    member = Member()
    for number in range(OFTEN):
        member.turn("False" if number % 2 == 0 else "True", float(number))
    left = member.flaps.due("m", member.stored, now_at(10.0))
    assert left == WINDOW_S - 10.0
    assert member.look(WINDOW_S - 1.0) == ("True", "ReadyChanges")
    assert member.look(WINDOW_S) == ("False", "Stable")
    assert member.flaps.due("m", member.stored, now_at(WINDOW_S)) is None


def test_while_it_goes_on_without_a_change_the_text_stays() -> None:
    member = Member()
    for number in range(6):
        member.turn("False" if number % 2 == 0 else "True", float(number))
    before = member.stored
    member.look(WINDOW_S + 0.5)
    assert member.stored is before


def test_who_has_just_started_does_not_claim_that_it_is_over() -> None:
    member = Member(since=1000.0)
    member.stored["status"]["conditions"].append({"type": FLAPPING, "status": "True", "reason": "ReadyChanges"})
    assert member.look(1100.0) == ("True", "ReadyChanges")
    assert member.flaps.due("m", member.stored, now_at(1100.0)) == WINDOW_S - 100.0
    assert member.look(1000.0 + WINDOW_S) == ("False", "Stable")


def restarted(changed_s: object) -> Member:
    """A registry that began at 1000 s, with a member that an earlier one called flapping; Ready changed last at `changed_s`."""
    member = Member(since=1000.0)
    stored = at(now_at(changed_s).wall) if isinstance(changed_s, float) else changed_s
    member.stored["status"]["conditions"] = [
        {"type": "Ready", "status": "True", "lastTransitionTime": stored},
        {"type": FLAPPING, "status": "True", "reason": "ReadyChanges"},
    ]
    return member


def test_who_has_just_started_says_ten_minutes_after_the_last_change_that_it_is_over() -> None:
    member = restarted(900.0)
    assert member.flaps.due("m", member.stored, now_at(1000.0)) == WINDOW_S - 100.0
    assert member.look(900.0 + WINDOW_S - 1.0) == ("True", "ReadyChanges")
    assert member.look(900.0 + WINDOW_S) == STABLE[:2]


def test_a_registry_that_was_away_for_longer_says_at_once_that_it_is_over() -> None:
    member = restarted(1000.0 - WINDOW_S)
    assert member.flaps.due("m", member.stored, now_at(1000.0)) == 0.0
    assert member.look(1000.0) == STABLE[:2]


def test_a_change_after_the_start_begins_the_ten_minutes_anew_until_all_are_counted() -> None:
    member = restarted(900.0)
    assert member.turn("False", 1100.0) == ("True", "ReadyChanges")
    assert member.look(900.0 + WINDOW_S) == ("True", "ReadyChanges")
    assert member.look(1000.0 + WINDOW_S) == STABLE[:2]


@pytest.mark.parametrize("stored", [None, "", "yesterday", 7, 1e6])
def test_a_last_change_that_cannot_be_read_or_is_to_come_holds_it_for_ten_minutes_of_ours(stored: object) -> None:
    member = restarted(stored)
    assert member.flaps.due("m", member.stored, now_at(1100.0)) == WINDOW_S - 100.0
    assert member.look(1000.0 + WINDOW_S) == STABLE[:2]


def test_a_member_that_was_removed_takes_no_memory() -> None:
    member = Member()
    for number in range(3):
        member.turn("False" if number % 2 == 0 else "True", float(number))
    member.flaps.forget("m")
    member.flaps.forget("m")
    assert member.turn("True", 4.0) == ("Unknown", "")
    assert not member.flaps._recent("m", WINDOW_S * 3)
