"""`-w`: what is printed of a listing that goes on, and where a watch begins again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from skerry.cli import watching
from skerry.cli.watching import Printer, follow

COLUMNS = [{"name": "Name", "type": "string"}, {"name": "Ready", "type": "string"}]


class Interrupted(Exception):
    """Ends an endless command, as Ctrl-C does."""


class Told:
    """A host that answers from a script: a listing, then the events of each watch; at its end Ctrl-C."""

    def __init__(self, *watches: list[dict[str, Any]]) -> None:
        self.asked: list[str] = []
        self._watches = iter(watches)

    def get(self, path: str, *, accept: str = "") -> dict[str, Any]:
        self.asked.append(path)
        if "Table" not in accept:
            return {"metadata": {"resourceVersion": "7"}, "items": [item("m1", "7")]}
        return {"metadata": {"resourceVersion": "7"}, "columnDefinitions": COLUMNS, "rows": [{"cells": ["m1", "True"]}]}

    def watch(self, path: str, *, accept: str = "") -> Iterator[dict[str, Any]]:
        self.asked.append(path)
        events = next(self._watches, None)
        if events is None:
            raise Interrupted
        yield from events


def item(name: str, revision: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": revision}}


def row(kind: str, revision: str, *cells: str) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"resourceVersion": revision}, "rows": [{"cells": list(cells)}]}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RETRY_S", 0.0)


def run(host: Told, style: str = "", selector: str = "") -> None:
    with pytest.raises(Interrupted):
        follow(host, "/x", selector, "", Printer("cluster", style), "none")


def test_rows_follow_under_the_columns_of_the_listing(capsys: pytest.CaptureFixture[str]) -> None:
    run(Told([row("MODIFIED", "8", "m1", "False"), row("ADDED", "9", "another", "True")]))
    assert capsys.readouterr().out.splitlines() == ["NAME   READY", "m1     True", "m1     False", "another   True"]


def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    host = Told([row("MODIFIED", "8", "m1", "False")], [row("BOOKMARK", "12")], [])
    run(host, selector="env=prod")
    since = [path.partition("resourceVersion=")[2].partition("&")[0] for path in host.asked[1:]]
    assert since == ["7", "8", "12", "12"]
    assert all("labelSelector=env%3Dprod" in path for path in host.asked)


def test_a_forgotten_past_is_listed_anew() -> None:
    host = Told([{"type": "ERROR", "object": {"code": 410}}], [])
    run(host)
    assert [path.partition("?")[2][:5] for path in host.asked] == ["", "watch", "", "watch", "watch"]


def test_names_and_objects_can_be_followed_too(capsys: pytest.CaptureFixture[str]) -> None:
    run(Told([{"type": "ADDED", "object": item("m2", "8")}]), "name")
    assert capsys.readouterr().out.splitlines() == ["cluster.skerry.dev/m1", "cluster.skerry.dev/m2"]
