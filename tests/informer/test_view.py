"""What services see of their process's informer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from skerry.api.kinds import CLUSTER, CREDENTIAL, KINDS, WORKSPACE, Kind
from skerry.bus import Entry, Filled
from skerry.errors import Gone
from skerry.informer import Informer, NotNeeded, View
from skerry.storage.documents import seal
from tests.informer.entries import entry, filled

READS: list[Callable[[View, Kind], object]] = [
    lambda view, kind: view.get(kind, "a"),
    lambda view, kind: view.list(kind),
    lambda view, kind: view.snapshot(kind, 1),
    lambda view, kind: view.watch(kind),
    lambda view, kind: view.index(kind, "uid", lambda item: (item.uid,)),
    lambda view, kind: view.lookup(kind, "uid", "1"),
    lambda view, kind: view.add_event_handler(kind, print),
    lambda view, kind: view.tombstones(kind),
]


def test_a_view_reads_what_the_informer_has_and_is_as_far() -> None:
    informer = Informer(KINDS)
    view = informer.view("quota", (CLUSTER,))
    informer.take(entry("a", 1))
    assert not view.filled.is_set()
    informer.take(Filled(3))
    assert view.filled.is_set()
    assert view.revision == 3
    assert view.get(CLUSTER, "a") is informer.get(CLUSTER, "a")
    assert view.kinds == (CLUSTER,)


@pytest.mark.parametrize("read", READS)
def test_a_kind_that_a_service_does_not_name_is_refused_by_kind_and_service(
    read: Callable[[View, Kind], object],
) -> None:
    view = Informer(KINDS).view("quota", (CLUSTER, WORKSPACE))
    with pytest.raises(NotNeeded, match="quota reads Credential, which is neither its own nor in its `needs`"):
        read(view, CREDENTIAL)


def test_no_view_shows_a_kind_of_which_the_process_holds_a_part() -> None:
    informer = Informer((CLUSTER,), reduced=KINDS, name="the process")
    with pytest.raises(NotNeeded, match="the process reads Credential"):
        informer.view("quota", (CLUSTER, CREDENTIAL))


def test_a_reduced_kind_knows_who_its_objects_are_and_to_whom_they_belong() -> None:
    informer = Informer((CLUSTER,), reduced=KINDS)
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "2"}
    metadata = {"name": "w", "uid": "1", "ownerReferences": [owner], "labels": {"a": "b"}, "annotations": {"long": "x"}}
    document = {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": metadata, "spec": {"a": 1}}
    informer.take(Entry("skerry=2Edev.workspace._.w", seal(document, writes=("w",)), 5, 0.0))
    informer.take(entry("c", 6, spec={"role": "member"}))
    informer.take(Filled(6))
    item = informer.get(WORKSPACE, "w")
    assert item is not None
    known = {"name": "w", "uid": "1", "ownerReferences": [owner], "resourceVersion": "5"}
    assert item.document() == {"apiVersion": "skerry.dev/v1alpha1", "kind": "Workspace", "metadata": known}
    whole = informer.get(CLUSTER, "c")
    assert whole is not None
    assert "spec" in whole.document()


def test_a_revision_that_was_not_wholly_seen_is_gone() -> None:
    informer = filled(entry("a", 5), entry("b", 6))
    overwriting = entry("a", 9)
    informer.take(Entry(overwriting.key, overwriting.value, 9, 0.0, 7))
    assert [item.revision for item in informer.snapshot(CLUSTER, 6)] == [5, 6]
    assert [item.revision for item in informer.snapshot(CLUSTER, 9)] == [9, 6]
    for revision in (7, 8):
        with pytest.raises(Gone, match=f"too old resource version: {revision}"):
            informer.snapshot(CLUSTER, revision)
        with pytest.raises(Gone, match=f"too old resource version: {revision}"):
            informer.watch(CLUSTER, revision)
