"""Rules of the Workspace kind, pure. A workspace is also the namespace of its name on the host."""

from __future__ import annotations

from collections.abc import Callable

from services.tenancy import people
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.admission.prepare import invalid_object
from skerry.admission.selections import LABEL_RULE, selection_problems
from skerry.api.kinds.paths import at
from skerry.api.messages import HOST
from skerry.api.meta import Document
from skerry.api.validation import is_label

RESERVED = ("default", "kube-", "skerry-")
"""Names, and beginnings of names, of namespaces that are nobody's workspace."""
MAX_ITEMS = 1000
MAX_DISPLAY = 256
_clusters_of, _namespaces_of = at("spec.clusters"), at("spec.namespaces")


def admit(document: Document, current: Document, is_among: Callable[[str], bool]) -> Document:
    """The workspace as it may be stored, new (`current` is empty) or changed; `is_among` is true of its clusters. Invalid names
    the fields. A namespace stays where its workspace's clusters are said as before: also on one whose labels have become others,
    and on one that an earlier version took.
    """
    spec = document["spec"]
    before = _namespaces_of(current) or () if _clusters_of(document) == _clusters_of(current) else ()
    stays = {(each["cluster"], each["name"]) for each in before}
    errors = [
        *_name(str(document["metadata"].get("name", ""))),
        *_display(spec.get("displayName", "")),
        *_members(spec.get("members", [])),
        *(selection_problems(spec["clusters"], "spec.clusters") if "clusters" in spec else ()),
        *_namespaces(spec.get("namespaces", []), lambda place: place in stays or is_among(place[0])),
    ]
    if errors:
        raise invalid_object(document, errors)
    return document


def _name(name: str) -> list[FieldError]:
    if name and not is_label(name):
        return [invalid_value("metadata.name", name, f"{LABEL_RULE}, because it is also a namespace")]
    return _reserved("metadata.name", name)


def _reserved(field: str, name: str) -> list[FieldError]:
    if name == RESERVED[0] or name.startswith(RESERVED[1:]):
        return [forbidden(field, f"{name!r} is reserved: default and names with {' or '.join(RESERVED[1:])} in front")]
    return []


def _display(name: str) -> list[FieldError]:
    if len(name) > MAX_DISPLAY:
        return [
            FieldError(
                "spec.displayName", f"Too long: may not be more than {MAX_DISPLAY} characters", "FieldValueTooLong"
            )
        ]
    if not name.isprintable():
        return [invalid_value("spec.displayName", name, "use printable characters")]
    return []


def _members(members: list[Document]) -> list[FieldError]:
    return _too_many(members, "spec.members") or [
        problem
        for index, member in enumerate(members)
        for problem in people.subject_problems(member, f"spec.members[{index}]")
    ]


def _namespaces(namespaces: list[Document], fits: Callable[[tuple[str, str]], bool]) -> list[FieldError]:
    return _too_many(namespaces, "spec.namespaces") or [
        problem
        for index, each in enumerate(namespaces)
        for problem in _namespace(f"spec.namespaces[{index}]", each["cluster"], each["name"], fits)
    ]


def _namespace(path: str, cluster: str, name: str, fits: Callable[[tuple[str, str]], bool]) -> list[FieldError]:
    wrong = [
        invalid_value(f"{path}.{key}", value, LABEL_RULE)
        for key, value in (("cluster", cluster), ("name", name))
        if not is_label(value)
    ]
    if wrong or cluster == HOST:
        return wrong or [forbidden(f"{path}.cluster", f"a workspace has no namespaces on {HOST}: name a member")]
    if not fits((cluster, name)):
        text = "is not among spec.clusters: name it there, or give it labels that spec.clusters.selector selects"
        return [invalid_value(f"{path}.cluster", cluster, text)]
    return _reserved(f"{path}.name", name)


def _too_many(items: list[Document], field: str) -> list[FieldError]:
    if len(items) <= MAX_ITEMS:
        return []
    return [FieldError(field, f"Too many: {len(items)}: must have at most {MAX_ITEMS} items", "FieldValueTooMany")]
