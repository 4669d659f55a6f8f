"""The buckets that more than one service opens, and how they are made."""

from __future__ import annotations

from skerry import subjects
from skerry.bus import Bucket, BucketConfig, Bus

KEPT_S = 3600
"""Events are forgotten so long after they happened last, as by the API server's default."""


async def events_bucket(bus: Bus, replicas: int = 1) -> Bucket:
    """The bucket of Events, made if it does not exist."""
    return await bus.bucket(subjects.EVENTS, create=BucketConfig(replicas=replicas, ttl_s=KEPT_S))
