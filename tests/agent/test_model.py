"""The agent's rules about time."""

from __future__ import annotations

from services.agent.model import HostClock, Watchdog, backoff_s, renewal_due


def test_the_answer_with_the_shortest_round_trip_sets_the_clock() -> None:
    clock = HostClock(0.0)
    clock.learn(10.0, 10.2, 1000.0)
    clock.learn(20.0, 24.0, 1011.0)
    assert clock.host(30.0) == 30.0 + (1000.0 - 10.1)


def test_before_any_answer_the_offset_given_holds() -> None:
    assert HostClock(500.0).host(1.0) == 501.0


def test_after_a_new_connection_one_answer_counts_more_than_old_ones() -> None:
    clock = HostClock(0.0)
    clock.learn(10.0, 10.0, 1000.0)
    clock.forget()
    clock.learn(20.0, 20.4, 5020.2)
    assert clock.host(20.2) == 5020.2


def test_how_far_the_machines_clock_is_ahead_is_known_after_an_answer() -> None:
    clock = HostClock(1000.0)
    assert clock.ahead(20.0, 1020.0) is None
    clock.learn(10.0, 10.2, 5000.1)
    assert clock.ahead(20.0, 8610.0) == 3600.0
    assert clock.ahead(20.0, 5009.5) == -0.5


def test_credentials_are_renewed_at_two_thirds_of_their_life() -> None:
    assert renewal_due(100.0, 400.0) == 300.0


def test_the_third_silence_in_a_row_gives_up() -> None:
    dog = Watchdog()
    assert [dog.silent(), dog.silent(), dog.silent()] == [False, False, True]


def test_an_echo_starts_the_count_anew() -> None:
    dog = Watchdog()
    dog.silent()
    dog.silent()
    dog.echoed()
    assert not dog.silent()


def test_backoff_grows_to_a_minute_and_is_spread() -> None:
    assert backoff_s(0, 0.0) == 0.5
    assert 30.0 <= backoff_s(50, 0.0) < backoff_s(50, 0.99) < 60.0
