"""On whose behalf something is stored, as the headers of the bucket's message say it."""

from __future__ import annotations

import asyncio

import pytest

from skerry.bus import Stream
from skerry.storage import Item, Store, origin
from skerry.storage.origin import Origin, on_behalf_of, origin_of
from tests.fixtures.bucket import cluster


def test_headers_have_no_character_that_ends_them_and_are_read_back() -> None:
    by = Origin('Zoë "x"\r\nSkerry-Actor: root', "a-1", "00-trace")
    headers = by.headers()
    assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())
    assert origin_of(headers) == by
    assert origin_of({}) == Origin()
    assert Origin().headers() == {}


async def test_what_runs_beside_a_request_is_not_on_its_behalf() -> None:
    begun, done = asyncio.Event(), asyncio.Event()

    async def beside() -> Origin:
        begun.set()
        await done.wait()
        return origin.current("registry")

    task = asyncio.create_task(beside())
    await begun.wait()
    with on_behalf_of(Origin("alice")):
        assert origin.current("registry") == Origin("alice")
        done.set()
        assert await task == Origin("service:registry")
    assert origin.current("registry") == Origin("service:registry")


@pytest.mark.integration
async def test_a_write_says_who_caused_it(store: Store) -> None:
    stream = Stream(store._bucket._link, "KV_resources")

    async def caused_by(written: Item) -> Origin:
        message = await stream.at(written.revision)
        assert message is not None
        return origin_of(message.headers)

    with on_behalf_of(Origin("alice", "a-1")):
        created = await store.create(cluster("caused"))
    assert await caused_by(created) == Origin("alice", "a-1", "")
    changed = await store.modify("caused", lambda document: {**document, "status": {}})
    assert await caused_by(changed) == Origin("service:registry")
