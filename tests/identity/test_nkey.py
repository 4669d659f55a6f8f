"""Keys in NATS' text form."""

from __future__ import annotations

from collections.abc import Callable

import nkeys
import pytest

from skerry.errors import BadRequest
from skerry.identity import nkey
from skerry.identity.nkey import KeyType


@pytest.mark.parametrize(("kind", "letter"), [(KeyType.OPERATOR, "O"), (KeyType.ACCOUNT, "A"), (KeyType.USER, "U")])
def test_a_public_key_starts_with_the_letter_of_its_kind(kind: KeyType, letter: str) -> None:
    key = nkey.create(kind)
    assert key.public[0] == letter
    assert nkey.kind_of(key.public) is kind


@pytest.mark.parametrize("kind", list(KeyType))
def test_seeds_and_public_keys_are_those_of_the_nkeys_package(kind: KeyType) -> None:
    key = nkey.create(kind)
    theirs = nkeys.from_seed(bytearray(key.seed))  # type: ignore[no-untyped-call]
    assert theirs.public_key.decode() == key.public
    assert theirs.sign(b"data") == key.sign(b"data")


def test_a_seed_gives_the_same_key_again() -> None:
    key = nkey.create(KeyType.USER)
    assert nkey.from_seed(key.seed + b"\n").public == key.public


@pytest.mark.parametrize(
    "seed",
    [b"", b"nonsense", b"SUAAAA", nkey.create(KeyType.USER).public.encode()],
    ids=["empty", "words", "short", "public"],
)
def test_what_is_not_a_seed_is_refused_without_showing_it(seed: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        nkey.from_seed(seed)
    assert not seed or seed.decode() not in str(caught.value)


def test_one_wrong_character_of_a_seed_is_noticed() -> None:
    seed = bytearray(nkey.create(KeyType.USER).seed)
    seed[20] = ord("A") if seed[20] != ord("A") else ord("B")
    with pytest.raises(BadRequest, match="checksum"):
        nkey.from_seed(bytes(seed))


def test_a_signature_is_verified_by_the_public_key_alone() -> None:
    key = nkey.create(KeyType.USER)
    signature = key.sign(b"data")
    assert nkey.verify(key.public, b"data", signature)
    assert not nkey.verify(key.public, b"other", signature)
    assert not nkey.verify(nkey.create(KeyType.USER).public, b"data", signature)


@pytest.mark.parametrize("public", ["", "UABC", "ü" * 56, "B" * 56])
def test_a_malformed_key_verifies_nothing(public: str) -> None:
    assert not nkey.verify(public, b"data", bytes(64))
    assert nkey.raw_public(public) is None


def test_a_signature_of_wrong_length_verifies_nothing() -> None:
    assert not nkey.verify(nkey.create(KeyType.USER).public, b"data", b"short")


def test_repr_shows_no_secret() -> None:
    key = nkey.create(KeyType.USER)
    assert key.seed.decode() not in repr(key)


def test_what_is_sealed_is_read_by_its_key_alone() -> None:
    key = nkey.create(KeyType.USER)
    sealed = nkey.seal(key.public, b"secret")
    assert b"secret" not in sealed
    assert nkey.seal(key.public, b"secret") != sealed
    assert nkey.from_seed(key.seed).unseal(sealed) == b"secret"
    with pytest.raises(BadRequest, match="another key"):
        nkey.create(KeyType.USER).unseal(sealed)


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:-1] + bytes([d[-1] ^ 1]), lambda d: b""])
def test_what_was_changed_on_the_way_is_refused(damage: Callable[[bytes], bytes]) -> None:
    key = nkey.create(KeyType.USER)
    with pytest.raises(BadRequest):
        key.unseal(damage(nkey.seal(key.public, b"secret")))


def test_nothing_is_sealed_to_what_is_no_key() -> None:
    for public in ("", "UABC", nkey.create(KeyType.USER).seed.decode()):
        with pytest.raises(BadRequest):
            nkey.seal(public, b"secret")
