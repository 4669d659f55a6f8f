"""Actor, revision and history of a release that somebody changes."""

from __future__ import annotations

from typing import Any

from services.appstore.releases.revising import Change, changes_revision, revised
from skerry.api.kinds import CLUSTER_ADMIN
from skerry.api.messages import Caller
from skerry.api.meta import Document

ANN = Caller(user="ann", groups=("shop", CLUSTER_ADMIN, "system:authenticated", "skerry:made-up"))
BOB = Caller(user="bob")


def change(caller: Caller = ANN, **more: Any) -> Change:
    return Change(**{"caller": caller, "app": "skerry-apps/web", "digest": "sha256:1", "now": 0.0, **more})


def wanted(**spec: Any) -> Document:
    return {"spec": {"app": "skerry-apps/web", "version": "1.0.0", **spec}}


FIRST = revised({}, wanted(), change())


def test_a_new_one_is_of_who_made_it() -> None:
    status = FIRST["status"]
    assert status["actor"] == {"user": "ann", "groups": ["shop", CLUSTER_ADMIN], "at": "1970-01-01T00:00:00Z"}
    assert (status["revision"], status["digest"]) == (1, "sha256:1")
    assert [(each["revision"], each["by"], each["version"]) for each in status["history"]] == [(1, "ann", "1.0.0")]
    assert not changes_revision({}, FIRST)


def test_another_version_is_another_revision() -> None:
    second = revised(FIRST, wanted(version="1.1.0"), change(BOB))
    assert second["status"]["actor"]["user"] == "bob"
    assert [(each["revision"], each["by"]) for each in second["status"]["history"]] == [(2, "bob"), (1, "ann")]
    assert changes_revision(FIRST, second)


def test_another_time_out_is_no_revision_and_another_actor() -> None:
    second = revised(FIRST, wanted(timeout="1m"), change(BOB))
    assert (second["status"]["revision"], second["status"]["actor"]["user"]) == (1, "bob")
    assert not changes_revision(FIRST, second)


def test_another_package_of_the_version_is_a_revision() -> None:
    assert revised(FIRST, wanted(), change(digest="sha256:2"))["status"]["revision"] == 2
    assert revised(FIRST, wanted(), change(digest=""))["status"] == {**FIRST["status"], "changes": 2}


def test_other_secret_values_are_a_revision() -> None:
    second = revised(FIRST, wanted(), change(secrets={"present": True, "set": "a"}))
    assert (second["status"]["revision"], second["status"]["secretValues"]["set"]) == (2, "a")
    assert revised(second, wanted(), change())["status"]["revision"] == 2


def test_secret_values_complete_the_first_revision_of_one_that_is_suspended_as_it_was_made() -> None:
    made = {**revised({}, wanted(suspend=True), change()), "metadata": {"generation": 1}}
    sealed = revised(made, wanted(suspend=True), change(secrets={"present": True, "set": "a"}))
    assert (sealed["status"]["revision"], sealed["status"]["secretValues"]["set"]) == (1, "a")
    assert not changes_revision(made, sealed)
    assert revised(sealed, wanted(suspend=False), change())["status"]["revision"] == 1
    suspended_later = {**made, "metadata": {"generation": 3}}
    assert revised(suspended_later, wanted(suspend=True), change(secrets={"set": "a"}))["status"]["revision"] == 2


def test_history_is_as_long_as_it_is_wanted() -> None:
    document = FIRST
    for number in range(5):
        document = revised(document, wanted(version=f"1.{number}.1", historyLimit=3), change())
    assert [each["revision"] for each in document["status"]["history"]] == [6, 5, 4]


def test_many_groups_are_cut() -> None:
    caller = Caller(user="ann", groups=tuple(f"g{number}" for number in range(200)))
    assert len(revised({}, wanted(), change(caller))["status"]["actor"]["groups"]) == 100
