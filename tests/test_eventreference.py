"""docs/events.md and its schema say what is declared, and no reason of an event is missing there."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry import eventreference
from skerry.api.kinds import KINDS, happenings
from skerry.api.kinds.reasons import CONDITIONS, REASONS, reasons_of

DOCS = Path(__file__).parents[1] / "docs"
SOURCES = [Path(__file__).parents[1] / folder for folder in ("skerry", "services")]


def test_the_page_and_the_schema_are_what_is_declared() -> None:
    assert (DOCS / "events.md").read_text() == eventreference.markdown(KINDS)
    assert json.loads((DOCS / "events.schema.json").read_text()) == eventreference.schema(KINDS)


def literals() -> Iterator[str]:
    """Reasons that are written in the code: of Occurrences, and of what is told of objects."""
    for folder in SOURCES:
        for path in folder.rglob("*.py"):
            text = path.read_text()
            if "Occurrence(" not in text and "recorder" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and (place := _place(node)) is not None and len(node.args) > place:
                    reason = node.args[place]
                    if isinstance(reason, ast.Constant) and isinstance(reason.value, str):
                        yield reason.value


def _place(call: ast.Call) -> int | None:
    """Where a call has the reason."""
    if isinstance(call.func, ast.Name) and call.func.id == "Occurrence":
        return 0
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("normal", "warning"):
        return 1 if "recorder" in ast.unparse(call.func.value) else None
    return None


def test_every_reason_of_the_code_is_on_the_page() -> None:
    known = {reason for kind in KINDS for reason in reasons_of(kind.kind)}
    assert set(literals()) - known <= {"OwnerRefInvalidNamespace"}
    assert {reason for table in happenings._TROUBLES.values() for reason in table.values()} <= known
    assert {hold[2][0] for hold in happenings._HOLDS} | {hold[3][0] for hold in happenings._HOLDS} <= known


@pytest.mark.parametrize("name", sorted({*REASONS, *CONDITIONS}))
def test_the_tables_are_of_kinds_that_tell(name: str) -> None:
    assert name in {kind.kind for kind in KINDS if kind.events}
