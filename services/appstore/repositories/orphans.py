"""Versions that outlive their repository: those that a release uses, or could go back to, stay, and say that it was removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from services.appstore.byapp import versions_of
from services.appstore.catalogue.versions import versions_wanted
from services.appstore.repositories.planning import orphaned
from skerry.api.kinds import APP_RELEASE, APP_REPOSITORY
from skerry.api.meta import Document
from skerry.errors import NotFound
from skerry.informer import View
from skerry.storage import Item, Store


async def tell(informer: View, store: Store, now: float) -> None:
    """Have each of them say so, in the store of AppVersions. `now` is Unix time in seconds. StatusError."""

    def told(document: Document) -> Document | None:
        return orphaned(document, now) if is_orphan(informer, document) else None

    for item in list(_used(informer)):
        if is_orphan(informer, item.document()):
            with suppress(NotFound):
                await store.modify(item.name, told, item.namespace)


def is_orphan(informer: View, version: Document) -> bool:
    """True of an AppVersion from a repository that is not there."""
    repository = version["spec"].get("repository")
    return bool(repository) and informer.get(APP_REPOSITORY, repository, version["metadata"]["namespace"]) is None


def _used(informer: View) -> Iterator[Item]:
    """AppVersions that releases use: there are few, however many are listed."""
    for place in {place for release in informer.list(APP_RELEASE) for place in versions_wanted(release)}:
        app, _, version = place.rpartition("@")
        namespace, _, name = app.partition("/")
        for item in versions_of(informer, namespace, name):
            if item.document()["spec"].get("version") == version:
                yield item
