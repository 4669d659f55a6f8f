"""When which event is sent: lanes, pauses, rests, death. Time and chance are the test's."""

from __future__ import annotations

import pytest

from services.events.model import FIRST_S, LIFE_S, LONGEST_S, PATIENT, PLACES, Answer, Pending, Window

DOWN = Answer(0, "no answer", "Unreachable")
BROKEN = Answer(500, "500")
BUSY = Answer(503, "503", "", 120.0)


def longest(low: float, high: float) -> float:
    return high


def window(places: int = PLACES, at_once: int = 8) -> Window:
    return Window(longest, places=places, at_once=at_once)


def event(number: int, lane: str = "cluster/m1", until: float = LIFE_S) -> Pending:
    return Pending(number, lane, until)


def taken(one: Window, now: float) -> list[int]:
    numbers = []
    while (each := one.take(now)) is not None:
        numbers.append(each.number)
    return numbers


def test_of_one_object_one_event_is_sent_at_a_time_in_order() -> None:
    one = window()
    for number in (3, 1, 2):
        one.add(event(number))
    assert taken(one, 0) == [1]
    one.done(1, 0)
    assert taken(one, 0) == [2]
    one.add(event(0))  # it came again from a replica before
    one.done(2, 0)
    assert taken(one, 0) == [0]
    one.done(0, 0)
    assert taken(one, 0) == [3]
    one.done(3, 0)
    assert (len(one), one.room, taken(one, 0)) == (0, PLACES, [])


def test_objects_go_side_by_side_and_so_many_at_once() -> None:
    one = window(at_once=2)
    for number in range(4):
        one.add(event(number, f"cluster/m{number}"))
    assert taken(one, 0) == [0, 1]
    assert one.next_due(0) is None
    one.done(0, 0)
    assert taken(one, 0) == [2]


def test_what_comes_twice_is_there_once() -> None:
    one = window()
    one.add(event(1))
    one.add(event(1))
    assert (len(one), 1 in one, one.numbers) == (1, True, [1])


def test_a_pause_doubles_up_to_an_hour_and_others_go_on() -> None:
    one = window()
    one.add(event(1, "a", until=10 * LIFE_S))
    now, pauses = 0.0, []
    for _ in range(14):
        assert taken(one, now) == [1]
        assert one.failed(1, BROKEN, now)
        due = one.next_due(now)
        assert due is not None
        assert taken(one, due - 0.01) == []
        pauses.append(due - now)
        now = due
    assert pauses[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert pauses[-1] == LONGEST_S
    assert one.tries(1) == 14
    one.add(event(2, "b"))
    assert taken(one, now - 1) == [2]


def test_the_next_event_of_an_object_begins_with_short_pauses() -> None:
    one = window()
    one.add(event(1))
    one.add(event(2))
    for now in (0, FIRST_S):
        assert taken(one, now) == [1]
        one.failed(1, BROKEN, now)
    assert taken(one, 3 * FIRST_S) == [1]
    one.done(1, 3 * FIRST_S)
    assert taken(one, 3 * FIRST_S) == [2]
    one.failed(2, BROKEN, 3 * FIRST_S)
    assert one.next_due(3 * FIRST_S) == 4 * FIRST_S


def test_after_a_day_an_event_is_dead_and_not_before_a_last_try() -> None:
    one = window()
    one.add(event(1, until=100.0))
    now, tries = 0.0, 0
    while True:
        assert taken(one, now) == [1]
        tries += 1
        if not one.failed(1, DOWN, now):
            break
        due = one.next_due(now)
        assert due is not None
        now = due
    assert (now, tries) == (100.0, 7)
    assert 1 in one
    one.add(event(2))
    assert taken(one, now) == []
    one.drop(1)
    assert taken(one, now) == [2]


def test_one_that_is_old_when_it_comes_is_tried_once() -> None:
    one = window()
    one.add(event(1, until=-5.0))
    assert taken(one, 0) == [1]
    assert not one.failed(1, DOWN, 0)


def test_a_receiver_that_wants_a_rest_is_left_alone_by_all() -> None:
    one = window()
    one.add(event(1, "a"))
    one.add(event(2, "b"))
    one.add(event(3, "b"))
    assert taken(one, 0) == [1, 2]
    assert one.failed(1, BUSY, 0)
    one.done(2, 0)
    assert taken(one, 119) == []
    assert one.next_due(119) == 120
    assert taken(one, 120) == [3, 1] or taken(one, 120) == [1, 3]


def test_a_rest_beyond_its_life_is_kept_and_then_it_is_tried_a_last_time() -> None:
    one = window()
    one.add(event(1, until=10.0))
    assert taken(one, 0) == [1]
    assert one.failed(1, BUSY, 0)
    assert taken(one, 119) == []
    assert taken(one, 120) == [1]
    assert not one.failed(1, BUSY, 120)


def test_a_rest_ends_when_it_is_over_or_ended() -> None:
    one = window()
    one.rest(50)
    assert one.next_due(0) is None
    one.add(event(1))
    assert (one.next_due(0), taken(one, 0)) == (50, [])
    one.go_on()
    assert taken(one, 0) == [1]


def test_a_receiver_that_is_back_gets_at_once_what_waited_for_it() -> None:
    one = window()
    for number, answer in ((1, DOWN), (2, BROKEN), (3, DOWN)):
        one.add(event(number, f"o{number}"))
        assert taken(one, 0) == [number]
        one.failed(number, answer, 0)
    one.add(event(4, "new"))
    assert taken(one, 1) == [4]
    one.done(4, 1)
    assert sorted(taken(one, 1)) == [1, 3]  # what it refused waits for its own time


def test_what_waited_and_goes_in_another_way_leaves_its_lane_in_order() -> None:
    one = window()
    one.add(event(1))
    one.add(event(2))
    assert taken(one, 0) == [1]
    one.failed(1, BROKEN, 0)
    one.drop(2)
    one.drop(1)
    assert (len(one), one.next_due(0)) == (0, None)
    one.add(event(3))
    one.drop(3)
    assert taken(one, 100) == []


def test_what_is_refused_again_and_again_yields_where_all_places_are_taken_and_others_are_welcome() -> None:
    one = window(places=2)
    one.add(event(1, "a"))
    assert one.yields() is None
    one.add(event(2, "b"))
    assert one.yields() is None  # the receiver has taken nothing yet: it may be broken altogether
    now = 0.0
    for _ in range(PATIENT):
        assert set(taken(one, now)) == {1, 2}
        one.failed(1, BROKEN, now)
        one.failed(2, DOWN, now)
        now += 2 * LONGEST_S
    assert one.yields() is None
    one.drop(2)
    one.add(event(3, "c"))
    assert 3 in taken(one, 0)
    one.done(3, now)
    one.add(event(4, "d"))
    assert one.room == 0
    assert one.yields() == 1


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (299, True), (302, False), (0, False)])
def test_a_receiver_has_taken_what_it_answers_with_2xx(status: int, *, good: bool) -> None:
    assert Answer(status).taken is good
