"""Admission of Clusters."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from services.registry import clusters, holds
from services.registry.clock import Clock, wall_and_mono
from skerry.admission import Admitted, Rules
from skerry.admission.prepare import invalid_object
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.errors import Forbidden, StatusError
from skerry.storage import Item

log = logging.getLogger("skerry.registry")


class ClusterRules(Rules):
    """Writes of Clusters: the host stays, a member is evicted."""

    def __init__(self, evict: Callable[[str], Awaitable[None]], clock: Clock = wall_and_mono) -> None:
        super().__init__()
        self._evict, self._clock = evict, clock

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """Labels, annotations, provider, region and how it is held back are the administrators'; Invalid for what joining
        decided, and for a hold that cannot be.
        """
        document = holds.tidied(current, document)
        broken = clusters.change_problems(current, document)
        broken += holds.problems(current, document, self._clock().wall)
        if broken:
            raise invalid_object(document, broken)
        return Admitted(document)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Forbidden for the host."""
        if not clusters.is_member(current.document()):
            raise Forbidden(
                f"cluster {current.name!r} is the host itself and cannot be deleted: to end it, use skerry down",
                kind="clusters",
                name=current.name,
            )

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """Evict the member now; if that fails the object stays, marked, and the controller tries again."""
        try:
            await self._evict(current.name)
        except StatusError as error:
            log.warning("the removal is not finished", extra={"cluster": current.name, "error": error.message})
