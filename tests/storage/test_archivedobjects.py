"""Object stores in a backup: what was marked comes back as it was, with the rights that the commands have."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from skerry import subjects
from skerry.bus import BucketConfig, Bus, ObjectStore, StoreConfig
from skerry.errors import BadRequest, Conflict, NotFound, StatusError
from skerry.storage import archive
from skerry.storage.archive import Archive, ArchiveLine
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
LARGE = hashlib.shake_128(b"large").digest(1_300_000)


@pytest.fixture
async def bus(fresh_nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with fresh_nats_host.open_bus("owner") as bus:
        for name in (subjects.RESOURCES, "secrets"):
            await bus.bucket(name, create=BucketConfig())
        yield bus


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def put(store: ObjectStore, name: str, data: bytes, **metadata: str) -> None:
    await store.put(name, pieces(data), max_bytes=1 << 24, deadline_s=10, metadata=metadata)


async def contents(store: ObjectStore) -> dict[str, tuple[bytes, dict[str, str]]]:
    return {
        each.name: (b"".join([part async for part in store.read(each)]), each.metadata)
        async for each in store.objects()
    }


async def taken(host: NatsHost) -> Archive:
    async with Bus(host.settings("b"), lambda: host.authority.archivist_credentials(restoring=False)) as bus:
        await bus.ready()
        return await archive.take(bus, "uid", host.authority.public.host, datetime.now(UTC))


async def restored(host: NatsHost, saved: Archive) -> list[tuple[int, int]]:
    progress: list[tuple[int, int]] = []
    async with Bus(host.settings("r"), lambda: host.authority.archivist_credentials(restoring=True)) as bus:
        await bus.ready()
        await archive.restore(bus, saved, datetime.now(UTC), lambda done, of: progress.append((done, of)))
    return progress


async def test_what_is_marked_comes_back_and_the_rest_is_gone(fresh_nats_host: NatsHost, bus: Bus) -> None:
    store = await bus.objects("packages", create=StoreConfig())
    await put(store, "kept", LARGE, uploaded="by alice", other="x")
    await put(store, "empty", b"", uploaded="")
    await put(store, "fetched", b"from a repository")
    saved = archive.decode(archive.encode(await taken(fresh_nats_host)))
    assert saved.header.format == 2
    assert [(each.name, each.entries) for each in saved.header.objects] == [("packages", 5)]
    await put(store, "kept", b"another", uploaded="later")
    await put(store, "late", b"late", uploaded="later")
    progress = await restored(fresh_nats_host, saved)
    assert progress[-1] == (len(saved.lines), len(saved.lines))
    assert await contents(await bus.objects("packages")) == {
        "kept": (LARGE, {"uploaded": "by alice", "other": "x"}),
        "empty": (b"", {"uploaded": ""}),
    }


async def test_without_objects_a_backup_is_read_by_who_knows_none(fresh_nats_host: NatsHost, bus: Bus) -> None:
    saved = await taken(fresh_nats_host)
    assert (saved.header.format, saved.header.objects) == (1, [])
    await restored(fresh_nats_host, saved)
    with pytest.raises(NotFound):
        await bus.objects("packages")


async def test_an_object_that_was_changed_in_the_file_is_refused(fresh_nats_host: NatsHost, bus: Bus) -> None:
    await put(await bus.objects("packages", create=StoreConfig()), "kept", b"what was stored", uploaded="")
    saved = await taken(fresh_nats_host)
    *others, last = saved.lines
    with pytest.raises(Conflict, match="'kept' of the store packages in this backup is not what was stored"):
        await restored(fresh_nats_host, msgspec.structs.replace(saved, lines=[*others, replaced(last)]))


def replaced(line: ArchiveLine) -> ArchiveLine:
    return msgspec.structs.replace(line, data=line.data.swapcase())


async def test_lines_that_are_no_object_are_refused(fresh_nats_host: NatsHost, bus: Bus) -> None:
    await put(await bus.objects("packages", create=StoreConfig()), "kept", b"x", uploaded="")
    saved = await taken(fresh_nats_host)
    with pytest.raises(BadRequest, match="'kept' in this backup is no object"):
        await restored(fresh_nats_host, msgspec.structs.replace(saved, lines=saved.lines[1:]))


async def test_a_backup_may_not_write_objects(fresh_nats_host: NatsHost, bus: Bus) -> None:
    await bus.objects("packages", create=StoreConfig())
    async with Bus(
        fresh_nats_host.settings("b"), lambda: fresh_nats_host.authority.archivist_credentials(restoring=False)
    ) as backup:
        with pytest.raises(StatusError, match="may not publish"):
            await put(await backup.objects("packages"), "o", b"x")
