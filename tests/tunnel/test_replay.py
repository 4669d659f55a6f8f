"""Which OPENs came before: each number of each connection once in five minutes, in little memory."""

from __future__ import annotations

from skerry.tunnel.replay import REMEMBER_S, ReplayWindow

NOW = 1_000.0


def test_each_number_is_new_once() -> None:
    window = ReplayWindow()
    numbers = [f"{number:x}" for number in (*range(3_000), 2**40, 2**40 + 1)]
    assert all(window.first("p1", number, NOW) for number in numbers)
    assert not any(window.first("p1", number, NOW) for number in numbers)


def test_connections_have_numbers_of_their_own() -> None:
    window = ReplayWindow()
    assert window.first("p1", "a", NOW)
    assert window.first("p2", "a", NOW)


def test_a_number_is_remembered_for_five_minutes() -> None:
    window = ReplayWindow()
    window.first("p1", "a", NOW)
    assert not window.first("p1", "a", NOW + REMEMBER_S)


def test_a_connection_that_is_quiet_for_longer_is_forgotten() -> None:
    window = ReplayWindow()
    window.first("p1", "a", NOW)
    window.first("p2", "a", NOW + REMEMBER_S + 1)
    assert window.first("p1", "a", NOW + REMEMBER_S + 1)


def test_a_thousand_numbers_cost_as_many_bits() -> None:
    window = ReplayWindow()
    for number in range(4096):
        window.first("p1", f"{number:x}", NOW)
    assert sorted(mask.bit_length() for _, mask in window._masks.values()) == [1024] * 4


def test_what_is_over_is_looked_for_twice_a_minute_at_most() -> None:
    window = ReplayWindow()
    window.first("p1", "a", NOW)
    masks = window._masks
    window.first("p1", "b", NOW + 29.9)
    assert window._masks is masks
    window.first("p1", "c", NOW + 30.1)
    assert window._masks is not masks
