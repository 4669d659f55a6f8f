"""How the buckets and object stores of the service table are made."""

from __future__ import annotations

import asyncio

from skerry import subjects
from skerry.bus import Bucket, BucketConfig, Bus, ObjectStore, StoreConfig
from skerry.identity.services import BUCKETS, OBJECT_BUCKETS


def bucket_config(name: str, replicas: int) -> BucketConfig:
    """How the bucket `name` is made: what the service table says of it."""
    row = next((each for each in BUCKETS if each.name == name), None)
    if row is None:
        return BucketConfig(replicas=replicas)
    return BucketConfig(replicas=replicas, ttl_s=row.ttl_s, republish=row.republish, description=row.description)


def store_config(name: str, replicas: int) -> StoreConfig:
    """How the object store `name` is made: what the service table says of it."""
    row = next((each for each in OBJECT_BUCKETS if each.name == name), None)
    if row is None:
        return StoreConfig(replicas=replicas)
    return StoreConfig(replicas=replicas, ttl_s=row.ttl_s, max_bytes=row.max_bytes)


async def make_bucket(bus: Bus, name: str, replicas: int = 1) -> Bucket:
    """The bucket `name`, made if it does not exist."""
    return await bus.bucket(name, create=bucket_config(name, replicas))


async def make_store(bus: Bus, name: str, replicas: int = 1) -> ObjectStore:
    """The object store `name`, made if it does not exist."""
    return await bus.objects(name, create=store_config(name, replicas))


async def make_all(bus: Bus, replicas: int = 1) -> None:
    """Make what does not exist of the service table; `resources` last, for which everybody waits. StatusError."""
    others = (make_bucket(bus, each.name, replicas) for each in BUCKETS if each.name != subjects.RESOURCES)
    await asyncio.gather(*others, *(make_store(bus, each.name, replicas) for each in OBJECT_BUCKETS))
    await make_bucket(bus, subjects.RESOURCES, replicas)
