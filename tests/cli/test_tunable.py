"""Numbers that `up` passes on exist in the services that get them: a name that does not would stop the process."""

from __future__ import annotations

import msgspec
import pytest

from services.appstore.settings import AppStoreSettings
from services.events.settings import EventsSettings
from services.proxy.settings import ProxyLimits, ProxySettings
from services.registry.settings import RegistrySettings
from services.tenancy.settings import TenancySettings
from skerry.cli.bootstrap import TUNABLE


@pytest.mark.parametrize(
    ("process", "settings"),
    [
        ("controller-manager", (RegistrySettings, TenancySettings, AppStoreSettings, EventsSettings)),
        ("tower", (ProxySettings,)),
    ],
)
def test_every_number_that_is_passed_on_is_a_setting_of_its_process(
    process: str, settings: tuple[type[msgspec.Struct], ...]
) -> None:
    known = {f"SKERRY_{field.name.upper()}" for each in settings for field in msgspec.structs.fields(each)}
    assert set(TUNABLE[process]) <= known


def test_every_limit_of_the_front_door_is_passed_on() -> None:
    assert {f"SKERRY_{field.name.upper()}" for field in msgspec.structs.fields(ProxyLimits)} <= set(TUNABLE["tower"])
