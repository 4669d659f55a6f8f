"""The objects of a kind on stdout, in each of the styles of a listing."""

from __future__ import annotations

from skerry.cli import output
from skerry.cli.paths import TABLE, path_in, query
from skerry.cli.term import program

TYPE_CHECKING = False  # importing typing takes longer than all of this
if TYPE_CHECKING:
    from collections.abc import Callable

    from skerry.api.kinds import Kind
    from skerry.cli.paths import Resource
    from skerry.cli.watching import Host


def show(
    connect: Callable[[], Host], kind: Kind, style: str, *, name: str = "", selector: str = "", watch: bool = False
) -> None:
    """List the objects of a kind, or show one by name; with `watch` go on until interrupted. Failure (usage) for a style."""
    from skerry.cli.api import path_of
    from skerry.cli.watching import Printer, follow

    output.check_format(style)
    api, empty = connect(), _empty(kind)
    if watch:
        follow(
            api,
            path_of(kind.plural),
            selector,
            f"metadata.name={name}" if name else "",
            Printer(kind.singular, style),
            empty,
        )
        return
    table = style in ("", "wide")
    path = path_of(kind.plural, name) if name else query(path_of(kind.plural), labelSelector=selector)
    answer = api.get(path, accept=TABLE if table else "application/json")
    if table:
        output.table(answer, wide=style == "wide", empty=empty)
    elif style == "name":
        output.names([answer] if name else answer.get("items", []), kind.singular)
    else:
        output.document(answer, style)


def show_in(api: Host, kind: Resource, namespace: str, style: str, empty: str, **selected: str) -> None:
    """List the objects of a namespaced kind in one namespace, or in all if that is empty; `selected`: parameters of the list.
    Failure (usage) for a style.
    """
    output.check_format(style)
    path = query(path_in(kind, namespace), **selected)
    if style in ("", "wide"):
        answer = api.get(path, accept=TABLE)
        table = answer if namespace else output.with_namespaces(answer)
        output.table(table, wide=style == "wide", empty="" if table.get("rows") else empty.format(skerry=program()))
        return
    answer = api.get(path)
    if style == "name":
        output.names(answer.get("items", []), kind.singular)
    else:
        output.document(answer, style)


def _empty(kind: Kind) -> str:
    return kind.listing.empty.format(skerry=program()) if kind.listing else f"No {kind.plural}."
