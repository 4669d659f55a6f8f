"""Which trust roots are believed, and how one follows another. Pure but for the file that services look at.

A new root is believed because one that is believed already says so: a signed statement names all that are to be believed
from then on. Agents get it in the answer to a heartbeat and keep it; services of the host read a file beside its keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from skerry.api.decode import decoded
from skerry.api.messages import Message
from skerry.errors import ServiceUnavailable, Unauthorized
from skerry.identity import nkey, signedtext
from skerry.identity.signedtext import Sign

CONTEXT = b"skerry-trust-roots-1"
MOST = 2
"""Roots that are believed at once."""

Roots = Callable[[], tuple[str, ...]]
"""The public keys that are believed now."""


class Statement(Message, frozen=True, kw_only=True, omit_defaults=False):
    """What the signature covers."""

    roots: tuple[str, ...]


def pinned(*roots: str) -> Roots:
    """These, always."""
    return lambda: roots


def is_signed(roots: tuple[str, ...], data: bytes, signature: bytes) -> bool:
    """Whether one of `roots` signed `data`."""
    return any(nkey.verify(root, data, signature) for root in roots)


def make_statement(roots: tuple[str, ...], sign: Sign) -> str:
    """That these roots are to be believed, and no other."""
    return signedtext.signed(CONTEXT, "", msgspec.json.encode(Statement(roots=roots)), sign).decode()


def check_statement(text: str, believed: tuple[str, ...]) -> tuple[str, ...]:
    """The roots that a statement names. Unauthorized: none that is believed signed it, or it cannot be read."""
    what = "the host's statement of its trust root"
    body = signedtext.opened(
        CONTEXT, "", text.encode(), lambda data, signature: is_signed(believed, data, signature), what
    )
    try:
        roots = decoded(body, Statement).roots
    except msgspec.DecodeError as error:
        raise Unauthorized(f"{what} cannot be read: the host may be newer") from error
    if not 0 < len(roots) <= MOST or not all(nkey.kind_of(root) is nkey.KeyType.ACCOUNT for root in roots):
        raise Unauthorized(f"{what} names no keys")
    return roots


class RootsFile:
    """The roots in a file, a line each; looked at before each use. What was read holds while it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        self._roots: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        """ServiceUnavailable if it could never be read."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - asked often
            if (stamp := (status.st_ino, status.st_mtime_ns)) != self._stamp:
                self._roots, self._stamp = tuple(self._path.read_text().split()), stamp
        except OSError as error:
            if not self._roots:
                raise ServiceUnavailable(f"{self._path} cannot be read: {error.strerror}") from error
        return self._roots
