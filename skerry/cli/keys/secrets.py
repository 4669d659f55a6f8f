"""`secrets`: the key that what services must keep is sealed with (skerry/storage/sealed.py)."""

from __future__ import annotations

import asyncio
import time

from skerry.bus import Bucket
from skerry.cli.keys.rotation import Root, Show, Standing, state_of
from skerry.storage.sealed import SETTLE_S, Keyring, Sealing, look, reseal


class SecretsKey:
    """What it seals is the values of one bucket; who holds it is the registry, which looks at the files itself."""

    name = "secrets"

    def __init__(self, keyring: Keyring, bucket: Bucket, settle_s: float = SETTLE_S) -> None:
        self._keyring, self._bucket, self._settle_s = keyring, bucket, settle_s

    async def look(self) -> Standing:
        """By what lies in the bucket."""
        return self._standing(await look(self._bucket, self._keyring))

    async def begin(self, root: Root) -> None:
        """Whoever seals from here on seals with the new key."""
        self._keyring.rotate()

    async def move(self, show: Show) -> Standing:
        """Seal anew what is sealed with the old key."""
        return self._standing(
            await reseal(self._bucket, self._keyring, lambda number: show(f"key {self.name}: {number} sealed anew"))
        )

    async def drop(self, show: Show) -> None:
        """When nothing that somebody sealed or read with the old key can still be on its way."""
        since = self._keyring.path.stat().st_mtime
        while True:
            await self._settled(since, show)
            found = await look(self._bucket, self._keyring)
            if found.current == found.readable:
                break
            await self.move(show)
            since = time.time()
        self._keyring.drop()

    async def _settled(self, since: float, show: Show) -> None:
        while (left := min(since + self._settle_s - time.time(), self._settle_s)) > 0:
            show(f"key {self.name}: waiting {left:.0f} s for writes under way")
            await asyncio.sleep(min(left, 1.0))

    def _standing(self, found: Sealing) -> Standing:
        """What no key opens was lost before, by no rotation: it is told, and not waited for."""
        lost = ", ".join(found.unreadable)
        return Standing(
            key=self.name,
            made=self._keyring.path.stat().st_mtime,
            state=state_of(rotating=self._keyring.rotating, moved=found.current, total=found.readable),
            moved=found.current,
            total=found.readable,
            missing=(f"{found.readable - found.current} sealed values",) if found.current < found.readable else (),
            note=f"no key opens {lost}" if lost else "",
        )
