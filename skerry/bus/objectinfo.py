"""What an object store says of an object, in the shape that all clients of NATS give it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import msgspec

_DIGEST = "SHA-256="


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An object without its bytes, as it lies in the store."""

    name: str
    bucket: str
    nuid: str
    size: int = 0
    """Bytes."""
    chunks: int = 0
    digest: str = ""
    """`SHA-256=` and base64url; `sha256` is what people write."""
    mtime: str = ""
    deleted: bool = False
    metadata: dict[str, str] = {}
    options: dict[str, Any] = {}

    @property
    def sha256(self) -> str:
        """`sha256:` and hexadecimal digits; empty if the writer left none."""
        try:
            raw = base64.urlsafe_b64decode(self.digest.partition("=")[2])
        except ValueError:
            return ""
        return f"sha256:{raw.hex()}" if len(raw) == hashlib.sha256().digest_size else ""

    def matches(self, digest: bytes) -> bool:
        """True if bytes with this SHA-256 are the object's."""
        return hmac.compare_digest(self.sha256, f"sha256:{digest.hex()}")


def digest_text(digest: bytes) -> str:
    """A SHA-256 as stores write it."""
    return _DIGEST + base64.urlsafe_b64encode(digest).decode()
