"""Every kind there is, each declared once: two that a client could not tell apart are refused where they are put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skerry.api.kinds import apprelease, appstore, audit, events, identities, kubernetes, registry, requests, tenancy
from skerry.api.kinds.kind import Kind


def catalog(kinds: Iterable[Kind]) -> tuple[Kind, ...]:
    """All of `kinds`. ValueError, naming kind and what, if one is there twice or has a name of another."""
    all_of_them = tuple(kinds)
    taken: dict[tuple[str, str], Kind] = {}
    for kind in all_of_them:
        names = tuple(_names(kind))
        for what, where, name in names:
            other = taken.get((where, name))
            if other is not None:
                raise ValueError(f"kind {kind.kind}: its {what} {name} is that of {other.kind} in {other.api_version}")
        taken |= {(where, name): kind for _, where, name in names}
    return all_of_them


def _names(kind: Kind) -> Iterator[tuple[str, str, str]]:
    """(what, where it must be the only one, name). kubectl takes plural, singular and short names alike, short ones of any
    group.
    """
    yield "kind", f"kinds of {kind.group}", kind.kind
    yield "plural", f"resources of {kind.group}", kind.plural
    yield "singular", f"resources of {kind.group}", kind.singular
    for name in kind.short_names:
        yield "short name", f"resources of {kind.group}", name
        yield "short name", "short names", name
    if kind.listing:
        yield "command", "commands", kind.listing.command


KINDS = catalog(
    (
        *registry.KINDS,
        *tenancy.KINDS,
        *requests.KINDS,
        *identities.KINDS,
        *appstore.KINDS,
        *apprelease.KINDS,
        *events.KINDS,
        *audit.KINDS,
    )
)
"""Skerry's own, which lie in the bucket of resources."""
SERVED = catalog((*KINDS, *kubernetes.KINDS))
"""What the host API serves."""


def owned_by(service: str) -> tuple[Kind, ...]:
    """Skerry's kinds that a service owns."""
    return tuple(kind for kind in KINDS if kind.owner == service)
