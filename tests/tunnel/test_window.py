"""Credit and who pays for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.tunnel.window import BULK_WINDOW, LEAST_CREDIT, MAX_WINDOW, MIN_WINDOW, Budget, PeerRate, Window

PLENTY = 64 << 20


def opened(*, bulk: bool, budget: int = PLENTY) -> Window:
    window = Window(Budget(budget), bulk=bulk)
    assert window.open()
    return window


def fill(window: Window, now: float) -> None:
    """Everything that is granted arrives, in two messages."""
    n = window.granted - window.received
    assert window.arrived(n // 2, now)
    assert window.arrived(n - n // 2, now)


def read(window: Window, now: float) -> int | None:
    return window.take(window.received - window.taken, now)


def test_first_windows_are_64_kib_interactive_and_256_kib_bulk() -> None:
    assert opened(bulk=False).granted == MIN_WINDOW
    assert opened(bulk=True).granted == BULK_WINDOW


def test_bytes_beyond_the_credit_are_refused() -> None:
    window = opened(bulk=False)
    assert window.arrived(MIN_WINDOW, 0.0)
    assert not window.arrived(1, 0.0)


def test_credit_comes_back_when_half_of_the_window_was_taken() -> None:
    window = opened(bulk=False)
    window.arrived(40_000, 0.0)
    assert window.take(10_000, 0.0) is None
    assert window.take(30_000, 0.0) == 40_000 + MIN_WINDOW


def test_taking_more_than_came_is_a_mistake() -> None:
    window = opened(bulk=False)
    for n in (1, -1):
        with pytest.raises(ValueError, match="taken"):
            window.take(n, 0.0)


def test_a_message_that_is_whole_needs_no_window() -> None:
    window = Window(Budget(PLENTY), bulk=True)
    assert window.open(10, more=False)
    assert (window.granted, window.take(10, 0.0)) == (10, None)


def test_an_interactive_window_never_grows() -> None:
    window = opened(bulk=False)
    for _ in range(20):
        fill(window, 0.0)
        read(window, 0.0)
    assert window.size == MIN_WINDOW


def test_a_bulk_window_grows_to_1_mib_when_the_link_is_what_limits() -> None:
    window = opened(bulk=True)
    for _ in range(20):
        window.arrived(window.granted - window.received, 0.0)
        read(window, 0.0)
    assert window.size == MAX_WINDOW


def test_growth_stays_in_one_half_of_the_budget() -> None:
    budget = Budget(4 * BULK_WINDOW)
    windows = [Window(budget, bulk=True) for _ in range(4)]
    assert windows[0].open()
    for _ in range(9):
        windows[0].arrived(windows[0].granted - windows[0].received, 0.0)
        read(windows[0], 0.0)
    assert windows[0].size == 2 * BULK_WINDOW
    assert [w.open() for w in windows[1:]] == [True, True, False]
    for window in windows:
        window.close()
        window.close()
    assert (budget.used, budget.grown) == (0, 0)


def test_a_first_window_shrinks_when_the_link_has_enough_on_its_way() -> None:
    rate = PeerRate()
    assert rate.allows(512 << 10)
    rate.inflight = 400 << 10
    window = Window(Budget(PLENTY), bulk=True)
    assert window.open(rate=rate)
    assert window.size == MIN_WINDOW


def test_a_full_link_gets_small_windows_and_never_none() -> None:
    rate = PeerRate()
    window = opened(bulk=True)
    window.attach(rate, 0.0)
    rate.inflight += 1 << 30
    fill(window, 0.0)
    assert read(window, 0.0) == BULK_WINDOW + MIN_WINDOW


def test_what_is_on_its_way_is_counted_exactly() -> None:
    rate = PeerRate()
    window = opened(bulk=True)
    window.attach(rate, 0.0)
    assert rate.inflight == BULK_WINDOW
    fill(window, 0.0)
    assert rate.inflight == 0
    read(window, 0.0)
    assert rate.inflight == window.granted - window.received
    window.close()
    assert rate.inflight == 0


def test_a_fast_link_is_allowed_two_seconds_of_its_rate() -> None:
    rate = PeerRate()
    for tenth in range(13):
        rate.arrived(400_000, 100 + tenth / 10)
    assert 3_500_000 < rate.rate < 4_500_000
    rate.inflight = 0
    assert rate.allows(7_000_000)
    assert not rate.allows(10_000_000)
    rate.rate = 1e12
    assert not rate.allows(17 << 20)


def test_a_pause_does_not_lower_the_rate() -> None:
    rate = PeerRate()
    rate.rate = 4e6
    rate.arrived(1000, 50.0)
    rate.arrived(1000, 90.0)
    assert rate.rate == 4e6


def test_only_bytes_that_wait_can_stall() -> None:
    window = opened(bulk=False)
    window.attach(PeerRate(), 0.0)
    assert not window.stalled(1000.0, 60.0)
    window.arrived(100, 1000.0)
    window.arrived(100, 1050.0)
    assert not window.stalled(1059.0, 60.0)
    assert window.stalled(1061.0, 60.0)
    window.take(1, 1061.0)
    assert not window.stalled(1120.0, 60.0)
    window.take(199, 1120.0)
    assert not window.stalled(9999.0, 60.0)


def test_bytes_that_came_with_the_open_can_stall_too() -> None:
    window = Window(Budget(PLENTY), bulk=False)
    assert window.open(10)
    window.attach(PeerRate(), 5.0)
    assert window.stalled(66.0, 60.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "take", "busy", "idle"]),
        st.floats(0, 1),
        st.sampled_from([0.0, 0.001, 0.6, 3.0]),
    ),
    max_size=80,
)


@given(STEPS, st.booleans(), st.sampled_from([0, 1, 200_000]), st.sampled_from([BULK_WINDOW + 200_000, PLENTY]))
def test_whatever_a_reader_does_credit_is_announced_in_halves_of_a_window(
    steps: list[tuple[str, float, float]], bulk: bool, inline: int, budget: int
) -> None:
    """What a correct peer sends is always more than what a stream takes for a flood."""
    window, rate, now = Window(Budget(budget), bulk=bulk), PeerRate(), 0.0
    assert window.open(inline)
    window.attach(rate, now)
    announced = window.granted
    for step, part, passed in steps:
        now += passed
        if step == "arrive":
            assert window.arrived(int((window.granted - window.received) * part), now)
        elif step == "take":
            credit = window.take(int((window.received - window.taken) * part), now)
            if credit is not None:
                assert credit - announced >= MIN_WINDOW // 2 > LEAST_CREDIT
                announced = credit
        else:
            rate.inflight += (1 << 30) if step == "busy" else -(1 << 30)
