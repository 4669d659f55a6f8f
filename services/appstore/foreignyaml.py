"""YAML that strangers wrote (Chart.yaml, index.yaml), read from libyaml's events. Pure.

No aliases: a few of them stand for gigabytes. No tags, one document, keys are strings and none is there twice, and there is an
end to depth and to the number of values. Plain scalars are what go-yaml, and so Helm, takes them for: `version: 1.0` is a number
and no text. A document is read in pieces that its reader asks for: a tree of a whole index costs 600 MB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
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


class ForeignYamlError(ValueError):
    """YAML that is not taken. The message says where, and why."""


def loaded(text: bytes, *, most: int = MOST_VALUES) -> Any:
    """The value in `text`, of at most so many values in all. ForeignYamlError."""
    reader = Reader(text)
    value = reader.value(most)
    reader.end()
    return value


class Reader:
    """Reads one document from its beginning to its end, as it is asked to. ForeignYamlError."""

    def __init__(self, text: bytes) -> None:
        self._events: Iterator[Any] = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._left = self._most = 0
        self._next()
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise ForeignYamlError("it is empty")

    def mapping(self) -> Iterator[str]:
        """The keys of the mapping that comes. What each stands for is to be read before the next one is asked for."""
        event = self._next()
        if not isinstance(event, yaml.MappingStartEvent):
            raise ForeignYamlError(f"{_place(event)}: a mapping is expected")
        yield from self._keys(event)

    def sequence(self, most: int) -> Iterator[Any]:
        """The values of the sequence that comes, each of at most so many values in itself."""
        event = self._next()
        if not isinstance(event, yaml.SequenceStartEvent):
            raise ForeignYamlError(f"{_place(event)}: a sequence is expected")
        self._check(event)
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            self._left = self._most = most
            yield self._value(event, 0)

    def value(self, most: int) -> Any:
        """The next value, of at most so many in all."""
        self._left = self._most = most
        return self._value(self._next(), 0)

    def skip(self) -> None:
        """Go over the next value, whatever is in it."""
        depth = 0
        while True:
            event = self._next()
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth == 0:
                return

    def end(self) -> None:
        """Nothing comes any more."""
        if not isinstance(self._next(), yaml.DocumentEndEvent) or not isinstance(self._next(), yaml.StreamEndEvent):
            raise ForeignYamlError("there is more than one document")

    def _next(self) -> Any:
        try:
            event = next(self._events)
        except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
            raise ForeignYamlError(" ".join(str(error).split())[:300]) from error
        if isinstance(event, yaml.AliasEvent):
            raise ForeignYamlError(f"{_place(event)}: aliases are not taken: write the value out")
        return event

    def _value(self, event: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ForeignYamlError(f"{_place(event)}: there are more than {self._most} values")
        if depth > DEEPEST:
            raise ForeignYamlError(f"{_place(event)}: it is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.MappingStartEvent):
            return {key: self._value(self._next(), depth + 1) for key in self._keys(event)}
        self._check(event)
        if isinstance(event, yaml.ScalarEvent):
            return plain(event.value) if event.implicit[0] else event.value
        return list(self._items(depth))

    def _items(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            yield self._value(event, depth + 1)

    def _keys(self, start: Any) -> Iterator[str]:
        self._check(start)
        seen: set[str] = set()
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise ForeignYamlError(f"{_place(event)}: keys are texts")
            if event.value in seen:
                raise ForeignYamlError(f"{_place(event)}: {event.value[:60]!r} is there twice")
            seen.add(event.value)
            yield event.value

    def _check(self, event: Any) -> None:
        if event.tag is not None:
            raise ForeignYamlError(f"{_place(event)}: tags are not taken: {event.tag[:40]!r}")


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
