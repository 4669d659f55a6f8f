"""Admission of AppVersions: people label them and delete them; all else is said by where they come from, and by reviews."""

from __future__ import annotations

from collections.abc import Iterable

from services.appstore.parts import AppStoreContext
from services.appstore.rules import StoreRules
from skerry.admission import Admitted
from skerry.admission.conform import FieldError, invalid_value
from skerry.admission.prepare import invalid_object
from skerry.api.kinds import APP_RELEASE, APP_VERSION
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.controller.garbage import collector
from skerry.errors import Conflict
from skerry.informer import View
from skerry.storage import Item

BY_VERSION = "version"
"""Index of AppReleases, by the `wanted` version: of what they want now, and of what they could go back to."""
IMMUTABLE = "field is immutable: where the version comes from says it"


def wanted(namespace: str, app: str, version: str) -> str:
    """A version of an app, as the index has it."""
    return f"{namespace}/{app}@{version}"


def versions_wanted(item: Item) -> Iterable[str]:
    """What the index has for an AppRelease."""
    document = item.document()
    spec, history = document["spec"], (document.get("status") or {}).get("history") or ()
    pairs = [(spec.get("app"), spec.get("version")), *((each.get("app"), each.get("version")) for each in history)]
    return {wanted(*app_place(str(app or ""), item.namespace), str(version)) for app, version in pairs}


def app_place(reference: str, namespace: str) -> tuple[str, str]:
    """(namespace, name) of what `[workspace/]name` means in a namespace."""
    workspace, slash, name = reference.rpartition("/")
    return (workspace, name) if slash else (namespace, name)


def users_of(informer: View, namespace: str, spec: Document) -> list[Item]:
    """The AppReleases that want an AppVersion with this spec, or could go back to it."""
    key = wanted(namespace, str(spec.get("app", "")), str(spec.get("version", "")))
    return list(informer.lookup(APP_RELEASE, BY_VERSION, key))


class VersionRules(StoreRules):
    """Admission of AppVersions."""

    def __init__(self, context: AppStoreContext) -> None:
        super().__init__(context)
        self._informer = context.informer
        self._informer.index(APP_RELEASE, BY_VERSION, versions_wanted)

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one, in nothing but its metadata."""
        before, after = current["spec"], document["spec"]
        problems: list[FieldError] = [
            invalid_value(f"spec.{name}", after.get(name), IMMUTABLE)
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
        if problems:
            raise invalid_object(document, problems)
        return Admitted(document)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Conflict while a release uses it, and for one that would come back at once, unless it goes with its workspace."""
        await self._informer.current()
        spec = current.document()["spec"]
        if users := users_of(self._informer, current.namespace, spec):
            names = ", ".join(sorted(f"{item.namespace}/{item.name}" for item in users)[:5])
            raise _conflict(
                current.name, f"version {current.name} is used, or kept to go back to, by {names}: it stays"
            )
        if current.namespace == POOL and spec.get("origin"):
            raise _conflict(
                current.name,
                f"version {current.name} was published from {spec['origin']} and goes with that: delete it there, or suspend it",
            )
        if (repository := spec.get("repository")) and request.caller != collector(APP_VERSION):
            raise _conflict(
                current.name,
                f"version {current.name} is listed by repository {repository} and would come back with the next sync: suspend it, "
                "or change what spec.charts and spec.keepVersions of the repository select",
            )


def _conflict(name: str, message: str) -> Conflict:
    return Conflict(message, kind=APP_VERSION.plural, group=APP_VERSION.group, name=name)
