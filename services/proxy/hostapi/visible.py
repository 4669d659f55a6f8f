"""Which objects a caller is shown: those of a kind that is about others (an Event) follow the object that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.proxy.hostapi.attributes import Attributes, Authorize
from services.proxy.hostapi.selectors import Match, everything
from skerry.api.kinds import Kind, at
from skerry.errors import StatusError
from skerry.storage import Item


def named(kinds: Iterable[Kind]) -> dict[tuple[str, str], Kind]:
    """Kinds by group and name, as references have them."""
    return {(kind.group, kind.kind): kind for kind in kinds}


def visible(kind: Kind, kinds: Mapping[tuple[str, str], Kind], authorize: Authorize) -> Match:
    """True of objects of `kind` that a caller may be shown, who may read the kind itself: `authorize` says what they may."""
    if not kind.about:
        return everything
    about = at(kind.about)

    def is_visible(item: Item) -> bool:
        reference = about(item.document()) or {}
        name = str(reference.get("kind") or "")
        group = str(reference.get("apiVersion") or "").rpartition("/")[0]
        other = kinds.get((group, name))
        plural = (name.lower() or "*") if other is None else other.plural
        namespace = str(reference.get("namespace") or "") if other is not None and other.namespaced else ""
        try:
            authorize(Attributes("get", group, plural, "", namespace, str(reference.get("name") or "")))
        except StatusError:
            return False
        return True

    return is_visible
