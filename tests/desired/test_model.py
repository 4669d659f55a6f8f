"""What a member should have, without a member: order, what is believed, and what is told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.desired import ENTRIES, MESSAGE, PROBLEMS, Options, State
from skerry.desired.model import DesiredState, EntryChange, in_order
from skerry.subjects import DesiredKey, complete_key, desired_key

RBAC = "rbac.authorization.k8s.io"


def key(kind: str, name: str, namespace: str = "", group: str = "", owner: str = "tenancy") -> str:
    """A key of member m1."""
    return str(DesiredKey("m1", owner, group, kind, namespace, name))


SPACE, BINDING, ROLE = (
    key("namespace", "shop"),
    key("rolebinding", "skerry:edit", "shop", RBAC),
    key("clusterrole", "r"),
)


def put(state: DesiredState, text: str, revision: int, digest: str = "d", previous: int = -1, **options: Any) -> bool:
    """Take in an entry."""
    change = EntryChange(text, revision, digest, previous, Options(**options))
    return state.take(change, confirmed=True, now=float(revision))


def made(*keys: str) -> DesiredState:
    """A state with entries at revisions 1, 2, …"""
    state = DesiredState()
    state.begin("e1")
    for revision, text in enumerate(keys, 1):
        put(state, text, revision)
    state.synced = len(keys)
    return state


@pytest.mark.parametrize("text", ["m1.tenancy._.namespace._.shop", complete_key("m1", "tenancy"), BINDING])
def test_a_key_is_what_it_says(text: str) -> None:
    assert str(desired_key(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "m1", "m1.tenancy", "m1.tenancy._.namespace._", "M1.tenancy._.namespace._.a", "m1.a*b._.namespace._.a", "m1.tenancy._.namespace._.a.b",
     "m1.tenancy._.Namespace._.a", "m1.tenancy..namespace._.a", "m1.tenancy._.namespace._.a=2e", "m1.>._.namespace._.a"],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says what it saw
        desired_key(text)


def test_what_others_need_comes_first_and_goes_last() -> None:
    state = made(BINDING, SPACE, ROLE)
    assert in_order(state.entries, state) == [SPACE, ROLE, BINDING]
    for text in (BINDING, SPACE, ROLE):
        state.settle(text, State.APPLIED, "", 5.0)
        state.withdraw(text, 6.0)
    assert in_order(state.entries, state) == [BINDING, ROLE, SPACE]


def test_a_rank_waits_until_everything_before_it_was_tried_whatever_came_of_it() -> None:
    other = key("namespace", "other")
    state = made(BINDING, SPACE, other)
    assert [state.turn(text) for text in (SPACE, other, BINDING)] == [True, True, False]
    assert state.settle(SPACE, State.APPLIED, "", 1.0) == []
    assert state.settle(other, State.FORBIDDEN, "no", 1.0) == [BINDING]
    assert state.turn(BINDING)


def test_what_comes_after_another_is_freed_by_it_and_blocked_by_its_newer_revision() -> None:
    state = made(SPACE)
    put(state, ROLE, 2, after=(SPACE,))
    assert state.blocker(ROLE) == SPACE
    assert ROLE in state.settle(SPACE, State.APPLIED, "", 1.0)
    assert state.blocker(ROLE) == ""
    put(state, SPACE, 3, "e")
    assert state.blocker(ROLE) == SPACE


def test_what_is_known_is_not_done_again() -> None:
    state = made(SPACE)
    assert not put(state, SPACE, 1)
    state.settle(SPACE, State.APPLIED, "", 1.0)
    assert not put(state, SPACE, 2)
    assert (state.entries[SPACE].state, state.entries[SPACE].tried) == (State.APPLIED, 2)
    assert put(state, SPACE, 3, "other")


def test_a_signature_for_another_predecessor_is_an_old_one() -> None:
    state = made(SPACE)
    assert put(state, SPACE, 8, "new", previous=1)
    assert not put(state, SPACE, 12, "d", previous=1)
    assert state.entries[SPACE].digest == "new"


def test_a_withdrawal_that_only_came_live_changes_nothing() -> None:
    state = made(SPACE)
    assert state.take(EntryChange(SPACE, 2), confirmed=False, now=1.0)
    assert state.entries[SPACE].wanted
    assert state.take(EntryChange(SPACE, 2), confirmed=True, now=1.0)
    assert not state.entries[SPACE].wanted


def test_a_withdrawal_of_what_was_never_there_is_nothing() -> None:
    state = made()
    assert not state.take(EntryChange(SPACE, 2), confirmed=True, now=1.0)
    assert not state.entries


def test_absence_is_believed_of_complete_owners_alone() -> None:
    theirs = key("agentsettings", "agent", group="skerry.dev", owner="registry")
    state = made(SPACE, theirs)
    assert state.caught_up(2, 1.0, listed=()) == []
    complete(state, 3)
    assert state.caught_up(3, 1.0, listed=()) == [SPACE]
    assert state.entries[theirs].wanted


def test_a_bucket_made_anew_forgets_revisions_and_who_was_complete_and_nothing_else() -> None:
    state = made(SPACE)
    complete(state, 2)
    state.caught_up(2, 1.0)
    complete(state, 9)
    state.begin("e2")
    assert (state.synced, state.complete) == (0, set())
    state.caught_up(9, 1.0)
    assert not state.complete
    assert state.entries[SPACE].wanted
    assert put(state, SPACE, 1, "other", previous=0)


def test_what_is_applied_is_everything_up_to_what_was_not_tried() -> None:
    state = made(SPACE, ROLE, BINDING)
    assert state.applied == 0
    state.settle(SPACE, State.APPLIED, "", 1.0)
    state.settle(BINDING, State.FAILED, "no", 1.0)
    assert state.applied == 1
    state.settle(ROLE, State.WAITING, "for it", 1.0)
    assert state.applied == 3


def test_an_object_of_ours_that_nobody_wants_is_withdrawn_once_its_owner_is_complete() -> None:
    state = made()
    complete(state, 1)
    assert not state.owned(BINDING, 1.0)
    assert state.caught_up(1, 1.0) == [BINDING]
    assert state.owned(SPACE, 1.0)
    assert not state.entries[SPACE].wanted
    state.settle(SPACE, State.WITHDRAWN, "", 2.0)
    assert SPACE not in state.entries


def test_a_report_is_bounded_and_tells_the_oldest_problems() -> None:
    keys = [key("configmap", f"c{n}", "a") for n in range(PROBLEMS + 7)]
    state = made(*keys)
    for text in keys:
        state.settle(text, State.FAILED, "x" * 1000, float(len(keys)) - state.entries[text].revision)
    report = state.report()
    assert (len(report.problems), report.more) == (PROBLEMS, 7)
    assert report.problems[0].key == keys[-1]
    assert len(report.problems[0].message) == MESSAGE
    assert report.counts == {"tenancy": {"Failed": PROBLEMS + 7}}


def test_the_time_of_a_state_is_that_of_its_beginning() -> None:
    state = made(SPACE)
    state.settle(SPACE, State.FAILED, "one", 10.0)
    state.settle(SPACE, State.FAILED, "two", 20.0)
    assert state.entries[SPACE].since == 10.0


KINDS = st.sampled_from(["namespace", "clusterrole", "rolebinding", "configmap", "deployment"])
CHANGES = st.lists(st.tuples(KINDS, st.integers(0, 3), st.sampled_from(["put", "same", "gone"])), max_size=30)


@given(CHANGES, st.integers(0, 2**32))
def test_whatever_happens_in_whatever_order_everything_gets_its_turn(
    changes: list[tuple[str, int, str]], seed: int
) -> None:
    """Whoever is free is tried at random; at the end nothing is left, and what is there is what was wanted last."""
    chance = random.Random(seed)
    state = DesiredState()
    state.begin("e1")
    wanted: dict[str, str] = {}
    queue: set[str] = set()
    there: dict[str, str] = {}

    def work(steps: int) -> None:
        for _ in range(steps):
            free = [text for text in sorted(queue) if text in state.entries and state.turn(text)]
            if not free:
                return
            text = chance.choice(free)
            queue.discard(text)
            known = state.entries[text]
            if known.wanted:
                there[text] = known.digest
            else:
                there.pop(text, None)
            queue.update(state.settle(text, State.APPLIED if known.wanted else State.WITHDRAWN, "", 1.0))

    for revision, (kind, number, what) in enumerate(changes, 1):
        text = key(kind, f"n{number}")
        if what == "gone":
            wanted.pop(text, None)
            fresh = state.take(EntryChange(text, revision), confirmed=True, now=1.0)
        else:
            wanted[text] = digest = "same" if what == "same" else f"d{revision}"
            fresh = put(state, text, revision, digest)
        if fresh:
            queue.add(text)
        work(chance.randrange(3))
    state.synced = len(changes)
    work(10_000)
    assert there == wanted
    assert state.applied == len(changes)


def complete(state: DesiredState, revision: int, owner: str = "tenancy") -> None:
    """The owner says that this is all."""
    put(state, complete_key("m1", owner), revision)


def test_what_a_bucket_made_anew_never_had_goes_when_its_owner_is_complete() -> None:
    state = made(SPACE, BINDING)
    state.begin("e2")
    assert state.caught_up(0, 9.0) == []
    put(state, SPACE, 1)
    complete(state, 2)
    assert state.caught_up(2, 9.0) == [BINDING]
    assert not state.entries[BINDING].wanted
    assert state.caught_up(2, 9.0) == []


def test_what_the_bucket_has_and_nobody_believes_is_not_absent() -> None:
    state = made(SPACE)
    state.begin("e2")
    complete(state, 2)
    assert state.caught_up(2, 9.0, disputed={SPACE}) == []


def test_what_came_live_behind_a_full_sync_is_not_absent_from_it() -> None:
    """All that an owner wants came, and that this is all, while the answer was on its way that had only the first of it."""
    state = made()
    put(state, SPACE, 1)
    put(state, BINDING, 2)
    complete(state, 3)
    assert state.caught_up(1, 9.0, listed={SPACE}) == []
    assert not state.complete
    assert state.caught_up(3, 9.0) == []
    assert state.complete == {"tenancy"}
    put(state, ROLE, 4)
    assert state.caught_up(3, 9.0, listed={SPACE, BINDING}) == []


def test_an_object_of_ours_waits_until_all_is_known_that_its_owner_had_when_it_was_complete() -> None:
    """Its entry may be among what was missed."""
    state = made(SPACE)
    complete(state, 9)
    assert not state.owned(BINDING, 1.0)
    put(state, BINDING, 8)
    assert state.caught_up(9, 1.0) == []
    assert state.entries[BINDING].wanted


def test_an_owner_that_is_not_complete_any_more_is_not_at_once() -> None:
    state = made(SPACE)
    complete(state, 2)
    state.caught_up(2, 1.0)
    state.take(EntryChange(complete_key("m1", "tenancy"), 3), confirmed=True, now=1.0)
    assert state.caught_up(3, 1.0, listed=()) == []


def test_an_object_of_ours_without_an_entry_waits_for_its_owner_to_be_complete() -> None:
    state = made(SPACE)
    assert not state.owned(BINDING, 1.0)
    assert state.caught_up(1, 1.0) == []
    complete(state, 9)
    assert state.caught_up(9, 1.0) == [BINDING]
    assert not state.entries[BINDING].wanted


def test_an_object_of_ours_whose_entry_came_meanwhile_stays() -> None:
    state = made(SPACE)
    assert not state.owned(BINDING, 1.0)
    put(state, BINDING, 5)
    complete(state, 9)
    assert state.caught_up(9, 1.0) == []
    assert state.entries[BINDING].wanted


def test_no_more_strays_are_remembered_than_a_member_may_have_entries() -> None:
    state = DesiredState()
    for number in range(ENTRIES + 5):
        state.owned(key("namespace", f"n{number}"), 1.0)
    complete(state, 1)
    assert len(state.caught_up(1, 1.0)) == ENTRIES
