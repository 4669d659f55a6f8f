"""Fixtures that several suites share (`tests/fixtures`), and how the suites share two processes.

With `-n 2 --dist loadgroup` all tests on real clusters run in one process, which starts each cluster once, and every
other module as a whole in whichever process is free.
"""

from __future__ import annotations

import pytest

pytest_plugins = ["tests.fixtures.nats", "tests.fixtures.kube"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Say which tests belong together, before xdist reads it."""
    on_clusters = item.get_closest_marker("kube") is not None
    item.add_marker(pytest.mark.xdist_group("clusters" if on_clusters else item.location[0]))
