"""Packages in a real object store: fetched once, verified, and only what can be got again is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from services.appstore.metadata import ChartError
from services.appstore.packages import GRACE_S, Packages
from skerry import subjects
from skerry.api.meta import Document
from skerry.bus import Bus
from skerry.errors import Conflict, NotFound
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration


NONE = frozenset[str]().__contains__


class Source:
    """Where packages come from, and how often it was asked."""

    def __init__(self) -> None:
        self.content, self.asked, self.held = b"a package", 0, asyncio.Event()
        self.held.set()

    async def fetch(self, version: Document) -> bytes:
        self.asked += 1
        await self.held.wait()
        return self.content


class Kept:
    """Packages, their source, and a clock."""

    def __init__(self, bus: Bus, objects: Any) -> None:
        self.source, self.time, self.objects = Source(), 1_900_000_000.0, objects
        self.packages = Packages(objects, self.source.fetch, lambda: self.time)

    async def names(self) -> list[str]:
        return [info.name async for info in self.objects.objects()]


@pytest.fixture
async def kept(fresh_nats_host: NatsHost) -> AsyncIterator[Kept]:
    async with Bus(fresh_nats_host.settings("appstore"), lambda: fresh_nats_host.service("appstore")) as bus:
        await fresh_nats_host.make_buckets()
        yield Kept(bus, await bus.objects(subjects.PACKAGES))


def version(content: bytes = b"a package", **status: Any) -> Document:
    digest = "sha256:" + sha256(content).hexdigest()
    return {"metadata": {"name": "nginx-1.0.0", "namespace": "shop"}, "status": {"digest": digest, **status}}


async def test_a_package_is_fetched_once_by_however_many_and_kept(kept: Kept) -> None:
    kept.source.held.clear()
    asked = [asyncio.create_task(kept.packages.get(version())) for _ in range(5)]
    await asyncio.sleep(0.05)
    kept.source.held.set()
    assert set(await asyncio.gather(*asked)) == {b"a package"}
    assert await kept.packages.get(version()) == b"a package"
    assert kept.source.asked == 1


async def test_who_gives_up_waiting_takes_the_package_from_nobody(kept: Kept) -> None:
    kept.source.held.clear()
    first, second = (asyncio.create_task(kept.packages.get(version())) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    kept.source.held.set()
    assert await second == b"a package"


async def test_another_package_than_was_listed_is_not_taken(kept: Kept) -> None:
    kept.source.content = b"another one"
    with pytest.raises(ChartError, match=r"has digest sha256:.*, and sha256:.* was listed"):
        await kept.packages.get(version())
    assert await kept.names() == []


async def test_an_upload_that_is_gone_is_said_to_be(kept: Kept) -> None:
    with pytest.raises(Conflict, match="push it again"):
        await kept.packages.get(version(uploaded=True))
    assert kept.source.asked == 0


async def test_what_was_fetched_and_is_uploaded_then_is_kept_as_an_upload(kept: Kept) -> None:
    await kept.packages.put(b"a package", uploaded=False)
    digest = await kept.packages.put(b"a package", uploaded=True)
    await kept.packages.put(b"a package", uploaded=False)
    kept.time += 10
    assert await kept.packages.sweep({digest}.__contains__, NONE, 0) == 0


async def test_the_least_used_goes_first_and_never_what_is_pinned_or_uploaded(kept: Kept) -> None:
    digests = []
    for number in range(5):
        kept.time += 10
        digests.append(await kept.packages.put(b"%d" % number * 100, uploaded=number == 0))
    kept.time += 10
    assert await kept.packages.get(version(b"2" * 100)) == b"2" * 100
    assert await kept.packages.sweep(digests.__contains__, {digests[1]}.__contains__, 300) == 2
    left = await kept.names()
    assert {name.removeprefix("sha256-") for name in left} == {
        digests[number].removeprefix("sha256:") for number in (0, 1, 2)
    }


async def test_what_no_version_has_goes_after_an_hour(kept: Kept) -> None:
    digest = await kept.packages.put(b"orphan", uploaded=True)
    assert await kept.packages.sweep(NONE, NONE, 10**9) == 0
    kept.time += GRACE_S + 1
    assert await kept.packages.sweep(NONE, NONE, 10**9) == 1
    with pytest.raises((NotFound, Conflict)):
        await kept.packages.get(
            {"metadata": {"name": "x", "namespace": "y"}, "status": {"digest": digest, "uploaded": True}}
        )


async def test_what_is_put_while_it_is_swept_stays(kept: Kept) -> None:
    """Who puts a package again is told that it is there, and has its version written next."""
    other = Packages(kept.objects, kept.source.fetch, lambda: kept.time)
    digest = await kept.packages.put(b"a package", uploaded=True)
    kept.time += GRACE_S + 1
    delete = kept.objects.delete

    async def late(*arguments: Any) -> None:
        assert await other.put(b"a package", uploaded=True) == digest
        await delete(*arguments)

    kept.objects.delete = late
    assert await kept.packages.sweep(NONE, NONE, 10**9) == 0
    assert await other.get(version(uploaded=True)) == b"a package"


async def test_replicas_that_put_the_same_package_at_once_all_succeed(kept: Kept) -> None:
    other = Packages(kept.objects, kept.source.fetch, lambda: kept.time)
    content = bytes(range(256)) * 2000
    puts = (each.put(content, uploaded=each is other) for each in (kept.packages, other, kept.packages, other))
    digests = set(await asyncio.gather(*puts))
    assert len(digests) == 1
    (info,) = [each async for each in kept.objects.objects()]
    assert "uploaded" in info.metadata
    assert await kept.packages.get(version(content)) == content


async def test_who_reads_a_package_reads_on_while_it_becomes_an_upload(kept: Kept) -> None:
    content = bytes(range(256)) * 8000
    await kept.packages.put(content, uploaded=False)
    (before,) = [each async for each in kept.objects.objects()]
    reading = kept.objects.read(before)
    first = await anext(reading)
    await kept.packages.put(content, uploaded=True)
    assert first + b"".join([part async for part in reading]) == content
    (after,) = [each async for each in kept.objects.objects()]
    assert (after.nuid, after.metadata) == (before.nuid, {"uploaded": "true"})


async def test_what_a_killed_writer_left_is_swept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept.packages.put(b"whole", uploaded=True)
    await kept.objects._publish(kept.objects._chunks("orphan"), b"left")
    assert await kept.packages.sweep_chunks() == 0
    monkeypatch.setattr("services.appstore.packages.GRACE_S", -1.0)
    assert await kept.packages.sweep_chunks() == 1
    assert await kept.names() == ["sha256-" + sha256(b"whole").hexdigest()]
