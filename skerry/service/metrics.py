"""How services are, what controllers have done and what waits for them, in numbers: for `nats micro stats`, and as
Prometheus text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from skerry.controller.controller import Controller
from skerry.telemetry import MetricsRegistry


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One controller now; counts are since the service's start."""

    controller: str
    depth: int
    """Keys that wait for a worker."""
    oldest_seconds: float
    """For how long the key in front has waited."""
    longest_seconds: float
    """For how long the key that is worked on for longest is."""
    reconciles: int
    reconcile_seconds: float
    """All reconciles together."""
    errors: int
    requeues: int


class ServiceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One service of a process now."""

    service: str
    ready: bool
    failures: int
    """How often it ended, or did not start, since the process began."""


def figures(controllers: Iterable[Controller[Any]]) -> list[Figures]:
    """Of each controller."""
    return [
        Figures(
            controller=each.name,
            depth=each.depth,
            oldest_seconds=round(each.oldest_s, 3),
            longest_seconds=round(each.longest_s, 3),
            reconciles=each.counts.reconciles,
            reconcile_seconds=round(each.counts.seconds, 6),
            errors=each.counts.errors,
            requeues=each.counts.requeues,
        )
        for each in controllers
    ]


def rendered(found: Iterable[Figures], services: Iterable[ServiceFigures]) -> bytes:
    """The same as Prometheus text."""
    rows, all_services = list(found), list(services)
    registry = MetricsRegistry()
    names = {"service": [each.service for each in all_services]}
    ready = registry.gauge("skerry_service_ready", "Whether the service serves, and its keys get done.", names)
    failures = registry.counter("skerry_service_failures_total", "How often the service ended by a failure.", names)
    for each in all_services:
        ready.labels(each.service).set(each.ready)
        failures.labels(each.service).add(each.failures)
    labels = {"controller": [row.controller for row in rows]}
    depth = registry.gauge("skerry_controller_queue_depth", "Keys that wait for a worker.", labels)
    oldest = registry.gauge("skerry_controller_oldest_seconds", "How long the key in front has waited.", labels)
    longest = registry.gauge("skerry_controller_longest_seconds", "How long the longest reconcile now runs.", labels)
    reconciles = registry.counter("skerry_controller_reconciles_total", "Reconciles.", labels)
    seconds = registry.counter("skerry_controller_reconcile_seconds_total", "Time in reconciles.", labels)
    errors = registry.counter("skerry_controller_errors_total", "Reconciles that failed.", labels)
    requeues = registry.counter("skerry_controller_requeues_total", "Reconciles that asked to come again.", labels)
    for row in rows:
        depth.labels(row.controller).set(row.depth)
        oldest.labels(row.controller).set(row.oldest_seconds)
        longest.labels(row.controller).set(row.longest_seconds)
        reconciles.labels(row.controller).add(row.reconciles)
        seconds.labels(row.controller).add(row.reconcile_seconds)
        errors.labels(row.controller).add(row.errors)
        requeues.labels(row.controller).add(row.requeues)
    return registry.render()
