"""AccessRequests, pure: what may be asked, who decides once, and the states that follow; by rows and by chance."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tenancy import grants, requests
from services.tenancy.requests import Approval, Terms
from skerry.api.accessrequests import OPEN
from skerry.api.meta import Document
from skerry.api.times import rfc3339, seconds
from skerry.errors import BadRequest, Conflict, Forbidden, Invalid, StatusError, TooManyRequests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_S = NOW.timestamp()
TERMS = Terms(self_approval=False, approvals=1, longest="8h")
ESCAPES = "fix \x1b[2J\x1b]0;root\x07 it"


def asked(name: str = "req-1", **spec: Any) -> Document:
    """A request for edit in namespace shop on m1 for two hours."""
    base = {"clusters": {"names": ["m1"]}, "namespaces": ["shop"], "role": "edit", "duration": "2h", "reason": "INC-1"}
    merged = {key: each for key, each in {**base, "pendingFor": "24h", **spec}.items() if each is not None}
    head = {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessRequest"}
    return {**head, "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": rfc3339(NOW)}, "spec": merged}


def pending(name: str = "req-1", user: str = "alice", **spec: Any) -> Document:
    return requests.admit(asked(name, **spec), user, TERMS, NOW)


def approved(name: str = "req-1", user: str = "alice", **spec: Any) -> Document:
    return requests.approved(pending(name, user, **spec), Approval("bob"), TERMS, NOW_S)


def test_who_asks_is_the_caller_whatever_the_body_says() -> None:
    forged = {**asked(), "status": {"state": "Approved", "requestedBy": "admin", "grant": "x"}}
    assert requests.admit(forged, "alice", TERMS, NOW)["status"] == {
        "state": "Pending",
        "requestedBy": "alice",
        "ends": "2026-01-02T00:00:00Z",
        "message": "waits for approval",
    }


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"reason": "  "}, "spec.reason", "say why"),
        ({"reason": "x" * 513}, "spec.reason", "more than 512 characters"),
        ({"reason": ESCAPES}, "spec.reason", "use printable characters"),
        ({"reason": "one\ntwo"}, "spec.reason", "in one line"),
        ({"reason": "a\u202eb"}, "spec.reason", "use printable characters"),
        ({"duration": "9h"}, "spec.duration", "must be between 1s and 8h; Setting access.longest says so"),
        ({"duration": "0s"}, "spec.duration", "must be between"),
        ({"duration": "NaN"}, "spec.duration", "must be a duration"),
        ({"duration": "-1h"}, "spec.duration", "must be a duration"),
        ({"duration": "9" * 400 + "h"}, "spec.duration", "must be a duration"),
        ({"pendingFor": "8d"}, "spec.pendingFor", "must be between 1m and 7d"),
        ({"pendingFor": "1s"}, "spec.pendingFor", "must be between 1m and 7d"),
        ({"clusters": {}}, "spec.clusters", "exactly one of names and selector"),
        ({"clusters": {"names": ["M1"]}}, "spec.clusters.names[0]", "DNS label"),
        ({"clusters": {"names": ["m1"], "selector": {}}}, "spec.clusters.selector", "exactly one of"),
        ({"clusters": {"names": ["host"]}}, "spec.namespaces", "rights there are for all of it"),
        ({"namespaces": ["no spaces"]}, "spec.namespaces[0]", "DNS label"),
        ({"namespaces": [f"n{number}" for number in range(257)]}, "spec.namespaces", "at most 256"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_field(spec: dict[str, Any], field: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        requests.admit(asked(**spec), "alice", TERMS, NOW)
    assert field in caught.value.message
    assert text in caught.value.message
    assert "\x1b" not in caught.value.message


def test_what_somebody_asked_already_is_not_asked_again() -> None:
    narrow = asked("again")
    wide = pending("wide", namespaces=None, role="admin", clusters={"names": ["m1", "m2"]})
    rows: list[tuple[Document, Document, bool]] = [
        (pending(), narrow, True),
        (wide, narrow, True),
        (pending(), asked(namespaces=None), False),
        (pending(), asked(namespaces=["shop", "other"]), False),
        (pending(), asked(role="admin"), False),
        (pending(), asked(clusters={"names": ["m2"]}), False),
        (pending(), asked(duration="3h"), False),
        (pending(), asked(duration="1h"), True),
        (approved(), asked(duration="8h"), True),
        (pending(clusters={"selector": {}}), asked(clusters={"selector": {}}), True),
        (pending(clusters={"selector": {}}), narrow, False),
        (requests.denied(pending(), "bob", "", NOW_S), narrow, False),
        ({**pending(), "metadata": {**pending()["metadata"], "deletionTimestamp": "x"}}, narrow, False),
    ]
    for own, again, covered in rows:
        assert (requests.covering([own], again, NOW_S) is own) is covered, (own["spec"], again["spec"])
    assert requests.covering([pending()], narrow, NOW_S + 86400) is None
    late = NOW_S + 2 * 3600 - 600
    assert requests.covering([approved()], narrow, late - 1) is not None
    assert requests.covering([approved()], narrow, late) is None  # what ends soon is asked for anew
    assert "req-1 covers this and waits for approval until 2026-01-02" in requests.said_already(pending())
    assert "is approved until 2026-01-01T02:00:00Z" in requests.said_already(approved())


def test_nobody_waits_for_more_than_ten_or_asks_more_than_a_hundred_times_a_day() -> None:
    waiting = [pending(f"req-{number}") for number in range(10)]
    requests.check_bounds(waiting[:9], "alice", NOW_S)
    with pytest.raises(TooManyRequests, match=r"skerry request end req-0"):
        requests.check_bounds(waiting, "alice", NOW_S)
    over = [requests.ended(pending(f"req-{number}"), "alice", "", NOW_S) for number in range(100)]
    with pytest.raises(TooManyRequests, match="made 100 requests within a day, the limit; ask again tomorrow"):
        requests.check_bounds(over, "alice", NOW_S + 86399)
    requests.check_bounds(over, "alice", NOW_S + 86400)


def test_the_name_of_a_grant_is_nobodys_request() -> None:
    grant = requests.grant_of(approved())
    requests.check_grants(approved(), None)
    requests.check_grants(approved(), grant)
    with pytest.raises(Conflict, match="ask under another name"):
        requests.check_grants(asked("req-1") | {"metadata": {"name": "req-1"}}, grant)
    with pytest.raises(Conflict):
        requests.check_grants(approved(), {"metadata": {"name": "req-1"}})


def test_time_runs_from_the_approval_for_what_was_asked_or_approved() -> None:
    later = NOW_S + 3600
    status = requests.approved(pending(), Approval("bob"), TERMS, later)["status"]
    assert (status["state"], status["ends"], status["message"]) == ("Approved", "2026-01-01T03:00:00Z", "")
    assert status["approvals"] == [{"by": "bob", "at": "2026-01-01T01:00:00Z"}]
    shorter = requests.approved(pending(), Approval("bob", "30m", "be quick"), TERMS, later)["status"]
    assert shorter["ends"] == "2026-01-01T01:30:00Z"
    assert shorter["approvals"][0] | {"at": ""} == {"by": "bob", "at": "", "duration": "30m", "comment": "be quick"}
    assert requests.approved_at({"status": shorter}) == later


def test_several_have_to_approve_each_once_and_the_shortest_counts() -> None:
    two = TERMS._replace(approvals=2)
    one = requests.approved(pending(), Approval("bob", "4h"), two, NOW_S)
    assert (one["status"]["state"], one["status"]["message"]) == ("Pending", "waits for approval: 1 of 2")
    assert one["status"]["ends"] == pending()["status"]["ends"]
    with pytest.raises(Conflict, match=r"approved by bob already: waits for approval: 1 of 2, each by somebody else"):
        requests.approved(one, Approval("bob"), two, NOW_S)
    done = requests.approved(one, Approval("carol"), two, NOW_S)
    assert requests.is_approved(done)
    assert done["status"]["ends"] == "2026-01-01T02:00:00Z"
    assert not requests.is_approved(one)


def test_ones_own_is_approved_only_where_the_setting_says_so_and_then_says_so() -> None:
    with pytest.raises(Forbidden, match=r"access.self-approval"):
        requests.approved(pending(), Approval("alice"), TERMS, NOW_S)
    status = requests.approved(pending(), Approval("alice"), TERMS._replace(self_approval=True), NOW_S)["status"]
    assert status["approvals"][0]["own"] is True
    with pytest.raises(Forbidden, match="end it instead"):
        requests.denied(pending(), "alice", "", NOW_S)


@pytest.mark.parametrize(
    ("approval", "longest", "text"),
    [
        (Approval("bob", "9h"), "8h", r"duration '9h' must be between 1s and 8h; Setting access.longest says so"),
        (Approval("bob", "soon"), "8h", "must be a duration"),
        (Approval("bob", "\x1b[2J"), "8h", "must be a duration"),
        (Approval("bob"), "1h", r"what is asked for, 2h, .* approve it for less \(skerry request approve --for 1h\)"),
        (Approval("bob", "", ESCAPES), "8h", "comment: .*use printable characters"),
    ],
)
def test_an_approval_that_cannot_be_is_refused_with_what_may_be(approval: Approval, longest: str, text: str) -> None:
    with pytest.raises(BadRequest, match=text) as caught:
        requests.approved(pending(), approval, TERMS._replace(longest=longest), NOW_S)
    assert "\x1b" not in caught.value.message


def test_what_is_decided_stays_so_and_says_by_whom() -> None:
    denied = requests.denied(pending(), "bob", "not today", NOW_S)
    assert denied["status"] | {"ends": ""} == {
        "state": "Denied",
        "requestedBy": "alice",
        "ends": "",
        "message": "denied by bob: not today",
        "decidedBy": "bob",
    }
    expired = requests.timed(pending(), NOW_S + 86400)
    assert expired is not None
    assert expired["status"]["message"] == "nobody approved it within 24h"
    over = requests.timed(approved(), NOW_S + 7200)
    assert over is not None
    assert (over["status"]["state"], over["status"]["message"]) == ("Ended", "its time is over")
    ended = requests.ended(approved(), "alice", "done", NOW_S + 5)
    assert (ended["status"]["state"], ended["status"]["message"]) == ("Ended", "ended by alice: done")
    assert ended["status"]["ends"] == "2026-01-01T00:00:05Z"
    for document, text in (
        (denied, r"is Denied, and nothing is left to .*: denied by bob: not today"),
        (approved(), r"is Approved, .*: approved by bob until 2026-01-01T02:00:00Z"),
        (expired, r"is Expired, .*: nobody approved it within 24h"),
        (ended, r"is Ended, .*: ended by alice: done"),
    ):
        with pytest.raises(Conflict, match=text):
            requests.approved(document, Approval("carol"), TERMS, NOW_S)
        with pytest.raises(Conflict, match=text):
            requests.denied(document, "carol", "", NOW_S)
    for document in (denied, expired, ended):
        with pytest.raises(Conflict, match="accessrequest 'req-1' is over already: "):
            requests.ended(document, "alice", "", NOW_S)
        assert requests.is_over(document)
        assert requests.timed(document, NOW_S + 1e9) is None
        assert requests.lost(document, "gone", NOW_S) is None
        assert requests.granted(document) is None
    with pytest.raises(Conflict, match=r"is Expired"):  # too late, though nobody has looked yet
        requests.approved(pending(), Approval("bob"), TERMS, NOW_S + 86400)
    leaving = {**pending(), "metadata": {**pending()["metadata"], "deletionTimestamp": "x"}}
    with pytest.raises(Conflict):
        requests.approved(leaving, Approval("bob"), TERMS, NOW_S)
    assert requests.forgotten(ended) == seconds("2026-01-01T00:00:05Z") + 90 * 86400


def test_a_grant_is_the_requests_own_for_the_requester_alone_until_the_end() -> None:
    grant = requests.grant_of(approved())
    assert grant["metadata"] == {
        "name": "req-1",
        "labels": {"skerry.dev/because": "request"},
        "ownerReferences": [
            {
                "apiVersion": "skerry.dev/v1alpha1",
                "kind": "AccessRequest",
                "name": "req-1",
                "uid": "uid-req-1",
                "controller": True,
            }
        ],
    }
    assert grant["spec"] == {
        "subjects": [{"kind": "User", "name": "alice"}],
        "clusters": {"names": ["m1"]},
        "role": "edit",
        "namespaces": ["shop"],
        "expires": "2026-01-01T02:00:00Z",
    }
    assert grants.admit(grant, NOW, lambda name: "uid-1")["status"]["clusters"] == [{"name": "m1", "uid": "uid-1"}]
    account = requests.grant_of(approved(user="serviceaccount:shop:deployer", namespaces=None))
    assert account["spec"]["subjects"] == [{"kind": "ServiceAccount", "name": "shop:deployer"}]
    assert "namespaces" not in account["spec"]
    assert requests.made_of(grant, "uid-req-1")
    assert not requests.made_of(grant, "uid-another")
    assert not requests.made_of({"metadata": {}}, "")
    made = requests.granted(approved())
    assert made is not None
    assert made["status"]["grant"] == "req-1"
    assert requests.granted(made) is None
    gone = requests.lost(made, "its grant was deleted", NOW_S)
    assert gone is not None
    assert gone["status"]["message"] == "its grant was deleted"
    assert "what alice has by it ends at 2026-01-01T02:00:00Z (edit in namespace shop on m1)" in requests.ends_soon(
        made
    )


def test_when_an_approval_would_end_is_known_before() -> None:
    assert requests.until(pending(), "", NOW_S) == NOW_S + 7200
    assert requests.until(pending(), "30m", NOW_S) == NOW_S + 1800
    assert requests.until(pending(), "soon", NOW_S) == NOW_S


PEOPLE = ("alice", "bob", "carol", "dave")
Step = Callable[[Document, float, Terms], Document | None]


def _steps() -> st.SearchStrategy[tuple[float, Step]]:
    def approve(by: str, duration: str) -> Step:
        return lambda document, now, terms: requests.approved(document, Approval(by, duration), terms, now)

    people = st.sampled_from(PEOPLE)
    step = st.one_of(
        st.builds(approve, people, st.sampled_from(("", "10m", "8h"))),
        people.map(lambda by: lambda document, now, terms: requests.denied(document, by, "", now)),
        people.map(lambda by: lambda document, now, terms: requests.ended(document, by, "", now)),
        st.just(lambda document, now, terms: requests.timed(document, now)),
        st.just(lambda document, now, terms: requests.granted(document)),
        st.just(lambda document, now, terms: requests.lost(document, "gone", now)),
    )
    return st.tuples(st.floats(0, 30000), step)


@given(st.lists(_steps(), max_size=12), st.integers(1, 3), st.booleans())
def test_whatever_is_done_in_whatever_order_nobody_gets_more_than_enough_have_approved(
    steps: list[tuple[float, Step]], approvals: int, self_approval: bool
) -> None:
    terms, document, now = Terms(self_approval, approvals, "8h"), pending(), NOW_S
    for wait_s, step in steps:
        now += wait_s
        before = document
        try:
            document = step(document, now, terms) or document
        except StatusError:
            document = before
        status, old = document["status"], before["status"]
        if old["state"] not in OPEN:
            assert document == before  # what is over stays
        if status["state"] == "Pending":
            assert old["state"] == "Pending"
        by = [each["by"] for each in status.get("approvals") or ()]
        assert len(by) == len(set(by))
        assert self_approval or "alice" not in by
        if status["state"] == "Approved":
            assert len(by) >= approvals
            assert requests.ends(document) <= requests.approved_at(document) + 8 * 3600 + 1
            assert requests.ends(document) <= requests.approved_at(document) + 2 * 3600 + 1 or "8h" in str(status)
        assert status["requestedBy"] == "alice"
        assert document["spec"] == pending()["spec"]
