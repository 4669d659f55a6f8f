"""Properties hold on a busy machine too."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def test_an_example_may_take_as_long_as_the_machine_needs_for_it() -> None:
    own = settings(max_examples=1)
    assert own.deadline is None
    assert HealthCheck.too_slow in own.suppress_health_check
