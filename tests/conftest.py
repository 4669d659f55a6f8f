"""Fixtures that several suites share (`tests/fixtures`), and how the suites share processes.

With `-n 2` each module runs as a whole in whichever process is free. Suites that use real clusters run as a whole too,
so that each process starts its clusters once.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

pytest_plugins = [
    "tests.fixtures.nats",
    "tests.fixtures.bucket",
    "tests.fixtures.kube",
    "tests.fixtures.reruns",
    "tests.fixtures.children",
]

_WHOLE = {"tests/clients/": "clients", "tests/e2e/": "e2e", "tests/kube/": "e2e", "tests/conformance/": "e2e"}


class Suites(LoadScopeScheduling):
    """Deals out modules, and whole suites where clusters are shared."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.split("::", 1)[0]
        return next((suite for prefix, suite in _WHOLE.items() if module.startswith(prefix)), module)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Suites:
    """What `-n` deals out."""
    return Suites(config, log)
