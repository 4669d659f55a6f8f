"""What the parts of the App Store share."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from services.appstore.checking import Checks
from services.appstore.credentials import Credentials
from services.appstore.helm.lookup import Lookup
from services.appstore.helm.slots import Slots
from services.appstore.oci import Fetch
from services.appstore.packages import Packages
from services.appstore.people import People
from services.appstore.releases.room import ReleaseState
from services.appstore.search import Search
from services.appstore.settings import AppStoreSettings
from services.appstore.switching import Switch
from skerry.http.outbound import fetch
from skerry.service import Context


class AppStoreState(NamedTuple):
    """What the parts of the App Store share."""

    switch: Switch
    people: People
    helm: Lookup
    packages: Packages
    checks: Checks
    credentials: Credentials
    releases: ReleaseState
    search: Search
    renders: Slots
    """Slots for renders, which are short and wait for no operation."""
    fetch: Fetch = fetch
    """How addresses are fetched that people gave."""


AppStoreContext: TypeAlias = Context[AppStoreSettings, AppStoreState]


def workspace_of(key: str) -> str:
    """Whose `namespace/name` is: workspaces take turns, so that what one has many of holds up no other."""
    return key.partition("/")[0]
