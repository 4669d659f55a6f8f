"""Apps behind an API server's proxies of services and pods: where their links lead, and where their cookies go.

Such an app believes that it lies at `/`. The API server rewrites its redirects and the links of its HTML to its own paths
(apimachinery, pkg/util/proxy/transport.go) and tells the app its own base in X-Forwarded-Uri. Where the client has more in
front of the member's paths (`/clusters/<name>`), all of these would lead to another API: they are rewritten once more.
Cookies are the app's: each stays below its own base, so that no app sets or sees one of another, or of the host.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from skerry.httpwire.head import Headers

_BASE = re.compile(rb"/api/v1/namespaces/[^/?]+/(?:pods|services)/[^/?]+/proxy(?=[/?]|\Z)")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_PLAIN = re.compile(rb"[A-Za-z0-9._~:/-]+")
_OURS = re.compile(rb"(?:__(?:host|secure)-)?skerry", re.IGNORECASE)
"""Names of the host's own cookies begin so; none of them comes from a member or goes to one."""

_DELIMITERS = b"\"'`=(,; \t\r\n>"
"""A link in HTML begins behind one of these."""
_ORIGIN = rb"(?:(?:[hH][tT][tT][pP][sS]?:)?//[^/?#\"'`=(,; \t\r\n<>]{1,255})?"
_ORIGIN_BEGUN = re.compile(
    rb"(?:[hH](?:[tT](?:[tT](?:[pP](?:[sS]?:?)?)?)?)?|(?:[hH][tT][tT][pP][sS]?:)?/(?:/[^/?#<]{0,255})?)\Z"
)
_ENDS = rb"(?=[/?#&)<\"'`=(,; \t\r\n>]|\Z)"
"""Every delimiter is one: where a piece is cut before a delimiter, the same links are found."""


def app_base(target: bytes) -> bytes:
    """The part of a raw member's target that names an app, up to `/proxy`; empty if it names none."""
    if b"/proxy" not in target:
        return b""
    match = _BASE.match(target)
    return match[0] if match else b""


class AppPlace(NamedTuple):
    """Where a client sees an app: `prefix` (`/clusters/<name>`, or nothing) and `base`, the app's path at its member."""

    prefix: bytes
    base: bytes

    @classmethod
    def of(cls, prefix: bytes, raw: bytes) -> AppPlace:
        """From the raw base. One that an API server could not know (odd characters) is no place of an app."""
        base = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)
        return cls(prefix, base if _PLAIN.fullmatch(base) else b"")


def location(value: bytes, place: AppPlace) -> bytes:
    """A `Location` below `place.base` as a path of the member, whatever address of the member is in front of it; the
    client does not know that address. Others as they are.
    """
    match = re.match(_ORIGIN + re.escape(place.base) + rb"(?=[/?#]|\Z)", value) if place.base else None
    return value if match is None else value[match.end() - len(place.base) :]


# -- cookies ----------------------------------------------------------------------------------------------------------


def cookies_sent(headers: Headers) -> bytes:
    """The cookies of a request without the host's own; empty if nothing is left."""
    pairs = [part.strip(b" \t") for name, value in headers if name == b"cookie" for part in value.split(b";")]
    return b"; ".join(pair for pair in pairs if pair and not _OURS.match(pair.lstrip(b"= \t")))


def cookie_set(value: bytes, place: AppPlace) -> bytes | None:
    """A `Set-Cookie` of an app as its client may take it; None if it may not.

    It has no Domain, so it is the front door's only. Where there is a prefix, its Path is below the app's base. One
    without a name could be sent back as if it had another's, and is dropped like one with a name of the host's.
    """
    pair, *attributes = value.split(b";")
    name, equals, _ = pair.partition(b"=")
    if not equals or not name.strip(b" \t") or _OURS.match(name.strip(b" \t")):
        return None
    parts = [pair]
    for attribute in attributes:
        key, _, path = (part.strip(b" \t") for part in attribute.partition(b"="))
        if key.lower() == b"path" and place.prefix:
            if path.startswith(b"/"):
                parts.append(b" Path=" + _below(path, place))
        elif key.lower() != b"domain":
            parts.append(attribute)
    return b";".join(parts)


def _below(path: bytes, place: AppPlace) -> bytes:
    inside = path == place.base or path.startswith(place.base + b"/")
    return place.prefix + (path if inside else place.base + path)


# -- links ------------------------------------------------------------------------------------------------------------


class LinkRewriter:
    """Puts `place.prefix` in front of every link to `place.base` in an HTML document that comes in pieces.

    A link is the base behind a delimiter (a quote, a blank, `=` and the like), also with a scheme and host in front, which
    are dropped. What it gives does not depend on where the pieces were cut; it holds back only what may be a beginning.
    """

    __slots__ = ("_base", "_held", "_link", "_longest", "_to")

    def __init__(self, place: AppPlace) -> None:
        self._base = place.base
        self._to = place.prefix + place.base
        self._link = re.compile(b"(?<=[%b])" % re.escape(_DELIMITERS) + _ORIGIN + re.escape(place.base) + _ENDS)
        self._longest = len(place.base) + 300
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The document as far as it is certain."""
        data = self._held + data
        start = self._open(data)
        self._held = data[start:]
        return self._rewritten(data, start)

    def end(self) -> bytes:
        """The bytes that were held back: the document ends here."""
        data, self._held = self._held, b""
        return self._rewritten(data, len(data))

    def _rewritten(self, data: bytes, end: int) -> bytes:
        return self._link.sub(lambda _: self._to, data[:end])

    def _open(self, data: bytes) -> int:
        """Where the last delimiter is, if what follows may still become a link; else the end. A link has no delimiter
        inside, so only the last one can be the beginning of an unfinished one.
        """
        for at in range(len(data) - 1, max(-1, len(data) - self._longest), -1):
            if data[at] in _DELIMITERS:
                return at if self._may_begin(data[at + 1 :]) else len(data)
        return len(data)

    def _may_begin(self, text: bytes) -> bool:
        for start in (0, *self._origins(text)):
            if self._base.startswith(text[start:]):
                return True
        return _ORIGIN_BEGUN.match(text) is not None

    @staticmethod
    def _origins(text: bytes) -> tuple[int, ...]:
        match = re.match(_ORIGIN, text)
        return (match.end(),) if match else ()
