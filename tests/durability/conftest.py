"""A real host of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.federation import Host


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host of its own, ready."""
    made = Host(tmp_path / "host")
    await asyncio.to_thread(made.up)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.__exit__, None, None, None)
