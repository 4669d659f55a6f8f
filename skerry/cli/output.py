"""Tables and documents on stdout: what `kubectl get` would print, from the Table that the server sends.

Plain columns, no frames: scripts cut them. Colour only on a terminal, and only for the state of a cluster.
"""

from __future__ import annotations

import json
import os
import sys

from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skerry.api.meta import Document

FORMATS = ("", "wide", "json", "yaml", "name")
_COLOURS = {"True": "32", "False": "31", "Unknown": "33"}


def check_format(chosen: str) -> str:
    """`chosen` if it is one of FORMATS; Failure (usage) otherwise."""
    if chosen not in FORMATS:
        raise Failure(f"-o {chosen}: use one of {', '.join(f for f in FORMATS if f)}", USAGE)
    return chosen


def document(value: object, style: str) -> None:
    """Print one document as json or yaml."""
    if style == "yaml":
        import yaml

        out(str(yaml.safe_dump(value, sort_keys=False)).rstrip())
    else:
        out(json.dumps(value, indent=2))


def table(answer: Document, *, wide: bool, empty: str, widths: Sequence[int] = (), head: bool = True) -> list[int]:
    """Print a meta/v1 Table and return the widths of its columns, for rows that follow without a head.

    Ages are computed here, as kubectl expects the server to send them as text or dates.
    """
    definitions = answer.get("columnDefinitions") or []
    rows = answer.get("rows") or []
    if not rows:
        sys.stderr.write(empty + "\n")
        return []
    visible = [i for i, column in enumerate(definitions) if wide or not column.get("priority")]
    names = [str(definitions[i]["name"]).upper() for i in visible]
    body = [[_cell(row["cells"][i], definitions[i]) for i in visible] for row in rows]
    return columns(names, body, widths=widths, head=head)


def with_namespaces(answer: Document) -> Document:
    """A Table over all namespaces with a first column that says which, as kubectl's -A shows it."""
    first = {"name": "Workspace", "type": "string"}
    rows = [
        {**row, "cells": [((row.get("object") or {}).get("metadata") or {}).get("namespace", ""), *row["cells"]]}
        for row in answer.get("rows") or []
    ]
    return {**answer, "columnDefinitions": [first, *(answer.get("columnDefinitions") or [])], "rows": rows}


def columns(head_: list[str], body: list[list[str]], *, widths: Sequence[int] = (), head: bool = True) -> list[int]:
    """Print rows under a head, aligned, three blanks between columns; returns the widths."""
    least = [*widths, *([0] * (len(head_) - len(widths)))]
    result = [max(least[i], *(len(row[i]) for row in [head_, *body])) for i in range(len(head_))]
    for number, row in enumerate([head_, *body]):
        if number or head:
            cells = [_coloured(cell.ljust(width), cell, number) for cell, width in zip(row, result, strict=True)]
            out("   ".join(cells).rstrip())
    return result


def _coloured(padded: str, cell: str, row: int) -> str:
    code = (
        _COLOURS.get(cell.partition(",")[0]) if row and sys.stdout.isatty() and not os.environ.get("NO_COLOR") else None
    )
    return f"\x1b[{code}m{padded}\x1b[0m" if code else padded


def _cell(value: Any, column: Document) -> str:
    if value is None or value == "":
        return "<none>" if column.get("type") != "date" else "<unknown>"
    if column.get("type") == "date":
        return age(str(value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def age(stamp: str) -> str:
    """Time since an RFC 3339 stamp, as kubectl shows it; text that is no stamp stays as it is."""
    from datetime import UTC, datetime

    try:
        then = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return duration((datetime.now(UTC) - then).total_seconds())


def duration(seconds: float) -> str:
    """kubectl's HumanDuration, shortened: two units at most."""
    total = max(0, int(seconds))
    if total < 120:
        return f"{total}s"
    if total < 600:
        return f"{total // 60}m" + (f"{total % 60}s" if total % 60 else "")
    if total < 3 * 3600:
        return f"{total // 60}m"
    if total < 8 * 3600:
        return f"{total // 3600}h" + (f"{total % 3600 // 60}m" if total % 3600 // 60 else "")
    if total < 48 * 3600:
        return f"{total // 3600}h"
    return f"{total // 86400}d"


def names(items: list[Document], singular: str) -> None:
    """`-o name`: one `<singular>.<group>/<name>` a line."""
    for item in items:
        out(f"{singular}.skerry.dev/{item['metadata']['name']}")
