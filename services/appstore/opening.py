"""The beginning of the App Store, before its parts: its buckets, AppStore host, and what all parts share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.appstore.checking import Checks
from services.appstore.credentials import Credentials
from services.appstore.helm.lookup import Lookup
from services.appstore.packages import Packages
from services.appstore.parts import AppStoreContext, AppStoreState
from services.appstore.people import People
from services.appstore.repositories.packages import RepositoryPackages
from services.appstore.switching import Switch, ensure
from skerry import subjects
from skerry.access import Access
from skerry.api.kinds import APP_STORE, APP_VERSION
from skerry.bus import BucketConfig
from skerry.http.outbound import fetch
from skerry.informer.granted import follow
from skerry.storage.sealed import Keyring


@asynccontextmanager
async def opened(context: AppStoreContext) -> AsyncIterator[AppStoreState]:
    """AppStore host, which is there from now on, and what is kept beside it."""
    sealed = await context.bus.bucket(subjects.APP_STORE, create=BucketConfig(replicas=context.replicas))
    credentials = Credentials(sealed, Keyring(context.settings.app_store_secrets_key_file, context.name))
    await ensure(context.store(APP_STORE))
    access = Access()
    context.closing.callback(follow(context.informer, access))
    switch, helm = Switch(context.informer), Lookup()
    origins = RepositoryPackages(context.informer, switch, credentials, fetch, context.settings.app_store_fetch_s)
    packages = Packages(await context.bus.objects(subjects.PACKAGES), origins.fetch)
    checks = Checks(context.store(APP_VERSION), packages, helm)
    yield AppStoreState(switch, People(access), helm, packages, checks, credentials)
