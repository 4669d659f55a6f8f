"""Rules of the Workspace kind, pure. A workspace is also the namespace of its name on the host."""

from __future__ import annotations

from services.tenancy import people
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.admission.prepare import invalid_object
from skerry.api.meta import Document
from skerry.api.validation import is_label

RESERVED = ("default", "kube-", "skerry-")
"""Names, and beginnings of names, of namespaces that are nobody's workspace."""
MAX_ITEMS = 1000
MAX_DISPLAY = 256


def admit(document: Document) -> Document:
    """The workspace as it may be stored, new or changed. Invalid names the fields."""
    spec = document["spec"]
    errors = [
        *_name(str(document["metadata"].get("name", ""))),
        *_display(spec.get("displayName", "")),
        *_members(spec.get("members", [])),
        *(people.selection_problems(spec["clusters"], "spec.clusters") if "clusters" in spec else ()),
        *_namespaces(spec.get("namespaces", [])),
    ]
    if errors:
        raise invalid_object(document, errors)
    return document


def _name(name: str) -> list[FieldError]:
    if name and not is_label(name):
        return [invalid_value("metadata.name", name, f"{people.LABEL_RULE}, because it is also a namespace")]
    if name == RESERVED[0] or name.startswith(RESERVED[1:]):
        return [
            forbidden(
                "metadata.name", f"{name!r} is reserved: default and names with {' or '.join(RESERVED[1:])} in front"
            )
        ]
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


def _namespaces(namespaces: list[Document]) -> list[FieldError]:
    return _too_many(namespaces, "spec.namespaces") or [
        invalid_value(f"spec.namespaces[{index}].{key}", each[key], people.LABEL_RULE)
        for index, each in enumerate(namespaces)
        for key in ("cluster", "name")
        if not is_label(each[key])
    ]


def _too_many(items: list[Document], field: str) -> list[FieldError]:
    if len(items) <= MAX_ITEMS:
        return []
    return [FieldError(field, f"Too many: {len(items)}: must have at most {MAX_ITEMS} items", "FieldValueTooMany")]
