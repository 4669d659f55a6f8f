"""Which representation a client wants, from its Accept header: the API server's rules, as far as JSON goes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from skerry.errors import NotAcceptable

META = "meta.k8s.io"
DISCOVERY = "apidiscovery.k8s.io"


class Media(NamedTuple):
    """One representation: `as_` is "" for the object itself, else Table, PartialObjectMetadata and the like."""

    as_: str = ""
    group: str = ""
    version: str = ""


PLAIN = Media()


def negotiate(accept: str, offered: frozenset[Media]) -> Media:
    """The first of the client's wishes that is offered; PLAIN JSON is always offered.

    NotAcceptable if JSON in no form is accepted. Quality values are ignored, as the API server ignores them.
    """
    if not accept.strip():
        return PLAIN
    for clause in accept.split(","):
        kind, *parameters = (part.strip() for part in clause.split(";"))
        if kind.lower() not in ("application/json", "*/*", "application/*"):
            continue
        media = _media(parameters)
        if media == PLAIN or media in offered:
            return media
    raise NotAcceptable(
        "only the following media types are accepted: application/json (also as Table and PartialObjectMetadata)"
    )


def _media(parameters: list[str]) -> Media:
    found = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
    return Media(found["as"], found.get("g", ""), found.get("v", "")) if "as" in found else PLAIN


TABLE = frozenset(Media("Table", META, version) for version in ("v1", "v1beta1"))
PARTIAL = frozenset(Media("PartialObjectMetadata", META, version) for version in ("v1", "v1beta1"))
PARTIAL_LIST = frozenset(Media("PartialObjectMetadataList", META, version) for version in ("v1", "v1beta1"))
GROUPS = frozenset(Media("APIGroupDiscoveryList", DISCOVERY, version) for version in ("v2", "v2beta1"))
