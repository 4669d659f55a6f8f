"""Which trust roots the agents of members believe, and what they are told while the host's is replaced.

An agent says with each heartbeat which it believes. Who believes others than it should is told so, with a signature by a root
that it has; who has the new one is noted with its member's secret, so that nobody is dropped who is only silent, and one who
was heard before a restart counts.
"""

from __future__ import annotations

from typing import Any

from services.registry.clock import Clock
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.service import Context

LOOK_S = 0.5
"""Between two looks at the keys: heartbeats come a thousand times a second."""
MOST = 64
"""Agents of one member that are noted: names of agents are what they say."""


class Trust:
    """See the module. `heard` is called inline with each heartbeat; its controller notes what was heard."""

    def __init__(self, context: Context[RegistrySettings, Any], registry: RegistryStore, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self._looked, self._roots, self._replacing = float("-inf"), tuple[str, ...](), False
        self._heard: dict[str, dict[str, str]] = {}
        """By member and agent: the newest root that was heard while one is replaced."""
        self.controller = context.controller("trust", self.reconcile)

    def heard(self, member: str, agent: str, roots: tuple[str, ...]) -> str:
        """What the agent is to be told; empty if it believes what it should, or knows nothing of replacements."""
        self._look()
        if not roots:
            return ""
        if roots != self._roots:
            return self._registry.authority.trust_statement()
        if self._replacing:
            self._note(self._heard.setdefault(member, {}), member, agent, roots[-1])
        return ""

    def _note(self, heard: dict[str, str], member: str, agent: str, root: str) -> None:
        if heard.get(agent) != root and (agent in heard or len(heard) < MOST):
            heard[agent] = root
            self.controller.add(member)

    def _look(self) -> None:
        now = self._clock().mono
        if now - self._looked < LOOK_S:
            return
        authority = self._registry.authority
        self._looked, self._roots = now, authority.trust_roots()
        self._replacing = "assertion" in authority.public.replacements
        if not self._replacing:
            self._heard.clear()

    async def reconcile(self, member: str) -> None:
        """Note what was heard of a member. StatusError: tried again."""
        if heard := self._heard.get(member):
            await self._registry.secrets.believes(member, dict(heard))
