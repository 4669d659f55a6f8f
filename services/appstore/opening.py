"""The beginning of the App Store, before its parts: its buckets, AppStore host, and what all parts share."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.appstore.catalogue.searching import feed
from services.appstore.checking import Checks
from services.appstore.credentials import Credentials
from services.appstore.delegations import Delegations, asking
from services.appstore.helm.lookup import Lookup
from services.appstore.helm.memory import memory_room
from services.appstore.helm.slots import Slots
from services.appstore.packages import Packages
from services.appstore.parts import AppStoreContext, AppStoreState
from services.appstore.people import People
from services.appstore.releases import room
from services.appstore.repositories.packages import RepositoryPackages
from services.appstore.search import Search
from services.appstore.switching import Switch, ensure
from skerry import subjects
from skerry.access import Access
from skerry.api.kinds import APP_STORE, APP_VERSION
from skerry.http.outbound import fetch
from skerry.informer.granted import follow


@asynccontextmanager
async def opened(context: AppStoreContext) -> AsyncIterator[AppStoreState]:
    """AppStore host, which is there from now on, and what is kept beside it."""
    settings = context.settings
    sealed = await context.bus.bucket(subjects.APP_STORE)
    keyring = settings.keyring(context.name)
    credentials = Credentials(sealed, keyring)
    await ensure(context.store(APP_STORE))
    access = Access()
    context.closing.callback(follow(context.informer, access))
    switch = Switch(context.informer)
    helm = Lookup(environ={**os.environ, "SKERRY_HELM": settings.helm}) if settings.helm else Lookup()
    origins = RepositoryPackages(context.informer, switch, credentials, fetch, settings.app_store_fetch_s)
    packages = Packages(await context.bus.objects(subjects.PACKAGES), origins.fetch)
    renders = Slots(settings.app_store_workers, memory_room)
    checks = Checks(context.store(APP_VERSION), packages, helm, renders)
    delegations = Delegations(asking(context.bus), time.time)
    shared = room.Shared(switch, sealed, keyring, helm, checks, delegations)
    search = Search()
    context.closing.callback(feed(context.informer, search))
    async with room.opened(context, shared) as releases:
        yield AppStoreState(switch, People(access), helm, packages, checks, credentials, releases, search, renders)
