"""Which connections there are when this process begins to hear: the end of a member's last one is then known to be that.

Events tell what begins and ends; what was there before they must be asked for, or an agent that is killed after the registry
was restarted would be called away 12 s later and not 2.5 (model.py). One server is asked: where there are more, none can be
known to have told all, and patience stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from services.registry.model import Connected, PresenceTable
from services.registry.settings import RegistrySettings
from skerry.controller.controller import After
from skerry.errors import StatusError
from skerry.identity.resolver import OVERLAP, Resolver
from skerry.service import Context

log = logging.getLogger("skerry.registry")

LOOK_S, AGAIN_S = 0.5, 10.0


def epoch_of(name: str) -> str:
    """Of the process that a connection of an agent is of, by its name: `<nkey>/<class>/<epoch>`. A member says what it likes."""
    return name.rpartition("/")[2][:128]


class Census:
    """Asks for all connections whenever the presence of members begins anew."""

    def __init__(
        self,
        context: Context[RegistrySettings, Any],
        resolver: Resolver,
        presence: PresenceTable,
        own: frozenset[str],
        changed: Callable[[set[str]], None],
    ) -> None:
        """Connections of the accounts `own` are no member's."""
        self._resolver, self._presence, self._own, self._changed = resolver, presence, own, changed
        self._seen = self._told = 0
        self.controller = context.controller("connections", self._look)
        self.controller.add("bus")

    async def _look(self, key: str) -> After:
        listening = self._presence.listening
        if listening != self._seen:  # subscriptions may be on their way: who connects before them is in no event
            self._seen = listening
        elif listening != self._told:
            try:
                connections = await self._resolver.connections()
            except StatusError as error:
                log.info("the bus does not tell its connections", extra={"reason": error.message})
                return After(AGAIN_S)
            if connections is not None:
                members = (
                    Connected(each.name, each.key, each.user, epoch_of(each.said))
                    for each in connections
                    if each.account not in self._own
                )
                changed = self._presence.listed(listening, members, OVERLAP)
                if changed is None:
                    return After(AGAIN_S)
                self._changed(changed)
            self._told = listening
        return After(LOOK_S)
