"""Object stores, on a real server, beside nats-py's own: what one writes, the other reads."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import itertools
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import nats
import pytest
from nats.js.object_store import ObjectStore as Reference

from skerry.bus import Bus, ObjectStore, StoreConfig
from skerry.bus import objects as objects_module
from skerry.bus.chunks import CHUNK_BYTES
from skerry.bus.jetstream import api
from skerry.bus.objects import PART_BYTES, DigestMismatch
from skerry.errors import (
    AlreadyExists,
    BadRequest,
    GatewayTimeout,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
)
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
MIB = 1 << 20
_names = (f"o{number}" for number in itertools.count())


@pytest.fixture
async def bus(nats_host: NatsHost) -> AsyncIterator[Bus]:
    async with nats_host.open_bus("owner") as bus:
        yield bus


@pytest.fixture
async def store(bus: Bus) -> ObjectStore:
    return await bus.objects("things", create=StoreConfig())


@pytest.fixture
async def reference(nats_host: NatsHost, store: ObjectStore) -> AsyncIterator[Reference]:
    """nats-py's own store of the same name."""
    user = nats_host.anybody()
    trusted = ssl.create_default_context(cadata=nats_host.ca_pem)
    client: Any = await nats.connect(
        list(nats_host.servers),
        tls=trusted,
        user_jwt_cb=lambda: user.jwt.encode(),
        signature_cb=lambda nonce: base64.b64encode(user.sign(nonce.encode())),
    )
    yield await client.jetstream().object_store("things")
    await client.close()


@pytest.fixture
def name() -> str:
    return next(_names)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def noise(size: int) -> bytes:
    """Bytes that no two chunks share."""
    return hashlib.shake_128(b"%d" % size).digest(size)


async def put(store: ObjectStore, name: str, data: bytes, **more: Any) -> Any:
    options = {"max_bytes": 64 * MIB, "deadline_s": 30.0} | more
    return await store.put(name, pieces(data), **options)


async def whole(store: ObjectStore, name: str) -> bytes:
    return b"".join([part async for part in store.read(await store.stat(name))])


async def subjects_of(store: ObjectStore) -> set[str]:
    """Of all messages that the stream has."""
    connection = await store._link.connection(5)
    answer = await api(connection, f"STREAM.INFO.{store._stream}", b'{"subjects_filter": ">"}')
    return set(answer["state"].get("subjects") or {})


async def chunks_of(store: ObjectStore) -> set[str]:
    return {each for each in await subjects_of(store) if ".C." in each}


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, PART_BYTES, PART_BYTES + 1, 3 * MIB + 5]
)
async def test_what_was_put_is_read(store: ObjectStore, name: str, size: int) -> None:
    data = noise(size)
    info = await put(store, name, data, metadata={"origin": "upload"})
    assert (info.size, info.chunks) == (size, -(-size // CHUNK_BYTES))
    assert info.sha256 == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert await store.stat(name) == info
    assert await whole(store, name) == data


@pytest.mark.parametrize("name", ["plain", "with spaces/and slashes", "ünïcode ☃", "*", ">", "a.b", "x" * 300])
async def test_any_text_is_a_name(store: ObjectStore, name: str) -> None:
    await put(store, name, name.encode())
    assert await whole(store, name) == name.encode()
    assert name in [each.name async for each in store.objects()]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * MIB + 1])
async def test_nats_py_reads_what_we_write(store: ObjectStore, reference: Reference, name: str, size: int) -> None:
    info = await put(store, name, noise(size), metadata={"origin": "upload"})
    answer = await reference.get(name)
    assert answer.data == noise(size)
    assert (answer.info.size, answer.info.chunks, answer.info.digest) == (size, info.chunks, info.digest)
    assert name in [each.name for each in await reference.list(ignore_deletes=True)]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * MIB + 1])
async def test_we_read_what_nats_py_writes(store: ObjectStore, reference: Reference, name: str, size: int) -> None:
    await reference.put(name, io.BytesIO(noise(size)))
    assert (await store.stat(name)).sha256 == f"sha256:{hashlib.sha256(noise(size)).hexdigest()}"
    assert await whole(store, name) == noise(size)


async def test_what_one_deletes_the_other_does_not_find(store: ObjectStore, reference: Reference) -> None:
    await put(store, "ours", b"1")
    await reference.put("theirs", b"2")
    await store.delete("theirs")
    await reference.delete("ours")
    with pytest.raises(Exception, match="ObjectNotFoundError"):
        await reference.get("theirs")
    with pytest.raises(NotFound, match="no object 'ours' in the store things"):
        await store.stat("ours")


async def test_an_object_is_replaced_as_a_whole_and_leaves_no_chunks(store: ObjectStore, name: str) -> None:
    await put(store, name, noise(MIB))
    before = await chunks_of(store)
    await put(store, name, b"2")
    assert await whole(store, name) == b"2"
    assert len(await chunks_of(store) - before) == 1
    assert len(before - await chunks_of(store)) == 1


async def test_a_deleted_object_leaves_no_chunks_and_may_come_again(store: ObjectStore, name: str) -> None:
    before = await chunks_of(store)
    await put(store, name, noise(MIB))
    await store.delete(name)
    assert await chunks_of(store) == before
    assert name not in [each.name async for each in store.objects()]
    with pytest.raises(NotFound):
        await store.delete(name)
    await put(store, name, b"again")
    assert await whole(store, name) == b"again"


async def test_only_what_is_as_it_was_seen_is_deleted(store: ObjectStore, name: str) -> None:
    seen = await put(store, name, b"first")
    after = await store.mark(name, {"origin": "upload"})
    with pytest.raises(AlreadyExists, match="meanwhile"):
        await store.delete(name, seen)
    assert await whole(store, name) == b"first"
    await store.delete(name, after)
    with pytest.raises(NotFound):
        await store.delete(name, after)


async def test_what_is_too_large_is_not_stored(store: ObjectStore, name: str) -> None:
    before = await subjects_of(store)
    with pytest.raises(RequestEntityTooLarge, match="larger than 300000 bytes, the limit: nothing of it was stored"):
        await put(store, name, noise(300_001), max_bytes=300_000)
    assert await subjects_of(store) == before
    await put(store, name, noise(300_000), max_bytes=300_000)


async def test_content_that_breaks_off_is_not_stored(store: ObjectStore, name: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield noise(MIB)
        raise BadRequest("the rest is missing")

    before = await subjects_of(store)
    with pytest.raises(BadRequest, match="the rest is missing"):
        await store.put(name, broken(), max_bytes=2 * MIB, deadline_s=10)
    assert await subjects_of(store) == before


async def test_content_that_does_not_come_is_given_up_in_time(store: ObjectStore, name: str) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield noise(MIB)
        await asyncio.Event().wait()

    before = await subjects_of(store)
    with pytest.raises(GatewayTimeout, match=r"not complete within 0\.2 s: nothing of it was stored"):
        await store.put(name, slow(), max_bytes=2 * MIB, deadline_s=0.2)
    assert await subjects_of(store) == before


async def test_a_put_that_is_cancelled_leaves_nothing(store: ObjectStore, name: str) -> None:
    sent = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield noise(MIB)
        sent.set()
        await asyncio.Event().wait()

    before = await subjects_of(store)
    putting = asyncio.ensure_future(store.put(name, slow(), max_bytes=2 * MIB, deadline_s=10))
    await asyncio.wait_for(sent.wait(), 5)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    assert await subjects_of(store) == before


async def test_of_two_writers_of_one_name_one_wins_and_the_other_leaves_nothing(store: ObjectStore, name: str) -> None:
    before = await chunks_of(store)
    results = await asyncio.gather(*(put(store, name, noise(n + 1)) for n in range(5)), return_exceptions=True)
    won = [each for each in results if not isinstance(each, BaseException)]
    assert {type(each) for each in results if isinstance(each, BaseException)} == {AlreadyExists}
    assert len(won) == 1
    assert await whole(store, name) == noise(won[0].size)
    assert len(await chunks_of(store) - before) == 1


async def test_a_store_that_is_full_says_so_and_is_not_harmed(bus: Bus) -> None:
    small = await bus.objects("small", create=StoreConfig(max_bytes=MIB))
    await put(small, "first", noise(MIB // 2))
    with pytest.raises(ServiceUnavailable, match="the store small is full: nothing was stored"):
        await put(small, "second", noise(MIB))
    assert [each.name async for each in small.objects()] == ["first"]
    assert await whole(small, "first") == noise(MIB // 2)
    await put(small, "third", noise(MIB // 4))


async def test_objects_go_after_their_time(bus: Bus) -> None:
    brief = await bus.objects("brief", create=StoreConfig(ttl_s=1))
    await put(brief, "o", noise(MIB))
    async with asyncio.timeout(10):
        while await subjects_of(brief):
            await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await brief.stat("o")


async def test_bytes_that_were_changed_are_not_given_as_the_last(store: ObjectStore, bus: Bus, name: str) -> None:
    info = await put(store, name, noise(MIB))
    forged = {**msgspec.to_builtins(info), "digest": "SHA-256=" + "A" * 43 + "="}
    await store._publish(store._meta(name), msgspec.json.encode(forged), {"Nats-Rollup": "sub"})
    reading = store.read(await store.stat(name))
    assert len(await anext(reading)) < MIB
    with pytest.raises(DigestMismatch, match="is not what was stored"):
        await anext(reading)


async def test_an_object_that_goes_while_it_is_read_ends_in_an_error(
    store: ObjectStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects_module, "LAG_S", 0.1)
    reading = store.read(await put(store, name, noise(2 * MIB)))
    await anext(reading)
    await store.delete(name)
    with pytest.raises(NotFound, match="deleted or replaced while it was read"):
        await anext(reading)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"name": "x"}',
        b'{"name": "x", "bucket": "things", "nuid": ">"}',
        b'{"name": "x", "bucket": "things", "nuid": "n", "options": {"link": {"bucket": "secrets"}}}',
    ],
    ids=["empty", "no-text", "list", "half", "wildcard", "link"],
)
async def test_what_is_no_object_is_not_there_and_harms_no_list(store: ObjectStore, written: bytes) -> None:
    await put(store, "good", b"1")
    await store._publish(store._meta("x"), written, {"Nats-Rollup": "sub"})
    with pytest.raises(NotFound):
        await store.stat("x")
    assert "good" in [each.name async for each in store.objects()]
    await put(store, "x", b"2")
    assert await whole(store, "x") == b"2"


async def test_a_list_has_every_object_once(bus: Bus) -> None:
    many = await bus.objects("many", create=StoreConfig())
    for start in range(0, 700, 100):
        await asyncio.gather(*(put(many, f"n{number}", b"x") for number in range(start, start + 100)))
    names = [each.name async for each in many.objects()]
    assert len(names) == 700
    assert set(names) == {f"n{number}" for number in range(700)}


async def test_what_a_killed_writer_left_is_swept_after_its_time(bus: Bus) -> None:
    swept = await bus.objects("swept", create=StoreConfig())
    await put(swept, "whole", noise(MIB))
    await swept._publish(swept._chunks("orphan"), noise(1000))
    assert await swept.sweep(3600) == 0
    assert await swept.sweep(-1) == 1
    assert {each.name async for each in swept.objects()} == {"whole"}
    assert await whole(swept, "whole") == noise(MIB)
    assert len(await chunks_of(swept)) == 1


async def test_a_store_is_made_by_whoever_comes_first_and_missed_by_who_only_reads(bus: Bus) -> None:
    with pytest.raises(NotFound):
        await bus.objects("nowhere")
    made = await asyncio.gather(*(bus.objects("together", create=StoreConfig(ttl_s=60)) for _ in range(5)))
    assert len({each.name for each in made}) == 1
    assert (await made[0].info())["config"]["max_age"] == 60 * 10**9


async def test_a_hundred_megabytes_take_little_memory(store: ObjectStore, name: str) -> None:
    piece = noise(MIB)

    async def content() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield piece

    tracemalloc.start()
    try:
        info = await store.put(name, content(), max_bytes=100 * MIB, deadline_s=60)
        size = 0
        async for part in store.read(info):
            size += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 100 * MIB
    assert peak < 16 * MIB
    await store.delete(name)
