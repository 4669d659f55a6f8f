"""Clusters that wait for approval: somebody lets them in or turns them away, or their time ends.

Approving writes the Cluster, which is all that counts. Its agent asks by itself, ever more seldom; so it is called, again and again
until it was heard, and by every look at a Cluster that was approved just now: whoever approved it may have died meanwhile.
Denying writes it too, then has it removed as any other: what was begun is finished by a look.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from services.registry import approval, clusters
from services.registry.clock import Clock
from services.registry.model import Now
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry import subjects
from skerry.api.approval import ClusterDecision
from skerry.api.conditions import awaits_approval
from skerry.api.kinds import CLUSTER
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound, StatusError
from skerry.service import Context

log = logging.getLogger("skerry.registry")

AT_MOST_S = 3600.0
"""Between two looks at who waits: clocks are set, and the end of its time is by the wall's."""
CALL_S = 1.0
"""Between two calls."""

Decide = Callable[[Document, str, str, Now], Document]


class Approvals:
    """Answers decisions, and looks after those on whom nobody decides. `evict(name)` removes who was marked for deletion."""

    def __init__(
        self,
        context: Context[RegistrySettings, Any],
        registry: RegistryStore,
        evict: Callable[[str], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._registry, self._evict, self._clock, self._bus = registry, evict, clock, context.bus
        self.controller: Controller[str] = context.controller("approvals", self.reconcile, leader=True)
        context.follow(CLUSTER, self.controller)

    async def approve(self, request: WriteRequest, body: ClusterDecision) -> Document:
        """Let a cluster in. Conflict if it does not wait, NotFound."""
        cluster = await self._decided(request, body, approval.approved)
        if not request.options.dry_run:
            log.info("approved", extra={"cluster": request.name, "by": request.caller.user})
            try:
                await self._call(cluster)
            except StatusError as error:
                log.warning(
                    "an approved cluster could not be called", extra={"cluster": request.name, "error": error.message}
                )
        return cluster

    async def deny(self, request: WriteRequest, body: ClusterDecision) -> Document:
        """Turn a cluster away. Conflict if it does not wait, NotFound."""
        cluster = await self._decided(request, body, approval.denied)
        if not request.options.dry_run:
            log.info("denied", extra={"cluster": request.name, "by": request.caller.user})
            await self._remove(cluster)
        return cluster

    async def _decided(self, request: WriteRequest, body: ClusterDecision, decide: Decide) -> Document:
        def change(document: Document) -> Document:
            return decide(document, request.caller.user, body.reason, self._clock())

        name = request.name
        if request.options.dry_run:
            return change(await self._registry.get_cluster(name))
        return (await self._registry.clusters.modify(name, change)).document()

    async def _remove(self, cluster: Document) -> None:
        metadata = cluster["metadata"]
        with suppress(NotFound):
            await self._registry.clusters.delete(metadata["name"], uid=metadata["uid"])
            await self._evict(metadata["name"])

    async def _call(self, cluster: Document) -> None:
        """Its account first: until the bus has it, its agents hear nothing. StatusError."""
        registry, name = self._registry, cluster["metadata"]["name"]
        secret = await registry.secret_of(name, cluster)
        if secret is None:
            return  # it is just joining, and its answer says so
        await registry.resolver.push(registry.account(cluster, secret).jwt)
        await self._bus.publish(subjects.approved(name), b"")

    async def reconcile(self, name: str) -> After | None:
        """Look at one cluster. StatusError."""
        item, now = self._registry.cache.get(CLUSTER, name), self._clock()
        if item is None or name == clusters.HOST:
            return None
        document = item.document()
        if clusters.is_leaving(document):
            return None
        if awaits_approval(document):
            return await self._waiting(document, now)
        if not approval.is_called(document, now):
            return None
        await self._call(document)
        return After(CALL_S)

    async def _waiting(self, document: Document, now: Now) -> After | None:
        """Until somebody decides, or for as long as may be."""
        name, left_s = document["metadata"]["name"], approval.left_s(document, now)
        if not approval.is_denied(document):
            if left_s > 0:
                return After(min(left_s, AT_MOST_S))
            log.warning("nobody approved a cluster in time", extra={"cluster": name})
            document = (await self._registry.clusters.modify(name, self._expired)).document()
        if approval.is_denied(document):
            await self._remove(document)
        return None

    def _expired(self, document: Document) -> Document | None:
        return approval.expired(document, self._clock()) if approval.waits(document) else None
