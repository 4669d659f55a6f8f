"""events: what happened on the host and its members, who did it, and what happens now."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from skerry.cli import output
from skerry.cli.commands.clients import ContextName, Kubeconfig, cluster_names, connect
from skerry.cli.failure import USAGE, Failure
from skerry.cli.term import out, say
from skerry.cli.term import seconds as seconds_in

if TYPE_CHECKING:
    from skerry.cli.api import Api

RETRY_S = 1.0
TIME, WIDE = ("TIME", "TYPE", "OBJECT", "ACTOR", "MESSAGE"), ("TIME", "TYPE", "OBJECT", "ACTOR", "CLUSTER", "AUDIT-ID", "MESSAGE")  # fmt: skip
WIDTHS = (24, 32, 24, 12)
"""Of columns while events are followed: what comes later is not known yet."""
Style = Annotated[str, typer.Option("-o", "--output", metavar="FORMAT", help="wide or json: an event a line.")]


def events(
    watch: Annotated[bool, typer.Option("-w", "--watch", help="Go on with what happens.")] = False,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="From so long ago (1h, 90m), or from a time (2030-01-31T12:00:00Z).")
    ] = "1h",
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            "--cluster", metavar="C", help="About this cluster; can be repeated.", autocompletion=cluster_names
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="K", help="About objects of this kind, member or system; can be repeated."),
    ] = None,
    type_: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="T", help="Of this type, such as 'dev.skerry.cluster.*'; can be repeated."),
    ] = None,
    style: Style = "",
    kubeconfig: Kubeconfig = None,
    context: ContextName = "",
) -> None:
    """Show what happened, the oldest first: to whom, who did it. They are kept for seven days.

    Examples: skerry events --since 24h --cluster m1

    skerry events -w --type 'dev.skerry.*.notready' -o json
    """
    if style not in ("", "wide", "json"):
        raise Failure(f"-o {style}: use wide or json", USAGE)
    _check_since(since)
    chosen = [("since", since)]
    for name, values in (("cluster", cluster), ("kind", kind), ("type", type_)):
        chosen += [(name, value) for value in values or ()]
    api, printer = connect(kubeconfig, context), Printer(style)
    if watch:
        _follow(api, chosen, printer)
    for event in _read(api, chosen):
        printer.add(event)
    printer.end(f"No events since {since}.")


class Printer:
    """Prints events: as they come as JSON, together or a line each as a table."""

    def __init__(self, style: str) -> None:
        self._style, self._rows = style, list[list[str]]()
        self._widths: list[int] = []

    @property
    def _head(self) -> list[str]:
        return list(WIDE if self._style == "wide" else TIME)

    def add(self, event: dict[str, Any]) -> None:
        """One of several that are known."""
        if self._style == "json":
            out(json.dumps(event))
        else:
            self._rows.append(row(event, wide=self._style == "wide"))

    def now(self, event: dict[str, Any]) -> None:
        """One that is to be seen at once."""
        if self._style == "json":
            out(json.dumps(event))
            return
        cells = row(event, wide=self._style == "wide")
        first = not self._widths
        self._widths = output.columns(self._head, [cells], widths=self._widths or WIDTHS, head=first)

    def end(self, empty: str) -> None:
        """All are known."""
        if self._rows:
            output.columns(self._head, self._rows)
        elif self._style != "json":
            say(empty)


def row(event: dict[str, Any], *, wide: bool) -> list[str]:
    """The cells of an event. Words of others print as they are: the host has taken out of them what does not."""
    from skerry.api.text import clean

    data = event.get("data") or {}
    count = f" (x{data['count']})" if data.get("count", 1) > 1 else ""
    more = [data.get("cluster") or "<none>", event.get("auditid") or "<none>"] if wide else []
    cells = [
        str(event.get("time", "")),
        str(event.get("type", "")),
        str(event.get("subject", "")),
        str(event.get("actor") or "<none>"),
        *map(str, more),
        f"{data.get('message', '')}{count}",
    ]
    return [clean(cell, 1024) for cell in cells]


def _check_since(text: str) -> None:
    """Failure (usage) if it is neither a duration nor a time."""
    try:
        if "T" in text:
            datetime.fromisoformat(text)
        else:
            seconds_in(text)
    except (ValueError, Failure):
        raise Failure(
            f"--since {text}: use a duration or a time, for example --since 1h, --since 90m or --since 2030-01-31T12:00:00Z",
            USAGE,
        ) from None


def _read(api: Api, chosen: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    return api.watch(f"/events?{urlencode(chosen)}")  # lines of JSON, as those of a watch


def _follow(api: Api, chosen: list[tuple[str, str]], printer: Printer) -> None:
    """Print events until interrupted; where the answer ends, the next one goes on behind the last event."""
    after = ""
    while True:
        position = [("after", after)] if after else []
        for event in _read(api, [*chosen, *position, ("follow", "1")]):
            after = event.get("sequence", after)
            printer.now(event)
        time.sleep(RETRY_S)
