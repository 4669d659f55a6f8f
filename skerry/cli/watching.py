"""`-w`: a listing that goes on with what changes, as `kubectl get -w` does.

A watch ends now and then (its time is over, the host has forgotten its past): it goes on where it was, or begins with a
new listing when the host says that it cannot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

from skerry.api.meta import Document
from skerry.cli import output
from skerry.cli.paths import TABLE, query
from skerry.cli.term import out

RETRY_S = 1.0
GONE = 410


class Host(Protocol):
    """The part of `skerry.cli.api.Api` that is needed here."""

    def get(self, path: str, *, accept: str = ...) -> Document: ...
    def watch(self, path: str, *, accept: str = ...) -> Iterator[Document]: ...


class Printer:
    """Prints what a watch tells, in one of the styles of a listing."""

    def __init__(self, singular: str, style: str) -> None:
        self._singular = singular
        self._style = style
        self._definitions: list[Document] = []
        self._widths: list[int] = []

    @property
    def table(self) -> bool:
        """True if the objects are asked for as a Table."""
        return self._style in ("", "wide")

    def listed(self, answer: Document, empty: str) -> None:
        """The listing at the beginning."""
        if not self.table:
            for item in answer.get("items", []):
                self.object(item)
            return
        self._definitions = answer.get("columnDefinitions") or []
        rows = answer.get("rows") or []
        self._widths = output.table(answer, wide=self._style == "wide", empty=empty) if rows else []

    def event(self, document: Document) -> None:
        """One change."""
        if not self.table:
            self.object(document)
            return
        self._definitions = document.get("columnDefinitions") or self._definitions
        whole = {**document, "columnDefinitions": self._definitions}
        first = not self._widths
        self._widths = output.table(
            whole, wide=self._style == "wide", empty="", widths=self._widths, head=first
        )  # fmt: skip

    def object(self, item: Document) -> None:
        """One object that is no row."""
        if self._style == "name":
            output.names([item], self._singular)
        else:
            output.document(item, self._style)
            if self._style == "yaml":
                out("---")


def follow(api: Host, path: str, selector: str, field: str, printer: Printer, empty: str) -> None:
    """List, then print changes until interrupted."""
    accept = TABLE if printer.table else "application/json"
    chosen = {"labelSelector": selector, "fieldSelector": field}
    while True:
        answer = api.get(query(path, **chosen), accept=accept)
        printer.listed(answer, empty)
        _follow(api, path, chosen, accept, str(answer["metadata"]["resourceVersion"]), printer)


def _follow(api: Host, path: str, chosen: dict[str, str], accept: str, since: str, printer: Printer) -> None:
    """Print changes after `since` until the host says that it has forgotten them."""
    while True:
        target = query(path, watch="1", allowWatchBookmarks="true", resourceVersion=since, **chosen)
        for event in api.watch(target, accept=accept):
            document = event["object"]
            if event["type"] == "ERROR":
                if document.get("code") == GONE:
                    return
                break
            since = str(document["metadata"]["resourceVersion"])
            if event["type"] != "BOOKMARK":
                printer.event(document)
        time.sleep(RETRY_S)
