"""The buckets that more than one service opens, and how they are made."""

from __future__ import annotations

from skerry import subjects
from skerry.bus import Bucket, BucketConfig, Bus, ObjectStore, StoreConfig
from skerry.identity.services import OBJECT_BUCKETS

KEPT_S = 3600
"""Events are forgotten so long after they happened last, as by the API server's default."""


async def events_bucket(bus: Bus, replicas: int = 1) -> Bucket:
    """The bucket of Events, made if it does not exist."""
    return await bus.bucket(subjects.EVENTS, create=BucketConfig(replicas=replicas, ttl_s=KEPT_S))


def store_config(name: str, replicas: int) -> StoreConfig:
    """How the object store `name` is made: what the service table says of it."""
    row = next((each for each in OBJECT_BUCKETS if each.name == name), None)
    if row is None:
        return StoreConfig(replicas=replicas)
    return StoreConfig(replicas=replicas, ttl_s=row.ttl_s, max_bytes=row.max_bytes)


def made_by(service: str) -> list[str]:
    """Object stores that a service makes at its start."""
    return [row.name for row in OBJECT_BUCKETS if row.maker == service]


async def object_store(bus: Bus, name: str, replicas: int = 1) -> ObjectStore:
    """The object store `name`, made as the service table says if it does not exist."""
    return await bus.objects(name, create=store_config(name, replicas))
