"""What the parts of the App Store share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from services.appstore.people import People
from services.appstore.settings import AppStoreSettings
from services.appstore.switching import Switch, ensure
from skerry import subjects
from skerry.access import Access
from skerry.api.kinds import APP_STORE
from skerry.bus import BucketConfig
from skerry.informer.granted import follow
from skerry.service import Context


class AppStoreState(NamedTuple):
    """What the parts of the App Store share."""

    switch: Switch
    people: People


AppStoreContext = Context[AppStoreSettings, AppStoreState]


@asynccontextmanager
async def opened(context: AppStoreContext) -> AsyncIterator[AppStoreState]:
    """AppStore host, which is there from now on, and the bucket of what is sealed."""
    await context.bus.bucket(subjects.APP_STORE, create=BucketConfig(replicas=context.replicas))
    await ensure(context.store(APP_STORE))
    access = Access()
    context.closing.callback(follow(context.informer, access))
    yield AppStoreState(Switch(context.informer), People(access))
