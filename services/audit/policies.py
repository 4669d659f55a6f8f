"""What an AuditPolicy may say, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.admission.conform import FieldError, forbidden, invalid_value, unsupported
from skerry.admission.prepare import invalid_object
from skerry.admission.selections import selection_problems
from skerry.api.auditpolicy import DEFAULT, MOST_RULES
from skerry.api.meta import Document
from skerry.audit.event import STAGES

VERBS = (
    "*",
    "create",
    "delete",
    "deletecollection",
    "get",
    "head",
    "list",
    "options",
    "patch",
    "post",
    "proxy",
    "put",
    "update",
    "watch",
)
MOST_VALUES = 256
"""Values of one list, and resources of one rule."""
_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "resources")
LONGEST = 256
"""Characters of a value."""


def admit(document: Document) -> Document:
    """The policy as it may be stored, new or changed. Invalid names each field and what it may be."""
    problems = list(_problems(document))
    if problems:
        raise invalid_object(document, problems)
    return document


def _problems(document: Document) -> Iterator[FieldError]:
    name = document["metadata"].get("name", "")
    if name != DEFAULT:
        yield unsupported("metadata.name", name[:LONGEST], (DEFAULT,))
    rules = (document.get("spec") or {}).get("rules") or []
    if len(rules) > MOST_RULES:
        yield FieldError(
            "spec.rules", f"Too many: {len(rules)}: must have at most {MOST_RULES} items", "FieldValueTooMany"
        )
        return
    for index, rule in enumerate(rules):
        yield from _rule(f"spec.rules[{index}]", rule)


def _rule(where: str, rule: Document) -> Iterator[FieldError]:
    for name in _LISTS:
        if len(rule.get(name) or []) > MOST_VALUES:
            yield FieldError(f"{where}.{name}", f"Too many: must have at most {MOST_VALUES} items", "FieldValueTooMany")
            return
    yield from _among(f"{where}.verbs", rule.get("verbs") or [], VERBS)
    yield from _among(f"{where}.omitStages", rule.get("omitStages") or [], STAGES)
    yield from _paths(where, rule)
    if rule.get("level") == "None":
        for name, unset in (("required", False), ("record", "None")):
            if rule.get(name, unset) != unset:
                yield forbidden(f"{where}.{name}", "may not be set where nothing is recorded: choose another level")
    if "clusters" in rule:
        yield from selection_problems(rule["clusters"], f"{where}.clusters")


def _among(where: str, values: list[str], allowed: tuple[str, ...]) -> Iterator[FieldError]:
    for index, value in enumerate(values):
        if value not in allowed:
            yield unsupported(f"{where}[{index}]", value[:LONGEST], allowed)


def _paths(where: str, rule: Document) -> Iterator[FieldError]:
    paths = rule.get("nonResourceURLs") or []
    if paths and (rule.get("resources") or rule.get("namespaces")):
        yield forbidden(
            f"{where}.nonResourceURLs", "may not be set beside resources or namespaces: make a rule of each"
        )
    for index, path in enumerate(paths):
        if path != "*" and (not path.startswith("/") or "*" in path[:-1]):
            yield invalid_value(
                f"{where}.nonResourceURLs[{index}]", path[:LONGEST], "must be *, or a path that may end with *"
            )
