"""Fixtures that several suites share, how the suites share processes, and what their processes start with: `tests/fixtures`."""

from __future__ import annotations

pytest_plugins = [
    "tests.fixtures.nats",
    "tests.fixtures.bucket",
    "tests.fixtures.kube",
    "tests.fixtures.programs",
    "tests.fixtures.reruns",
    "tests.fixtures.children",
    "tests.fixtures.suites",
    "tests.fixtures.examples",
    "tests.fixtures.slowest",
    "tests.fixtures.garbage",
    "tests.fixtures.finalizers",
]
