"""Fixtures that several suites share: see `tests/fixtures`."""

pytest_plugins = ["tests.fixtures.nats", "tests.fixtures.kube"]
