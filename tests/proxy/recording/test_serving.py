"""`/audit/sessions` and the recordings below it, through a real front door."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.proxy.recording.ids import session_id
from services.proxy.recording.store import Recordings
from skerry.api.recordings import RecordingBegin, RecordingEnd, RecordingState
from skerry.errors import Conflict
from skerry.http import Cut
from tests.fixtures.nats import eventually
from tests.proxy.conftest import World
from tests.proxy.recording.frames import ABOUT

pytestmark = pytest.mark.integration
SESSIONS = b"/audit/sessions"
CHUNKS = (b'{"version":2,"width":80,"height":24}\n', b'[0.5,"o","a"]\n', b'[1.0,"o","b"]\n')
CONTENT = b"".join(CHUNKS)
DAY_S = 86400.0


@pytest.fixture
async def store(host: World) -> AsyncIterator[Recordings]:
    """All recordings."""
    async with host.nats.bus("proxy") as connected:
        await connected.ready()
        yield Recordings(connected)


async def _begin(store: Recordings, **more: Any) -> RecordingBegin:
    """A session that runs, with two thirds of its recording."""
    now = time.time()
    about = msgspec.structs.replace(ABOUT, **{"id": session_id(now, b"%05d" % (now * 1e6 % 1e5)), "start": now, **more})
    await store.begin(about, timeout_s=5)
    after = await store.add(about.id, CHUNKS[0], 0, 0, timeout_s=5)
    await store.add(about.id, CHUNKS[1], len(CHUNKS[0]), after, timeout_s=5)
    return about


async def _finish(store: Recordings, about: RecordingBegin) -> None:
    last = await store.last(about.id)
    assert last is not None
    await store.add(about.id, CHUNKS[2], last.end, last.sequence, timeout_s=5)
    digest = hashlib.sha256(CONTENT).hexdigest()
    end = RecordingEnd(state=RecordingState.COMPLETE, end=about.start + 60, bytes=len(CONTENT), sha256=digest, exit="0")
    await store.end(about.id, end, timeout_s=5)


def _lines(body: bytes) -> list[Any]:
    return [json.loads(line) for line in body.splitlines()]


async def test_sessions_are_told_a_line_each(host: World, store: Recordings) -> None:
    first, second = await _begin(store), await _begin(store, user="bob", cluster="m2")
    await _finish(store, first)
    answer = await host.ask(SESSIONS)
    ended, running = _lines(answer.body)
    assert (ended["id"], ended["state"], ended["exit"], ended["durationS"]) == (first.id, "complete", "0", 60.0)
    assert (running["id"], running["state"], running["bytes"]) == (second.id, "running", len(CHUNKS[0] + CHUNKS[1]))
    assert "sha256" not in running
    for query, expected in (
        (b"?user=bob", [second.id]),
        (b"?cluster=m1&user=alice", [first.id]),
        (b"?cluster=m2&user=alice", []),
        (b"?id=" + first.id.encode(), [first.id]),
        (b"?since=%d" % (time.time() + 60), []),
    ):
        told = _lines((await host.ask(SESSIONS + query)).body)
        assert [each["id"] for each in told] == expected


async def test_a_recording_is_its_bytes_and_a_running_one_is_followed_to_its_end(
    host: World, store: Recordings
) -> None:
    about = await _begin(store)
    path = SESSIONS + b"/" + about.id.encode()
    answer = await host.ask(path)
    assert (answer.body, answer.header(b"content-type")) == (CHUNKS[0] + CHUNKS[1], b"application/x-asciicast")
    following = await host.client.request(host.head(b"GET", path + b"?follow=true"))
    begun = await following.read()
    assert CONTENT.startswith(begun)
    await _finish(store, about)
    assert begun + await following.body(10_000) == CONTENT
    assert (await host.ask(path)).body == CONTENT
    assert (await host.ask(path, b"HEAD")).body == b""


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (b"/audit/sessions/nobody", 404, "is no id of a recorded session"),
        (b"/audit/sessions/" + session_id(time.time(), b"never").encode(), 404, "there is no recorded session"),
        (b"/audit/sessions/" + session_id(time.time() - 91 * DAY_S, b"old  ").encode(), 410, "kept for 90 days"),
        (b"/audit/sessions?id=..", 404, "is no id of a recorded session"),
        (b"/audit/sessions?id=" + session_id(time.time() - 91 * DAY_S, b"old  ").encode(), 410, "it expired"),
        (b"/audit/sessions?since=yesterday", 400, "seconds since 1970"),
        (b"/audit/sessions?since=nan", 400, "seconds since 1970"),
        (b"/audit/sessions?pod=x", 400, "unknown parameter 'pod'"),
        (b"/audit/sessions/" + b"0" * 22 + b"?speed=2", 400, "follow alone"),
    ],
    ids=[
        "no id",
        "unknown",
        "expired",
        "no id in a list",
        "expired in a list",
        "since a day",
        "since nan",
        "unknown parameter",
        "speed",
    ],
)
async def test_what_is_not_there_or_cannot_be_meant_is_said(
    path: bytes, code: int, words: str, host: World, store: Recordings
) -> None:
    answer = await host.ask(path)
    assert (answer.status, words in answer.json()["message"]) == (code, True), answer.json()


async def test_only_reading_is_possible(host: World, store: Recordings) -> None:
    assert (await host.ask(SESSIONS, b"DELETE")).status == 405


async def test_auditors_may_and_others_may_not(host: World, store: Recordings) -> None:
    about = await _begin(store)
    auditor, monitor = await host.token("eve", "skerry:auditor"), await host.token("mo", "skerry:monitor")
    owner = await host.token("alice", "skerry:admin")
    for path in (SESSIONS, SESSIONS + b"/" + about.id.encode()):
        assert [(await host.ask(path, token=each)).status for each in (auditor, monitor, owner, b"-")] == [
            200,
            403,
            403,
            401,
        ]


async def test_who_follows_is_cut_when_the_token_is_revoked(host: World, store: Recordings) -> None:
    about = await _begin(store)
    token = await host.token("eve", "skerry:auditor")
    following = await host.client.request(host.head(b"GET", SESSIONS + b"/" + about.id.encode() + b"?follow=1", token))
    await following.read()
    await host.revoke(token)
    with pytest.raises(Cut):
        async with asyncio.timeout(10):
            await following.body(10_000)
    await eventually(lambda: len(host.proxy.sessions) == 0)


async def test_where_nothing_is_stored_the_answer_says_so(host: World) -> None:
    async with host.nats.open_bus("thief") as bus:
        await bus.request("$JS.API.STREAM.DELETE.RECORDINGS", b"", timeout_s=5)
    answer = await host.ask(SESSIONS)
    assert answer.status in (404, 503)
    assert "RECORDINGS" in answer.json()["message"]


async def test_what_was_stored_is_not_stored_twice_and_nothing_goes_between(host: World, store: Recordings) -> None:
    about = await _begin(store)
    last = await store.last(about.id)
    assert last is not None
    first = await store.add(about.id, CHUNKS[2], last.end, last.sequence, timeout_s=5)
    assert await store.add(about.id, CHUNKS[2], last.end, last.sequence, timeout_s=5) == first
    with pytest.raises(Conflict):
        await store.add(about.id, b"other", last.end, last.sequence, timeout_s=5)
    assert [chunk.data async for chunk in store.data(about.id)] == list(CHUNKS)


async def test_many_documents_are_read_to_the_last(host: World, store: Recordings) -> None:
    for number in range(520):
        await store.begin(msgspec.structs.replace(ABOUT, id=f"{number:022x}"), timeout_s=5)
    assert len([each async for each in store.documents()]) == 520
