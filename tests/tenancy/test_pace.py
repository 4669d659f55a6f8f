"""How soon what is being put in place is looked at again."""

from __future__ import annotations

from services.tenancy.pace import FIRST_S, LATER_S, SOON_S, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_at_first_it_is_often_and_less_when_it_takes_longer() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.next_s("a", 1) == SOON_S
    clock.now += FIRST_S - 0.1
    assert pace.next_s("a", 1) == SOON_S
    clock.now += 0.1
    assert pace.next_s("a", 1) == LATER_S
    assert pace.next_s("b", 1) == SOON_S


def test_what_is_changed_or_begins_anew_is_looked_at_often_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.next_s("a", 1)
    clock.now += FIRST_S
    assert pace.next_s("a", 2) == SOON_S
    clock.now += FIRST_S
    assert pace.next_s("a", 2) == LATER_S
    pace.over("a")
    pace.over("never")
    assert pace.next_s("a", 2) == SOON_S
