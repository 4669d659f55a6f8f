"""Which representation a client wants, from its Accept header: the API server's rules, as far as JSON and YAML go. Pure."""

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


class Negotiated(NamedTuple):
    """The media type of an answer, and whether it is written in YAML instead of JSON."""

    media: Media = PLAIN
    yaml: bool = False


JSON = Negotiated()
_TYPES = frozenset(("application/json", "application/yaml", "*/*", "application/*"))


def negotiate(accept: str, offered: frozenset[Media]) -> Negotiated:
    """The dearest of the client's wishes that is offered; PLAIN is always offered. NotAcceptable if it wants neither."""
    if not accept.strip() or accept == "application/json":
        return JSON
    clauses = accept.split(",")
    if "q=" in accept or "*" in accept:
        clauses.sort(key=_rank)
    for clause in clauses:
        kind, *parameters = (part.strip() for part in clause.split(";"))
        if kind.lower() not in _TYPES:
            continue
        media = _media(parameters)
        if media == PLAIN or media in offered:
            return Negotiated(media, yaml=kind.lower() == "application/yaml")
    raise NotAcceptable("only the following media types are accepted: application/json, application/yaml")


def in_yaml(accept: str) -> bool:
    """True if what is said to this client is to be in YAML; False for whom nothing here would suit."""
    if "yaml" not in accept:
        return False
    try:
        return negotiate(accept, TABLE | PARTIAL | PARTIAL_LIST | GROUPS).yaml
    except NotAcceptable:
        return False


def _rank(clause: str) -> tuple[float, bool, bool]:
    """The best first: by q, and then what is named before what is meant by a star."""
    kind, *parameters = (part.strip() for part in clause.split(";"))
    quality = next(
        (value for name, _, value in (each.partition("=") for each in parameters) if name.strip() == "q"), "1"
    )
    try:
        return -float(quality), kind == "*/*", kind.endswith("/*")
    except ValueError:
        return -1.0, kind == "*/*", kind.endswith("/*")


def _media(parameters: list[str]) -> Media:
    by_name = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
    return Media(by_name.get("as", ""), by_name.get("g", ""), by_name.get("v", ""))


TABLE = frozenset(Media("Table", META, version) for version in ("v1", "v1beta1"))
PARTIAL = frozenset(Media("PartialObjectMetadata", META, version) for version in ("v1", "v1beta1"))
PARTIAL_LIST = frozenset(Media("PartialObjectMetadataList", META, version) for version in ("v1", "v1beta1"))
GROUPS = frozenset(Media("APIGroupDiscoveryList", DISCOVERY, version) for version in ("v2", "v2beta1"))
