"""Live requests: limits say which, and what is no longer allowed is cut."""

from __future__ import annotations

import math

import pytest

from services.proxy.sessions import Rests, Session, Sessions
from services.proxy.settings import ProxyLimits
from skerry.access import Touched
from skerry.api.messages import Caller
from skerry.errors import Forbidden, ServiceUnavailable, StatusError, TooManyRequests


class Clock:
    """Unix seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def sessions(limits: ProxyLimits | None = None, clock: Clock | None = None) -> Sessions:
    return Sessions(limits or ProxyLimits(), clock or Clock())


def enter(
    table: Sessions, user: str = "alice", member: str = "m1", expires: float = 1e9
) -> tuple[Session, list[StatusError]]:
    session = table.enter(user, f"credential-of-{user}", expires, member, "uid-1" if member else "")
    cut: list[StatusError] = []
    session.cut = cut.append
    return session, cut


@pytest.mark.parametrize(
    ("limits", "second", "text"),
    [
        (ProxyLimits(streams=1), ("bob", "m2"), "this host carries 1"),
        (ProxyLimits(streams_per_user=1), ("alice", "m2"), "user 'alice' has 1"),
        (ProxyLimits(streams_per_member=1), ("bob", "m1"), "cluster 'm1' has 1"),
        (ProxyLimits(opens_per_second=1), ("alice", "m1"), "in one second"),
    ],
)
def test_a_limit_says_which(limits: ProxyLimits, second: tuple[str, str], text: str) -> None:
    table = sessions(limits)
    enter(table, "alice", "m1")
    with pytest.raises(TooManyRequests, match=text):
        enter(table, *second)


def test_what_left_does_not_count() -> None:
    table = sessions(ProxyLimits(streams=1))
    session, _ = enter(table)
    table.leave(session)
    table.leave(session)
    enter(table)
    assert len(table) == 1


def test_opens_are_counted_per_second() -> None:
    clock = Clock()
    table = sessions(ProxyLimits(opens_per_second=1), clock)
    enter(table)
    clock.now += 1
    enter(table)


def test_a_revoked_credential_cuts_its_own_sessions_only() -> None:
    table = sessions()
    first, alice = enter(table, "alice")
    _, bob = enter(table, "bob")
    assert table.review(lambda name: name != "credential-of-alice", lambda _: "uid-1") == [first]
    assert [error.code for error in alice] == [401]
    assert bob == []


def test_an_expired_credential_cuts() -> None:
    clock = Clock()
    table = sessions(clock=clock)
    _, cut = enter(table, expires=clock.now + 1)
    table.review(lambda _: True, lambda _: "uid-1")
    assert cut == []
    clock.now += 1
    table.review(lambda _: True, lambda _: "uid-1")
    assert "expired" in cut[0].message


@pytest.mark.parametrize("now", ["", "uid-2"])
def test_a_member_that_was_removed_or_joined_anew_cuts_its_sessions_and_not_those_of_the_host_api(now: str) -> None:
    table = sessions()
    _, member = enter(table, member="m1")
    _, host = enter(table, member="")
    table.review(lambda _: True, lambda _: now)
    assert "was removed" in member[0].message
    assert host == []


def test_a_session_is_cut_once_and_keeps_the_first_reason() -> None:
    table = sessions()
    session, cut = enter(table)
    table.review(lambda _: False, lambda _: "uid-1")
    table.review(lambda _: False, lambda _: "uid-1")
    session.end(ServiceUnavailable("shutdown"))
    assert len(cut) == 1
    assert session.was_cut is cut[0]


def test_draining_cuts_watches_and_leaves_the_rest_its_grace() -> None:
    table = sessions()
    watch, cut = enter(table)
    watch.endless = True
    _, other = enter(table)
    table.drain()
    assert [error.code for error in cut] == [503]
    assert other == []


def test_nothing_enters_while_draining() -> None:
    table = sessions()
    table.drain()
    with pytest.raises(ServiceUnavailable):
        enter(table)


def resting(table: Sessions, user: str, *, member: str = "", until: float = math.inf) -> Session:
    """A session of which UNTIL says for how long it is still allowed."""
    session = table.enter(user, "c", math.inf, member, "uid" if member else "")
    caller = Caller(user=user, groups=("shop",))
    session.rests = Rests(caller, lambda: UNTIL[user] if user in UNTIL else Forbidden("taken away"), until)
    return session


UNTIL = {"bob": 90.0}


def test_what_rests_on_what_changed_is_decided_again_and_the_rest_is_not() -> None:
    table = Sessions(ProxyLimits(), lambda: 0.0)
    by_user, by_group = resting(table, "alice"), resting(table, "carol")
    there, elsewhere = resting(table, "dave", member="m1"), resting(table, "erin", member="m2")
    still, plain = resting(table, "bob", member="m1"), table.enter("frank", "c", math.inf, "m1", "uid")
    assert table.reconsider(Touched(subjects=frozenset(("ualice",)))) == 1
    assert (by_user.was_cut is not None, by_group.was_cut) == (True, None)
    assert table.reconsider(Touched(clusters=frozenset(("m1",)))) == 1
    assert there.was_cut is not None
    assert (elsewhere.was_cut, still.was_cut, plain.was_cut) == (None, None, None)
    assert table.reconsider(Touched(subjects=frozenset(("gshop",)))) == 2
    assert by_group.was_cut is not None


def test_what_rests_on_a_grant_that_ends_is_decided_again_at_its_end() -> None:
    now = [0.0]
    table = Sessions(ProxyLimits(), lambda: now[0])
    ending, lasting = resting(table, "alice", until=60.0), resting(table, "bob", until=60.0)
    for moment, cut in ((59.0, False), (60.0, True)):
        now[0] = moment
        table.review(lambda name: True, lambda name: "")
        assert (ending.was_cut is not None) is cut
    assert lasting.was_cut is None


def test_what_rests_on_a_grant_that_is_changed_ends_when_it_ends_now() -> None:
    """It still allows what runs, so nothing is cut at its change; before, what ran then went on until the end of before."""
    now = [0.0]
    table = Sessions(ProxyLimits(), lambda: now[0])
    session = resting(table, "bob", until=600.0)
    assert table.reconsider(Touched(subjects=frozenset(("ubob",)))) == 0
    assert session.rests is not None
    session.rests = session.rests._replace(again=lambda: Forbidden("it ended"))
    for moment, cut in ((89.0, False), (90.0, True)):
        now[0] = moment
        table.review(lambda name: True, lambda name: "")
        assert (session.was_cut is not None) is cut
