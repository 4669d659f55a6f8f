"""YAML that strangers wrote (Chart.yaml, index.yaml), read from libyaml's events. Pure.

No aliases: a few of them stand for gigabytes. No tags, one document, keys are strings and none is there twice, and there is an
end to depth and to the number of values. Plain scalars are what go-yaml, and so Helm, takes them for: `version: 1.0` is a number
and no text. Values that are not asked for are gone over without being made: a tree of a whole index costs 600 MB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

MOST_VALUES = 100_000
DEEPEST = 100
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {
    each: value
    for value, words in ((True, "y yes on true"), (False, "n no off false"))
    for word in words.split()
    for each in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")

Events = Iterator[Any]
Wanted = Callable[[str], bool]


class ForeignYamlError(ValueError):
    """YAML that is not taken. The message says where, and why."""


def loaded(text: bytes, wanted: Wanted | None = None, *, most: int = MOST_VALUES) -> Any:
    """The value in `text`; of a mapping at its top the keys alone that are wanted. ForeignYamlError."""
    reader = _Reader(text, most)
    value = reader.value(reader.next(), 0, wanted)
    if not isinstance(reader.next(), yaml.DocumentEndEvent) or not isinstance(reader.next(), yaml.StreamEndEvent):
        raise ForeignYamlError("there is more than one document")
    return value


class _Reader:
    def __init__(self, text: bytes, most: int) -> None:
        self._events: Events = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._left = self._most = most
        self.next()
        if isinstance(self.next(), yaml.StreamEndEvent):
            raise ForeignYamlError("it is empty")

    def next(self) -> Any:
        try:
            return next(self._events)
        except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
            raise ForeignYamlError(_one_line(str(error))) from error

    def value(self, event: Any, depth: int, wanted: Wanted | None = None) -> Any:
        """What begins with this event."""
        self._left -= 1
        if self._left < 0:
            raise ForeignYamlError(f"there are more than {self._most} values")
        if depth > DEEPEST:
            raise ForeignYamlError(f"it is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            raise ForeignYamlError(f"{_place(event)}: aliases are not taken: write the value out")
        if event.tag is not None:
            raise ForeignYamlError(f"{_place(event)}: tags are not taken: {event.tag[:40]!r}")
        if isinstance(event, yaml.ScalarEvent):
            return event.value if not event.implicit[0] else plain(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._items(depth))
        return self._mapping(depth, wanted)

    def _items(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            yield self.value(event, depth + 1)

    def _mapping(self, depth: int, wanted: Wanted | None) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise ForeignYamlError(f"{_place(event)}: keys are texts")
            if event.value in mapping:
                raise ForeignYamlError(f"{_place(event)}: {event.value[:60]!r} is there twice")
            if wanted is None or wanted(event.value):
                mapping[event.value] = self.value(self.next(), depth + 1)
            else:
                self._skip()
        return mapping

    def _skip(self) -> None:
        """Go over one value, whatever is in it."""
        depth = 0
        while True:
            event = self.next()
            if isinstance(event, yaml.AliasEvent):
                raise ForeignYamlError(f"{_place(event)}: aliases are not taken: write the value out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return


def plain(text: str) -> Any:
    """The value that a scalar without quotes stands for: null, a boolean, a number that JSON has, or its text."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) <= 40 and _INTEGER.fullmatch(text):
        return _integer(text)
    if len(text) <= 40 and _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        return number if math.isfinite(number) else text
    return text


def _integer(text: str) -> int | float:
    digits = text.replace("_", "")
    sign, digits = (-1 if digits[0] == "-" else 1), digits.lstrip("+-")
    try:
        if digits[:2] in ("0b", "0o", "0x"):
            return sign * int(digits, 0)
        return sign * int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10)
    except ValueError:
        return sign * float(digits)


def _place(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
