"""What an applier is told: changes as they come live, syncs that say what was missed, and the signatures on all of it.

A live change is a hint of which key; what is believed is the entry's signature, and a withdrawal, which carries none, only
after a sync has said so too. Each live change is followed by a sync, some a second at most: that alone says up to which
revision nothing was missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from skerry.api.desired import MARKER_S, SyncAnswer, SyncEntry, SyncRequest
from skerry.backoff import Backoff
from skerry.bus import Message
from skerry.controller.timers import Timers, sleep
from skerry.desired.entry import Entry, opened
from skerry.desired.model import DesiredState, EntryChange
from skerry.errors import StatusError, Unauthorized
from skerry.identity.signedtext import Verify
from skerry.subjects import desired_key

log = logging.getLogger("skerry.desired")

FIRST_S, LONGEST_S = 1.0, 60.0
"""The longest pause after a first sync that failed, and at all: it fails for a thousand members at once."""
BETWEEN_S = 0.25
"""Between two syncs."""
OLD_S = MARKER_S / 2
"""Who knew for so long nothing of the bucket asks for everything: of what was withdrawn meanwhile nothing may be left."""
HELD_BYTES = 4 << 20
"""Of entries that are not in place yet."""


class EntryRoom:
    """Room for entries that are not in place yet, of one applier or of all of a process. What finds none is asked for again
    when its turn comes.
    """

    __slots__ = ("left",)

    def __init__(self, size: int = HELD_BYTES) -> None:
        """`size` is in bytes."""
        self.left = size


class EntrySource(Protocol):
    """Where entries come from: the registry, over the bus or in the same process."""

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """One page. StatusError."""
        ...


class Feed:
    """Fills a DesiredState. `fresh(keys)` is told which entries changed; a task must run `run`."""

    def __init__(
        self,
        state: DesiredState,
        source: EntrySource,
        verify: Verify,
        fresh: Callable[[list[str]], None],
        *,
        clock: Callable[[], float],
        timers: Timers,
        held: EntryRoom | None = None,
    ) -> None:
        self._state, self._source, self._verify, self._fresh = state, source, verify, fresh
        self._clock, self._timers = clock, timers
        self.cluster = ""
        """UID of the Cluster object, as the registry said last."""
        self._disputed: set[str] = set()
        """Keys that this bucket has, and whose entries are not believed: they are not absent."""
        self._known_at = 0.0
        """When all was known here that the bucket had, by the clock."""
        self._entries: dict[str, Entry] = {}
        self._held = held or EntryRoom()
        self._asked = asyncio.Event()
        self._asked.set()
        self._ended = False

    def republished(self, message: Message) -> None:
        """A stored change, as the server publishes it again on `down.<m>.desired.…`."""
        key = message.subject.removeprefix("down.").replace(".desired.", ".", 1)
        revision = message.headers.get("Nats-Sequence", "")
        if revision.isdecimal():
            gone = message.headers.get("KV-Operation", "") in ("DEL", "PURGE")
            self.heard(key, int(revision), None if gone else message.data)

    def heard(self, key: str, revision: int, data: bytes | None) -> None:
        """A change came live. `data` is None for a withdrawal."""
        if self._ended:
            return
        entry = None if data is None else self._believed(key, data)
        if entry is not None and not self._is_known(revision, entry) and self._taken(key, revision, entry):
            self._fresh([key])
        self.ask()

    def _is_known(self, revision: int, entry: Entry) -> bool:
        """True of what a sync had, or had withdrawn: it comes again, and a key that is gone has no revision to compare it with."""
        return entry.epoch == self._state.epoch and revision <= self._state.synced

    def ask(self) -> None:
        """Have a sync made soon: something may have been missed."""
        self._asked.set()

    def told(self, epoch: str, last: int) -> None:
        """The host says what its bucket's epoch is and the last revision in it; 0 while it does not know that."""
        if epoch != self._state.epoch or last > self._state.synced:
            self.ask()
        elif last:
            self._known_at = self._clock()

    def end(self) -> None:
        """Take nothing from now on, nor what is under way: the state is another's to wind up."""
        self._ended = True
        self._asked.set()

    async def run(self) -> None:
        """Sync whenever that was asked for, until the end or cancelled."""
        backoff, reported = Backoff(FIRST_S, LONGEST_S), ""
        while not self._ended:
            await self._asked.wait()
            self._asked.clear()
            try:
                await self._sync()
                backoff.reset()
                reported = ""
                await sleep(self._timers, BETWEEN_S)
            except StatusError as error:
                if error.message != reported:
                    reported = error.message
                    log.info("what this member should have cannot be asked for", extra={"reason": reported})
                self._asked.set()
                await sleep(self._timers, backoff.next())

    async def entry(self, key: str) -> Entry | None:
        """The entry of a key that is wanted: held, or asked for. None if the bucket has another by now. StatusError."""
        held = self._entries.get(key)
        if held is not None:
            return held
        revision = self._state.entries[key].revision
        page = await self._source.sync(SyncRequest(epoch=self._state.epoch, after=revision - 1, limit=1))
        for each in page.entries:
            if each.key == key and each.revision == revision and each.entry is not None:
                return opened(key, each.entry.encode(), self._verify)
        self.ask()
        return None

    def drop(self, key: str) -> None:
        """The entry is in place: it need not be held any more."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._held.left += len(entry.object)

    def close(self) -> None:
        """Hold nothing any more."""
        for key in list(self._entries):
            self.drop(key)

    async def _sync(self) -> None:
        """Everything that changed since the last one; everything there is if that was too long ago, or a clock was set back."""
        began = self._clock()
        after, full, last = (self._state.synced if 0 <= began - self._known_at < OLD_S else 0), False, 0
        listed: set[str] = set()
        fresh: list[str] = []
        while True:
            page = await self._source.sync(SyncRequest(epoch=self._state.epoch, after=after))
            if self._ended:
                return
            self.cluster = page.cluster or self.cluster
            if page.epoch != self._state.epoch:
                self._state.begin(page.epoch)
                self._disputed.clear()
                listed.clear()
            full = full or page.full
            listed.update(each.key for each in page.entries if each.entry is not None)
            fresh += [each.key for each in page.entries if self._listed(each)]
            last = max(last, page.last)
            if page.next is None or page.next <= after:
                break
            after = page.next
        known = listed if full else None
        self._known_at = began
        self._fresh(fresh + self._state.caught_up(last, self._clock(), listed=known, disputed=self._disputed))

    def _listed(self, each: SyncEntry) -> bool:
        """True if there is something to do for a key of a sync."""
        if each.entry is not None:
            entry = self._believed(each.key, each.entry.encode())
            if entry is None:
                self._disputed.update({each.key} & self._state.entries.keys())
                return False
            self._disputed.discard(each.key)
            return self._taken(each.key, each.revision, entry)
        try:
            change = EntryChange(each.key, each.revision)
            return self._state.take(change, confirmed=True, now=self._clock()) and each.key in self._state.entries
        except ValueError:
            return False

    def _taken(self, key: str, revision: int, entry: Entry) -> bool:
        """True if an entry that is believed is new; then it is held."""
        change = EntryChange(key, revision, entry.digest, entry.previous, entry.options)
        if entry.epoch != self._state.epoch or not self._state.take(change, confirmed=True, now=self._clock()):
            return False
        self.drop(key)
        size = len(entry.object)
        if size <= self._held.left:
            self._entries[key] = entry
            self._held.left -= size
        return True

    def _believed(self, key: str, data: bytes) -> Entry | None:
        try:
            entry = opened(key, data, self._verify)
            if desired_key(key).owner != entry.owner:
                raise Unauthorized(f"it is signed for owner {entry.owner[:63]}")
        except (ValueError, StatusError) as error:
            log.warning("an entry is not believed", extra={"key": key[:200], "reason": str(error)[:300]})
            return None
        if self.cluster and entry.cluster != self.cluster:
            return None
        return entry
