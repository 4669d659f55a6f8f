"""Rules of the Setting kind, pure: only names and values of the table (skerry/api/hostsettings.py)."""

from __future__ import annotations

from collections.abc import Iterator

from skerry.admission.conform import FieldError, invalid_value, unsupported
from skerry.admission.prepare import invalid_object
from skerry.api.hostsettings import HOST_SETTINGS
from skerry.api.meta import Document

SHOWN = 100
"""Characters of a refused name or value in its refusal."""


def admit(document: Document) -> Document:
    """The setting as it may be stored, new or changed. Invalid names the field and what it may be."""
    problems = list(_problems(document))
    if problems:
        raise invalid_object(document, problems)
    return document


def _problems(document: Document) -> Iterator[FieldError]:
    name, value = document["metadata"].get("name", ""), document["spec"]["value"]
    setting = HOST_SETTINGS.get(name)
    if setting is None:
        yield unsupported("metadata.name", name[:SHOWN], tuple(HOST_SETTINGS))
    elif not setting.grammar.allows(value):
        yield invalid_value("spec.value", value[:SHOWN], setting.grammar.rule)
