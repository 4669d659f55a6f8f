"""Ed25519 keys in NATS' own text form (nkeys: base32 of prefix, key and CRC-16/XMODEM).

On PyNaCl alone: the agent imports this, and `cryptography` would cost it 9 MiB. The encoding is that of
github.com/nats-io/nkeys; the tests compare it with the nkeys package.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from enum import IntEnum
from functools import lru_cache

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from skerry.errors import BadRequest


class KeyType(IntEnum):
    """The purpose of a key: the prefix byte, which becomes the first letter of the public key."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3


_SEED = 18 << 3
_PUBLIC = 56
"""Characters of a public key."""
_KINDS = {kind.value: kind for kind in KeyType}


class KeyPair:
    """A signing key. `public` is text such as `UABC…`, `seed` the secret in text form; repr shows no secret."""

    __slots__ = ("_key", "kind", "public", "seed")

    def __init__(self, kind: KeyType, raw: bytes) -> None:
        self._key = SigningKey(raw)
        self.kind = kind
        self.public = _encode(bytes([kind]) + bytes(self._key.verify_key))
        self.seed = _encode(_seed_prefix(kind) + raw).encode()

    def sign(self, data: bytes) -> bytes:
        """64 bytes of signature over `data`."""
        return self._key.sign(data).signature

    def unseal(self, data: bytes) -> bytes:
        """Open what somebody sealed to this key with `seal`. BadRequest if it was for another key, or changed."""
        from nacl.exceptions import CryptoError
        from nacl.public import SealedBox

        try:
            return bytes(SealedBox(self._key.to_curve25519_private_key()).decrypt(data))
        except (CryptoError, ValueError, TypeError) as e:
            raise BadRequest("what was sealed was for another key, or was changed on the way") from e

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def create(kind: KeyType) -> KeyPair:
    """A new random key."""
    return KeyPair(kind, bytes(SigningKey.generate()))


def derived(secret: KeyPair, purpose: str, kind: KeyType) -> KeyPair:
    """The key that follows from a secret one for one purpose (HMAC-SHA-256): who has the secret needs to keep nothing else."""
    return KeyPair(kind, hmac.digest(secret.seed, purpose.encode(), "sha256"))


def from_seed(seed: bytes) -> KeyPair:
    """The key of a seed in text form. BadRequest if it is not one; the message never shows it."""
    raw = _decode(seed.strip(), "the seed")
    kind = _KINDS.get((raw[0] & 7) << 5 | raw[1] >> 3) if len(raw) == 34 and raw[0] & 0xF8 == _SEED else None
    if kind is None:
        raise BadRequest("the seed is not an nkey seed: restore the file from a backup, or make a new key")
    return KeyPair(kind, raw[2:])


def verify(public: str, data: bytes, signature: bytes) -> bool:
    """True if `signature` over `data` was made by the key `public`. A malformed key verifies nothing."""
    raw = raw_public(public)
    if raw is None or len(signature) != 64:
        return False
    try:
        VerifyKey(raw).verify(data, signature)
    except BadSignatureError:
        return False
    return True


def seal(public: str, data: bytes) -> bytes:
    """`data` so that only the holder of the key `public` can read it. BadRequest if `public` is no key.

    A NaCl sealed box to the curve25519 form of the Ed25519 key.
    """
    from nacl.exceptions import CryptoError
    from nacl.public import SealedBox

    raw = raw_public(public)
    if raw is None:
        raise BadRequest("the key is not an nkey")
    try:
        return bytes(SealedBox(VerifyKey(raw).to_curve25519_public_key()).encrypt(data))
    except (CryptoError, RuntimeError) as e:
        raise BadRequest("nothing can be sealed to this key") from e


def kind_of(public: str) -> KeyType | None:
    """The kind of a public key, None if `public` is not one (checksum included)."""
    try:
        raw = _decode(public.encode("ascii", "replace"), "the key")
    except BadRequest:
        return None
    return _KINDS.get(raw[0]) if len(raw) == 33 else None


def raw_public(public: str) -> bytes | None:
    """The 32 bytes of a public key, None if `public` is not one."""
    return _raw_public(public) if len(public) == _PUBLIC else None


@lru_cache(maxsize=256)
def _raw_public(public: str) -> bytes | None:
    """There are few whose signatures are verified, and each often."""
    return None if kind_of(public) is None else _decode(public.encode(), "the key")[1:]


def _seed_prefix(kind: KeyType) -> bytes:
    return bytes([_SEED | kind >> 5, (kind & 31) << 3])


def _encode(raw: bytes) -> str:
    checksum = binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(raw + checksum).rstrip(b"=").decode()


def _decode(text: bytes, what: str) -> bytes:
    try:
        raw = base64.b32decode(text + b"=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as e:
        raise BadRequest(f"{what} is not an nkey") from e
    if len(raw) < 3 or binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:]:
        raise BadRequest(f"{what} is not an nkey: its checksum is wrong")
    return raw[:-2]
