"""Events that follow from stored changes, also from those that another version stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from skerry.api.kinds import CLUSTER, Kind, Occurrence
from skerry.api.meta import Document
from skerry.controller.events import record_events
from skerry.controller.recorder import Recorder
from skerry.informer import Change, View
from skerry.storage.documents import item
from tests.api.test_stored import OBSERVED, foreign

TOLD = [kind for kind in OBSERVED if kind.events]


class Told:
    """A recorder and an informer."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self._handlers: dict[str, Any] = {}

    def add_event_handler(self, kind: Kind, handler: Any) -> Any:
        self._handlers[kind.kind] = handler
        return lambda: self._handlers.pop(kind.kind)

    def normal(self, about: Mapping[str, Any], reason: str, message: str) -> None:
        self.said.append((about["metadata"]["name"], reason))

    warning = normal

    def change(self, kind: Kind, old: Document | None, new: Document | None) -> None:
        """Something was stored."""
        before, after = (None if each is None else item(each, 1) for each in (old, new))
        self._handlers[kind.kind](Change(2, before, after))


def telling(*kinds: Kind) -> Told:
    told = Told()
    record_events(cast(View, told), cast(Recorder, told), kinds)
    return told


def stored(kind: Kind, **parts: Any) -> Document:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": "n", "uid": "u"},
        "spec": {},
        **parts,
    }


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.kind)
def test_no_shape_of_a_status_fails_who_tells(kind: Kind) -> None:
    told = telling(kind)
    for status in foreign(kind):
        told.change(kind, stored(kind), stored(kind, status=status))
        told.change(kind, stored(kind, status=status), stored(kind))


def test_what_was_told_before_it_could_not_be_read_on_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def describe(old: Document, new: Document) -> Iterator[Occurrence]:
        yield Occurrence("First", "readable")
        yield Occurrence("Second", new["status"]["absent"])

    told = telling(dataclasses.replace(CLUSTER, events=describe))
    told.change(CLUSTER, None, stored(CLUSTER, status={}))
    assert told.said == [("n", "First")]
    assert [each.message for each in caplog.records] == ["a change cannot be told: an Event is missing"]
