"""Answers `clusters/<m>/desired`: which entries a member has, and what became of each, a page at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from services.registry import listed
from services.registry.desired import Desired
from skerry import subjects
from skerry.api.desiredlist import LIMIT, DesiredEntryList, DesiredQuery, EntryReason, ListedEntry
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document, ListMeta
from skerry.api.times import rfc3339
from skerry.bus import Entry
from skerry.errors import BadRequest, Gone

ReadDocument = Callable[[str], Awaitable[Document]]
"""The Cluster of a name. NotFound."""


class Entries:
    """See the module."""

    def __init__(self, desired: Desired, find: ReadDocument) -> None:
        self._desired, self._find = desired, find

    async def answer(self, request: WriteRequest, query: DesiredQuery) -> Document:
        """One page, as its caller may see it. StatusError."""
        name = request.name
        cluster = await self._find(name)
        owner, states, after = listed.owner(query.owner), listed.states(query.state), self._behind(query.continue_)
        if not 1 <= query.limit <= LIMIT:
            raise BadRequest(f"limit is at least 1, and at most {LIMIT}")
        outcomes = listed.Outcomes(self._desired.epoch, await self._desired.said(name), cluster)
        page = await self._desired.page(name, owner, after, query.limit)
        items = [
            item
            for entry in page.entries
            if not subjects.is_complete(entry.key)
            and (item := self._item(entry, cluster, outcomes, request.caller.groups)) is not None
            and item.state in states
        ]
        going_on = f"{self._desired.epoch}/{page.entries[-1].revision}" if page.more else ""
        answer = DesiredEntryList(metadata=ListMeta(continue_=going_on), items=items)
        document: Document = msgspec.to_builtins(answer)
        return document

    def _behind(self, text: str) -> int:
        """The revision behind which a listing goes on. Gone for one of another bucket."""
        if not text:
            return 0
        epoch, _, revision = text.rpartition("/")
        if epoch != self._desired.epoch or not (revision.isascii() and revision.isdigit() and len(revision) < 19):
            raise Gone("the continue parameter is of another list: begin again without it")
        return int(revision)

    def _item(
        self, entry: Entry, cluster: Document, outcomes: listed.Outcomes, groups: tuple[str, ...]
    ) -> ListedEntry | None:
        """None for what is gone, of an earlier cluster of the name, or not for this caller's eyes."""
        content = self._desired.opened(entry)
        if content is not None and content.cluster != cluster["metadata"]["uid"]:
            return None
        because = content.because if content is not None else ()
        key = subjects.desired_key(entry.key)
        became = outcomes.of(entry.key, key.owner, entry.revision, withdrawn=entry.value is None)
        if became is None or not listed.shows(because, groups):
            return None
        return ListedEntry(
            cluster=key.member,
            owner=key.owner,
            key=entry.key,
            revision=entry.revision,
            state=became.state,
            since=rfc3339(entry.created if became.since is None else became.since),
            because=[EntryReason(kind=each.kind, name=each.name) for each in because],
            more=content.more if content is not None else 0,
            message=became.message,
        )
