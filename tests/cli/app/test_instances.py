"""What a release is on its clusters, and what the commands that wait for it end with."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.meta import Document
from skerry.cli.commands.app.instances import ReleaseInstances, settled, told, verdict
from skerry.cli.failure import Failure


def release(desired: int = 1, revision: int = 2, **more: Any) -> Document:
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    return {"status": {"revision": revision, "clusters": {"desired": desired}, "conditions": [accepted], **more}}


def instance(cluster: str, phase: str, **status: Any) -> Document:
    return {"spec": {"cluster": cluster}, "status": {"phase": phase, "revision": 2, **status}}


HEALTHY = instance("m1", "Deployed", health="Healthy")
OLD = instance("m1", "Deployed", health="Healthy", revision=1)
RETRYING = instance("m1", "Failed", error={"reason": "Unreachable", "message": "away", "next": "soon"})
FAILED = instance("m1", "Failed", error={"reason": "HookFailed", "message": "job failed"})
BLOCKED = instance("m1", "Blocked", error={"reason": "Forbidden", "message": "alice may not"})
AWAY = instance("m2", "Waiting")
ENGINELESS = instance("m1", "Failed", error={"reason": "EngineMissing", "message": "no Helm", "next": "soon"})


@pytest.mark.parametrize(
    ("state", "done"),
    [
        (ReleaseInstances(release(), [HEALTHY]), True),
        (ReleaseInstances(release(), [OLD]), False),
        (ReleaseInstances(release(), [instance("m1", "Deployed", health="Progressing")]), False),
        (ReleaseInstances(release(), [instance("m1", "Upgrading")]), False),
        (ReleaseInstances(release(), [RETRYING]), False),
        (ReleaseInstances(release(), [FAILED]), True),
        (ReleaseInstances(release(), [ENGINELESS]), True),
        (ReleaseInstances(release(), [BLOCKED]), True),
        (ReleaseInstances(release(2), [HEALTHY, AWAY]), True),
        (ReleaseInstances(release(2), [HEALTHY]), False),
        (ReleaseInstances(release(2, changes=3), [HEALTHY, AWAY]), False),  # it waited before the last change
        (ReleaseInstances(release(changes=3), [instance("m1", "Blocked", observedChanges=2)]), False),
        (ReleaseInstances(release(changes=3), [instance("m1", "Blocked", observedChanges=3)]), True),
        (ReleaseInstances(release(0), []), True),
        (ReleaseInstances({"status": {}}, []), False),
    ],
)
def test_what_is_waited_for(state: ReleaseInstances, done: bool) -> None:
    assert settled(state) is done


@pytest.mark.parametrize(
    ("state", "done", "code", "text"),
    [
        (ReleaseInstances(release(), [FAILED]), True, 1, "m1 is Failed"),
        (ReleaseInstances(release(), [BLOCKED]), True, 1, "m1 is Blocked"),
        (ReleaseInstances(release(), [OLD]), False, 5, "not healthy yet"),
        (ReleaseInstances(release(), [ENGINELESS]), False, 4, "no Helm"),
    ],
)
def test_how_a_command_ends_that_waited(state: ReleaseInstances, done: bool, code: int, text: str) -> None:
    with pytest.raises(Failure, match=text) as failure:
        verdict(state, "web", done)
    assert failure.value.code == code


def test_who_is_away_is_no_failure_and_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    verdict(ReleaseInstances(release(2), [HEALTHY, AWAY]), "web", True)
    assert "waits for m2" in capsys.readouterr().err


def test_a_release_that_is_not_accepted_says_why() -> None:
    refused = {"type": "Accepted", "status": "False", "reason": "NoVersion", "message": "nginx has no version 9"}
    with pytest.raises(Failure, match="NoVersion: nginx has no version 9"):
        verdict(ReleaseInstances({"status": {"conditions": [refused]}}, []), "web", True)


def test_progress_names_what_is_being_done_on_four_clusters_at_most() -> None:
    state = ReleaseInstances(release(6), [instance(f"m{number}", "Installing") for number in range(6)])
    assert told(state).endswith("m3 Installing and 2 more")
