"""The AppVersions of an App: one index, for whoever asks which there are."""

from __future__ import annotations

from collections.abc import Iterable

from skerry.api.kinds import APP_VERSION
from skerry.informer import View
from skerry.storage import Item

BY_APP = "app"
"""Index of AppVersions, by the `place` of their App."""


def place(namespace: str, app: str) -> str:
    """An App's place, as the index has it: no name has a slash."""
    return f"{namespace}/{app}"


def app_of(item: Item) -> Iterable[str]:
    """What the index has for an AppVersion."""
    return (place(item.namespace, str((item.document().get("spec") or {}).get("app", ""))),)


def index(informer: View) -> None:
    """Have the index."""
    informer.index(APP_VERSION, BY_APP, app_of)


def versions_of(informer: View, namespace: str, app: str) -> list[Item]:
    """All versions of an App."""
    return list(informer.lookup(APP_VERSION, BY_APP, place(namespace, app)))
