"""What a request is to the audit log, worked out once for targets that come again and again."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from skerry.audit import event, shown
from skerry.audit.event import AuditedObject
from skerry.errors import StatusError
from skerry.httpwire.requestinfo import RequestInfo, classify, resolve
from skerry.httpwire.target import parse_target

REMEMBERED = 512
"""Bytes of a target whose meaning may be remembered: 1,024 of these are at most 1 MiB."""


class Meaning(NamedTuple):
    """A method and a target, as records and rules have them."""

    info: RequestInfo
    uri: str
    reference: AuditedObject | None
    said: str
    """As records say it."""
    lasts: bool
    """Whether it is recorded when its answer begins, too."""
    query: bytes


def meaning_of(method: bytes, target: bytes) -> Meaning:
    """Of a raw target, of a member as it gets it. Total: what cannot be read is a path."""
    return (_known if len(target) <= REMEMBERED else _read)(method, target)


def _read(method: bytes, target: bytes) -> Meaning:
    uri = shown.uri(target)
    try:
        parsed = parse_target(target)
        info = resolve(method, parsed.path, parsed.query)
    except StatusError:
        plain = RequestInfo(is_resource=False, path=uri, verb=method.decode("latin-1").lower())
        return Meaning(plain, uri, None, event.what(uri, plain.verb, None), False, b"")
    reference = None
    if info.is_resource:
        reference = AuditedObject(
            resource=info.resource,
            namespace=info.namespace,
            name=info.name,
            api_group=info.group,
            api_version=info.version,
            subresource=info.subresource,
        )
    said = event.what(uri, info.verb, reference)
    return Meaning(info, uri, reference, said, classify(info, parsed.query).long_running, parsed.query)


_known = lru_cache(maxsize=1024)(_read)
