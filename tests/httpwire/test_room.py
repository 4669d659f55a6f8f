"""What large heads take of a process, and give back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skerry.httpwire.room import LINE, Room, Share, cost


def test_a_share_grows_and_pays_for_what_is_more() -> None:
    room = Room(100)
    share = Share(room)
    assert share.upto(40)
    assert share.upto(60)
    assert (share.taken, room.used) == (60, 60)


def test_a_share_that_needs_less_keeps_what_it_has() -> None:
    room = Room(100)
    share = Share(room)
    assert share.upto(60)
    assert share.upto(10)
    assert (share.taken, room.used) == (60, 60)


def test_all_of_the_room_can_be_had_and_not_a_byte_more() -> None:
    room = Room(100)
    first, second = Share(room), Share(room)
    assert first.upto(100)
    assert not second.upto(1)
    assert (second.taken, room.used) == (0, 100)
    assert not first.upto(101)
    assert (first.taken, room.used) == (100, 100)


def test_what_was_given_back_is_there_for_others() -> None:
    room = Room(100)
    first, second = Share(room), Share(room)
    assert first.upto(100)
    first.give()
    first.give()
    assert room.used == 0
    assert second.upto(100)


def test_many_lines_cost_besides_their_bytes() -> None:
    assert cost(1000, 3) == 1000 + 3 * LINE


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120))))
def test_the_room_holds_exactly_what_the_shares_have(steps: list[tuple[int, int]]) -> None:
    room = Room(200)
    shares = [Share(room) for _ in range(4)]
    for which, size in steps:
        before = shares[which].taken
        if size > 100:
            shares[which].give()
        elif not shares[which].upto(size):
            assert (shares[which].taken, room.used + size - before > 200) == (before, True)
        assert room.used == sum(share.taken for share in shares) <= 200
