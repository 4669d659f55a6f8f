"""What is said of a repository after a look."""

from __future__ import annotations

from services.appstore.index import Skipped
from services.appstore.repositories.outcome import (
    NAMED,
    Failed,
    Synced,
    requested,
    stopped,
    syncing,
    with_outcome,
)
from skerry.api.conditions import condition_of
from skerry.api.meta import Document
from skerry.api.times import rfc3339

NOW = 1_800_000_000.0
NEW: Document = {"metadata": {"name": "stable", "generation": 3}, "spec": {}}
WELL = Synced("sha256:1", 2, 5, 9, ())
AWAY = Failed("Unreachable", "nobody answers")


def after(
    outcome: Synced | Failed, document: Document = NEW, pause_s: float | None = 60.0, **options: bool
) -> Document:
    return with_outcome(
        document, outcome, generation=3, pause_s=pause_s, now=NOW, credential={"present": False}, **options
    )


def test_one_that_was_read() -> None:
    status = after(WELL)["status"]
    assert status["sync"] == {
        "finished": rfc3339(NOW),
        "next": rfc3339(NOW + 60),
        "revision": "sha256:1",
        "charts": 2,
        "versions": 5,
        "known": 9,
        "failures": 0,
    }
    assert status["conditions"][0]["observedGeneration"] == 3
    assert "next" not in after(WELL, after(WELL), pause_s=None)["status"]["sync"]


def test_failures_count_and_keep_what_was_known() -> None:
    document = after(AWAY, after(AWAY, after(WELL)))
    assert document["status"]["sync"]["failures"] == 2
    assert document["status"]["sync"]["versions"] == 5
    assert condition_of(document, "Ready") == ("False", "Unreachable", "nobody answers")
    assert after(WELL, document)["status"]["sync"]["failures"] == 0


def test_what_is_left_out_is_said_by_name_as_far_as_there_is_room() -> None:
    skipped = [Skipped("web", f"1.0.{number}", "BadName", "it is wrong") for number in range(NAMED + 5)]
    status = after(WELL._replace(skipped=skipped))["status"]
    assert (len(status["skipped"]), status["skippedCount"]) == (NAMED, NAMED + 5)
    assert status["skipped"][0] == {
        "chart": "web",
        "version": "1.0.0",
        "reason": "BadName",
        "message": "it is wrong",
    }
    assert after(WELL, {**NEW, "status": status})["status"]["skippedCount"] == 0


def test_that_not_all_is_listed_is_said_while_it_is_so() -> None:
    document = after(WELL._replace(dropped=7, limit=100))
    assert condition_of(document, "Truncated").status == "True"
    assert condition_of(after(WELL, document), "Truncated").status == "Unknown"


def test_what_was_asked_for_by_then_is_done_unless_the_look_does_not_answer_it() -> None:
    asked = requested(after(WELL), NOW)
    assert asked["status"]["sync"]["requested"] == rfc3339(NOW + 1)
    assert after(WELL, asked)["status"]["sync"]["finished"] == rfc3339(NOW + 1)
    assert after(WELL, asked, answers=False)["status"]["sync"]["finished"] == rfc3339(NOW)
    earlier = {**NEW, "status": {"sync": {"requested": rfc3339(NOW - 5)}}}
    assert after(WELL, earlier, answers=False)["status"]["sync"]["finished"] == rfc3339(NOW - 6)
    strange = {**NEW, "status": {"sync": {"requested": "yesterday", "finished": "never"}}}
    assert after(WELL, strange)["status"]["sync"]["finished"] == rfc3339(NOW)
    assert requested(strange, NOW)["status"]["sync"]["requested"] == rfc3339(NOW)


def test_while_it_is_read_one_that_was_read_well_stays_ready() -> None:
    first = syncing(NEW, NOW)
    assert first is not None
    assert condition_of(first, "Ready").reason == "Syncing"
    assert syncing(after(WELL), NOW) is None
    failed = syncing(after(AWAY), NOW)
    assert failed is not None
    assert failed["status"]["conditions"][0]["observedGeneration"] == 3


def test_nothing_is_left_syncing_while_nothing_is_read() -> None:
    first = syncing(NEW, NOW)
    assert first is not None
    document = stopped(first, "the App Store is disabled", NOW)
    assert document is not None
    assert condition_of(document, "Ready") == ("Unknown", "NeverSynced", "the App Store is disabled")
    assert stopped(after(WELL), "the App Store is disabled", NOW) is None
    assert stopped(NEW, "the App Store is disabled", NOW) is not None
