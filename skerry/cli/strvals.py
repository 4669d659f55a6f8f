"""`--set a.b[0]=1,c={x,y}` as Helm reads it (helm.sh/docs/intro/using_helm, "The Format and Limitations of --set"). Pure.

Keys are parted by dots, places in lists stand in brackets, pairs are parted by commas; a backslash takes the meaning off the character
behind it. A value is a number, true, false or null where it reads as one, unless it is to be a text.
"""

from __future__ import annotations

import re
from itertools import pairwise

from skerry.cli.failure import USAGE, Failure

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Values = dict[str, Any]
    ParseScalar = Callable[[str], Any]

MOST_ITEMS = 65536
"""The highest place in a list, as in Helm."""
MOST_NESTED = 30
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")
_WORDS = {"true": True, "false": False, "null": None}


def typed(text: str) -> Any:
    """A value as --set has it: true, false and null, however they are written, and whole numbers are what they are."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if _NUMBER.fullmatch(text) and len(text) < 19 else text


def put(values: Values, expression: str, typed: ParseScalar = typed, option: str = "--set") -> None:
    """Put what an expression says into `values`. Failure (usage) for one that says nothing."""
    reader = _ExpressionReader(expression, option)
    while True:
        path = reader.path()
        _place(values, path, reader.value(typed), reader)
        if reader.over:
            return
        reader.expect(",")


def path(key: str, option: str = "--set-secret") -> list[str | int]:
    """The parts of a key: names, and places in lists. Failure (usage)."""
    reader = _ExpressionReader(key + "=", option)
    parts = reader.path()
    if not reader.over:
        raise reader.wrong("a key is expected, and nothing behind it")
    return parts


class _ExpressionReader:
    """Reads one expression from left to right."""

    def __init__(self, text: str, option: str) -> None:
        self._text, self._at, self._option = text, 0, option

    @property
    def over(self) -> bool:
        """True if all was read."""
        return self._at >= len(self._text)

    def wrong(self, why: str) -> Failure:
        """What is said of an expression that cannot be read."""
        return Failure(
            f"{self._option} {self._text!r}: {why}; write it as name=value,list={{a,b}},outer.inner=1", USAGE
        )

    def expect(self, character: str) -> None:
        """Read this character."""
        if self.over or self._text[self._at] != character:
            raise self.wrong(f"{character!r} is expected at character {self._at + 1}")
        self._at += 1

    def _until(self, stops: str) -> tuple[str, str]:
        """What stands before the next of these characters, and that one; empty at the end."""
        read: list[str] = []
        while not self.over:
            character = self._text[self._at]
            self._at += 1
            if character == "\\" and not self.over:
                read.append(self._text[self._at])
                self._at += 1
            elif character in stops:
                return "".join(read), character
            else:
                read.append(character)
        return "".join(read), ""

    def path(self) -> list[str | int]:
        """A key up to its =."""
        parts: list[str | int] = []
        while True:
            name, stop = self._until(".[=,")
            if not name and not (parts and isinstance(parts[-1], int)):
                raise self.wrong("a key is empty")
            if name:
                parts.append(name)
            while stop == "[":
                parts.append(self._index())
                stop = "" if self.over else self._text[self._at]
                self._at += 1
            if len(parts) > MOST_NESTED:
                raise self.wrong(f"keys are nested at most {MOST_NESTED} times")
            if stop == "=":
                return parts
            if stop != ".":
                raise self.wrong("a key has no value")

    def _index(self) -> int:
        text, _ = self._until("]")
        if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > MOST_ITEMS:
            raise self.wrong(f"[{text[:20]}] is no place in a list")
        return int(text)

    def value(self, typed: ParseScalar) -> Any:
        """A value up to the comma behind it, or the end."""
        if not self.over and self._text[self._at] == "{":
            self._at += 1
            return self._list(typed)
        text, stop = self._until(",")
        if stop:
            self._at -= 1
        return typed(text)

    def _list(self, typed: ParseScalar) -> list[Any]:
        items: list[Any] = []
        while True:
            text, stop = self._until(",}")
            if not stop:
                raise self.wrong("a list has no } at its end")
            items.append(typed(text))
            if stop == "}":
                return items


def _place(values: Any, parts: list[str | int], value: Any, reader: _ExpressionReader) -> None:
    """Put a value to its place, and make on the way what is not there."""
    here: Any = values
    for part, following in pairwise(parts):
        here = _entered(here, part, [] if isinstance(following, int) else {}, reader)
    last = parts[-1]
    if isinstance(last, int):
        _extended(here, last, reader)[last] = value
    elif isinstance(here, dict):
        here[last] = value
    else:
        raise reader.wrong(f"{last} is a key, and stands in a list")


def _entered(here: Any, part: str | int, empty: Any, reader: _ExpressionReader) -> Any:
    if isinstance(part, int):
        here = _extended(here, part, reader)
        if not isinstance(here[part], type(empty)):
            here[part] = empty
    elif not isinstance(here, dict):
        raise reader.wrong(f"{part} is a key, and stands in a list")
    elif not isinstance(here.get(part), type(empty)):
        here[part] = empty
    return here[part]


def _extended(here: Any, place: int, reader: _ExpressionReader) -> list[Any]:
    if not isinstance(here, list):
        raise reader.wrong(f"[{place}] is a place in a list, and stands in a mapping")
    here.extend([None] * (place + 1 - len(here)))
    return here
