"""Request targets: decide on the decoded path, forward the raw one (rule 9), and put prefixes back (rule 7).

Every layer of a request's way may decode or clean a path once more than the last. So what could mean two things is
refused: encoded slashes, backslashes and NULs, dot segments and empty segments. Only the tail behind a `/proxy/`
subresource is left alone, because it belongs to somebody's own service.
"""

from __future__ import annotations

import re

import msgspec

from skerry.errors import BadRequest, RequestHeaderFieldsTooLarge

PATH_LIMIT = 64 * 1024
"""Bytes of a path. What clients send in long targets (commands, selectors) is in the query."""
PAIRS_LIMIT = 10_000
"""Pairs of a query, as in Go's net/url since CVE-2025-61726."""
_ABSOLUTE = re.compile(rb"(https?)://([0-9A-Za-z._~:\[\]-]+)([/?][!-~]*+)?", re.IGNORECASE)
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_ESCAPE = re.compile(rb"%(..)?", re.DOTALL)
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BAD_ENCODED = re.compile(rb"%(?:2[fF]|5[cC]|[01][0-9A-Fa-f]|7[fF])")
_BAD_RAW = re.compile(rb"//|/\.{1,2}(?:/|\Z)|\\")
_CLUSTER = re.compile(rb"/clusters/([^/?]*)([^?]*)(.*)", re.DOTALL)


class RequestTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A checked target. `raw` is what is forwarded; `path` is decoded, without query; `query` is raw, without `?`."""

    raw: bytes
    path: str
    query: bytes


class Absolute(msgspec.Struct, frozen=True, kw_only=True):
    """A target in absolute form, as clients send it to forward proxies (RFC 9112, 3.2.2); `target` is its origin form."""

    scheme: bytes
    authority: bytes
    target: bytes

    @classmethod
    def of(cls, raw: bytes) -> Absolute:
        """Raises BadRequest for what is no absolute URL, or has a user in it."""
        match = _ABSOLUTE.fullmatch(raw)
        if match is None:
            raise BadRequest("the request target must start with a slash, or be an absolute URL of this host")
        rest = match[3] or b"/"
        return cls(scheme=match[1].lower(), authority=match[2], target=rest if rest[:1] == b"/" else b"/" + rest)

    def agreed(self, host: bytes | None) -> bytes:
        """The authority, lower case and without a default port, if the Host header says the same. Raises BadRequest."""
        authority = self._plain(self.authority)
        if host is None or self._plain(host) != authority:
            raise BadRequest(
                "the Host header does not say what the absolute request target says; send the same in both"
            )
        return authority

    def _plain(self, authority: bytes) -> bytes:
        return authority.lower().removesuffix(_DEFAULT_PORTS[self.scheme])


def unquote(raw: bytes) -> str:
    """Percent-decoded text, once. Raises BadRequest for broken escapes and for bytes that are not UTF-8."""
    try:
        return unquote_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("the request path is not UTF-8") from error


def unquote_bytes(raw: bytes) -> bytes:
    """Percent-decoded bytes, once. Raises BadRequest for a `%` without two hexadecimal digits."""
    if b"%" not in raw:
        return raw
    if _BAD_ESCAPE.search(raw):
        raise BadRequest("the request target has a '%' that is not followed by two hexadecimal digits")
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), raw)


def parse_target(raw: bytes) -> RequestTarget:
    """Checks a raw target (origin form) and decodes its path. Raises BadRequest, or RequestHeaderFieldsTooLarge for too
    long a path; the message names the rule.

    For a target below `/clusters/<name>`, pass what `split_cluster` returned: the tail rule needs the member's path.
    """
    path, _, query = raw.partition(b"?")
    if len(path) > PATH_LIMIT:
        raise RequestHeaderFieldsTooLarge(
            f"the request path is longer than {PATH_LIMIT // 1024} KiB; send a shorter one"
        )
    if len(query) > PAIRS_LIMIT and query.count(b"&") >= PAIRS_LIMIT:
        raise BadRequest(f"the query has more than {PAIRS_LIMIT} parameters; send fewer")
    strict = _strict_part(path)
    if _BAD_RAW.search(strict):
        raise BadRequest("the request path has an empty or dot segment or a backslash; send it in its simple form")
    if b"%" in path:
        _check_encoded(strict)
        if strict is not path:
            unquote_bytes(path)
            text = unquote(strict) + unquote_bytes(path[len(strict) :]).decode("utf-8", "replace")
            return RequestTarget(raw=raw, path=text, query=query)
    return RequestTarget(raw=raw, path=unquote(path), query=query)


def _check_encoded(strict: bytes) -> None:
    if _BAD_ENCODED.search(strict):
        raise BadRequest("the request path has an encoded slash, backslash or control character")
    decoded = unquote_bytes(strict)
    if _BAD_RAW.search(decoded):
        raise BadRequest("the request path has an encoded dot segment")


def _strict_part(path: bytes) -> bytes:
    """The part of a member's path that the strict rules hold for: all of it, or up to and with `/proxy/`.

    `/api/v1/[namespaces/<ns>/]<resource>/<name>/proxy/<tail>`, and the same below `/apis/<group>/<version>`.
    """
    if b"/proxy/" not in path:
        return path
    parts = path.split(b"/")
    at = {b"api": 3, b"apis": 4}.get(parts[1])
    if at is None:
        return path
    if len(parts) > at + 2 and parts[at] == b"namespaces" and parts[at + 2] != b"proxy":
        at += 2
    if len(parts) > at + 3 and parts[at + 2] == b"proxy":
        return b"/".join(parts[: at + 3]) + b"/"
    return path


def split_cluster(raw: bytes) -> tuple[str, bytes] | None:
    """`/clusters/<name>/<rest>?<query>` as (name, `/<rest>?<query>`), or None if the target is not below a cluster.

    The name is returned as it was written, decoded as Latin-1; names are compared with those that exist, not parsed.
    """
    match = _CLUSTER.fullmatch(raw)
    if match is None or not match[1]:
        return None
    return match[1].decode("latin-1"), (match[2] or b"/") + match[3]


def relocate(location: bytes, prefix: bytes, origin: bytes | None = None) -> bytes:
    """A `Location` of a member as its client must see it: paths get `prefix` (`/clusters/<name>`), rule 7.

    `origin` is the member's own `scheme://host:port`; absolute URLs with it become paths. Others, network paths
    (`//host/`) and relative references stay as they are.
    """
    if origin and location.startswith(origin):
        rest = location[len(origin) :]
        if rest[:1] in (b"", b"/", b"?"):
            return prefix + (rest if rest[:1] == b"/" else b"/" + rest)
    if location[:1] != b"/" or location[:2] in (b"//", b"/\\"):
        return location
    return prefix + location
