"""Label and field selectors, as k8s.io/apimachinery parses, words and matches them. Pure.

The parser is a port of pkg/labels/selector.go and pkg/fields/selector.go: a client must get the same objects here as
from any API server, and the same words for the same mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from skerry.api.kinds import Kind, at
from skerry.api.validation import LONGEST_LABEL, QUALIFIED_RULE, VALUE_RULE, is_label_value, is_qualified, is_subdomain
from skerry.errors import BadRequest
from skerry.storage import Item

Match = Callable[[Item], bool]
Requirement = Callable[[Mapping[str, str]], bool]

_TOKEN = re.compile(r"[ \t\r\n]*(?:(?P<word>[^ \t\r\n=!(),<>]+)|(?P<symbol>==|!=|[=!(),<>])|\Z)")
_WORD, _SYMBOL, _END = "word", "symbol", "end"
_BINARY = ("in", "notin", "=", "==", "!=", ">", "<")
_BINARY_TOLD = "in, notin, =, ==, !=, gt, lt"

MOST_REQUIREMENTS = 256
"""Of one selector, each of which every object is asked about; one requirement may have as many values as a head can hold."""


def _check_number(requirements: int) -> None:
    if requirements > MOST_REQUIREMENTS:
        raise BadRequest(f"a selector has at most {MOST_REQUIREMENTS} requirements")


def everything(item: Item) -> bool:
    """Matches all."""
    return True


# Labels


def labels(text: str) -> Match:
    """What `labelSelector` matches; everything for an empty one. BadRequest."""
    requirements = _Parser(text).selector()
    if not requirements:
        return everything
    return lambda item: all(requirement(item.labels) for requirement in requirements)


class _Parser:
    """Recursive descent over (kind, text) tokens; the last one is (_END, "")."""

    def __init__(self, text: str) -> None:
        self._tokens = _scan(text)
        self._next = next(self._tokens)

    def _look(self) -> tuple[str, str]:
        return self._next

    def _take(self) -> tuple[str, str]:
        token, self._next = self._next, next(self._tokens, (_END, ""))
        return token

    def selector(self) -> list[Requirement]:
        """All requirements, which must hold together."""
        requirements: list[Requirement] = []
        while self._look()[0] != _END:
            if self._look()[0] != _WORD and self._look()[1] != "!":
                raise BadRequest(f"found '{self._look()[1]}', expected: !, identifier, or 'end of string'")
            requirements.append(self._requirement())
            _check_number(len(requirements))
            kind, text = self._take()
            if kind == _END:
                break
            if text != ",":
                raise BadRequest(f"found '{text}', expected: ',' or 'end of string'")
            if self._look()[0] != _WORD and self._look()[1] != "!":
                raise BadRequest(f"found '{self._look()[1]}', expected: identifier after ','")
        return requirements

    def _requirement(self) -> Requirement:
        negated = self._look() == (_SYMBOL, "!")
        if negated:
            self._take()
        kind, key = self._take()
        if kind != _WORD:
            raise _unreadable(f"found '{key}', expected: identifier")
        _check_key(key)
        if negated or self._look()[1] in ("", ","):
            return _absent(key) if negated else _present(key)
        _, operator = self._take()
        if operator not in _BINARY:
            raise _unreadable(f"found '{operator}', expected: {_BINARY_TOLD}")
        if operator in ("in", "notin"):
            return _among(key, self._values(), negated=operator == "notin")
        return _compared(key, operator, self._exact_value())

    def _exact_value(self) -> str:
        if self._look()[1] in ("", ","):
            return ""
        kind, text = self._take()
        if kind != _WORD:
            raise _unreadable(f"found '{text}', expected: identifier")
        return text

    def _values(self) -> set[str]:
        _, text = self._take()
        if text != "(":
            raise _unreadable(f"found '{text}' expected: '('")
        values, value = set[str](), ""
        while True:
            kind, text = self._take()
            if text in (",", ")"):
                values.add(value)
                value = ""
                if text == ")":
                    return values
            elif kind == _WORD and not value:
                value = text
            else:
                raise _unreadable(f"found '{text}', expected: ',' or ')'")


def _scan(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            break
        position = match.end()
        if match["word"] is not None:
            yield _WORD, match["word"]
        elif match["symbol"] is not None:
            yield _SYMBOL, match["symbol"]
    yield _END, ""


def _unreadable(text: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {text}")


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    wrong = ""
    if slash and not is_subdomain(prefix):
        wrong = "prefix part must be a DNS subdomain, such as example.com"
    elif len(name) > LONGEST_LABEL:
        wrong = f"name part must be no more than {LONGEST_LABEL} bytes"
    elif not is_qualified(name):
        wrong = QUALIFIED_RULE
    if wrong:
        raise _unreadable(f"key: Invalid value: {_json(key)}: {wrong}")


def _check_value(key: str, index: int, value: str) -> None:
    if len(value) > LONGEST_LABEL:
        raise _unreadable(
            f"values[{index}][{key}]: Invalid value: {_json(value)}: must be no more than {LONGEST_LABEL} bytes"
        )
    if not is_label_value(value):
        raise _unreadable(f"values[{index}][{key}]: Invalid value: {_json(value)}: {VALUE_RULE}")


def _json(text: str) -> str:
    return msgspec.json.encode(text[:200]).decode()


def _present(key: str) -> Requirement:
    return lambda held: key in held


def _absent(key: str) -> Requirement:
    return lambda held: key not in held


def _among(key: str, values: set[str], *, negated: bool) -> Requirement:
    for index, value in enumerate(sorted(values)):
        _check_value(key, index, value)
    if negated:
        return lambda held: held.get(key) not in values
    return lambda held: held.get(key) in values


def _compared(key: str, operator: str, value: str) -> Requirement:
    if operator in (">", "<"):
        return _number(key, operator == ">", value)
    return _among(key, {value}, negated=operator == "!=")


def _number(key: str, greater: bool, text: str) -> Requirement:
    bound = _integer(text)
    if bound is None:
        rule = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise _unreadable(f"values[0]: Invalid value: {_json(text)}: {rule}")
    _check_value(key, 0, text)

    def matches(held: Mapping[str, str]) -> bool:
        value = _integer(held.get(key, ""))
        return value is not None and (value > bound if greater else value < bound)

    return matches


def _integer(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


# Fields

_META: Mapping[str, Callable[[Item], str]] = {
    "metadata.name": lambda item: item.name,
    "metadata.namespace": lambda item: item.namespace,
}


def terms(text: str) -> list[Term]:
    """The terms of a `fieldSelector`, in the order in which they are looked at. BadRequest."""
    parts = _split(text)
    _check_number(len(parts))
    return [Term.read(part, text) for part in sorted(parts) if part]


def fields(wanted: list[Term], kind: Kind) -> Match:
    """What all terms together match. BadRequest for a field that `kind` does not declare as selectable."""
    predicates = [term.match(kind) for term in wanted if term.field or term.value]
    if not predicates:
        return everything
    return lambda item: all(matches(item) for matches in predicates)


_TERMS = re.compile(r"(?:[^\\,]|\\.|\\\Z)*", re.DOTALL)
_SPLIT = re.compile(r"(.*?)(!=|==|=)(.*)\Z", re.DOTALL)
_RUNE = re.compile(r"\\(.?)|([,=])", re.DOTALL)


def _split(text: str) -> list[str]:
    """The terms between commas that are not escaped; of too many, one too many."""
    terms, position = list[str](), 0
    while position <= len(text) and len(terms) <= MOST_REQUIREMENTS:
        term = _TERMS.match(text, position)
        terms.append("" if term is None else term[0])
        position += len(terms[-1]) + 1
    return terms


class Term(NamedTuple):
    """`field=value` or `field!=value`, the value as it is meant."""

    field: str
    value: str
    negated: bool

    @classmethod
    def read(cls, part: str, whole: str) -> Term:
        """One term of the selector `whole`. BadRequest."""
        term = _SPLIT.match(part)
        if term is None:
            raise BadRequest(f"invalid selector: '{whole[:200]}'; can't understand '{part[:200]}'")
        return cls(term[1], _RUNE.sub(_unescaped, term[3]), term[2] == "!=")

    def match(self, kind: Kind) -> Match:
        """BadRequest for a field that cannot be selected by."""
        read, expected, negated = _reader(self.field, kind), self.value, self.negated
        return lambda item: (read(item) == expected) is not negated


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        raise BadRequest(f"invalid field selector: unescaped character in value: {ord(match[2])}")
    if match[1] not in ("\\", ",", "="):
        raise BadRequest(f"invalid field selector: invalid escape sequence: \\{match[1]}")
    return match[1]


def _reader(field: str, kind: Kind) -> Callable[[Item], str]:
    known = _META.get(field)
    if known is not None and (kind.namespaced or field != "metadata.namespace"):
        return known
    if field not in kind.selectable:
        raise BadRequest(f"field label not supported: {field[:100]}")
    field_of = at(field)

    def read(item: Item) -> str:
        value = field_of(item.document())
        return "" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()

    return read


def both(first: Match, second: Match) -> Match:
    """Matches what both match."""
    if first is everything:
        return second
    if second is everything:
        return first
    return lambda item: first(item) and second(item)
