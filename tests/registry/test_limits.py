"""Token buckets: what is admitted, and when again."""

from __future__ import annotations

from services.registry.limits import RateLimits


def admitted(limits: RateLimits, key: str, now: float, asks: int) -> int:
    return sum(limits.admits(key, now) for _ in range(asks))


def test_a_burst_is_admitted_and_then_the_rate() -> None:
    limits = RateLimits(per_s=5, burst=3)
    assert admitted(limits, "a", 0.0, 10) == 3
    assert admitted(limits, "a", 0.1, 10) == 0
    assert admitted(limits, "a", 0.2, 10) == 1
    assert admitted(limits, "a", 100.0, 10) == 3, "what is saved up is bounded"


def test_one_key_takes_nothing_from_another() -> None:
    limits = RateLimits(per_s=1, burst=1)
    assert admitted(limits, "a", 0.0, 1000) == 1
    assert admitted(limits, "b", 0.0, 1) == 1


def test_a_refusal_delays_nothing() -> None:
    limits = RateLimits(per_s=1, burst=1)
    assert limits.admits("a", 0.0)
    for tenth in range(1, 10):
        assert not limits.admits("a", tenth / 10)
    assert limits.admits("a", 1.0)


def test_who_asked_least_recently_is_forgotten_first() -> None:
    limits = RateLimits(per_s=1, burst=1, keys=2)
    for key in ("a", "b", "a", "c"):
        limits.admits(key, 0.0)
    assert not limits.admits("a", 0.0)
    assert limits.admits("b", 0.0), "forgotten, so new"
