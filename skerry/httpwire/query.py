"""Query strings as Go reads them (net/url ParseQuery): pairs with a semicolon or a broken escape are dropped.

Authorisation must see the values that the API server will see, so its parser is followed, not the usual Python one.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def parse_query(query: bytes) -> dict[str, list[str]]:
    """The values of a raw query (without `?`) by name, in order."""
    values: dict[str, list[str]] = {}
    for pair in query.split(b"&"):
        if not pair or b";" in pair:
            continue
        key, _, value = pair.partition(b"=")
        if _BAD_ESCAPE.search(pair):
            continue
        values.setdefault(_unescape(key), []).append(_unescape(value))
    return values


def _unescape(raw: bytes) -> str:
    raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)
    return raw.decode("utf-8", "replace")


def flag(values: list[str] | None) -> bool:
    """A boolean parameter as apimachinery converts it: absent, `0` and `false` are false, all else is true."""
    return values is not None and values[0] != "0" and values[0].lower() != "false"
