"""The registry's side of desired state: the gate through which owners write, and what members ask and report.

It alone writes the bucket and signs. Nothing of it is held in memory: what a member should have, and what changed since,
is asked of the stream in one question, so a quiet fleet costs nothing and any replica answers.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from services.registry import fences
from services.registry.reports import checked
from services.registry.usage import Usage
from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.desired import (
    BATCH,
    BATCH_BYTES,
    ENTRY_BYTES,
    MARKER_S,
    PAGE,
    PAGE_BYTES,
    REASONS,
    Batch,
    BatchAnswer,
    DesiredItem,
    EntryKey,
    ItemResult,
    KeysAnswer,
    KeysRequest,
    Report,
    SyncAnswer,
    SyncEntry,
    SyncRequest,
    WithdrawOrder,
)
from skerry.bus import Bucket, Bus, Entry
from skerry.bus.kv import Changes
from skerry.desired import owners
from skerry.desired.entry import Entry as Wanted
from skerry.desired.entry import opened, signed, signed_order
from skerry.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    StatusError,
)
from skerry.identity.signedtext import Sign, Verify

log = logging.getLogger("skerry.registry")

ATTEMPTS = 4
COUNTED = 50_000
"""Entries that are counted in memory, of the members written to last: 200 bytes each, and a fleet may have millions."""
SEEN_S = 1.0
"""What other replicas wrote for a member is seen so late, in front of its limits: 200 changes a second would be as many more
questions."""

FindUid = Callable[[str], "str | None"]
"""The UID of the Cluster of that name; None if there is none that stays, or, of a second one, that leaves."""
REPORTED = 1024
"""Members whose last report is held, so that the same one again costs nothing."""


class Buckets(NamedTuple):
    """Where desired state is stored, and what members say of it."""

    desired: Bucket
    statuses: Bucket
    epoch: str
    """Names the first: another one if it was made anew."""

    @classmethod
    async def open(cls, bus: Bus) -> Buckets:
        """StatusError."""
        desired, statuses = await bus.bucket(subjects.DESIRED), await bus.bucket(subjects.DESIRED_STATUS)
        epoch = str((await desired.info()).get("created") or "")
        if not epoch:
            raise ServiceUnavailable("JetStream does not say when the bucket of desired state was made")
        return cls(desired, statuses, epoch)


class Desired:
    """See the module. Methods raise StatusError."""

    def __init__(
        self,
        buckets: Buckets,
        find: FindUid,
        sign: Sign,
        verify: Verify,
        now: Callable[[], float],
        leaving: FindUid = lambda name: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`now` is in seconds of any clock, `wall` in those since the epoch."""
        self._bucket, self.epoch = buckets.desired, buckets.epoch
        self.reports = buckets.statuses
        """What members said last, by their names."""
        self._leaving, self._wall = leaving, wall
        self._find, self._sign, self._verify, self._now = find, sign, verify, now
        self._usages: OrderedDict[str, Usage] = OrderedDict()
        self._reports: OrderedDict[str, tuple[Report, int]] = OrderedDict()

    # Owners

    async def batch(self, owner: str, batch: Batch) -> BatchAnswer:
        """An owner's changes; each item has a result of its own. BadRequest for a batch that is too large."""
        if len(batch.items) > BATCH:
            raise BadRequest(f"a batch has at most {BATCH} items, this one has {len(batch.items)}: send several")
        size = sum(0 if isinstance(each.object, msgspec.UnsetType) else len(each.object) for each in batch.items)
        if size > BATCH_BYTES:
            raise RequestEntityTooLarge(f"a batch has at most {BATCH_BYTES} bytes of objects: send several")
        usages: dict[str, Usage] = {}
        results = []
        for item in batch.items:
            try:
                if item.member not in usages:
                    usages[item.member] = await self._usage(item.member, SEEN_S)
                usage = usages[item.member]
                results.append(
                    await (self._withdraw(owner, item, usage) if item.withdraw else self._put(owner, item, usage))
                )
            except StatusError as error:
                result = ItemResult(
                    key=item.key[:512], code=error.code, reason=error.reason, message=error.message[:1024]
                )
                results.append(result)
        return BatchAnswer(epoch=self.epoch, results=tuple(results))

    async def keys(self, owner: str, request: KeysRequest) -> KeysAnswer:
        """What an owner has on a member."""
        prefix = f"{subjects.member(request.member)}.{subjects.token(owner)}.>"
        return KeysAnswer(
            epoch=self.epoch,
            keys=tuple(
                [
                    EntryKey(key=entry.key, revision=entry.revision, digest=wanted.digest)
                    async for entry in self._all(prefix, 0)
                    if (wanted := self.opened(entry)) is not None
                ]
            ),
            last=await self.last_revision(request.member),
        )

    async def complete(self, owner: str, member: str) -> int:
        """An owner says that everything it wants on a member is there; the revision of that."""
        cluster = self._cluster(member)
        key = subjects.complete_key(member, owner)
        return await self._store(key, owner, cluster, b"{}", DesiredItem(member=member), await self._usage(member))

    async def _put(self, owner: str, item: DesiredItem, usage: Usage) -> ItemResult:
        cluster = self._cluster(item.member)
        document = _document(item)
        if problem := owners.refusal(owner, document):
            raise Forbidden(problem)
        if problem := owners.fencing(owner, item.options):
            raise BadRequest(problem)
        namespace, name = owners.name_of(document)
        kind = str(document["kind"]).lower()
        key = str(subjects.DesiredKey(item.member, owner, owners.group_of(document), kind, namespace, name))
        _check_after(item, key)
        body = msgspec.json.encode(document, order="sorted")
        if len(body) > ENTRY_BYTES:
            raise RequestEntityTooLarge(f"{kind} {name} has {len(body)} bytes: at most {ENTRY_BYTES} can be wanted")
        return ItemResult(key=key, revision=await self._store(key, owner, cluster, body, item, usage))

    async def _withdraw(self, owner: str, item: DesiredItem, usage: Usage) -> ItemResult:
        try:
            parts = subjects.desired_key(item.key)
        except ValueError as error:
            raise BadRequest(f"{item.key[:200]!r} is not a key of desired state") from error
        if (parts.owner, parts.member) != (owner, item.member):
            raise Forbidden(f"{item.key} is not {owner}'s on {item.member}: an owner withdraws what is its own")
        for _ in range(ATTEMPTS):
            current = await self._bucket.last(item.key)
            if current is None or current.value is None:
                return ItemResult(key=item.key, revision=0 if current is None else current.revision)
            fences.check_withdrawal(item.key, self.opened(current), fenced=owners.OWNERS[owner].fenced)
            usage.count(owner, int(self._now()), item.member)
            try:
                revision = await self._bucket.purge(item.key, current.revision, marker_s=MARKER_S)
            except Conflict:
                continue
            usage.note(item.key, 0)
            return ItemResult(key=item.key, revision=revision)
        raise Conflict(f"{item.key} is being changed by somebody else: ask again")

    async def _store(self, key: str, owner: str, cluster: str, body: bytes, item: DesiredItem, usage: Usage) -> int:
        """The revision under which it stands; what is the same already is not written."""
        for _ in range(ATTEMPTS):
            current = await self._bucket.last(key)
            wanted = Wanted(
                cluster=cluster,
                owner=owner,
                epoch=self.epoch,
                previous=0 if current is None else current.revision,
                object=msgspec.Raw(body),
                options=item.options,
                because=item.because[:REASONS],
                more=max(0, len(item.because) - REASONS),
            )
            if current is not None and current.value is not None:
                if self._same(current, wanted):
                    return current.revision
                fences.check_put(key, self.opened(current), wanted.options.fence)
            text = signed(key, wanted, self._sign)
            usage.count(owner, int(self._now()), item.member)
            usage.check(key, len(text), item.member)
            try:
                revision = await self._bucket.update(key, text, 0 if current is None else current.revision)
            except Conflict:
                continue
            usage.note(key, len(text))
            return revision
        raise Conflict(f"{key} is being changed by somebody else: ask again")

    def _same(self, current: Entry, entry: Wanted) -> bool:
        stored = self.opened(current)
        return stored is not None and msgspec.structs.replace(entry, previous=stored.previous) == stored

    def opened(self, entry: Entry) -> Wanted | None:
        """What an entry of the bucket holds; None for what this registry would not sign today, such as what an earlier root
        signed.
        """
        try:
            return opened(entry.key, entry.value or b"", self._verify)
        except StatusError:
            return None

    def _cluster(self, member: str) -> str:
        uid = self._find(subjects.member(member))
        if uid is None:
            raise NotFound(f"cluster {member} does not exist, or is leaving", kind="clusters", name=member)
        return uid

    async def _usage(self, member: str, seen_s: float = 0.0) -> Usage:
        """How full a member is, with what other replicas wrote until `seen_s` ago."""
        usage = self._usages.setdefault(subjects.member(member), Usage())
        self._usages.move_to_end(member)
        now = self._now()
        if now - usage.seen < seen_s:
            return usage
        async for entry in self._all(subjects.desired_of(member), usage.revision):
            usage.note(entry.key, len(entry.value or b""))
            usage.revision = entry.revision
        usage.seen = now
        counted = sum(len(each.sizes) + 1 for each in self._usages.values())
        while counted > COUNTED and len(self._usages) > 1:
            counted -= len(self._usages.popitem(last=False)[1].sizes) + 1
        return usage

    # Members

    def exists(self, member: str) -> bool:
        """Whether there is a Cluster of that name which is not leaving."""
        return self._find(member) is not None

    async def entries(self, member: str) -> int:
        """How many entries a member has."""
        usage = await self._usage(member)
        return sum(not subjects.is_complete(key) for key in usage.sizes)

    async def members_with(self, key: subjects.DesiredKey) -> set[str]:
        """Members that have an entry under that key, whichever member it names."""
        rest = str(key).partition(".")[2]
        return {
            subjects.desired_key(entry.key).member
            async for entry in self._all(f"*.{rest}", 0)
            if entry.value is not None
        }

    async def page(self, member: str, owner: str, after: int, limit: int) -> Changes:
        """Entries of a member as they lie in the bucket, of one owner if it is named, behind a revision."""
        prefix = f"{subjects.member(member)}.{subjects.token(owner)}.>" if owner else subjects.desired_of(member)
        return await self._bucket.changes(prefix, after, limit=limit, max_bytes=PAGE_BYTES)

    async def last_revision(self, member: str) -> int:
        """Of the last change for a member; 0 if there was none."""
        return await self._bucket.last_of(subjects.desired_of(member))

    async def sync(self, member: str, request: SyncRequest) -> SyncAnswer:
        """What a member should have: all of it, or what changed since a revision of this bucket."""
        known = request.epoch == self.epoch and request.after > 0
        after = request.after if known else 0
        page = await self._bucket.changes(
            subjects.desired_of(member), after, limit=max(1, min(request.limit, PAGE)), max_bytes=PAGE_BYTES
        )
        entries = tuple(
            SyncEntry(key=each.key, revision=each.revision, entry=None if each.value is None else each.value.decode())
            for each in page.entries
        )
        last = entries[-1].revision if entries else after
        return SyncAnswer(
            epoch=self.epoch,
            cluster=self._find(member) or self._leaving(member) or "",
            full=not known,
            entries=entries,
            next=last if page.more else None,
            last=last,
        )

    async def report(self, member: str, report: Report) -> None:
        """What a member says about itself: checked, bounded, and stored if it is news. BadRequest if it is nonsense,
        NotFound of one that leaves, but for what it says of its end: nothing of it stays."""
        report = checked(member, report, self._wall())
        known = self._reports.get(member)
        if known is not None and known[0] == report:
            return
        if not (report.order and self._leaving(member)):
            self._cluster(member)
        self._reports[member] = report, await self._reported(member, msgspec.json.encode(report), known)
        self._reports.move_to_end(member)
        if len(self._reports) > REPORTED:
            self._reports.popitem(last=False)

    async def _reported(self, member: str, text: bytes, known: tuple[Report, int] | None) -> int:
        """The revision under which a report is stored: behind the last one that is known, mostly. Conflict."""
        if known is not None:
            with contextlib.suppress(Conflict):
                return await self.reports.update(member, text, known[1])
        for _ in range(ATTEMPTS):
            current = await self.reports.last(member)
            if current is not None and current.value == text:
                return current.revision
            with contextlib.suppress(Conflict):
                return await self.reports.update(member, text, 0 if current is None else current.revision)
        raise Conflict(f"what {member} reports is being stored by somebody else: say it again")

    async def said(self, member: str) -> Report | None:
        """What a member reported last; None if it never did."""
        entry = await self.reports.last(member)
        return None if entry is None or entry.value is None else decoded(entry.value, Report)

    def order(self, member: str, order: WithdrawOrder) -> bytes:
        """The signed text of an order."""
        return signed_order(member, order, self._sign)

    async def forget(self, member: str) -> None:
        """Everything of a member goes, before its name is free."""
        async for entry in self._all(subjects.desired_of(member), 0):
            if entry.value is not None:
                await self._purged(self._bucket, entry)
        status = await self.reports.last(member)
        if status is not None and status.value is not None:
            await self._purged(self.reports, status)
        self._usages.pop(member, None)
        self._reports.pop(member, None)

    async def _purged(self, bucket: Bucket, entry: Entry) -> None:
        current: Entry | None = entry
        while current is not None and current.value is not None:
            try:
                await bucket.purge(current.key, current.revision)
            except Conflict:
                current = await bucket.last(current.key)
            else:
                return

    async def _all(self, prefix: str, after: int) -> AsyncIterator[Entry]:
        """Every entry under a prefix that changed after a revision, deletions too."""
        more = True
        while more:
            page = await self._bucket.changes(prefix, after)
            for entry in page.entries:
                yield entry
            after, more = (page.entries[-1].revision if page.entries else after), page.more


def _document(item: DesiredItem) -> Mapping[str, Any]:
    if isinstance(item.object, msgspec.UnsetType):
        raise BadRequest("an item without `withdraw` has an object")
    try:
        document = decoded(item.object)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the object cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("the object is not a JSON object")
    return document


def _check_after(item: DesiredItem, key: str) -> None:
    for first in item.options.after:
        try:
            parts = subjects.desired_key(first)
        except ValueError as error:
            raise BadRequest(f"after: {first[:200]!r} is not a key of desired state") from error
        if parts.member != item.member or first == key:
            raise BadRequest(f"after: {first} is not another entry of {item.member}")
