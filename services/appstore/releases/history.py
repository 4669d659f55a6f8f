"""What earlier revisions of a release installed, sealed: values may be secret, and whoever goes back to a revision needs them.

A revision is written down when the next one takes its place, from the object that is stored: two replicas that do so at the
same time write the same. The current revision is the spec itself. Sets of secret values have names of their own, so that a
revision goes back to those that it had.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from services.appstore.releases.specs import INSTALLED
from skerry.api.decode import decoder
from skerry.api.meta import Document
from skerry.bus import Bucket, Entry
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.storage.sealed import Keyring

PAGE = 500
GRACE_S = 600.0
"""What no revision needs is kept for so long: secret values are written down before the revision that has them."""


class RevisionContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a revision installed: the part of the spec that says so, and which set of secret values."""

    spec: dict[str, Any]
    secrets: str = ""


_content = decoder(RevisionContent)
_secrets = decoder(dict[str, str])


class RevisionHistory:
    """Sealed contents of revisions and of secret values, by the UID of their AppRelease. StatusError of the bus."""

    def __init__(self, bucket: Bucket, keyring: Keyring, now: Callable[[], float] = time.time) -> None:
        self._bucket, self._keyring, self._now = bucket, keyring, now

    async def keep(self, document: Document) -> None:
        """Write down what the revision of an AppRelease, as it is stored, installs."""
        status = document.get("status") or {}
        spec = {name: document["spec"][name] for name in INSTALLED if name in document["spec"]}
        content = RevisionContent(spec=spec, secrets=(status.get("secretValues") or {}).get("set", ""))
        await self._put(_revision_key(document["metadata"]["uid"], int(status.get("revision", 0))), content)

    async def content(self, uid: str, revision: int) -> RevisionContent | None:
        """What an earlier revision installed; None if that is not known any more."""
        value = await self._get(_revision_key(uid, revision))
        return None if value is None else _content(value)

    async def keep_secrets(self, uid: str, name: str, values: dict[str, str]) -> None:
        """Write down a set of secret values; `name` is one that no other set of the release has."""
        await self._put(_secrets_key(uid, name), values)

    async def secrets(self, uid: str, name: str) -> dict[str, str]:
        """A set of secret values; none for an empty name. NotFound if it is lost."""
        if not name:
            return {}
        value = await self._get(_secrets_key(uid, name))
        if value is None:
            raise NotFound("the release's secret values are not there any more: set them again")
        return _secrets(value)

    async def forget(self, uid: str, *, revisions: Iterable[int], current: str) -> None:
        """Forget what none of these revisions installed, nor the `current` secret values are."""
        kept = {_revision_key(uid, each) for each in revisions}
        entries = [entry async for entry in self._entries(uid)]
        contents = [_content(self._opened(each)) for each in entries if each.key in kept]
        kept |= {_secrets_key(uid, name) for name in (current, *(each.secrets for each in contents))}
        for entry in entries:
            if entry.key not in kept and self._now() - entry.created > GRACE_S:
                await self._purge(entry)

    async def forget_all(self, uid: str) -> None:
        """Forget all of a release that is gone."""
        async for entry in self._entries(uid):
            await self._purge(entry)

    async def _purge(self, entry: Entry) -> None:
        with suppress(Conflict):
            await self._bucket.purge(entry.key, entry.revision)

    def _opened(self, entry: Entry) -> bytes:
        return self._keyring.opened(entry.key, entry.value or b"").value

    async def _entries(self, uid: str) -> AsyncIterator[Entry]:
        after, more = 0, True
        while more:
            page = await self._bucket.changes(f"release.{uid}.>", after, limit=PAGE)
            more = page.more
            for entry in page.entries:
                after = entry.revision
                if entry.value is not None:
                    yield entry

    async def _put(self, key: str, value: object) -> None:
        sealed = self._keyring.seal(key, msgspec.json.encode(value))
        while True:
            there = await self._bucket.last(key)
            try:
                if there is None:
                    await self._bucket.create(key, sealed)
                else:
                    await self._bucket.update(key, sealed, there.revision)
            except (AlreadyExists, Conflict):
                continue
            return

    async def _get(self, key: str) -> bytes | None:
        entry = await self._bucket.get(key)
        return None if entry is None or entry.value is None else self._keyring.opened(key, entry.value).value


def _revision_key(uid: str, revision: int) -> str:
    return f"release.{uid}.revision.{revision}"


def _secrets_key(uid: str, name: str) -> str:
    return f"release.{uid}.secrets.{name}"
