"""Metrics: the text that Prometheus reads, and labels that nobody can make grow."""

from __future__ import annotations

from enum import Enum

import pytest

from skerry.telemetry import MetricsRegistry


class Verb(Enum):
    """Values of a label."""

    GET = "get"
    LIST = "list"


@pytest.fixture
def registry() -> MetricsRegistry:
    return MetricsRegistry()


def _lines(registry: MetricsRegistry) -> list[str]:
    return registry.render().decode().splitlines()


def test_a_counter_without_labels_is_shown_at_zero(registry: MetricsRegistry) -> None:
    registry.counter("skerry_proxy_opens_total", "Opens.")
    assert _lines(registry) == [
        "# HELP skerry_proxy_opens_total Opens.",
        "# TYPE skerry_proxy_opens_total counter",
        "skerry_proxy_opens_total 0",
    ]


def test_labels_come_from_an_enum(registry: MetricsRegistry) -> None:
    registry.counter("skerry_proxy_requests_total", "R.", {"verb": Verb}).labels("list").add(3)
    assert 'skerry_proxy_requests_total{verb="list"} 3' in _lines(registry)


def test_a_value_that_was_not_declared_counts_as_other(registry: MetricsRegistry) -> None:
    requests = registry.counter("skerry_proxy_requests_total", "R.", {"verb": Verb})
    requests.labels('x"} 1\nevil').add()
    assert 'skerry_proxy_requests_total{verb="other"} 1' in _lines(registry)


def test_the_number_of_labels_must_fit(registry: MetricsRegistry) -> None:
    requests = registry.counter("skerry_proxy_requests_total", "R.", {"verb": Verb})
    with pytest.raises(ValueError, match="verb"):
        requests.labels("get", "more")


def test_a_gauge_goes_down_and_may_be_asked_at_rendering(registry: MetricsRegistry) -> None:
    live = registry.gauge("skerry_proxy_streams", "S.")
    live.add(2)
    live.add(-1)
    registry.gauge("skerry_proxy_tasks", "T.", read=lambda: 7.5)
    assert "skerry_proxy_streams 1" in _lines(registry)
    assert "skerry_proxy_tasks 7.5" in _lines(registry)


def test_a_histogram_is_cumulative_and_its_bounds_are_inclusive(registry: MetricsRegistry) -> None:
    took = registry.histogram("skerry_proxy_head_seconds", "H.", bounds=(0.1, 1.0))
    for value in (0.1, 0.5, 5.0):
        took.observe(value)
    assert _lines(registry)[2:] == [
        'skerry_proxy_head_seconds_bucket{le="0.1"} 1',
        'skerry_proxy_head_seconds_bucket{le="1"} 2',
        'skerry_proxy_head_seconds_bucket{le="+Inf"} 3',
        "skerry_proxy_head_seconds_sum 5.6",
        "skerry_proxy_head_seconds_count 3",
    ]


def test_a_name_that_breaks_the_convention_is_refused(registry: MetricsRegistry) -> None:
    with pytest.raises(ValueError, match="skerry_<service>"):
        registry.counter("requests", "R.")


def test_a_name_is_registered_once(registry: MetricsRegistry) -> None:
    registry.counter("skerry_proxy_requests_total", "R.")
    with pytest.raises(ValueError, match="exists"):
        registry.gauge("skerry_proxy_requests_total", "R.")


def test_a_metric_cannot_declare_an_explosion_of_series(registry: MetricsRegistry) -> None:
    many = [str(number) for number in range(100)]
    with pytest.raises(ValueError, match="series"):
        registry.counter("skerry_proxy_requests_total", "R.", {"a": many, "b": many})
