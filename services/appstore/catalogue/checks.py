"""The versions that are looked into before anybody asks: workspaces take turns, so that one whose repository lists thousands, or
answers a byte a second, holds up no other.
"""

from __future__ import annotations

from contextlib import suppress

from services.appstore.checking import Checks, is_due
from services.appstore.parts import AppStoreContext, workspace_of
from skerry.api.kinds import APP_VERSION
from skerry.controller.controller import Controller
from skerry.errors import NotFound
from skerry.informer import View
from skerry.storage import Item

AT_ONCE = 4
"""Versions that are looked into at once; half of them of one workspace."""


def checks(context: AppStoreContext) -> Controller[str]:
    """Versions that are due are looked into."""
    work = _Due(context.state.checks, context.informer)
    controller: Controller[str] = context.controller(
        "checks", work.reconcile, workers=AT_ONCE, leader=True, owner=workspace_of
    )
    return context.follow(APP_VERSION, controller, _due)


def _due(item: Item) -> tuple[str, ...]:
    return (f"{item.namespace}/{item.name}",) if is_due(item.document()) else ()


class _Due:
    def __init__(self, work: Checks, informer: View) -> None:
        self._work, self._informer = work, informer

    async def reconcile(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        item = self._informer.get(APP_VERSION, name, namespace)
        if item is not None and is_due(item.document()):
            with suppress(NotFound):
                await self._work.check(name, namespace)
