"""Times as Kubernetes writes them (metav1.Time): RFC 3339 in UTC with whole seconds. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(moment: datetime | float) -> str:
    """An aware time, or seconds since the epoch, as metav1.Time: UTC, whole seconds (cut, not rounded), `Z`."""
    aware = moment if isinstance(moment, datetime) else datetime.fromtimestamp(moment, UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. ValueError if it is not one."""
    return datetime.fromisoformat(text).timestamp()
