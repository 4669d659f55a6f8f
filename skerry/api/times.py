"""Times as Kubernetes writes them (metav1.Time): RFC 3339 in UTC with whole seconds. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache


def rfc3339(moment: datetime | float) -> str:
    """An aware time, or seconds since the epoch, as metav1.Time: UTC, whole seconds (cut, not rounded), `Z`."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _whole(math.floor(moment))


@lru_cache(maxsize=64)
def _whole(moment: int) -> str:
    """Most times are now: a registry that looks at thousands of members says the same second for each."""
    return rfc3339(datetime.fromtimestamp(moment, UTC))


def seconds(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. ValueError if it is not one."""
    return datetime.fromisoformat(text).timestamp()
