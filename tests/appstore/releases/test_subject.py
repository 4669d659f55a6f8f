"""An instance with what it is an instance of: which of its failures still count."""

from __future__ import annotations

from typing import Any

import pytest

from services.appstore.releases import subject
from services.appstore.releases.machine import Progress, Wanted
from services.appstore.releases.revising import owned
from services.appstore.releases.specs import Place
from services.appstore.releases.subject import InstanceSubject
from skerry.api.apprelease import AppInstance, AppRelease
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.stored import stored
from skerry.storage.documents import item

NOW = 1_000_000.0
FAILED = {
    "revision": 2,
    "phase": "Failed",
    "since": "1970-01-12T13:46:40Z",
    "deployedRevision": 1,
    "observedChanges": 3,
    "error": {"reason": "HookFailed", "message": "m", "attempt": 8},
}


def failed(release: Document) -> InstanceSubject:
    """An instance that failed for good, of a release with this status."""
    metadata = {"name": "web", "namespace": "shop", "uid": "u"}
    spec = {"app": "web", "version": "1.0.0", "clusters": {"names": ["m1"]}}
    document: Document = {"metadata": metadata, "spec": spec, "status": release}
    instance = item({"metadata": {**metadata, "name": "web.m1"}, "spec": {}, "status": FAILED}, 1)
    return InstanceSubject(
        key="shop/web.m1",
        item=instance,
        instance=stored(AppInstance)(instance.body),
        release=stored(AppRelease)(item(document, 1).body),
        document=document,
        cluster=instance,
        place=Place("shop", "web"),
        wanted=Wanted(2),
        clusters=("m1",),
    )


def test_what_failed_stays_so_until_somebody_changes_the_release() -> None:
    progress = failed({"revision": 2, "changes": 3}).progress
    assert progress == Progress(2, "Failed", NOW, 8, "HookFailed", placed=1)


@pytest.mark.parametrize("later_s", [0.0, 0.4, 5.0])
def test_what_failed_before_somebody_changed_the_release_counts_no_more(later_s: float) -> None:
    """Times have whole seconds: what failed in the second of the change failed before it, or after it."""
    before: dict[str, Any] = {"revision": 2, "changes": 3}
    taken_over = failed(owned(before, Caller(user="bob"), NOW + later_s))
    assert taken_over.progress == Progress(2, "Pending", NOW + int(later_s), placed=1)
    again = owned(owned(before, Caller(user="bob"), NOW), Caller(user="bob"), NOW)
    assert again["changes"] == 5, "each counts"


def test_a_failure_of_an_operation_that_began_before_the_change_counts_no_more() -> None:
    late = failed(owned({"revision": 2, "changes": 3}, Caller(user="bob"), NOW - 60))
    assert late.progress == Progress(2, "Pending", NOW, placed=1)


def test_indexes() -> None:
    instance = failed({}).item
    assert list(subject.clusters_of(instance)) == [""]
    assert subject.key_of(instance) == "shop/web.m1"
