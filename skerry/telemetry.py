"""Counters, gauges and histograms of one process, rendered as Prometheus text (exposition format 0.0.4).

No dependency on purpose: prometheus-client costs 8 MiB and a lock per increment, which agent and proxy pay on every
frame; every process here is one thread. Label values are declared with the metric and anything else becomes `other`,
so no client can make a label of its own and grow a process's memory.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import product
from typing import TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Default bounds of histograms, in seconds."""
MAX_SERIES = 2000
"""Most series that one metric may declare."""

_NAME = re.compile(r"skerry_[a-z0-9_]+\Z")
Labels = Mapping[str, Sequence[str] | type[Enum]]
"""Label name -> allowed values."""


class Value:
    """One series. `value` may be moved directly on a hot path: `series.value += 1`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Move by `amount`."""
        self.value += amount

    def set(self, value: float) -> None:
        """Gauges only: the value now."""
        self.value = value


class Distribution:
    """One histogram series."""

    __slots__ = ("_bounds", "count", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.count += 1
        self.total += value


class _Metric:
    kind = ""

    def __init__(self, name: str, description: str, labels: Labels) -> None:
        if _NAME.match(name) is None:
            raise ValueError(f"metric name {name!r} is not skerry_<service>_<what>_<unit>")
        self.name, self.description = name, description
        self.label_names = tuple(labels)
        self._allowed = tuple(_values(allowed) for allowed in labels.values())

    def _key(self, values: Sequence[str]) -> tuple[str, ...]:
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}")
        return tuple(v if v in allowed else OTHER for v, allowed in zip(values, self._allowed, strict=True))

    def _combinations(self) -> Iterator[tuple[str, ...]]:
        size = 1
        for allowed in self._allowed:
            size *= len(allowed)
        if size > MAX_SERIES:
            raise ValueError(f"{self.name} declares {size} series, more than {MAX_SERIES}")
        return product(*(sorted(allowed) for allowed in self._allowed))

    def lines(self) -> Iterator[str]:
        """The metric in the text format."""
        yield f"# HELP {self.name} {self.description}"
        yield f"# TYPE {self.name} {self.kind}"
        yield from self._samples()

    def _samples(self) -> Iterable[str]:
        raise NotImplementedError


class Counter(_Metric):
    """Goes up only. `labels(...)` returns a series to keep; `add` is for a counter without labels."""

    kind = "counter"

    def __init__(self, name: str, description: str, labels: Labels) -> None:
        super().__init__(name, description, labels)
        self._series = {key: Value() for key in self._combinations()}

    def labels(self, *values: str) -> Value:
        """The series of these label values; a value that was not declared counts as `other`."""
        return self._series[self._key(values)]

    def add(self, amount: float = 1) -> None:
        """Move the only series of a metric without labels."""
        self.labels().add(amount)

    def _samples(self) -> Iterable[str]:
        for key, series in self._series.items():
            if series.value or not key:
                yield f"{self.name}{_braces(self.label_names, key)} {_number(series.value)}"


class Gauge(Counter):
    """Goes up and down. With `read`, the value is asked for at each rendering."""

    kind = "gauge"

    def __init__(self, name: str, description: str, labels: Labels, read: Callable[[], float] | None = None) -> None:
        super().__init__(name, description, labels)
        self._read = read

    def set(self, value: float) -> None:
        """Set the only series of a metric without labels."""
        self.labels().set(value)

    def _samples(self) -> Iterable[str]:
        if self._read is not None:
            self.set(self._read())
        for key, series in self._series.items():
            yield f"{self.name}{_braces(self.label_names, key)} {_number(series.value)}"


class Histogram(_Metric):
    """Observations in buckets."""

    kind = "histogram"

    def __init__(self, name: str, description: str, labels: Labels, bounds: tuple[float, ...] = SECONDS) -> None:
        super().__init__(name, description, labels)
        self._bounds = bounds
        self._series = {key: Distribution(bounds) for key in self._combinations()}

    def labels(self, *values: str) -> Distribution:
        """The series of these label values."""
        return self._series[self._key(values)]

    def observe(self, value: float) -> None:
        """Observe in the only series of a metric without labels."""
        self.labels().observe(value)

    def _samples(self) -> Iterable[str]:
        names = (*self.label_names, "le")
        for key, series in self._series.items():
            if not series.count and key:
                continue
            running = 0
            for bound, count in zip((*self._bounds, float("inf")), series.counts, strict=True):
                running += count
                yield f"{self.name}_bucket{_braces(names, (*key, _number(bound)))} {running}"
            labels = _braces(self.label_names, key)
            yield f"{self.name}_sum{labels} {_number(series.total)}"
            yield f"{self.name}_count{labels} {series.count}"


M = TypeVar("M", bound=_Metric)


class MetricsRegistry:
    """The metrics of one process; made by its composition root and handed down."""

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}

    def counter(self, name: str, description: str, labels: Labels | None = None) -> Counter:
        """A new counter, named `skerry_<service>_<what>_total`."""
        return self._add(Counter(name, description, labels or {}))

    def gauge(
        self, name: str, description: str, labels: Labels | None = None, read: Callable[[], float] | None = None
    ) -> Gauge:
        """A new gauge; `read` is only for one without labels."""
        return self._add(Gauge(name, description, labels or {}, read))

    def histogram(
        self, name: str, description: str, labels: Labels | None = None, bounds: tuple[float, ...] = SECONDS
    ) -> Histogram:
        """A new histogram, named `…_seconds` or `…_bytes`."""
        return self._add(Histogram(name, description, labels or {}, bounds))

    def _add(self, metric: M) -> M:
        if metric.name in self._metrics:
            raise ValueError(f"metric {metric.name} exists")
        self._metrics[metric.name] = metric
        return metric

    def render(self) -> bytes:
        """All metrics, for `/metrics` with CONTENT_TYPE."""
        return "".join(f"{line}\n" for metric in self._metrics.values() for line in metric.lines()).encode()


def _values(allowed: Sequence[str] | type[Enum]) -> frozenset[str]:
    names = [str(member.value) for member in allowed] if isinstance(allowed, type) else list(allowed)
    return frozenset([*names, OTHER])


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
