"""Values by path, as `helm --set-string` has them: `auth.password`, `users[0].token`, `a\\.b` for a key with a dot. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from skerry.api.meta import Document

MOST, LONGEST = 100, 64 * 1024
"""Values of a release, and characters of all of them."""
MOST_PARTS, HIGHEST_INDEX = 30, 1000
_PART = re.compile(r"(?P<key>(?:[^\\.\[\]]|\\.)+)|\[(?P<index>[0-9]{1,4})\]")
_ESCAPED = re.compile(r"\\(.)")

Path: TypeAlias = tuple[str | int, ...]


def path_of(text: str) -> Path:
    """The keys and indices of a path. ValueError."""
    parts: list[str | int] = []
    place = 0
    while place < len(text):
        if text[place] == "." and parts:
            place += 1
            if text[place : place + 1] in ("", "[", "."):
                raise _no_path(text)
        match = _PART.match(text, place)
        if match is None:
            raise _no_path(text)
        parts.append(int(match["index"]) if match["index"] else _ESCAPED.sub(r"\1", match["key"]))
        place = match.end()
    if not parts or isinstance(parts[0], int) or len(parts) > MOST_PARTS:
        raise _no_path(text)
    if any(isinstance(each, int) and each > HIGHEST_INDEX for each in parts):
        raise ValueError(f"{text[:60]!r}: an index is at most {HIGHEST_INDEX}")
    return tuple(parts)


def check(values: Mapping[str, str]) -> None:
    """ValueError for values that are too many, too large, or contradict each other; it shows no value."""
    if len(values) > MOST:
        raise ValueError(f"there are {len(values)} secret values, the limit is {MOST}")
    if sum(map(len, values.values())) > LONGEST:
        raise ValueError(f"secret values have more than {LONGEST} characters together")
    parsed(values)


def parsed(values: Mapping[str, str]) -> Document:
    """The values as a document. ValueError for a path that is none, or that goes through what another one sets."""
    whole: Document = {}
    for text, value in sorted(values.items()):
        _set(whole, path_of(text), value, text)
    return whole


def _set(whole: Document, path: Path, value: str, text: str) -> None:
    inside: Any = whole
    for part, following in pairwise(path):
        deeper = _at(inside, part, text)
        if deeper is None:
            deeper = inside[part] = [] if isinstance(following, int) else {}
        inside = deeper
    if _at(inside, path[-1], text) is not None:
        raise ValueError(f"{text[:60]!r} goes through what another path sets")
    inside[path[-1]] = value


def _at(inside: Any, part: str | int, text: str) -> Any:
    """What a mapping or a list has there, for which there is room then; None for nothing."""
    if not (isinstance(inside, list) if isinstance(part, int) else isinstance(inside, dict)):
        raise ValueError(f"{text[:60]!r} goes through what another path sets")
    if isinstance(part, int):
        inside.extend(None for _ in range(len(inside), part + 1))
        return inside[part]
    return inside.get(part)


def _no_path(text: str) -> ValueError:
    return ValueError(f"{text[:60]!r} is no path of a value: write it as auth.password or users[0].token")
