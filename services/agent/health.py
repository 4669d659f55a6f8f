"""How the member's API server is doing, for the heartbeat: asked every 10 s with the agent's own credential.

The first good answer after a start also repairs the bindings, and compares the cluster's identity with the one that
joined: a kubeconfig that was pointed at another cluster must not make that one appear under this one's name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.agent.store import Membership
from skerry.errors import StatusError
from skerry.member import bindings, probe
from skerry.member.credentials import CredentialError
from skerry.member.upstream import Upstream

log = logging.getLogger("skerry.agent")

SLOW_EVERY = 30
"""Version and number of nodes are asked at every 30th check: 5 minutes."""


class Health:
    """What is known now; read by the heartbeat and by the relay."""

    def __init__(self, upstream: Upstream, membership: Membership) -> None:
        self._upstream, self._membership = upstream, membership
        self._checks = 0
        self._ensured = False
        self.healthy = True
        self.message = ""
        self.version = ""
        self.nodes: int | None = None
        self.uid = membership.cluster_uid
        self.impostor = ""
        """Why nothing may be relayed: another cluster answers. Empty otherwise."""
        self.known = asyncio.Event()
        """After the first check."""

    async def keep(self, every_s: float) -> None:
        """Check for ever."""
        while True:
            await self.check()
            await asyncio.sleep(every_s)

    async def check(self) -> None:
        """One check; never raises for what the API server does."""
        problem = await self._problem(self._ready)
        if not problem and not self._ensured:
            problem = await self._problem(self._first)
        if not problem and self._checks % SLOW_EVERY == 0:
            problem = await self._problem(self._facts)
            self._checks += not problem
        elif not problem:
            self._checks += 1
        if problem != self.message:
            log.log(
                logging.WARNING if problem else logging.INFO, "the API server", extra={"state": problem or "answers"}
            )
        self.healthy, self.message = not problem, problem
        self.known.set()

    async def _problem(self, step: Callable[[], Awaitable[str]]) -> str:
        try:
            return await step()
        except StatusError as e:
            return e.message
        except CredentialError as e:
            return str(e)

    async def _ready(self) -> str:
        return await probe.unready(self._upstream)

    async def _first(self) -> str:
        answer = await self._upstream.call("GET", "/api/v1/namespaces/kube-system")
        uid = (answer.document().get("metadata") or {}).get("uid", "")
        joined = self._membership.cluster_uid
        if answer.status == 200 and uid != joined:
            self.impostor = (
                f"{self._upstream.url} is another cluster ({uid}) than the one that joined as "
                f"{self._membership.member!r} ({joined}): point the agent's kubeconfig at the right one, or join anew"
            )
            return self.impostor
        self.impostor = ""
        await bindings.ensure(self._upstream)
        await bindings.mark(self._upstream, self._membership.host, self._membership.host_uid)
        self._ensured = True
        return ""

    async def _facts(self) -> str:
        self.version, self.nodes = await probe.facts(self._upstream)
        return ""
