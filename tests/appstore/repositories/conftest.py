"""An App Store that is on and may reach this machine, and a repository of charts there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.appstore.settings import AppStoreSettings
from skerry.api.appstore import STORE
from skerry.api.kinds import APP_STORE
from skerry.identity.keyfiles import SECRETS_KEY
from tests.appstore.repositories.server import ChartServer, chart_server
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost

FETCH_S = 3.0
NETWORK = {"allow": ["127.0.0.0/8", "::1"], "plainHTTP": True}


@pytest.fixture
async def charts(tmp_path: Path) -> AsyncIterator[ChartServer]:
    async with chart_server(tmp_path / "charts") as server:
        yield server


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    settings = AppStoreSettings(
        app_store_secrets_key_file=fresh_nats_host.keys_dir / SECRETS_KEY, app_store_fetch_s=FETCH_S
    )
    async with world(fresh_nats_host, settings) as running:
        await running.patch(APP_STORE, STORE, {"spec": {"enabled": True, "network": NETWORK}})
        yield running
