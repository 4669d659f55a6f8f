"""Tenancy as a service: ready with the administrator's credential in place, and again after the bus was away."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.tenancy import model
from services.tenancy.rules import new_token
from services.tenancy.service import SERVICE
from services.tenancy.settings import TenancySettings
from skerry.api.kinds import CREDENTIAL
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving

pytestmark = pytest.mark.integration


async def test_who_started_the_host_can_use_it_as_soon_as_it_is_ready(nats_host: NatsHost, tmp_path: Path) -> None:
    file, token = tmp_path / "admin.token", new_token()
    file.write_text(token)
    async with serving(nats_host, (SERVICE, TenancySettings(admin_token_file=file))) as process:
        await process.informer.current()
        assert process.informer.get(CREDENTIAL, model.name_of(token)) is not None


async def test_while_the_bus_is_away_it_is_not_ready_and_what_waits_is_done_afterwards(
    fresh_nats_host: NatsHost, tmp_path: Path
) -> None:
    file, token = tmp_path / "admin.token", new_token()
    file.write_text(new_token())
    async with serving(fresh_nats_host, (SERVICE, TenancySettings(admin_token_file=file))) as process:
        fresh_nats_host.kill()
        file.write_text(token)
        await eventually(lambda: process.problem != "", 20)
        fresh_nats_host.start()
        await eventually(lambda: not process.problem, 20)
        await eventually(lambda: process.informer.get(CREDENTIAL, model.name_of(token)) is not None, 20)
