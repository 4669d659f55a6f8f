"""Events that were given up: in the bucket `dead-letters` for 14 days, under the uid of their sink and their place in the stream."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import msgspec

from skerry.api.decode import decoded
from skerry.api.times import rfc3339
from skerry.bus import Bucket
from skerry.errors import AlreadyExists, Conflict, NotFound

SHOWN = 500
"""Of one sink, in a list."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was given up."""

    headers: dict[str, str]
    """As they were on the bus."""
    data: bytes
    died: float
    """Unix time."""
    reason: str = ""
    """What came of the last try."""
    retry: float = 0.0
    """When somebody asked that it is sent again, Unix time; 0: nobody did."""

    @property
    def id(self) -> str:
        """Of the event."""
        return self.headers.get("ce-id", "")


class StoredLetter(NamedTuple):
    """One that lies in the bucket."""

    sequence: int
    """Its place in the stream EVENTS."""
    letter: Letter
    revision: int


class DeadLetters:
    """See the module. StatusError of the bus."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def keep(self, uid: str, sequence: int, letter: Letter) -> None:
        """Give it up, and whatever was asked of it before. Idempotent."""
        key, value = _key(uid, sequence), msgspec.json.encode(letter)
        while True:
            last = await self._bucket.last(key)
            try:
                await self._bucket.update(key, value, 0 if last is None else last.revision)
            except Conflict:
                continue
            return

    async def drop(self, uid: str, sequence: int) -> None:
        """It is dead no more. Idempotent."""
        key = _key(uid, sequence)
        while (entry := await self._bucket.get(key)) is not None:
            try:
                await self._bucket.purge(key, entry.revision)
            except NotFound:
                return
            except Conflict:
                continue

    async def all(self, uid: str) -> list[StoredLetter]:
        """Those of a sink, the oldest first."""
        letters: dict[int, StoredLetter] = {}
        after, more = 0, True
        while more:
            page = await self._bucket.changes(f"{uid}.>", after)
            more = page.more
            for entry in page.entries:
                after = entry.revision
                sequence = int(entry.key.rpartition(".")[2])
                letters.pop(sequence, None)
                if entry.value is not None and (letter := _read(entry.value)) is not None:
                    letters[sequence] = StoredLetter(sequence, letter, entry.revision)
        return sorted(letters.values())

    async def ask_again(self, uid: str, ids: Collection[str], now: float) -> tuple[int, list[str]]:
        """Mark those with these ids, or all if there are none, to be sent again: how many, and the ids under which there is none."""
        letters = await self.all(uid)
        chosen = [each for each in letters if not ids or each.letter.id in ids]
        for each in chosen:
            marked = msgspec.structs.replace(each.letter, retry=now)
            try:
                await self._bucket.update(_key(uid, each.sequence), msgspec.json.encode(marked), each.revision)
            except (Conflict, AlreadyExists):
                continue  # it was taken, or given up anew, this very moment
        there = {each.letter.id for each in letters}
        return len(chosen), [each for each in dict.fromkeys(ids) if each not in there]

    async def drop_all(self, uid: str) -> None:
        """Forget what a sink gave up."""
        for each in await self.all(uid):
            await self.drop(uid, each.sequence)


def listed(letters: Iterable[StoredLetter]) -> list[dict[str, object]]:
    """As people are shown them: DeadLetter."""
    return [
        {
            "id": each.letter.id,
            "type": each.letter.headers.get("ce-type", ""),
            "subject": each.letter.headers.get("ce-subject", ""),
            "time": each.letter.headers.get("ce-time", ""),
            "died": rfc3339(each.letter.died),
            "reason": each.letter.reason,
            "retrying": bool(each.letter.retry),
        }
        for each in letters
    ]


def letter_of(headers: Mapping[str, str], data: bytes, died: float, reason: str) -> Letter:
    """An event as it is given up: of its headers those of the event alone."""
    attributes = {name: value for name, value in headers.items() if name.lower().startswith("ce-")}
    return Letter(headers=attributes, data=data, died=died, reason=reason)


def _read(value: bytes) -> Letter | None:
    """None for what another version of skerry wrote."""
    try:
        return decoded(value, Letter)
    except msgspec.DecodeError:
        return None


def _key(uid: str, sequence: int) -> str:
    return f"{uid}.{sequence}"
