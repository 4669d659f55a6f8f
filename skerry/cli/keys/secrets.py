"""`secrets`: the key that what services must keep is sealed with (skerry/storage/sealed.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from skerry.bus import Bucket
from skerry.cli.keys.rotation import KeyStanding, Root, Show, state_of
from skerry.storage.sealed import SETTLE_S, Keyring, Sealing, look, reseal


class SealedBucket(NamedTuple):
    """A bucket of sealed values, and what a service opens it with."""

    bucket: Bucket
    keyring: Keyring


class SecretsKey:
    """What it seals is the values of some buckets; who holds it is the services that own them, which look at the files
    themselves. `first` has the key of the file, the others keys that are derived of it.
    """

    name = "secrets"

    def __init__(self, first: SealedBucket, *others: SealedBucket, settle_s: float = SETTLE_S) -> None:
        self._keyring, self._buckets, self._settle_s = first.keyring, (first, *others), settle_s

    async def look(self) -> KeyStanding:
        """By what lies in the buckets."""
        return self._standing(await self._each(look))

    async def begin(self, root: Root) -> None:
        """Whoever seals from here on seals with the new key."""
        self._keyring.rotate()

    async def move(self, show: Show) -> KeyStanding:
        """Seal anew what is sealed with the old key."""
        return self._standing(
            await self._each(
                lambda bucket, keyring: reseal(
                    bucket, keyring, lambda number: show(f"key {self.name}: {number} of {bucket.name} sealed anew")
                )
            )
        )

    async def drop(self, show: Show) -> None:
        """When nothing that somebody sealed or read with the old key can still be on its way."""
        since = self._keyring.path.stat().st_mtime
        while True:
            await self._settled(since, show)
            sealing = await self._each(look)
            if sealing.current == sealing.readable:
                break
            await self.move(show)
            since = time.time()
        self._keyring.drop()

    async def _settled(self, since: float, show: Show) -> None:
        while (left := min(since + self._settle_s - time.time(), self._settle_s)) > 0:
            show(f"key {self.name}: waiting {left:.0f} s for writes under way")
            await asyncio.sleep(min(left, 1.0))

    async def _each(self, work: Callable[[Bucket, Keyring], Awaitable[Sealing]]) -> Sealing:
        """The sum of what there is in all buckets."""
        sums = [await work(*each) for each in self._buckets]
        return Sealing(
            sum(each.current for each in sums),
            sum(each.readable for each in sums),
            tuple(key for each in sums for key in each.unreadable),
        )

    def _standing(self, found: Sealing) -> KeyStanding:
        """What no key opens was lost before, by no rotation: it is told, and not waited for."""
        lost = ", ".join(found.unreadable)
        return KeyStanding(
            key=self.name,
            made=self._keyring.path.stat().st_mtime,
            state=state_of(rotating=self._keyring.rotating, moved=found.current, total=found.readable),
            moved=found.current,
            total=found.readable,
            missing=(f"{found.readable - found.current} sealed values",) if found.current < found.readable else (),
            note=f"no key opens {lost}" if lost else "",
        )
