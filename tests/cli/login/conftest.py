"""A provider of one's own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.cli.login.cache import LoginCache
from tests.cli.login.standin import Standin, running


@pytest.fixture
def standin() -> Iterator[Standin]:
    with running() as provider:
        yield provider


@pytest.fixture
def cache(tmp_path: Path) -> LoginCache:
    """Where a login is kept; there is none."""
    return LoginCache(str(tmp_path / "skerry" / "login"), "d1")
