"""Label and field selectors, as k8s.io/apimachinery parses and matches them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from skerry.errors import BadRequest
from skerry.store import Item

Match = Callable[[Item], bool]

_KEY = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<absent_key>{_KEY})"
    rf"|(?P<key>{_KEY})\s*(?:(?P<op>==|=|!=|>|<)\s*(?P<value>{_VALUE})"
    rf"|\s(?P<set_op>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|\Z)"
)
_VALUE_ONLY = re.compile(rf"{_VALUE}\Z")


def labels(text: str) -> Match:
    """What `labelSelector` matches; everything for an empty one. BadRequest with the place."""
    requirements: list[Callable[[Mapping[str, str]], bool]] = []
    position = 0
    while position < len(text) and text.strip():
        found = _REQUIREMENT.match(text, position)
        if found is None or found.end() == position:
            raise BadRequest(f"unable to parse requirement: cannot read labelSelector {text[:200]!r} at {position}")
        requirements.append(_requirement(found))
        position = found.end()
    if not requirements:
        return lambda item: True
    return lambda item: all(requirement(item.labels) for requirement in requirements)


def _requirement(found: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    if found["absent"]:
        absent = found["absent_key"]
        return lambda held: absent not in held
    key, operator, value = found["key"], found["op"], found["value"] or ""
    if found["set_op"]:
        return _set(key, found["set_op"] == "in", found["values"])
    if operator is None:
        return lambda held: key in held
    if operator in (">", "<"):
        return _number(key, operator == ">", value)
    if operator == "!=":
        return lambda held: held.get(key) != value
    return lambda held: held.get(key) == value


def _set(key: str, inside: bool, text: str) -> Callable[[Mapping[str, str]], bool]:
    values = {value.strip() for value in text.split(",")}
    for value in values:
        if _VALUE_ONLY.match(value) is None:
            raise BadRequest(f"unable to parse requirement: {value[:100]!r} is not a label's value")
    if inside:
        return lambda held: held.get(key) in values
    return lambda held: held.get(key) not in values


def _number(key: str, greater: bool, text: str) -> Callable[[Mapping[str, str]], bool]:
    if not text.isdecimal():
        raise BadRequest(f"unable to parse requirement: {key} is compared with {text!r}, which is not an integer")
    bound = int(text)

    def matches(held: Mapping[str, str]) -> bool:
        value = held.get(key, "")
        return value.isdecimal() and (int(value) > bound if greater else int(value) < bound)

    return matches


_FIELDS: Mapping[str, Callable[[Item], str]] = {
    "metadata.name": lambda item: item.name,
    "metadata.namespace": lambda item: item.namespace,
}


def fields(text: str) -> Match:
    """What `fieldSelector` matches. BadRequest for a field that cannot be selected by."""
    terms = [_field(term) for term in text.split(",") if term.strip()]
    return lambda item: all(term(item) for term in terms)


def _field(term: str) -> Match:
    for operator in ("!=", "==", "="):
        field, found, value = term.partition(operator)
        if found:
            read = _FIELDS.get(field.strip())
            if read is None:
                raise BadRequest(f"field label not supported: {field.strip()}")
            wanted = value.strip()
            if operator == "!=":
                return lambda item: read(item) != wanted
            return lambda item: read(item) == wanted
    raise BadRequest(f"invalid field selector {term[:200]!r}: use metadata.name=NAME")


def both(first: Match, second: Match) -> Match:
    """Matches what both match."""
    return lambda item: first(item) and second(item)
