"""Secrets and signatures of webhooks as Standard Webhooks 1.0 has them: HMAC-SHA-256 over id, time and body. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable

PREFIX = "whsec_"
LEAST, MOST, USUAL = 24, 64, 32
"""Bytes of a key: what the specification allows, and what we make."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
RULE = f"{PREFIX} and then {LEAST} to {MOST} bytes in base64"


def secret_of(key: bytes) -> str:
    """A key as people are given it."""
    return PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The key in a secret. ValueError, without the secret in it."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"a secret is {RULE}: this one does not begin so")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {RULE}: this one is no base64") from None
    if not LEAST <= len(key) <= MOST:
        raise ValueError(f"a secret is {RULE}: this one has {len(key)} bytes")
    return key


def signed(keys: Iterable[bytes], name: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a request: its id, when it is sent (Unix seconds), and a signature by each key."""
    content = f"{name}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {ID: name, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(f"v1,{each}" for each in signatures)}
