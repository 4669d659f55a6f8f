"""Room for packages: what no version has any more goes, the least used beyond the limit of AppStore host, and what writers left
that were killed.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.appstore.catalogue.versions import BY_VERSION, users_of, versions_wanted
from services.appstore.parts import AppStoreContext
from skerry.api.kinds import APP_RELEASE, APP_VERSION
from skerry.controller.controller import After, Controller
from skerry.storage import Item

BY_DIGEST = "digest"
"""Index of AppVersions, and of AppReleases: by the package that they have, want, or could go back to."""
PACKAGES, CHUNKS = "packages", "chunks"
"""What is looked at."""
EVERY_S, CHUNKS_EVERY_S = 600.0, 3600.0


def digest_of(item: Item) -> Iterable[str]:
    """What the index has for an AppVersion."""
    digest = (item.document().get("status") or {}).get("digest")
    return (digest,) if digest else ()


def digests_of(item: Item) -> Iterable[str]:
    """What the index has for an AppRelease."""
    status = item.document().get("status") or {}
    return {
        each for each in (status.get("digest"), *(one.get("digest") for one in status.get("history") or ())) if each
    }


def sweeps(context: AppStoreContext) -> Controller[str]:
    """A look at packages every ten minutes and at chunks of none every hour, on one replica."""
    informer, state = context.informer, context.state
    informer.index(APP_VERSION, BY_DIGEST, digest_of)
    informer.index(APP_RELEASE, BY_DIGEST, digests_of)
    informer.index(APP_RELEASE, BY_VERSION, versions_wanted)

    async def reconcile(key: str) -> After:
        if key == CHUNKS:
            await state.packages.sweep_chunks()
            return After(CHUNKS_EVERY_S)
        await informer.current()
        await state.packages.sweep(
            lambda digest: bool(informer.lookup(APP_VERSION, BY_DIGEST, digest) or pinned(digest)),
            pinned,
            state.switch.limit_bytes("storageMiB"),
        )
        return After(EVERY_S)

    def pinned(digest: str) -> bool:
        """True of a package that a release has, wants or could go back to, also of one whose digest was not known to it then."""
        if informer.lookup(APP_RELEASE, BY_DIGEST, digest):
            return True
        versions = informer.lookup(APP_VERSION, BY_DIGEST, digest)
        return any(users_of(informer, each.namespace, each.document()["spec"]) for each in versions)

    controller: Controller[str] = context.controller(PACKAGES, reconcile, leader=True)
    controller.add(PACKAGES)
    controller.add(CHUNKS)
    return controller
