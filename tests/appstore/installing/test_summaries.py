"""The status of a release, from those of its instances."""

from __future__ import annotations

from services.appstore.installing.summaries import InstanceState, state_of, summarized
from services.appstore.releases.choosing import NewerVersion
from skerry.api.conditions import condition_of
from skerry.api.meta import Document

RELEASE: Document = {
    "spec": {},
    "status": {"revision": 2, "history": [{"revision": 2}, {"revision": 1, "result": "was"}]},
}
READY = InstanceState("m1", "Deployed", 2, "Healthy", "")


def summary(*states: InstanceState, desired: int = -1, newer: NewerVersion | None = None) -> Document:
    return summarized(RELEASE, states, newer, desired=len(states) if desired < 0 else desired, now=0.0)


def ready(*states: InstanceState, desired: int = -1) -> tuple[str, str]:
    verdict = condition_of(summary(*states, desired=desired), "Ready")
    return verdict.status, verdict.reason


def test_healthy_everywhere_is_ready() -> None:
    assert ready(READY, READY._replace(cluster="m2")) == ("True", "Healthy")


def test_what_somebody_else_put_there_is_named() -> None:
    document = {"spec": {"cluster": "m2"}, "status": {"helm": {"byHand": True}, "message": "somebody ran helm on m2"}}
    theirs = READY._replace(cluster="m2", message=state_of(document).message, by_hand=state_of(document).by_hand)
    verdict = condition_of(summary(READY, theirs), "Ready")
    assert (verdict.status, verdict.reason) == ("True", "ChangedByHand")
    assert verdict.message == "m2: somebody ran helm on m2"
    assert ready(READY._replace(health="Degraded"), theirs) == ("False", "NotHealthy")


def test_no_cluster_is_ready_and_said() -> None:
    assert ready() == ("True", "NoClusters")


def test_what_fails_is_named_before_what_waits() -> None:
    blocked = READY._replace(cluster="m2", phase="Blocked", message="Forbidden: ann may not")
    waiting = READY._replace(cluster="m3", phase="Waiting", message="m3 is away")
    assert ready(READY, waiting, blocked) == ("False", "Blocked")
    assert condition_of(summary(READY, waiting, blocked), "Ready").message == "m2: Forbidden: ann may not"
    assert ready(READY, waiting, blocked._replace(phase="Failed")) == ("False", "Failed")
    assert ready(READY, waiting) == ("False", "Waiting")


def test_what_is_on_its_way() -> None:
    assert ready(READY, desired=2) == ("False", "Progressing")
    assert ready(READY, READY._replace(phase="Upgrading")) == ("False", "Progressing")
    assert ready(READY._replace(revision=1)) == ("False", "Progressing")
    assert ready(READY._replace(health="Degraded")) == ("False", "NotHealthy")
    assert condition_of(summary(READY._replace(phase="Upgrading")), "Progressing").status == "True"
    assert condition_of(summary(READY, desired=2), "Progressing").message == "it begins"
    assert condition_of(summary(READY), "Progressing").status == "False"


def test_counts_result_and_a_newer_version() -> None:
    states = [READY, READY._replace(phase="Failed"), READY._replace(phase="Waiting")]
    status = summary(*states, newer=NewerVersion("1.3.0", True))["status"]
    assert status["clusters"] == {"desired": 3, "ready": 1, "waiting": 1, "failed": 1}
    assert status["available"] == {"version": "1.3.0", "securityUpdates": True}
    assert [each.get("result") for each in status["history"]] == ["Failed on 1, Healthy on 1, Waiting on 1 of 3", "was"]
    assert "history" not in summarized({"spec": {}}, [], None, desired=0, now=0.0)["status"]
    assert "available" not in summarized(summary(*states), states, None, desired=3, now=0.0)["status"]


def test_many_are_counted_and_few_named() -> None:
    states = [READY._replace(cluster=f"m{number}", phase="Failed", message="no") for number in range(8)]
    assert condition_of(summary(*states), "Ready").message == "m0, m1, m2, m3, m4 and 3 more: no"


def test_an_instance_as_it_is_counted() -> None:
    status = {"phase": "Deployed", "revision": 2, "health": "Healthy"}
    assert state_of({"spec": {"cluster": "m1"}, "status": status}) == READY
    assert state_of({}) == InstanceState("", "Pending", 0, "Unknown", "")
