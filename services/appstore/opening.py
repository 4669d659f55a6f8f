"""The beginning of the App Store, before its parts: its buckets, AppStore host, and what all parts share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.appstore.checking import Checks
from services.appstore.helm.lookup import Lookup
from services.appstore.packages import Packages
from services.appstore.parts import AppStoreContext, AppStoreState
from services.appstore.people import People
from services.appstore.switching import Switch, ensure
from skerry import subjects
from skerry.access import Access
from skerry.api.kinds import APP_STORE, APP_VERSION
from skerry.api.meta import Document
from skerry.bus import BucketConfig
from skerry.errors import Conflict
from skerry.informer.granted import follow


@asynccontextmanager
async def opened(context: AppStoreContext) -> AsyncIterator[AppStoreState]:
    """AppStore host, which is there from now on, and what is kept beside it."""
    await context.bus.bucket(subjects.APP_STORE, create=BucketConfig(replicas=context.replicas))
    await ensure(context.store(APP_STORE))
    access = Access()
    context.closing.callback(follow(context.informer, access))
    helm = Lookup()
    packages = Packages(await context.bus.objects(subjects.PACKAGES), fetched)
    yield AppStoreState(
        Switch(context.informer), People(access), helm, packages, Checks(context.store(APP_VERSION), packages, helm)
    )


async def fetched(version: Document) -> bytes:
    """The package of a version that was not uploaded."""
    raise Conflict(f"{version['metadata']['name']} is from no repository")
