"""One request of the host API, parsed: path, query, and what its Accept header asks for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

import msgspec

from services.proxy.hostapi.attributes import Attributes
from skerry.api.kinds import Kind
from skerry.errors import BadRequest, NotFound

MISSING = "the server could not find the requested resource"
"""What kubectl expects to read for a path that is not served."""


class Target(NamedTuple):
    """A path, resolved. `kind` is None for discovery paths; `parts` are the path's segments."""

    parts: tuple[str, ...]
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""


class Query:
    """Query parameters, read as Go's url.ParseQuery reads them: a part that it cannot read is as if it were not there.

    The first value of each name counts, unless somebody asks for all.
    """

    def __init__(self, text: str) -> None:
        parts = text.split("&") if text else []
        if len(parts) > MOST_PARAMETERS:
            raise BadRequest(f"the query has {len(parts)} parameters, the limit is {MOST_PARAMETERS}")
        self._values: dict[str, list[str]] = {}
        for part in parts:
            if part and ";" not in part and ("%" not in part or _BAD_ESCAPE.search(part) is None):
                name, _, value = part.partition("=")
                self._values.setdefault(_unescaped(name), []).append(_unescaped(value))

    def text(self, name: str) -> str:
        """The value, or an empty string."""
        return self._values.get(name, _ABSENT)[0]

    def find(self, name: str) -> str | None:
        """The value; None if the parameter is not there, which an empty one is."""
        return self.text(name) if name in self._values else None

    def all(self, name: str) -> list[str]:
        """Every value."""
        return self._values.get(name, [])

    def names(self) -> list[str]:
        """Of all parameters."""
        return list(self._values)

    def flag(self, name: str) -> bool:
        """Kubernetes' boolean: present and not false or 0."""
        value = self.find(name)
        return value is not None and value.lower() not in ("false", "0")


MOST_PARAMETERS = 10_000
"""As Go limits them."""
_ABSENT = ("",)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def _unescaped(text: str) -> str:
    """Bytes that are no UTF-8 become U+FFFD: they match nothing here, as they match nothing there."""
    return unquote_plus(text, errors="replace") if "%" in text or "+" in text else text


def parse(target: bytes) -> tuple[str, Query]:
    """(raw path, query) of a request target. BadRequest."""
    path, _, query = target.decode("latin-1").partition("?")
    return path, Query(query)


def locate(path: str, kinds: Mapping[tuple[str, str, str], Kind]) -> Target:
    """Resolve `path`; `kinds` is by (group, version, plural). NotFound for a resource that is not served.

    It is decoded before it is cut, as Go does: an escaped slash is a slash.
    """
    parts = tuple(unquote(path).removeprefix("/").removesuffix("/").split("/"))
    if parts[0] == "apis" and len(parts) > 3:
        return _resource(parts, parts[1], parts[2], parts[3:], kinds)
    if parts[0] == "api" and len(parts) > 2:
        return _resource(parts, "", parts[1], parts[2:], kinds)
    return Target(parts)


def _resource(
    parts: tuple[str, ...], group: str, version: str, rest: tuple[str, ...], kinds: Mapping[tuple[str, str, str], Kind]
) -> Target:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    kind = kinds.get((group, version, rest[0]))
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced) or "" in rest:
        raise NotFound(MISSING)
    if kind.namespaced and not namespace and len(rest) > 1:
        raise NotFound(MISSING)
    name, subresource = (*rest[1:], "", "")[:2]
    if "%" in name:
        raise BadRequest(f"Name parameter invalid: {msgspec.json.encode(name[:80]).decode()}: may not contain '%'")
    return Target(parts, kind, namespace, name, subresource)


def attributes(target: Target, verb: str, path: str) -> Attributes:
    """The request as authorization sees it."""
    kind = target.kind
    if kind is None:
        return Attributes(verb=verb, path=path)
    return Attributes(verb, kind.group, kind.plural, target.subresource, target.namespace, target.name, path)


def known(target: Target) -> Kind:
    """The kind of a target that has one."""
    if target.kind is None:
        raise AssertionError("a path without a kind came where only resources do")
    return target.kind
