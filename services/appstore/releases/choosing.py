"""Which version of which app a release gets, and whether there is a newer one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from services.appstore import semver
from services.appstore.byapp import versions_of
from services.appstore.releases.specs import AppReference, app_reference
from services.appstore.reviewing import installable
from skerry.admission.conform import FieldError, invalid_value
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.informer import View
from skerry.storage import Item

NAMED = 10
"""Versions that a message names at most."""


class ChosenVersion(NamedTuple):
    """A version that may be installed."""

    app: AppReference
    version: str
    digest: str
    """sha256:… of its package; empty while nobody knows it."""
    item: Item | None = None
    """The AppVersion, if it is still there."""


def choose(informer: View, namespace: str, spec: Document) -> ChosenVersion | FieldError:
    """The version that a spec in a namespace names, or why it gets none."""
    app = app_reference(spec["app"], namespace)
    versions = {each.version: each for each in _versions(informer, app)}
    if not versions:
        in_pool = AppReference(POOL, app.name)
        hint = f"; the pool has one: {in_pool}" if app != in_pool and any(_versions(informer, in_pool)) else ""
        return invalid_value(
            "spec.app", spec["app"], f"there is no app {app}{hint or ': skerry app search finds apps'}"
        )
    chosen = versions.get(spec["version"])
    if chosen is None:
        newest = sorted(versions, key=_precedence, reverse=True)[:NAMED]
        return invalid_value(
            "spec.version", spec["version"], f"app {app} has no such version; it has {', '.join(newest)}"
        )
    if why := _refusal(chosen, namespace):
        return invalid_value("spec.version", spec["version"], why)
    return chosen


def document_of(informer: View, kept_version: ChosenVersion) -> Document:
    """The AppVersion of a revision; what is needed to find its package if it is not there any more, or has another one by now."""
    for each in _versions(informer, kept_version.app):
        if each.version == kept_version.version and kept_version.digest in ("", each.digest) and each.item is not None:
            return each.item.document()
    name = f"{kept_version.app.name} {kept_version.version}"
    return {
        "metadata": {"name": name, "namespace": kept_version.app.namespace},
        "status": {"digest": kept_version.digest, "uploaded": True},
    }


class NewerVersion(NamedTuple):
    """A version that may be installed and is newer than another."""

    version: str
    security_updates: bool
    """It, or one between the two, mends a vulnerability."""


def newer(informer: View, namespace: str, app: AppReference, version: str) -> NewerVersion | None:
    """The newest version that may be installed instead of this one. Prereleases are offered to who has one already."""
    floor = _precedence(version)
    wants_pre = "-" in version.partition("+")[0]
    above = [
        each
        for each in _versions(informer, app)
        if _precedence(each.version) > floor
        and (wants_pre or "-" not in each.version.partition("+")[0])
        and not _refusal(each, namespace)
    ]
    if not above:
        return None
    return NewerVersion(max(above, key=lambda each: _precedence(each.version)).version, any(map(_mends, above)))


def _versions(informer: View, app: AppReference) -> Iterator[ChosenVersion]:
    for item in versions_of(informer, app.namespace, app.name):
        document = item.document()
        if "deletionTimestamp" in document["metadata"]:
            continue
        status, spec = document.get("status") or {}, document.get("spec") or {}
        yield ChosenVersion(app, str(spec.get("version", "")), str(status.get("digest", "")), item)


def _refusal(chosen: ChosenVersion, namespace: str) -> str:
    """Why a release in a namespace does not get a version; empty if it does."""
    status = _status(chosen)
    phase = status.get("phase", "Draft")
    at_home = chosen.app.namespace == namespace
    if problem := status.get("problem"):
        return f"it cannot be installed: {problem.get('reason', '')}: {problem.get('message', '')}"
    if (status.get("chart") or {}).get("type") == "library":
        return "it is a library, which is for other charts and installs nothing"
    if not installable(phase, at_home=at_home):
        wanted = "a version of the workspace itself that is not Suspended" if at_home else "a version that is Active"
        return f"it is {phase}, and {wanted} is needed"
    return ""


def withdrawn(informer: View, document: Document) -> str:
    """Why the version that an AppRelease has is begun nowhere any more, for people; empty if it may be: it was suspended since."""
    chosen = kept(((document.get("status") or {}).get("history") or [{}])[0])
    listed = next((each for each in _versions(informer, chosen.app) if each.version == chosen.version), None)
    if listed is None or _status(listed).get("phase") != "Suspended":
        return ""
    return (
        f"version {chosen.version} of {chosen.app} is Suspended, so it is installed nowhere: choose another one, or have it recovered: "
        f"skerry app review recover {chosen.app.name} -w {chosen.app.namespace} --version {chosen.version}"
    )


def _mends(chosen: ChosenVersion) -> bool:
    chart = _status(chosen).get("chart") or {}
    return chart.get("containsSecurityUpdates") is True


def _status(chosen: ChosenVersion) -> Document:
    return {} if chosen.item is None else chosen.item.document().get("status") or {}


def _precedence(version: str) -> tuple[object, ...]:
    try:
        return semver.version(version).precedence
    except ValueError:
        return ()


def kept(entry: Document) -> ChosenVersion:
    """The version of a revision, as a release's history has it."""
    namespace, _, name = str(entry.get("app", "")).rpartition("/")
    return ChosenVersion(AppReference(namespace, name), str(entry.get("version", "")), str(entry.get("digest", "")))
