"""Columns of `kubectl get`, and what their cells are made of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from skerry.api.conditions import listed
from skerry.api.kinds.paths import at, has
from skerry.api.meta import Document, Struct

UNKNOWN = "<unknown>"
"""kubectl's word for what cannot be said."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column, as in meta/v1 TableColumnDefinition.

    Its cells are what lies at `path` in a document (`spec.role`; None where it is absent), or what `cell` makes of that;
    without a path, of the whole document.
    Cells that only a proxy knows (LAST HEARTBEAT, RTT) name a `live` value instead: they never move a resourceVersion or
    cause a watch event.
    """

    name: str
    path: str = ""
    cell: Callable[[Any], Any] | None = None
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0
    live: str = ""
    read: Callable[[Document], Any] = field(init=False, repr=False, compare=False)
    """The cell of a document."""

    def __post_init__(self) -> None:
        value = at(self.path)
        object.__setattr__(self, "read", value if self.cell is None else _reading(value, self.cell))


def _reading(value: Callable[[Document], Any], cell: Callable[[Any], Any]) -> Callable[[Document], Any]:
    """A reader of cells. What is stored may be another version's, in a shape that this one does not know: that says UNKNOWN in
    its cell, and the other cells and rows are shown.
    """

    def read(document: Document) -> Any:
        try:
            return cell(value(document))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return UNKNOWN

    return read


def fits(column: Column, shape: type[Struct]) -> bool:
    """True if documents of a Struct have what a column shows."""
    return bool(column.live or (column.cell and not column.path)) or has(shape, column.path)


NAME = Column(name="Name", path="metadata.name", format="name", description="Name of the object.")
AGE = Column(name="Age", path="metadata.creationTimestamp", type="date", description="Time since creation.")


def count(values: Collection[Any] | None) -> int:
    """How many there are."""
    return len(values or ())


def joined(values: Collection[str] | None) -> str:
    """All of them."""
    return ",".join(values or ())


def condition(name: str, unsaid: str = "Unknown") -> Callable[[object], str]:
    """From conditions: the status of one of them; `unsaid` if it is not there."""

    def cell(conditions: object) -> str:
        for each in listed(conditions):
            if each.get("type") == name:
                return str(each.get("status", "Unknown"))
        return unsaid

    return cell


def why_not(name: str) -> Callable[[object], str]:
    """From conditions: why one of them is not True; empty if it is, or is not there."""

    def cell(conditions: object) -> str:
        for each in listed(conditions):
            if each.get("type") == name and each.get("status") != "True":
                return str(each.get("message") or each.get("reason", ""))
        return ""

    return cell


def about(reference: Document | None) -> str:
    """From an ObjectReference: kind and name."""
    named = reference or {}
    return f"{str(named.get('kind', '')).lower()}/{named.get('name', '')}"


def clusters(selection: Document | None) -> str:
    """From a ClusterSelection: names, or the selector as kubectl writes selectors; `*` is every cluster."""
    if not selection or "selector" not in selection:
        return joined((selection or {}).get("names"))
    selector = selection["selector"] or {}
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = joined(each.get("values"))
        terms.append(f"{each.get('key')} {each.get('operator')} {values}".strip())
    return joined(terms) or "*"


def subjects(listed: list[Document] | None) -> str:
    """From Subjects: kind and name of each."""
    return joined([f"{each.get('kind')}:{each.get('name')}" for each in listed or ()])


def role(spec: Document | None) -> str:
    """From the spec of a grant: its role, or the groups instead of it."""
    grant = spec or {}
    return str(grant.get("role") or joined(grant.get("groups")))
