"""Secrets of sinks: sealed in the bucket `sinks` under the uid of their EventSink, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.events.signing import key_of
from skerry.api.decode import decoded
from skerry.bus import Bucket
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.storage.sealed import Keyring, Unreadable

OVERLAP_S = 24 * 3600.0
"""Requests are signed with the secret before for so long as well: receivers take over the new one when they can."""
MOST_PREVIOUS = 3
"""Of one that is replaced again and again, so many of before count."""


class Retired(msgspec.Struct, frozen=True):
    """A secret that was replaced; it signs until then, Unix time."""

    secret: str
    until: float

    def __repr__(self) -> str:
        return f"Retired(until {self.until:.0f})"


class SinkSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed."""

    secret: str
    previous: tuple[Retired, ...] = ()
    """The latest first."""

    def __repr__(self) -> str:
        return f"SinkSecrets({len(self.previous)} of before)"

    def keys(self, now: float) -> Sequence[bytes]:
        """What a request is signed with now, the secret itself first."""
        return [key_of(self.secret), *(key_of(each.secret) for each in self.previous if now < each.until)]

    def replaced(self, secret: str, now: float) -> SinkSecrets:
        """The same with another secret in its place. The one that is there already: as it is."""
        if secret == self.secret:
            return self
        before = (Retired(self.secret, now + OVERLAP_S), *(each for each in self.previous if now < each.until))
        return SinkSecrets(secret=secret, previous=before[:MOST_PREVIOUS])

    @property
    def previous_until(self) -> float:
        """Until when one of before signs as well; 0 if none does."""
        return max((each.until for each in self.previous), default=0.0)


class Secrets:
    """The sealed secrets. StatusError of the bus."""

    def __init__(self, bucket: Bucket, keyring: Keyring) -> None:
        self._bucket, self._keyring = bucket, keyring

    async def find(self, uid: str) -> SinkSecrets | None:
        """Those of the EventSink with this uid, or None. Unreadable if no key opens them."""
        entry = await self._bucket.get(uid)
        return None if entry is None or entry.value is None else self._opened(uid, entry.value)

    async def set(self, uid: str, secret: str, now: float) -> SinkSecrets:
        """Sign with this one from now on. Unreadable ones of before are forgotten: setting another is the way out."""
        while True:
            entry = await self._bucket.get(uid)
            try:
                if entry is None or entry.value is None:
                    after = SinkSecrets(secret=secret)
                    await self._bucket.create(uid, self._sealed(uid, after))
                else:
                    after = self._replaced(uid, entry.value, secret, now)
                    await self._bucket.update(uid, self._sealed(uid, after), entry.revision)
            except (Conflict, AlreadyExists):
                continue
            return after

    async def drop(self, uid: str) -> None:
        """Forget them. Idempotent."""
        while True:
            entry = await self._bucket.get(uid)
            if entry is None or entry.value is None:
                return
            try:
                await self._bucket.purge(uid, entry.revision)
            except NotFound:
                return
            except Conflict:
                continue

    def _replaced(self, uid: str, value: bytes, secret: str, now: float) -> SinkSecrets:
        try:
            return self._opened(uid, value).replaced(secret, now)
        except Unreadable:
            return SinkSecrets(secret=secret)

    def _sealed(self, uid: str, secrets: SinkSecrets) -> bytes:
        return self._keyring.seal(uid, msgspec.json.encode(secrets))

    def _opened(self, uid: str, value: bytes) -> SinkSecrets:
        try:
            return decoded(self._keyring.opened(uid, value).value, SinkSecrets)
        except msgspec.DecodeError as error:
            raise Unreadable(f"the secret of sink {uid} is of another version of skerry") from error
