"""YAML that strangers wrote (Chart.yaml, index.yaml), read from libyaml's events. Pure.

No aliases: a few of them stand for gigabytes. No tags, one document, keys are strings and none is there twice, and there is an
end to depth and to the number of values. Plain scalars are what go-yaml, and so Helm, takes them for: `version: 1.0` is a number
and no text. A document is read in pieces that its reader asks for: a tree of a whole index costs 600 MB.

Manifests are read leniently, because Helm and kubectl take them so: of a key that is there twice the last one counts, aliases and
`<<` are filled in, each counting as what it stands for, and texts may be tagged as such.
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
_TEXT_TAG = "tag:yaml.org,2002:str"
_CHARACTERS_PER_VALUE = 64
"""So many characters that an alias stands for count as a value."""
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?")


class ForeignYamlError(ValueError):
    """YAML that is not taken. The message says where, and why."""


def loaded(text: bytes, *, most: int = MOST_VALUES, lenient: bool = False) -> Any:
    """The value in `text`, of at most so many values in all. ForeignYamlError."""
    reader = Reader(text, lenient=lenient)
    value = reader.value(most)
    reader.end()
    return value


class Reader:
    """Reads one document from its beginning to its end, as it is asked to. ForeignYamlError."""

    def __init__(self, text: bytes, *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._anchors: dict[str, Any] = {}
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
        if isinstance(event, yaml.AliasEvent) and not self._lenient:
            raise ForeignYamlError(f"{_place(event)}: aliases are not taken: write the value out")
        return event

    def _value(self, event: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ForeignYamlError(f"{_place(event)}: there are more than {self._most} values")
        if depth > DEEPEST:
            raise ForeignYamlError(f"{_place(event)}: it is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event, depth)
        value = self._new(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _new(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            mapping = {key: self._value(self._next(), depth + 1) for key in self._keys(event)}
            return self._merged(mapping, event) if self._lenient and "<<" in mapping else mapping
        self._check(event)
        if isinstance(event, yaml.ScalarEvent):
            return plain(event.value) if event.implicit[0] else event.value
        return list(self._items(depth))

    def _aliased(self, event: Any, depth: int) -> Any:
        """What an alias stands for. It is shared, not copied, and counts as if it were written out."""
        if event.anchor not in self._anchors:
            raise ForeignYamlError(f"{_place(event)}: nothing is called {event.anchor[:40]!r} before it")
        value = self._anchors[event.anchor]
        self._charge(value, event, depth)
        return value

    def _charge(self, value: Any, event: Any, depth: int) -> None:
        self._left -= 1 + (len(value) // _CHARACTERS_PER_VALUE if isinstance(value, str) else 0)
        if self._left < 0 or depth > DEEPEST:
            raise ForeignYamlError(f"{_place(event)}: its aliases stand for more than {self._most} values")
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for each in children:
            self._charge(each, event, depth + 1)

    def _merged(self, mapping: dict[str, Any], event: Any) -> dict[str, Any]:
        """A mapping with what its `<<` names; its own keys come before that, and earlier ones of several before later ones."""
        layers = mapping.pop("<<")
        merged: dict[str, Any] = {}
        for layer in reversed(layers if isinstance(layers, list) else [layers]):
            if not isinstance(layer, dict):
                raise ForeignYamlError(f"{_place(event)}: << is for mappings")
            merged |= layer
        return merged | mapping

    def _items(self, depth: int) -> Iterator[Any]:
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            yield self._value(event, depth + 1)

    def _keys(self, start: Any) -> Iterator[str]:
        self._check(start)
        seen: set[str] = set()
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise ForeignYamlError(f"{_place(event)}: keys are texts")
            if event.value in seen and not self._lenient:
                raise ForeignYamlError(f"{_place(event)}: {event.value[:60]!r} is there twice")
            seen.add(event.value)
            yield event.value

    def _check(self, event: Any) -> None:
        if event.tag is not None and not (self._lenient and event.tag == _TEXT_TAG):
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
