"""What stored writes mean, also those that another version stored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from skerry.api.kinds import ACCESS_GRANT, APP_RELEASE, CLUSTER, Kind, Occurrence
from skerry.api.meta import Document
from skerry.cloudevents import CloudEvent
from skerry.controller.events import StoredWrite, derived, revision_of
from skerry.storage.origin import Origin
from tests.api.test_stored import OBSERVED, foreign

TOLD = [kind for kind in OBSERVED if kind.events]


def stored(kind: Kind, **parts: Any) -> Document:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": "n", "uid": "u"},
        "spec": {},
        **parts,
    }


def events(kind: Kind, old: Document, new: Document, **more: Any) -> list[CloudEvent]:
    """Of a write at revision 7."""
    about = more.pop("about", new or old)
    write = StoredWrite(kind=kind, old=old, new=new, about=about, revision=7, created=1_900_000_000.25, **more)
    return list(derived(write, "/hosts/u/test"))


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.kind)
def test_no_shape_of_a_status_fails_who_tells(kind: Kind) -> None:
    for status in foreign(kind):
        events(kind, stored(kind), stored(kind, status=status))
        events(kind, stored(kind, status=status), stored(kind))


def test_what_was_told_before_it_could_not_be_read_on_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def describe(old: Document, new: Document) -> Iterator[Occurrence]:
        yield Occurrence("First", "readable")
        yield Occurrence("Second", new["status"]["absent"])

    told = events(dataclasses.replace(CLUSTER, events=describe), {}, stored(CLUSTER, status={}))
    assert [each.data.reason for each in told] == ["First"]
    assert [each.message for each in caplog.records] == ["a change cannot be told: an event is missing"]


def test_an_event_says_what_happened_to_which_object_when_and_who_did_it() -> None:
    metadata = {"name": "web.v2", "namespace": "team-a", "uid": "u", "resourceVersion": "7"}
    (event,) = events(APP_RELEASE, {}, stored(APP_RELEASE, metadata=metadata), origin=Origin("alice", "a-1", "00-t"))
    assert (event.id, event.type) == ("resources:7:created", "dev.skerry.apprelease.created")
    assert (event.subject, event.time) == ("apprelease/team-a/web.v2", "2030-03-17T17:46:40.250Z")
    assert (event.actor, event.auditid, event.traceparent) == ("alice", "a-1", "00-t")
    assert event.data.object.resource_version == "7"  # type: ignore[union-attr]


def test_what_happens_twice_in_one_write_has_two_ids_that_are_ordered() -> None:
    def describe(old: Document, new: Document) -> Iterator[Occurrence]:
        yield Occurrence("Used", "a")
        yield Occurrence("Used", "b")

    told = events(dataclasses.replace(CLUSTER, events=describe), {}, stored(CLUSTER))
    assert [each.id for each in told] == ["resources:7:used", "resources:7:used:2"]
    assert revision_of(told[0].id) < revision_of(told[1].id) < revision_of("resources:10:used")


@pytest.mark.parametrize("event_id", ["", "registry:x:1", "resources", "resources:²:used", "resources:x:used"])
def test_an_id_of_another_kind_is_before_all(event_id: str) -> None:
    assert revision_of(event_id) < revision_of("resources:1:used")


def test_of_a_change_whose_past_is_gone_the_gap_is_told_and_of_an_end_the_end_too() -> None:
    cluster = stored(CLUSTER)
    assert [each.verb for each in events(CLUSTER, {}, cluster, gap=True)] == ["gap"]
    assert [each.verb for each in events(CLUSTER, {}, {}, gap=True, about=cluster)] == ["gap", "removed"]


def test_states_are_told_and_nothing_of_what_is_wanted() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True", "reason": "Up"}]}
    (event,) = events(
        CLUSTER, stored(CLUSTER, spec={"role": "member"}), stored(CLUSTER, spec={"role": "member"}, status=ready)
    )
    assert (event.data.from_, event.data.to) == ({}, {"ready": "True", "reason": "Up"})
    assert event.data.cluster == "n"
    (event,) = events(ACCESS_GRANT, stored(ACCESS_GRANT), {})
    assert (event.data.cluster, event.data.to) == ("", event.data.to)


def test_a_kind_that_tells_nothing_tells_nothing() -> None:
    assert events(dataclasses.replace(CLUSTER, events=None), {}, stored(CLUSTER)) == []
