"""Keys of objects in the buckets `resources` and `events`: a part of `skerry.subjects`, which is where they are taken from."""

from __future__ import annotations

import re
from functools import lru_cache

_KEY_SAFE = re.compile(r"[^-/_a-zA-Z0-9]")
_ESCAPED = re.compile(r"(?:=[0-9A-F]{2})+")


def key(group: str, kind: str, namespace: str, name: str) -> str:
    """KV key of an object: `<group>.<kind>.<namespace>.<name>`; `_` for the core group and for no namespace.

    KV keys allow `[-/_=.a-zA-Z0-9]`; what else a name can hold (and `.`) is escaped as `=XX` in hexadecimal.
    """
    return ".".join((_escape_group(group) or "_", escaped(kind.lower()), escaped(namespace) or "_", escaped(name)))


def in_namespace(namespace: str) -> str:
    """Filter of the KV keys of all objects, of whatever kind, in a namespace."""
    return f"*.*.{escaped(namespace)}.*"


def escaped(part: str) -> str:
    """A name as one token of a key or subject."""
    return _KEY_SAFE.sub(lambda m: "".join(f"={b:02X}" for b in m[0].encode()), part)


_escape_group = lru_cache(maxsize=64)(escaped)


def parse_key(value: str) -> tuple[str, str, str, str]:
    """(group, lower-case kind, namespace, name) of a KV key made by `key`. ValueError if it is not one."""
    group, kind, namespace, name = value.split(".")
    return _group(group), _unescape(kind), _or_none(namespace), _unescape(name)


def _or_none(part: str) -> str:
    return "" if part == "_" else _unescape(part)


_group = lru_cache(maxsize=64)(_or_none)
"""There are few groups, and each has a dot: an informer asks it of every change."""


def _unescape(part: str) -> str:
    if "=" not in part:
        return part
    return _ESCAPED.sub(lambda m: bytes.fromhex(m[0].replace("=", "")).decode(), part)
