"""The keyring of sealed values: what was sealed stays readable at every point of a rotation, and whichever process sealed it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.secret import SecretBox

from skerry.bus import Bucket, BucketConfig
from skerry.errors import Conflict, InternalError
from skerry.identity.keyfiles import make_secrets_key
from skerry.storage.sealed import Keyring, Sealing, Unreadable, derived, look, reseal
from tests.fixtures.nats import NatsHost


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    make_secrets_key(tmp_path)
    return Keyring(tmp_path / "secrets.key")


def again(keyring: Keyring) -> Keyring:
    """As a process has it that starts now."""
    return Keyring(keyring.path)


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    make_secrets_key(tmp_path)
    data = Keyring(path).seal("a", b"1")
    make_secrets_key(tmp_path)
    assert again(Keyring(path)).opened("a", data) == (b"1", True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes().hex() not in repr(Keyring(path))


def test_who_uses_a_key_never_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"secrets\.key, the key of the secrets, is missing"):
        Keyring(tmp_path / "secrets.key")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["secrets.key", "secrets.previous.key"])
@pytest.mark.parametrize("content", [b"", b"k" * 31, b"k" * 32 + b"\n"])
def test_a_file_that_is_no_key_is_never_replaced(tmp_path: Path, name: str, content: bytes) -> None:
    make_secrets_key(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InternalError, match=f"{name} is not the key of the secrets"):
        Keyring(tmp_path / "secrets.key").seal("a", b"1")
    assert (tmp_path / name).read_bytes() == content


def test_a_value_is_for_its_place(keyring: Keyring) -> None:
    with pytest.raises(Unreadable, match="the secret b cannot be decrypted"):
        keyring.opened("b", keyring.seal("a", b"1"))


@pytest.mark.parametrize("data", [b"", b"x", b"x" * 100])
def test_rubbish_is_unreadable(keyring: Keyring, data: bytes) -> None:
    with pytest.raises(Unreadable):
        keyring.opened("a", data)


def test_what_was_sealed_is_readable_by_everybody_until_the_old_key_is_dropped(keyring: Keyring) -> None:
    running = again(keyring)
    before = running.seal("a", b"1")
    keyring.rotate()
    after = keyring.seal("a", b"2")
    for each in (running, keyring, again(keyring)):
        assert each.opened("a", before) == (b"1", False)
        assert each.opened("a", after) == (b"2", True)
        assert each.opened("a", each.seal("a", b"3")) == (b"3", True)
    keyring.drop()
    for each in (running, keyring, again(keyring)):
        assert each.opened("a", after) == (b"2", True)
        with pytest.raises(Unreadable):
            each.opened("a", before)


def test_a_rotation_that_is_open_goes_on_with_its_key(keyring: Keyring) -> None:
    old = keyring.path.read_bytes()
    keyring.rotate()
    new = keyring.path.read_bytes()
    keyring.rotate()
    assert (keyring.path.read_bytes(), keyring.previous.read_bytes()) == (new, old)
    assert stat.S_IMODE(keyring.previous.stat().st_mode) == 0o600
    keyring.drop()
    keyring.drop()
    assert not keyring.rotating


def test_a_rotation_that_was_cut_between_its_two_files_goes_on(keyring: Keyring) -> None:
    data = keyring.seal("a", b"1")
    keyring.previous.write_bytes(keyring.path.read_bytes())
    assert keyring.opened("a", data) == (b"1", True)
    keyring.rotate()
    assert keyring.path.read_bytes() != keyring.previous.read_bytes()
    assert again(keyring).opened("a", data) == (b"1", False)


def test_a_running_process_survives_that_its_key_is_away_for_a_moment(keyring: Keyring) -> None:
    data = keyring.seal("a", b"1")
    keyring.path.rename(keyring.path.with_suffix(".aside"))
    assert keyring.opened("a", data) == (b"1", True)
    assert len(keyring.seal("a", b"1")) > SecretBox.NONCE_SIZE


# In a bucket


@pytest.fixture
async def bucket(nats_host: NatsHost) -> AsyncIterator[Bucket]:
    async with nats_host.open_bus("test") as bus:
        yield await bus.bucket(f"sealed-{os.urandom(4).hex()}", create=BucketConfig())


@pytest.mark.integration
async def test_all_is_sealed_anew_while_others_write_and_read(bucket: Bucket, keyring: Keyring) -> None:
    keys = [f"member.{number}" for number in range(600)]  # a page has 500 at most
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(bucket.create(key, keyring.seal(key, b"0")))
    await bucket.create("evicted.x", b"rubbish")
    gone = await bucket.create("gone", keyring.seal("gone", b"0"))
    await bucket.purge("gone", gone)
    other, over, writes = again(keyring), asyncio.Event(), dict.fromkeys(keys, 0)

    async def load() -> None:
        """Each value is a number that only grows: a lost write is one that shrank."""
        while not over.is_set():
            for key in keys[::37]:
                entry = await bucket.get(key)
                assert entry is not None
                assert entry.value is not None
                value = int(other.opened(key, entry.value).value)
                assert value == writes[key]
                try:
                    await bucket.update(key, other.seal(key, b"%d" % (value + 1)), entry.revision)
                except Conflict:  # the other side sealed it first
                    continue
                writes[key] = value + 1

    assert await look(bucket, keyring) == Sealing(600, 600, ("evicted.x",))
    told: list[int] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(load())
        keyring.rotate()
        assert (await look(bucket, keyring)).current < 600
        while (found := await reseal(bucket, keyring, told.append)).current < 600:
            pass
        over.set()
    assert found == Sealing(600, 600, ("evicted.x",)) == await look(bucket, keyring)
    assert told[-1] == 600
    keyring.drop()
    for key, value in writes.items():
        entry = await bucket.get(key)
        assert int(again(keyring).opened(key, (entry and entry.value) or b"").value) == value


@pytest.mark.integration
@pytest.mark.parametrize("cut", ["nothing", "the copy", "the key", "one value"])
async def test_a_rotation_goes_on_where_it_was_cut(bucket: Bucket, keyring: Keyring, cut: str) -> None:
    for key in ("a", "b"):
        await bucket.create(key, keyring.seal(key, b"1"))
    steps: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "the copy": lambda: keyring.previous.write_bytes(keyring.path.read_bytes()),
        "the key": keyring.rotate,
        "one value": keyring.rotate,
    }
    steps[cut]()
    if cut == "one value":
        entry = await bucket.get("a")
        assert entry is not None
        await bucket.update("a", keyring.seal("a", b"1"), entry.revision)
    after = again(keyring)
    after.rotate()
    assert await reseal(bucket, after) == Sealing(2, 2, ())
    after.drop()
    for key in ("a", "b"):
        entry = await bucket.get(key)
        assert again(keyring).opened(key, (entry and entry.value) or b"") == (b"1", True)


def test_a_service_has_a_key_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    make_secrets_key(tmp_path)
    registry, store, other = Keyring(path), Keyring(path, "appstore"), Keyring(path, "events")
    sealed = store.seal("a", b"1")
    assert store.opened("a", sealed) == (b"1", True)
    for stranger in (registry, other):
        with pytest.raises(Unreadable):
            stranger.opened("a", sealed)
    registry.rotate()
    assert store.opened("a", sealed) == (b"1", False)


def test_keys_are_derived_as_rfc_5869_says() -> None:
    """Held against another implementation."""
    key = bytes(range(32))
    theirs = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"skerry appstore").derive(key)
    assert derived(key, "appstore") == theirs
    assert derived(key, "") == key
