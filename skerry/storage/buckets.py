"""How the buckets, object stores and streams of the service table are made."""

from __future__ import annotations

import asyncio

from skerry import subjects
from skerry.bus import Bucket, BucketConfig, Bus, ObjectStore, StoreConfig, StreamConfig
from skerry.identity.services import BUCKETS, OBJECT_BUCKETS, STREAMS, StreamRights


def bucket_config(name: str, replicas: int) -> BucketConfig:
    """How the bucket `name` is made: what the service table says of it."""
    row = next((each for each in BUCKETS if each.name == name), None)
    if row is None:
        return BucketConfig(replicas=replicas)
    return BucketConfig(
        replicas=replicas,
        history=row.history,
        ttl_s=row.ttl_s,
        republish=row.republish,
        description=row.description,
    )


def store_config(name: str, replicas: int) -> StoreConfig:
    """How the object store `name` is made: what the service table says of it."""
    row = next((each for each in OBJECT_BUCKETS if each.name == name), None)
    if row is None:
        return StoreConfig(replicas=replicas)
    return StoreConfig(replicas=replicas, ttl_s=row.ttl_s, max_bytes=row.max_bytes)


def stream_config(row: StreamRights, replicas: int) -> StreamConfig:
    """How a stream of the service table is made."""
    return StreamConfig(
        subjects=row.subjects,
        replicas=replicas,
        max_age_s=row.max_age_s,
        max_bytes=row.max_bytes,
        duplicates_s=row.duplicates_s,
        deny_delete=row.deny_delete,
        deny_purge=row.deny_purge,
        description=row.description,
    )


async def make_bucket(bus: Bus, name: str, replicas: int = 1) -> Bucket:
    """The bucket `name`, made if it does not exist."""
    return await bus.bucket(name, create=bucket_config(name, replicas))


async def make_store(bus: Bus, name: str, replicas: int = 1) -> ObjectStore:
    """The object store `name`, made if it does not exist."""
    return await bus.objects(name, create=store_config(name, replicas))


async def make_all(bus: Bus, replicas: int = 1) -> None:
    """Make what does not exist of the service table; `resources` last, for which everybody waits. StatusError."""
    others = (make_bucket(bus, each.name, replicas) for each in BUCKETS if each.name != subjects.RESOURCES)
    stores = (make_store(bus, each.name, replicas) for each in OBJECT_BUCKETS)
    streams = (bus.stream(each.name, create=stream_config(each, replicas)) for each in STREAMS)
    await asyncio.gather(*others, *stores, *streams)
    await make_bucket(bus, subjects.RESOURCES, replicas)
