"""What is recorded, for who may read it: the sessions as lines of JSON, and the bytes of one, also while it runs.

The sessions are folded out of the documents of the stream in one pass: what is held are those that have begun and not ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from services.proxy.recording.ids import begun_of
from services.proxy.recording.store import Recordings
from services.proxy.recording.writing import TIMES
from skerry.api.recordings import RecordedSession, RecordingBegin, RecordingEnd, RecordingState
from skerry.api.times import rfc3339
from skerry.errors import Gone, NotFound

SILENT_S = 3 * TIMES.sign
"""A session without an end that gave no sign for so long was cut."""
POLL_S = 0.3
"""How often somebody who follows a session is told what came."""


class SessionFilter(NamedTuple):
    """Which sessions are asked for; an empty field asks for all."""

    id: str = ""
    user: str = ""
    cluster: str = ""
    since: float = 0.0
    """Unix seconds: those that began then or later."""

    def takes(self, begin: RecordingBegin) -> bool:
        """True for a session that is asked for."""
        fields = ((self.id, begin.id), (self.user, begin.user), (self.cluster, begin.cluster))
        return begin.start >= self.since and all(value in ("", actual) for value, actual in fields)


async def sessions(store: Recordings, selected: SessionFilter) -> AsyncIterator[RecordedSession]:
    """Those that ended, in the order in which they ended, then those that have no end. StatusError."""
    running: dict[str, RecordingBegin] = {}
    async for session, document in store.documents(selected.id):
        if isinstance(document, RecordingEnd):
            begin = running.pop(session, None)
            if begin is not None:
                yield ended(begin, document)
        elif selected.takes(document):
            running[session] = document
    for begin in running.values():
        yield await _without_end(store, begin)


async def session(store: Recordings, name: str) -> RecordedSession:
    """One session. NotFound, and Gone for one that is so old that it is not kept any more."""
    async for each in sessions(store, SessionFilter(id=name)):
        return each
    begun, kept_s = begun_of(name), await store.kept_s()
    if begun is not None and kept_s and begun < time.time() - kept_s:
        raise Gone(
            f"session {name} began at {rfc3339(begun)}, and recordings are kept for {kept_s / 86400:g} days: it expired"
        )
    raise NotFound(f"there is no recorded session {name}: skerry audit sessions lists them")


def ended(begin: RecordingBegin, end: RecordingEnd) -> RecordedSession:
    """A session that has both."""
    return _told(begin, end.state, end.end, end.bytes, sha256=end.sha256, exit=end.exit, lost=end.lost)


async def _without_end(store: Recordings, begin: RecordingBegin) -> RecordedSession:
    last, now = await store.last(begin.id), time.time()
    at, size = (last.at, last.end) if last is not None else (begin.start, 0)
    if now - at > SILENT_S:
        return _told(begin, RecordingState.CUT, at, size)
    return _told(begin, RecordingState.RUNNING, now, size)


def _told(begin: RecordingBegin, state: RecordingState, until: float, size: int, **more: Any) -> RecordedSession:
    return RecordedSession(
        id=begin.id,
        user=begin.user,
        cluster=begin.cluster,
        namespace=begin.namespace,
        pod=begin.pod,
        container=begin.container,
        subresource=begin.subresource,
        command=begin.command,
        start=rfc3339(begin.start),
        duration_s=round(max(until - begin.start, 0.0), 3),
        bytes=size,
        state=state,
        required=begin.required,
        audit_id=begin.audit_id,
        **more,
    )


async def recording(store: Recordings, name: str, until: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """The bytes of a session, in the order in which they were stored: those that there are, or, with `until`, also those that come,
    until it has an end, gives no sign any more, or the event is set.
    """
    after, is_over = 0, False
    while not is_over:
        is_over = until is None or until.is_set() or (await session(store, name)).state is not RecordingState.RUNNING
        async for chunk in store.data(name, after):
            after = chunk.sequence
            if chunk.data:
                yield chunk.data
        if until is not None and not is_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await until.wait()
