"""What a Cluster says while it waits for approval and after a decision: rows, no bus."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.registry import approval, clusters
from services.registry.conditions import derived
from services.registry.model import JOINED, Now
from skerry.api.conditions import Verdict, awaits_approval, condition_of, with_condition
from skerry.api.messages import JoinRequest
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.errors import Conflict

NOW = Now(0.0, 1_800_000_000.0)
DAY_S = 86400.0
REQUEST = JoinRequest(nkey="U", name="m1", cluster_uid="u", kubernetes_version="v1.36.0", agent_version="0.1.0")


def later(seconds: float) -> Now:
    return Now(NOW.mono + seconds, NOW.wall + seconds)


def joined() -> Document:
    document = clusters.member(REQUEST, JOINED, NOW)
    document["metadata"] |= {"creationTimestamp": rfc3339(NOW.wall)}
    return document


def waiting() -> Document:
    return approval.waiting(joined(), NOW)


def approved() -> Document:
    return approval.approved(waiting(), "al", "", later(60))


def denied() -> Document:
    return approval.denied(waiting(), "al", "", later(60))


def leaving() -> Document:
    document = waiting()
    document["metadata"]["deletionTimestamp"] = rfc3339(NOW.wall)
    return document


def test_a_cluster_that_waits_is_neither_joined_nor_ready_nor_reached_and_says_what_to_do() -> None:
    document = derived(waiting(), NOW, DAY_S)
    for kind in ("Joined", "Ready", "Reachable"):
        verdict = condition_of(document, kind)
        assert (verdict.status, verdict.reason) == ("False", "ApprovalPending")
        assert verdict.message.endswith("skerry cluster approve m1, or skerry cluster deny m1")


def test_an_approved_one_is_joined_by_whom_and_waits_for_its_agent() -> None:
    document = derived(approval.approved(waiting(), "al", " the  new\nsite ", NOW), NOW, DAY_S)
    assert condition_of(document, "Joined") == (
        "True",
        "AgentJoined",
        "joined through its agent; approved by al: the  new site",
    )
    assert condition_of(document, "Ready").status == "Unknown"
    assert not awaits_approval(document)


def test_a_denied_one_says_by_whom_and_why_and_waits_no_more() -> None:
    document = approval.denied(waiting(), "al", "x" * 1000, NOW)
    assert condition_of(document, "Joined") == ("False", "ApprovalDenied", "denied by al: " + "x" * 256)
    assert awaits_approval(document)


@pytest.mark.parametrize(
    ("document", "awaits", "waits", "is_denied"),
    [(joined, False, False, False), (waiting, True, True, False), (approved, False, False, False),
     (denied, True, False, True), (leaving, True, False, False)],
)  # fmt: skip
def test_who_may_still_be_decided_on(
    document: Callable[[], Document], awaits: bool, waits: bool, is_denied: bool
) -> None:
    found = document()
    assert (awaits_approval(found), approval.waits(found), approval.is_denied(found)) == (awaits, waits, is_denied)


@pytest.mark.parametrize("decide", [approval.approved, approval.denied])
@pytest.mark.parametrize(
    ("document", "said"),
    [
        (joined, "does not wait for approval: joined through its agent; to end that: skerry cluster remove m1"),
        (approved, "does not wait for approval: joined through its agent; approved by al; to end"),
        (denied, "is being removed"),
        (leaving, "is being removed"),
    ],
)
def test_there_is_nothing_to_decide_on_who_does_not_wait(
    decide: Callable[[Document, str, str, Now], Document], document: Callable[[], Document], said: str
) -> None:
    with pytest.raises(Conflict, match=said):
        decide(document(), "bo", "", NOW)


def test_a_cluster_without_any_condition_does_not_wait() -> None:
    bare: Document = {"metadata": {"name": "m1"}, "status": {}}
    with pytest.raises(Conflict, match="it is a member"):
        approval.approved(bare, "al", "", NOW)


def test_the_host_waits_for_nobody() -> None:
    with pytest.raises(Conflict, match="it is the host itself"):
        approval.denied(clusters.host("isle", "u", clusters.NO_CONNECTION, NOW), "al", "", NOW)


def test_it_may_wait_for_seven_days_and_is_turned_away_then() -> None:
    assert approval.left_s(waiting(), later(6 * DAY_S)) == DAY_S
    assert approval.left_s(waiting(), later(7 * DAY_S)) == 0
    assert (
        condition_of(approval.expired(waiting(), later(7 * DAY_S)), "Joined").message
        == "nobody approved it within 7 days"
    )


def test_an_approved_one_is_called_for_a_minute_or_until_an_agent_was_heard() -> None:
    assert approval.is_called(approved(), later(60))
    assert approval.is_called(approved(), later(119))
    assert not approval.is_called(approved(), later(121))
    assert not approval.is_called(joined(), NOW)
    heard = approved()
    connected = clusters.condition("Ready", Verdict("True", "AgentConnected", ""), later(60))
    heard["status"]["conditions"] = with_condition(heard["status"]["conditions"], connected)
    assert not approval.is_called(heard, later(60))


@pytest.mark.parametrize(
    ("document", "said"),
    [(denied, "does not let cluster 'm1' in: denied by al. Talk to its administrators; to ask again, make a token on the host"),
     (leaving, "does not let cluster 'm1' in: it was removed while it waited."), (joined, ""), (approved, "")],
)  # fmt: skip
def test_what_an_agent_is_told_whose_cluster_goes(document: Callable[[], Document], said: str) -> None:
    text = approval.farewell(document(), "isle")
    assert said in text
    assert bool(text) is bool(said)
