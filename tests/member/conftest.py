"""Fixtures of the suite of a member's API server: a stand-in for it, real on the wire, and a way to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.member import kubeconfig
from skerry.member.credentials import source
from skerry.member.upstream import Upstream
from tests.member.apiserver import ApiServer


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """A member's API server."""
    async with ApiServer(tmp_path / "api") as server:
        yield server


@pytest.fixture
async def upstream(api: ApiServer) -> AsyncIterator[Upstream]:
    """The way to it."""
    target = kubeconfig.load(str(api.kubeconfig()))
    made = Upstream(target, source(target))
    yield made
    await made.close()
