"""What an App says of itself, made of its versions. Pure."""

from __future__ import annotations

from collections.abc import Collection

from services.appstore.reviewing import installable
from services.appstore.semver import Version, version
from skerry.api.meta import Document
from skerry.api.names import POOL

_OLDEST = Version(0, 0, 0, "0")
_CHART_FIELDS = ("appVersion", "description", "keywords", "home", "license", "deprecated")


def is_installable(version: Document, namespace: str) -> bool:
    """True if an AppVersion of this namespace may be installed: by its own workspace, or by everybody if it is in the pool."""
    status = version.get("status") or {}
    chart = status.get("chart") or {}
    return (
        installable(status.get("phase", "Draft"), at_home=namespace != POOL)
        and not status.get("problem")
        and chart.get("type", "application") != "library"
    )


def precedence(document: Document) -> tuple[object, ...]:
    """The order of AppVersions. What is no version, which nothing here stores, is older than all."""
    try:
        return version(str((document.get("spec") or {}).get("version"))).precedence
    except ValueError:
        return _OLDEST.precedence


def newest(versions: Collection[Document], namespace: str) -> Document:
    """The newest AppVersion for which there is most reason: one that may be installed, and is no prerelease, if there is such a one."""
    return max(
        versions,
        key=lambda each: (is_installable(each, namespace), not _is_prerelease(each), precedence(each)),
    )


def status_of(versions: Collection[Document], namespace: str) -> Document:
    """The status of the App that has these versions, one at least."""
    latest = newest(versions, namespace)
    spec, status = latest["spec"], latest.get("status") or {}
    chart = status.get("chart") or {}
    summary = {
        "chart": spec.get("chart", ""),
        "repository": spec.get("repository", ""),
        "origin": spec.get("origin", ""),
        "latest": spec["version"],
        "versions": len(versions),
        "installable": sum(is_installable(each, namespace) for each in versions),
        "securityUpdates": chart.get("containsSecurityUpdates", False),
        **{field: chart.get(field) for field in _CHART_FIELDS},
    }
    return {field: value for field, value in summary.items() if value or field in ("versions", "installable")}


def _is_prerelease(document: Document) -> bool:
    chart = (document.get("status") or {}).get("chart") or {}
    return bool(chart.get("prerelease")) or precedence(document)[3] is False
