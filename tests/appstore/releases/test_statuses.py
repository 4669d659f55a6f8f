"""What the machine keeps in the status of an instance, and what people read there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.appstore.helm import releases
from services.appstore.helm.leftovers import Leftover
from services.appstore.helm.releases import Entry
from services.appstore.releases import statuses
from services.appstore.releases.machine import Phase, Progress
from services.appstore.releases.specs import Place
from skerry.api.apprelease import INSTANCE_PHASES, InstanceObjects
from tests.appstore.helm.secrets import release, secret

ENTRY = Entry("sh.helm.release.v1.web.v3", "web", "shop", 3, "deployed", {}, 0.0)


@given(st.integers(0, 99), st.sampled_from(INSTANCE_PHASES), st.integers(1, 2**31))
def test_progress_is_read_as_it_was_written(revision: int, phase: Phase, since: int) -> None:
    progress = Progress(revision, phase, float(since))
    assert statuses.progress_of(statuses.with_progress({"health": "Healthy"}, progress, "")) == progress
    failed = progress._replace(reason="Failed", attempt=2, again=progress.since + 60)
    status = statuses.with_progress({}, failed, "why")
    assert statuses.progress_of(status) == failed
    assert statuses.error_message(status) == status["message"] == "why"


def test_what_another_version_wrote_is_no_obstacle() -> None:
    status = {"phase": "Hovering", "since": 3, "revision": "x", "error": "no", "message": "m"}
    assert statuses.progress_of(status) == Progress()
    assert statuses.moment("yesterday") == 0.0


def test_success_takes_the_failure_away() -> None:
    failed = statuses.with_progress({}, Progress(1, "Failed", 1.0, 1, "Failed"), "why")
    after = statuses.with_progress(failed, Progress(1, "Deployed", 2.0, placed=1), "")
    assert after == {"revision": 1, "phase": "Deployed", "since": "1970-01-01T00:00:02Z", "deployedRevision": 1}


def test_what_an_operation_waits_for_is_said_until_it_begins() -> None:
    working = {"phase": "Installing"}
    waiting = statuses.with_waiting(working, "2 operations run")
    assert waiting == {"phase": "Installing", "message": "2 operations run"}
    assert statuses.with_waiting(waiting, "") == working
    for other in ({"phase": "Failed", "message": "m"}, {"phase": "RollingBack", "error": {"reason": "r"}}):
        assert statuses.with_waiting(other, "2 operations run") == other


def test_what_helm_has_there() -> None:
    place = Place("shop", "web")
    status = statuses.with_helm({"notes": "n"}, place, releases.revision(secret(release())))
    helm = {"namespace": "shop", "name": "web", "revision": 1, "chart": "nginx-1.2.3", "status": "deployed"}
    assert (status["helm"], status["notes"]) == (helm, "Visit http://web")
    by_hand = statuses.with_helm({}, place, releases.revision(secret(release())), by_hand=True)
    assert by_hand["helm"] == {**helm, "byHand": True}
    objects = statuses.with_objects(status, "Healthy", InstanceObjects(total=2, ready=2))
    assert (objects["health"], objects["objects"]["ready"]) == ("Healthy", 2)
    assert statuses.with_helm(objects, place, None) == {"health": "Healthy"}


def test_what_stays_is_told_with_its_reason() -> None:
    status = statuses.with_leftovers({}, [Leftover("Kept", "Secret/a", "kubectl delete secret a")])
    assert status["stays"] == [
        {"object": "Secret/a", "because": statuses.STAYS["Kept"], "command": "kubectl delete secret a"}
    ]
