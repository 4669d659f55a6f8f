"""watch: what changed after a revision, for ever, as lines of JSON (over WebSocket: messages, see wswatch.py).

Events follow from (old, new) under the client's own selector: an object that starts to match is ADDED, one that stops
is DELETED. A client that is too slow, or starts too far in the past, gets an ERROR event with 410 and lists again; so
does one whose permissions changed, because what it has cached is then wrong.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from services.proxy.hostapi.options import check_watch, integer, revision_of
from services.proxy.hostapi.reads import fresh, selector
from services.proxy.hostapi.request import Query
from services.proxy.hostapi.selectors import Match, both
from services.proxy.hostapi.shown import Following, Shown
from services.proxy.hostapi.sight import WHOLE, Sight
from services.proxy.hostapi.sources import ObjectSource
from services.proxy.hostapi.table import Representation
from skerry.api.kinds import Kind
from skerry.errors import Gone, StatusError
from skerry.informer import Change, RingCursor
from skerry.storage import Item, decode_document
from skerry.storage.documents import item as make_item

LONGEST_S = (1800.0, 3600.0)
"""A watch without timeoutSeconds ends after a random time in between, as in the API server."""
BOOKMARK_S = 60.0
INITIAL_END = {"k8s.io/initial-events-end": "true"}
_BATCH = 64 * 1024


class EventSink(Protocol):
    """Where events go, as lines that each end with a newline."""

    async def tell(self, lines: Sequence[bytes]) -> None: ...


class Body(Protocol):
    """An exchange that has started its answer."""

    async def write(self, data: bytes) -> None: ...


class Lines:
    """Events as lines of a streamed answer."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def tell(self, lines: Sequence[bytes]) -> None:
        """All lines together. Raises ClientGone."""
        await self._body.write(b"".join(lines))


class WatchPlan(NamedTuple):
    """What a watch does: events for `initial` first, then what `watch` tells."""

    source: ObjectSource
    watch: RingCursor
    initial: list[Item]
    match: Match
    bookmarks: bool
    ends_initial: bool
    timeout_s: float
    following: Following | None = None
    """Set if what its client is shown can change while the objects stay as they are."""


async def plan(source: ObjectSource, kind: Kind, namespace: str, query: Query, sight: Sight = WHOLE) -> WatchPlan:
    """Decide where the watch of those in `sight` starts. BadRequest, Invalid; Gone if that is too far in the past."""
    bookmarks, timeout_s = query.flag("allowWatchBookmarks"), integer(query, "timeoutSeconds")
    match = both(selector(query, kind, check_watch), sight.match)
    if namespace:
        match = both(lambda item: item.namespace == namespace, match)
    since, initial = revision_of(query), query.flag("sendInitialEvents")
    await fresh(source, since)
    if since and not initial:
        watch, items = source.watch(kind, since), []
        if sight.moving is not None and sight.moving.since(since):
            raise Gone(f"what you may see has changed since resource version {since}, list again")
    else:
        watch = source.watch(kind)
        lists = initial or query.find("sendInitialEvents") is None
        items = [item for item in source.list(kind, namespace, sight.keys()) if match(item)] if lists else []
    length_s = float(max(0, timeout_s or 0)) or random.uniform(*LONGEST_S)  # noqa: S311 - not a secret
    following = _following(source, kind, namespace, sight, match, watch)
    return WatchPlan(source, watch, items, match, bookmarks, initial and bookmarks, length_s, following)


def _following(
    source: ObjectSource, kind: Kind, namespace: str, sight: Sight, match: Match, watch: RingCursor
) -> Following | None:
    """How a watch of a part that changes without its objects goes on: one by one, where these can be looked up."""
    if sight.moving is None:
        return None
    visibility = None
    if not sight.whole and not kind.about:
        visibility = Shown(
            lambda: (item for item in source.list(kind, namespace, sight.keys()) if match(item)),
            lambda key: source.get(kind, key[1], key[0]),
            match,
        )
        visibility.undo(watch.pending())
    return Following(sight.moving, watch.nudge, visibility)


async def stream(plan: WatchPlan, view: Representation, sink: EventSink, still_allowed: Callable[[], object]) -> None:
    """Write events until the watch's time is over; an error of the watch is its last event."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + plan.timeout_s
    bookmark_at = loop.time() + BOOKMARK_S
    try:
        await _write_all(sink, (event("ADDED", view.event(item)) for item in plan.initial))
        if plan.ends_initial:
            await sink.tell((event("BOOKMARK", view.bookmark(plan.watch.revision, INITIAL_END)),))
        while loop.time() < deadline:
            rest_s = math.inf if plan.following is None else plan.following.rest_s()
            await plan.watch.wait(max(0.0, min(rest_s, min(bookmark_at, deadline) - loop.time())))
            _recheck(still_allowed)
            await _deliver(plan, view, sink)
            if loop.time() >= bookmark_at:
                bookmark_at = loop.time() + BOOKMARK_S
                await _bookmark(plan, view, sink)
    except StatusError as error:
        await sink.tell((event("ERROR", error.body()),))


async def _bookmark(plan: WatchPlan, view: Representation, sink: EventSink) -> None:
    """How far the watch is, so that a client which saw nothing for long can still resume."""
    if plan.bookmarks:
        plan.watch.advance(plan.source.revision)
        await sink.tell((event("BOOKMARK", view.bookmark(plan.watch.revision, {})),))


async def _deliver(plan: WatchPlan, view: Representation, sink: EventSink) -> None:
    if plan.following is None:
        lines = (line for change in plan.watch.take() if (line := told(change, plan.match, view)))
        await _write_all(sink, lines)
    else:
        await _write_all(sink, _followed(plan, plan.following, view))


def _followed(plan: WatchPlan, following: Following, view: Representation) -> list[bytes]:
    """All lines at once: what is visible must not change between a change of an object and the next."""
    lines: list[bytes] = []
    for change in plan.watch.take():
        has = _has(change, plan.match) if following.shown is None else following.shown.change(change)
        lines.append(_line(change, *has, view))
    shifted = following.told(plan.source.revision)
    if shifted:
        plan.watch.advance(plan.source.revision)
        lines += [event(each.type, view.event(each.item)) for each in shifted]
        if plan.bookmarks:  # an object that was there before has an older revision than the watch
            lines.append(event("BOOKMARK", view.bookmark(plan.watch.revision, {})))
    return [line for line in lines if line]


def _recheck(still_allowed: Callable[[], object]) -> None:
    try:
        still_allowed()
    except StatusError as error:
        raise Gone(f"what you may see has changed, list again: {error.message}") from error


async def _write_all(sink: EventSink, lines: Iterable[bytes]) -> None:
    """Events that come together leave together, in pieces that a socket can take."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= _BATCH:
            await sink.tell(waiting)
            waiting, size = [], 0
    if waiting:
        await sink.tell(waiting)


def told(change: Change, match: Match, view: Representation) -> bytes:
    """The line that a watcher with `match` gets for a change; empty if the change is none of its business."""
    return _line(change, *_has(change, match), view)


def _has(change: Change, match: Match) -> tuple[bool, bool]:
    return change.old is not None and match(change.old), change.new is not None and match(change.new)


def _line(change: Change, before: bool, after: bool, view: Representation) -> bytes:
    """Whether the client has the object before and after makes the event."""
    if change.new is not None and after:
        return event("MODIFIED" if before else "ADDED", view.event(change.new))
    if change.old is not None and before:
        return event("DELETED", view.event(_last(change, change.old)))
    return b""


def _last(change: Change, old: Item) -> Item:
    """The body of a DELETED event: the object as it was before, at the revision of the change."""
    if change.final is not None:
        return change.final
    return make_item(decode_document(old.body), change.revision)


def event(kind: str, body: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"
