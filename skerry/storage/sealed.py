"""Values that lie in a bucket sealed, under a key from a file, each with the bucket's key that it lies under in the box.

A keyring is two files. `secrets.key` seals and opens; `secrets.previous.key`, there while a rotation is open, opens only.
Both are looked at before each use, so every process seals with the new key from the moment at which its file is there, and
what any of them sealed before stays readable until `drop`. A value that was sealed just before, and is stored just after, is
why `drop` comes SETTLE_S after the last value was seen under the old key: no write is under way for longer.

Each service seals under a key of its own: HKDF-SHA-256 (RFC 5869) of the file's key with the service's name. The registry, which
was there first, seals under the file's key itself.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random

from skerry import subjects
from skerry.bus import Bucket
from skerry.errors import Conflict, InternalError
from skerry.identity.files import sync, write_private
from skerry.settings import SettingsError, variable

SEALED = {"appstore": subjects.APP_STORE, "events": subjects.SINKS}
"""Buckets whose values are sealed with derived keys, by the services that own them; the registry's is beside these."""
SETTLE_S = 15.0
"""Longer than any write of a bucket takes, or fails (5 s)."""


class Unreadable(InternalError):
    """No key of the keyring opens a value."""


class Opened(NamedTuple):
    """A value that was opened."""

    value: bytes
    current: bool
    """Whether it is sealed with the key that seals now."""


class Sealing(NamedTuple):
    """What lies in a bucket: how many values can be opened, how many of them are sealed with the key that seals now, and under
    which of the bucket's keys lies what no key of ours opens."""

    current: int
    readable: int
    unreadable: tuple[str, ...]


class _Sealed(msgspec.Struct, frozen=True):
    key: str
    value: msgspec.Raw


class Keyring:
    """The key in `path`, and the one before it. InternalError if there is none, or a file is not a key: who makes the keys of
    a host makes this one too (skerry/identity/keyfiles.py), a service never: two of them would make two."""

    def __init__(self, path: Path, name: str = "") -> None:
        """`name` is that of the service whose key is derived; empty: the key in the file itself."""
        self.path, self.previous, self._name = path, path.with_name(f"{path.stem}.previous{path.suffix}"), name
        self._stamp: object = None
        self._boxes: tuple[SecretBox, ...] = ()
        self._look()

    def __repr__(self) -> str:
        return f"Keyring({os.fspath(self.path)})"

    def seal(self, key: str, value: bytes) -> bytes:
        """`value`, JSON, sealed for its place in the bucket."""
        self._look()
        return bytes(self._boxes[0].encrypt(msgspec.json.encode(_Sealed(key, msgspec.Raw(value)))))

    def opened(self, key: str, data: bytes) -> Opened:
        """What was sealed for this place. Unreadable: by another key, or for another place."""
        self._look()
        for number, box in enumerate(self._boxes):
            try:
                sealed = msgspec.json.decode(box.decrypt(data), type=_Sealed)
            except (CryptoError, ValueError, msgspec.DecodeError):
                continue
            if sealed.key == key:
                return Opened(bytes(sealed.value), number == 0)
        raise Unreadable(
            f"the secret {key} cannot be decrypted: the bus holds the state of another host, or {self.path.name} was replaced"
        )

    # Rotation

    @property
    def rotating(self) -> bool:
        """Whether a key of before is still there."""
        return self.previous.exists()

    def rotate(self) -> None:
        """Seal with a new key from now on, and still open with the old one. Again while both are there: nothing."""
        self._look()
        if self.rotating and self.previous.read_bytes() != self.path.read_bytes():
            return
        # First a second copy of the old key: at any cut each key that anything is sealed with lies in a file.
        write_private(self.previous, self.path.read_bytes())
        write_private(self.path, random(SecretBox.KEY_SIZE))

    def drop(self) -> None:
        """Forget the key of before. Idempotent."""
        self.previous.unlink(missing_ok=True)
        sync(self.previous.parent)

    def _look(self) -> None:
        """Take the files as they are. The current one is read first: the old key is beside it before it is replaced."""
        stamp = (_stamp(self.path), _stamp(self.previous))
        if stamp == self._stamp or (stamp[0] is None and self._boxes):
            return
        current, previous = _read(self.path), _read(self.previous)
        if current is None:
            raise InternalError(
                f"{self.path}, the key of the secrets, is missing: put it back from the safe copy of {self.path.parent}"
            )
        keys = (current,) if previous in (None, current) else (current, previous)
        self._boxes = tuple(SecretBox(derived(key, self._name)) for key in keys)
        self._stamp = stamp


def keyring_of(service: str, setting: str, own: Path | None, host: Path | None) -> Keyring:
    """What a service seals with: its own key, or the host's, of which that follows. SettingsError unless it is given one of both, in
    `<setting>_key_file` or `<setting>_secrets_key_file`; InternalError as of Keyring.
    """
    if own is not None and host is None:
        return Keyring(own)
    if host is not None and own is None:
        return Keyring(host, service)
    names = variable(f"{setting}_key_file"), variable(f"{setting}_secrets_key_file")
    raise SettingsError(f"{' or '.join(names)} must be set, and not both")


def derived(key: bytes, name: str) -> bytes:
    """The key of the service `name`: HKDF-SHA-256 without a salt; `key` itself for no name."""
    if not name:
        return key
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, f"skerry {name}".encode() + b"\x01", "sha256")


async def look(bucket: Bucket, keyring: Keyring) -> Sealing:
    """With which key each value of the bucket is sealed. StatusError."""
    return await _each(bucket, keyring, None)


async def reseal(bucket: Bucket, keyring: Keyring, told: Callable[[int], None] = lambda number: None) -> Sealing:
    """Seal with the current key what is sealed with the one before; `told` how many are by now. What somebody writes
    meanwhile is theirs, and the next look sees it. StatusError.
    """
    return await _each(bucket, keyring, told)


async def _each(bucket: Bucket, keyring: Keyring, told: Callable[[int], None] | None) -> Sealing:
    """By key: what is written while this reads, by itself too, comes once more."""
    seals: dict[str, bool | None] = {}
    after, more = 0, True
    while more:
        page = await bucket.changes(">", after)
        more = page.more
        for entry in page.entries:
            after = entry.revision
            if entry.value is None:
                seals.pop(entry.key, None)
                continue
            try:
                opened = keyring.opened(entry.key, entry.value)
            except Unreadable:
                seals[entry.key] = None
                continue
            seals[entry.key] = opened.current
            if told is not None and not opened.current:
                data = keyring.seal(entry.key, opened.value)
                seals[entry.key] = await _replaced(bucket, entry.key, data, entry.revision)
        if told is not None:
            told(sum(map(bool, seals.values())))
    unreadable = tuple(sorted(key for key, current in seals.items() if current is None))
    return Sealing(sum(map(bool, seals.values())), len(seals) - len(unreadable), unreadable)


async def _replaced(bucket: Bucket, key: str, data: bytes, revision: int) -> bool:
    try:
        await bucket.update(key, data, revision)
    except Conflict:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) != SecretBox.KEY_SIZE:
        raise _no_key(path)
    return key


def _no_key(path: Path) -> InternalError:
    return InternalError(f"{path} is not the key of the secrets: restore it from a backup of {os.fspath(path.parent)}")
