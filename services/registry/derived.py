"""Objects that stand for an account on the bus which follows from their id: join tokens, inspection credentials.

Nothing of such an account is kept but the object, which says until when it is. Both end by themselves. One that is deleted before
leaves a tombstone on the bus until then, which cuts who uses it; a bus that lost the account is given it again.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from services.registry import clusters
from services.registry.clock import Clock
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.api.kinds import Kind
from skerry.api.meta import Document
from skerry.api.times import seconds
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound, StatusError
from skerry.service import Context
from skerry.storage import Store

log = logging.getLogger("skerry.registry")

KEEP_S = 3600.0
"""An object whose time is over is shown for so long."""
AT_MOST_S = 60.0
"""Between two looks at one: clocks are set, and its end is by the wall's."""


class Maker(Protocol):
    """How the accounts of one kind are made."""

    kind: Kind
    afterlife_s: int
    """So long an account is there after its object says that it is over."""

    def jwt(self, document: Document, ends: int) -> str:
        """The account, which ends by itself at `ends`, Unix seconds."""

    def public(self, document: Document) -> str:
        """Its public key."""

    def tombstone(self, document: Document) -> str:
        """The JWT that ends it before."""


class DerivedAccounts:
    """The accounts of one kind on the bus."""

    def __init__(self, maker: Maker, store: Store, registry: RegistryStore, clock: Clock) -> None:
        self._maker, self._store, self._clock = maker, store, clock
        self._view, self._resolver, self._authority = registry.cache, registry.resolver, registry.authority

    async def push(self, document: Document) -> None:
        """Have the bus hold the account of an object that is not over. StatusError."""
        await self._resolver.push(self._maker.jwt(document, int(self._ends(document))))

    async def restore(self, held: frozenset[str], *, anew: bool = False) -> None:
        """Give the bus the accounts of all living objects that are not among those it holds, or, `anew`, all as they are signed
        now. StatusError."""
        for item in self._view.list(self._maker.kind):
            await self._restore(item.document(), held, anew=anew)

    async def _restore(self, document: Document, held: frozenset[str], *, anew: bool) -> None:
        if not _has_account(document) or self._ends(document) <= self._clock().wall:
            return
        metadata, account = document["metadata"], self._maker.public(document)
        if (account in held and not anew) or clusters.is_leaving(document):
            return
        await self.push(document)
        if account not in held:
            log.warning(
                "the bus did not hold an account and was given it",
                extra={"kind": self._maker.kind.kind, "object": metadata["name"]},
            )
        stored = await self._store.find(metadata["name"])
        if stored is None or stored.uid != metadata["uid"] or clusters.is_leaving(stored.document()):
            await self._resolver.push(self._maker.tombstone(document))

    async def end(self, document: Document) -> None:
        """End the account of an object that is marked for deletion, then the object. Idempotent. StatusError."""
        if self._ends(document) <= self._clock().wall:
            # No server takes it any more, also one that was down: it has an end.
            await self._resolver.delete(self._authority, [self._maker.public(document)])
        else:
            await self._resolver.push(self._maker.tombstone(document))
        metadata = document["metadata"]
        await self._store.finalize(metadata["name"], metadata["uid"], clusters.FINALIZER)

    async def end_soon(self, document: Document) -> None:
        """`end`; if that fails the object stays, marked, and the controller tries again."""
        try:
            await self.end(document)
        except StatusError as error:
            log.warning(
                "the end of an account is not finished",
                extra={"kind": self._maker.kind.kind, "object": document["metadata"]["name"], "error": error.message},
            )

    def controller(self, context: Context[RegistrySettings, Any]) -> Controller[str]:
        """Objects go an hour after their time is over, and when they are deleted."""
        name = self._maker.kind.plural
        return context.follow(self._maker.kind, context.controller(name, self.reconcile))

    async def reconcile(self, name: str) -> After | None:
        """End the object `name` if it is marked for deletion, mark it if it has been over for KEEP_S. StatusError."""
        item = self._view.get(self._maker.kind, name)
        if item is None:
            return None
        document = item.document()
        if clusters.is_leaving(document):
            if _has_account(document):
                await self.end(document)
            return None
        left = seconds(document["status"]["expires"]) + KEEP_S - self._clock().wall
        if left > 0:
            return After(min(left, AT_MOST_S))
        try:
            await self._store.delete(name, uid=item.uid)
        except NotFound:
            log.debug("another replica was faster", extra={"object": name})
        return None

    def _ends(self, document: Document) -> float:
        return seconds(document["status"]["expires"]) + self._maker.afterlife_s


def _has_account(document: Document) -> bool:
    """False for a join token that was made when all shared the account JOIN."""
    return clusters.FINALIZER in document["metadata"].get("finalizers", ())
