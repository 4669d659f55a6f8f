"""Level-triggered work for identity providers: every replica has their keys, and one says how they are.

Each replica answers reviews of tokens, so each fetches keys for itself; the status is written where tenancy leads, of what that
replica saw. A provider that changed is looked at at once, and so are all others: which of two that exclude each other counts
may have changed with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from services.tenancy.controllers import TenancyContext
from services.tenancy.keyring import KeyRings
from services.tenancy.providers import provider_of, taken
from skerry.api.conditions import Verdict, new_condition, with_condition
from skerry.api.identities import IdentityProvider
from skerry.api.kinds import IDENTITY_PROVIDER
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound
from skerry.informer import View
from skerry.storage import Item, Store

AT_ONCE = 8
"""Providers that are asked at the same time: one that does not answer holds up no other."""
READY = "Ready"


def providers(context: TenancyContext) -> Controller[str]:
    """Keys are fetched when they are due. Each generation of a provider is a key of its own: a look at one that does not answer
    holds up nothing that its administrator changed meanwhile.
    """
    work = ProviderKeys(context.informer, context.state.rings, time.time)
    controller = context.controller("providers", work.reconcile, workers=AT_ONCE, finishes=False)

    def everyone(item: Item) -> Iterable[str]:
        return {generation_of(each) for each in (item, *context.informer.list(IDENTITY_PROVIDER))}

    return context.follow(IDENTITY_PROVIDER, controller, everyone)


def providers_status(context: TenancyContext) -> Controller[str]:
    """The condition follows what is seen of a provider."""
    store = context.store(IDENTITY_PROVIDER, leader=True)
    work = ProviderStatus(store, context.informer, context.state.rings, time.time)
    controller = context.controller("providers-status", work.reconcile, leader=True)
    context.state.rings.changed = controller.add
    return context.follow(IDENTITY_PROVIDER, controller)


class ProviderKeys:
    """See `providers`. `now` is Unix time in seconds."""

    def __init__(self, informer: View, rings: KeyRings, now: Callable[[], float]) -> None:
        self._informer, self._rings, self._now = informer, rings, now

    async def reconcile(self, key: str) -> After | None:
        """Have the keys of one generation of a provider."""
        name, _, generation = key.rpartition("@")
        provider = known(self._informer, name)
        if provider is None:
            self._rings.forget(name)
            return None
        if str(provider.metadata.generation) != generation:
            return None
        ring = self._rings.ring(name, provider.metadata.uid, provider.spec)
        await ring.refresh(provider.spec)
        self._rings.changed(name)
        return After(max(ring.due - self._now(), 0.1))


class ProviderStatus:
    """See `providers_status`. `now` is Unix time in seconds."""

    def __init__(self, store: Store, informer: View, rings: KeyRings, now: Callable[[], float]) -> None:
        self._store, self._informer, self._rings, self._now = store, informer, rings, now

    async def reconcile(self, name: str) -> None:
        """Write the status of one provider, if it is another."""
        provider = known(self._informer, name)
        if provider is None:
            return
        verdict, keys, fetched = self._seen(provider)

        def changed(document: Document) -> Document | None:
            metadata = document["metadata"]
            if (metadata.get("uid"), metadata.get("generation", 0)) != (
                provider.metadata.uid,
                provider.metadata.generation,
            ):
                return None  # what was seen is of another one: that comes by itself
            return with_status(document, verdict, keys, fetched, self._now())

        try:
            await self._store.modify(name, changed)
        except NotFound:
            return

    def _seen(self, provider: IdentityProvider) -> tuple[Verdict, int, float]:
        name = provider.metadata.name
        if why := set_aside(self._informer, name):
            return Verdict("False", "Taken", f"it does not count: {why}"), 0, 0.0
        ring = self._rings.ring(name, provider.metadata.uid, provider.spec)
        return ring.verdict, sum(map(len, ring.keys.values())), ring.fetched


def generation_of(item: Item) -> str:
    """The key of `providers` for an object as it is."""
    return f"{item.name}@{item.document()['metadata'].get('generation', 0)}"


def known(informer: View, name: str) -> IdentityProvider | None:
    """The provider of this name, unless it is going."""
    item = informer.get(IDENTITY_PROVIDER, name)
    if item is None or "deletionTimestamp" in item.document()["metadata"]:
        return None
    return provider_of(item.document())


def set_aside(informer: View, name: str) -> str:
    """Why a stored provider does not count beside the others, for people; empty if it does."""
    documents = {item.name: item.document() for item in informer.list(IDENTITY_PROVIDER)}
    own = documents.pop(name, None)
    return "" if own is None else taken(own, documents.values())


def with_status(document: Document, verdict: Verdict, keys: int, fetched: float, now: float) -> Document:
    """A provider with what was seen of it."""
    status = document.get("status") or {}
    condition = new_condition(READY, verdict, now) | {"observedGeneration": document["metadata"].get("generation", 0)}
    seen = {"conditions": with_condition(status.get("conditions") or [], condition), "keys": keys}
    return {**document, "status": {**status, **seen, **({"fetched": rfc3339(fetched)} if fetched else {})}}
