"""What the parts of releases share: what was installed before, and who works on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from services.appstore import byapp
from services.appstore.delegations import Delegations
from services.appstore.helm.memory import memory_room
from services.appstore.helm.slots import Slots
from services.appstore.releases import choosing
from services.appstore.releases.frontdoor import FrontDoor
from services.appstore.releases.history import RevisionHistory
from services.appstore.releases.instances import Instances
from services.appstore.releases.observing import Observer
from services.appstore.releases.operations import Engines, Operator, Packages
from services.appstore.releases.turns import MemberTurns
from services.appstore.settings import AppStoreSettings
from services.appstore.switching import Switch
from skerry.api.apprelease import AppRelease, ReleaseRevision
from skerry.api.kinds import APP_INSTANCE
from skerry.api.meta import Document
from skerry.bus import Bucket
from skerry.informer import View
from skerry.service import Context
from skerry.settings import SettingsError, variable
from skerry.storage.sealed import Keyring


class ReleaseState(NamedTuple):
    """What the parts of releases share."""

    history: RevisionHistory
    instances: Instances
    operator: Operator
    door: FrontDoor
    observer: Observer


class Shared(NamedTuple):
    """What of the App Store releases need."""

    switch: Switch
    bucket: Bucket
    keyring: Keyring
    engines: Engines
    packages: Packages
    delegations: Delegations


@asynccontextmanager
async def opened(context: Context[AppStoreSettings, Any], shared: Shared) -> AsyncIterator[ReleaseState]:
    """The state of releases, until the service ends. SettingsError."""
    settings = context.settings
    door = FrontDoor(
        settings.app_store_front_door, authority_in(settings.app_store_front_door_ca_file), shared.delegations
    )
    history = RevisionHistory(shared.bucket, shared.keyring)
    slots, versions = Slots(settings.app_store_workers, memory_room), versions_in(context.informer)
    operator = Operator(door, shared.engines, shared.packages, history, MemberTurns(), versions, slots)
    store = context.store(APP_INSTANCE, leader=True)
    observer = Observer(door)
    instances = Instances(
        store, context.informer, shared.switch, door, operator, observer, look_s=settings.app_store_look_s
    )
    try:
        yield ReleaseState(history, instances, operator, door, observer)
    finally:
        await instances.halt()
        await door.close()


def authority_in(path: Path | None) -> bytes:
    """The authority of the front door's certificate; none: those of the system. SettingsError."""
    if path is None:
        return b""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{variable('app_store_front_door_ca_file')}: {path} cannot be read: {error.strerror}"
        ) from error


def versions_in(informer: View) -> Callable[[AppRelease], Document]:
    """A look at the AppVersion of a release's revision."""
    byapp.index(informer)

    def version(release: AppRelease) -> Document:
        latest = next(iter(release.status.history), ReleaseRevision(revision=0))
        entry = {"app": latest.app, "version": latest.version, "digest": latest.digest}
        return choosing.document_of(informer, choosing.kept(entry))

    return version
