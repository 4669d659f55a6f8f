"""What an owner of desired state works with: it says what is to be on members, and learns what became of it.

    desired = DesiredClient(bus, "tenancy")
    await desired.settle("prod-eu", [Want(document, because=…), …])     # the whole set of this owner
    await desired.in_place("prod-eu", key, revision)

Owners are level-triggered: they compute everything that is to be on a member, and the difference is sent. Asking twice for
the same changes nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.desired import (
    BATCH,
    BATCH_BYTES,
    Batch,
    BatchAnswer,
    Because,
    CompleteRequest,
    DesiredItem,
    ItemResult,
    KeysAnswer,
    KeysRequest,
    Options,
    Report,
)
from skerry.bus import Bucket, Bus
from skerry.desired.entry import digest_of
from skerry.desired.owners import group_of, name_of

TIMEOUT_S = 10.0
_encode = msgspec.json.Encoder().encode


class Want(NamedTuple):
    """An object that is to be on a member."""

    document: Mapping[str, Any]
    options: Options = Options()
    because: tuple[Because, ...] = ()


def key_of(owner: str, member: str, document: Mapping[str, Any]) -> str:
    """The key under which an owner wants an object on a member."""
    namespace, name = name_of(document)
    kind = str(document.get("kind") or "").lower()
    return str(subjects.DesiredKey(member, owner, group_of(document), kind, namespace, name))


class DesiredClient:
    """One owner's side. `statuses` is the bucket DESIRED_STATUS. Every method raises StatusError."""

    def __init__(self, bus: Bus, statuses: Bucket, owner: str) -> None:
        self._bus, self._statuses, self.owner = bus, statuses, owner
        self._epoch = ""
        """Of the bucket, as it was answered last: revisions are its own."""

    def key(self, member: str, document: Mapping[str, Any]) -> str:
        """The key under which an object is wanted on a member."""
        return key_of(self.owner, member, document)

    async def apply(self, items: Sequence[DesiredItem]) -> tuple[ItemResult, ...]:
        """Send changes, in as many batches as they need; a result for each, in order."""
        results: list[ItemResult] = []
        for batch in _batches(items):
            request = _encode(Batch(request_id=secrets.token_hex(8), items=tuple(batch)))
            reply = await self._bus.request(subjects.desired_owner(self.owner), request, timeout_s=TIMEOUT_S)
            answer = decoded(reply.data, BatchAnswer)
            self._epoch = answer.epoch
            results += answer.results
        return tuple(results)

    async def put(self, member: str, want: Want) -> ItemResult:
        """Have one object there."""
        return (await self.apply([_item(member, want)]))[0]

    async def withdraw(self, member: str, *keys: str) -> tuple[ItemResult, ...]:
        """Have entries of ours gone."""
        return await self.apply([DesiredItem(member=member, key=key, withdraw=True) for key in keys])

    async def keys(self, member: str) -> KeysAnswer:
        """What we have on a member."""
        request = _encode(KeysRequest(member=member))
        reply = await self._bus.request(subjects.desired_keys(self.owner), request, timeout_s=TIMEOUT_S)
        answer = decoded(reply.data, KeysAnswer)
        self._epoch = answer.epoch
        return answer

    async def settle(self, member: str, wants: Iterable[Want]) -> tuple[ItemResult, ...]:
        """Have exactly these there: what is new or differs is sent, what is not among them is withdrawn, and then it is
        said that this is all. Results of what was sent.
        """
        there = {each.key: each.digest for each in (await self.keys(member)).keys if not subjects.is_complete(each.key)}
        items = []
        for want in wants:
            key = self.key(member, want.document)
            if there.pop(key, None) != digest_of(_encode_sorted(want.document), want.options):
                items.append(_item(member, want))
        items += [DesiredItem(member=member, key=key, withdraw=True) for key in there]
        results = await self.apply(items)
        if not any(result.code for result in results):
            request = _encode(CompleteRequest(member=member))
            await self._bus.request(subjects.desired_complete(self.owner), request, timeout_s=TIMEOUT_S)
        return results

    async def status(self, member: str) -> Report | None:
        """What the member said last; None if it never said anything."""
        entry = await self._statuses.get(subjects.member(member))
        return None if entry is None or entry.value is None else decoded(entry.value, Report)

    async def in_place(self, member: str, key: str, revision: int) -> bool:
        """True if an entry is on the member as it was at a revision, or later: it was tried, and is no problem. While a
        member has more problems than a report holds, nothing there is known to be in place.
        """
        report = await self.status(member)
        return (
            report is not None
            and report.epoch == self._epoch
            and report.applied >= revision
            and not report.more
            and all(each.key != key for each in report.problems)
        )


def _item(member: str, want: Want) -> DesiredItem:
    return DesiredItem(
        member=member, object=msgspec.Raw(_encode_sorted(want.document)), options=want.options, because=want.because
    )


def _encode_sorted(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document, order="sorted")


def _batches(items: Sequence[DesiredItem]) -> Iterable[list[DesiredItem]]:
    batch: list[DesiredItem] = []
    size = 0
    for item in items:
        more = 0 if isinstance(item.object, msgspec.UnsetType) else len(item.object)
        if batch and (len(batch) == BATCH or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += more
    if batch:
        yield batch
