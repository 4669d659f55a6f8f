"""A process of some services of the controller-manager: `python -m bench.services registry tenancy`; without one, of none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from skerry.identity.services import CONTROLLER_MANAGER, services_of
from skerry.service import Service, run
from skerry.settings import Settings


class NoSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None."""


def available() -> list[str]:
    """The services of the controller-manager, as the service table has them."""
    return [service.name for service in services_of(CONTROLLER_MANAGER)]


def values(names: Sequence[str]) -> list[Service[Any, Any]]:
    """The services; one that does nothing in place of none. A module is imported only if its service is asked for."""
    nothing: Service[Any, Any] = Service(name="nothing", settings=NoSettings)
    return [import_module(f"services.{name}.service").SERVICE for name in names] or [nothing]


if __name__ == "__main__":
    run(*values(sys.argv[1:]), name=CONTROLLER_MANAGER)
