"""Who asks without a credential cannot fill the log."""

from __future__ import annotations

from services.proxy.auditing import refusals
from services.proxy.auditing.refusals import MOST, OTHERS, PER_SECOND, Refusals


def test_so_many_a_second_of_an_address_are_recorded_and_the_rest_is_counted() -> None:
    seen = Refusals()
    assert [seen.admits("a", 1.5) for _ in range(PER_SECOND + 5)].count(True) == PER_SECOND
    assert seen.admits("b", 1.6)
    assert seen.admits("a", 2.0), "the next second"
    assert seen.take() == {"a": 5}
    assert seen.take() == {}


def test_addresses_are_bounded() -> None:
    seen = Refusals()
    for number in range(MOST):
        assert seen.admits(str(number), 1.0)
    admitted = [seen.admits(f"more-{number}", 1.0) for number in range(100)]
    assert admitted.count(True) == PER_SECOND
    assert seen.take() == {OTHERS: 100 - PER_SECOND}
    assert refusals.MOST == MOST
