"""Admission of Clusters and JoinTokens."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from services.registry import clusters, holds, joining
from services.registry.clock import Clock, wall_and_mono
from services.registry.store import RegistryStore
from skerry.admission import Admitted, Rules
from skerry.admission.prepare import invalid_object
from skerry.api import messages
from skerry.api.messages import Token, WriteRequest
from skerry.api.meta import Document
from skerry.errors import Forbidden, StatusError
from skerry.identity import jointoken
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

AFTERLIFE_S = 300
"""A bearer can still ask for so long after its token has ended, to be told so in words and not by a cut connection."""


class TokenRules(Rules):
    """Writes of JoinTokens: the secret is made here, shown in the answer to create, and forgotten."""

    def __init__(self, registry: RegistryStore, clock: Clock = wall_and_mono) -> None:
        super().__init__()
        self._registry = registry
        self._clock = clock

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A bearer of the account JOIN that may publish `join.<jti>` only, and the JoinToken that stands for it."""
        now = self._clock().wall
        admitted = joining.admit_token(document, datetime.fromtimestamp(now, UTC))
        settings = self._registry.settings
        token = Token(
            format=messages.FORMAT,
            host=settings.host_name,
            host_uid=settings.host_uid,
            name=admitted.cluster,
            jti=admitted.jti,
            jwt=self._registry.authority.join_bearer(admitted.jti, max(int(admitted.expires - now), 1) + AFTERLIFE_S),
            servers=settings.bus_public,
            ca=self._registry.ca_pem,
            expires=admitted.expires,
        )
        return Admitted(admitted.document, {"token": jointoken.encode(token)})


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
