"""A service for tests: no kinds of its own, rights of `anybody`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skerry.api.kinds import CLUSTER
from skerry.controller.controller import After, Controller
from skerry.service import Context, Service
from skerry.settings import Settings


class NoSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None."""


Make = Callable[[Context[NoSettings, Any]], Controller[Any]]


def service(name: str, *controllers: Make, **more: Any) -> tuple[Service[NoSettings, Any], NoSettings]:
    """A service and its settings."""
    return Service(name=name, settings=NoSettings, controllers=controllers, needs=(CLUSTER,), **more), NoSettings()


def one_key(name: str, reconcile: Callable[[str], Any], *, leader: bool = False) -> Make:
    """A controller with the single key `key`, due at once."""

    def make(context: Context[NoSettings, Any]) -> Controller[str]:
        async def call(key: str) -> After | None:
            answer: After | None = await reconcile(key)
            return answer

        controller: Controller[str] = context.controller(name, call, leader=leader)
        controller.add("key")
        return controller

    return make
