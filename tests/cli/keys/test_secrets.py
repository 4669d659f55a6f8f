"""The key of the secrets is rotated while a registry joins members and reads what it keeps."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skerry.bus import Bucket, BucketConfig
from skerry.cli.keys import rotation
from skerry.cli.keys.secrets import SealedBucket, SecretsKey
from skerry.identity.keyfiles import make_secrets_key
from skerry.storage.sealed import Keyring, Unreadable
from tests.cli.keys.test_rotation import no_root, quiet
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
SETTLE_S = 0.05


@pytest.fixture
async def bucket(nats_host: NatsHost) -> AsyncIterator[Bucket]:
    async with nats_host.open_bus("test") as bus:
        yield await bus.bucket(f"sealed-{os.urandom(4).hex()}", create=BucketConfig())


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    make_secrets_key(tmp_path)
    return Keyring(tmp_path / "secrets.key")


async def test_it_is_moved_and_the_old_key_opens_nothing_afterwards(bucket: Bucket, keyring: Keyring) -> None:
    old = keyring.path.read_bytes()
    for number in range(3):
        await bucket.create(f"a.{number}", keyring.seal(f"a.{number}", b"1"))
    key = SecretsKey(SealedBucket(bucket, keyring), settle_s=SETTLE_S)
    assert (await key.look()).state == "in use"
    await key.begin(no_root)
    waiting = await key.look()
    assert (waiting.state, waiting.moved, waiting.total, waiting.missing) == ("moving", 0, 3, ("3 sealed values",))
    found = await rotation.rotate(key, no_root, 5.0, quiet)
    assert (found.state, found.moved, found.missing) == ("moved", 3, ())
    assert found.made >= time.time() - 60
    await rotation.finish(key, quiet, drop_away=False)
    assert (await key.look()).state == "in use"
    (keyring.path.parent / "stolen").mkdir()
    (keyring.path.parent / "stolen" / "secrets.key").write_bytes(old)
    thief = Keyring(keyring.path.parent / "stolen" / "secrets.key")
    entry = await bucket.get("a.0")
    assert entry is not None
    with pytest.raises(Unreadable):
        thief.opened("a.0", entry.value or b"")


async def test_buckets_of_services_with_keys_of_their_own_are_moved_too(
    bucket: Bucket, keyring: Keyring, nats_host: NatsHost
) -> None:
    own = Keyring(keyring.path, "appstore")
    async with nats_host.open_bus("test") as bus:
        store = await bus.bucket(f"store-{os.urandom(4).hex()}", create=BucketConfig())
        await bucket.create("a", keyring.seal("a", b"1"))
        await store.create("b", own.seal("b", b"2"))
        key = SecretsKey(SealedBucket(bucket, keyring), SealedBucket(store, own), settle_s=SETTLE_S)
        await key.begin(no_root)
        assert (await key.look()).total == 2
        moved = await rotation.rotate(key, no_root, 5.0, quiet)
        assert (moved.moved, moved.total) == (2, 2)
        await rotation.finish(key, quiet, drop_away=False)
        entry = await store.get("b")
        assert entry is not None
        assert Keyring(keyring.path, "appstore").opened("b", entry.value or b"") == (b"2", True)
        with pytest.raises(Unreadable):
            Keyring(keyring.path).opened("b", entry.value or b"")


async def test_what_was_on_its_way_under_the_old_key_is_sealed_anew_before_that_is_dropped(
    bucket: Bucket, keyring: Keyring
) -> None:
    late = keyring.seal("late", b"1")
    key = SecretsKey(SealedBucket(bucket, keyring), settle_s=SETTLE_S)
    await rotation.rotate(key, no_root, 5.0, quiet)

    class Slow(SecretsKey):
        """A write that was sealed before the rotation comes to the store while the old key is about to be dropped."""

        async def _settled(self, since: float, show: rotation.Show) -> None:
            if await bucket.get("late") is None:
                await bucket.create("late", late)
            await super()._settled(since, show)

    await rotation.finish(Slow(SealedBucket(bucket, keyring), settle_s=SETTLE_S), quiet, drop_away=False)
    entry = await bucket.get("late")
    assert entry is not None
    assert Keyring(keyring.path).opened("late", entry.value or b"") == (b"1", True)


async def test_what_no_key_opens_is_told_and_holds_up_nothing(bucket: Bucket, keyring: Keyring) -> None:
    await bucket.create("lost", b"rubbish")
    await bucket.create("kept", keyring.seal("kept", b"1"))
    key = SecretsKey(SealedBucket(bucket, keyring), settle_s=SETTLE_S)
    found = await rotation.rotate(key, no_root, 0.0, quiet)
    assert (found.state, found.note) == ("moved", "no key opens lost")
    await rotation.finish(key, quiet, drop_away=False)


async def test_an_older_backup_is_read_with_its_key_beside_the_new_one(bucket: Bucket, keyring: Keyring) -> None:
    """A restore brings back what was sealed with a key that was dropped since: its copy goes where a rotation has it."""
    old, data = keyring.path.read_bytes(), keyring.seal("a", b"1")
    key = SecretsKey(SealedBucket(bucket, keyring), settle_s=SETTLE_S)
    await rotation.rotate(key, no_root, 5.0, quiet)
    await rotation.finish(key, quiet, drop_away=False)
    new = keyring.path.read_bytes()
    await bucket.create("a", data)
    assert (await key.look()).note == "no key opens a"
    keyring.previous.write_bytes(old)
    await rotation.rotate(key, no_root, 5.0, quiet)
    await rotation.finish(key, quiet, drop_away=False)
    entry = await bucket.get("a")
    assert entry is not None
    assert Keyring(keyring.path).opened("a", entry.value or b"") == (b"1", True)
    assert keyring.path.read_bytes() == new
