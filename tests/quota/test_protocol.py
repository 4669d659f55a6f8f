"""Whatever happens on the way, no more pods run than the total says; and each guard of the protocol is needed for that.

What may happen is in world.py. The histories below are the shortest that go wrong without one guard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from services.quota.model import LeaseKey
from tests.quota.world import GUARDS, KEYS, World, world

WEB_1, WEB_2, BATCH = KEYS
NEWEST = st.integers(0, 3)
"""How many newer things are passed over."""


class Protocol(RuleBasedStateMachine):
    """The world, step by step, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.there = world()

    @rule(key=st.sampled_from(KEYS), amount=st.integers(0, 3))
    def ask(self, key: LeaseKey, amount: int) -> None:
        self.there.ask(key, amount)

    @rule()
    def read_slowly(self) -> None:
        self.there.copies.append(self.there.ledger)

    @precondition(lambda self: self.there.copies)
    @rule(key=st.sampled_from(KEYS), amount=st.integers(0, 3))
    def ask_late(self, key: LeaseKey, amount: int) -> None:
        self.there.ask(key, amount, self.there.copies.pop())

    @rule(key=st.sampled_from(KEYS))
    def end(self, key: LeaseKey) -> None:
        self.there.end(key)

    @rule()
    def back_up(self) -> None:
        self.there.backups.append(self.there.ledger)

    @precondition(lambda self: self.there.backups)
    @rule(back=NEWEST)
    def restore(self, back: int) -> None:
        self.there.restore(_of(self.there.backups, back))

    @precondition(lambda self: self.there.entries)
    @rule(back=NEWEST)
    def begin(self, back: int) -> None:
        self.there.begin(_of(self.there.entries, back))

    @precondition(lambda self: self.there.writes)
    @rule(back=NEWEST)
    def commit(self, back: int) -> None:
        self.there.commit(_of(self.there.writes, back))

    @precondition(lambda self: self.there.entries)
    @rule(back=NEWEST)
    def apply(self, back: int) -> None:
        entry = _of(self.there.entries, back)
        if self.there.begin(entry):
            self.there.commit(self.there.writes[-1])
        self.there.control(entry.key)
        self.there.bind(entry.key)

    @rule(key=st.sampled_from(KEYS))
    def control(self, key: LeaseKey) -> None:
        self.there.control(key)

    @rule(key=st.sampled_from(KEYS))
    def bind(self, key: LeaseKey) -> None:
        self.there.bind(key)

    @rule(key=st.sampled_from(KEYS), pods=st.integers(1, 3))
    def create(self, key: LeaseKey, pods: int) -> None:
        for _ in range(pods):
            self.there.create(key)

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: LeaseKey) -> None:
        self.there.delete(key)

    @rule(key=st.sampled_from(KEYS))
    def delete_namespace(self, key: LeaseKey) -> None:
        self.there.delete_namespace(key)

    @rule(key=st.sampled_from(KEYS))
    def make_namespace(self, key: LeaseKey) -> None:
        self.there.make_namespace(key)

    @rule(key=st.sampled_from(KEYS))
    def report(self, key: LeaseKey) -> None:
        self.there.report(key)

    @rule(cluster=st.sampled_from(("m1", "m2")))
    def report_whole(self, cluster: str) -> None:
        self.there.report_whole(cluster)

    @precondition(lambda self: self.there.reports)
    @rule(back=NEWEST)
    def deliver(self, back: int) -> None:
        self.there.deliver(*_of(self.there.reports, back))

    @precondition(lambda self: self.there.wholes)
    @rule(back=NEWEST)
    def deliver_whole(self, back: int) -> None:
        self.there.deliver_whole(*_of(self.there.wholes, back))

    @rule(key=st.sampled_from(KEYS))
    def report_at_once(self, key: LeaseKey) -> None:
        if self.there.report(key):
            self.there.deliver(*self.there.reports[-1])

    @invariant()
    def holds(self) -> None:
        self.there.check()

    def teardown(self) -> None:
        for key in KEYS:
            self.there.make_namespace(key)
        self.there.settle()
        self.there.check()
        self.there.check_quiet()


def _of(things: list[Any], back: int) -> Any:
    return things[-1 - min(back, len(things) - 1)]


def test_the_sum_holds_and_all_comes_to_rest_whatever_happens() -> None:
    run_state_machine_as_test(Protocol, settings=settings(max_examples=100, stateful_step_count=40, deadline=None))


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_sum_holds_and_all_comes_to_rest_whatever_happens_for_long() -> None:
    run_state_machine_as_test(Protocol, settings=settings(max_examples=5_000, stateful_step_count=80, deadline=None))


# The shortest histories


def _apply(there: World, key: LeaseKey) -> None:
    entry = next(entry for entry in reversed(there.entries) if entry.key == key)
    if there.begin(entry):
        there.commit(there.writes[-1])
    there.control(key)
    there.bind(key)


def _tell(there: World, key: LeaseKey) -> None:
    there.report(key)
    there.deliver(*there.reports[-1])


def _fill(there: World, key: LeaseKey) -> None:
    while there.create(key):
        there.check_sum()


def _lend_rest(there: World) -> None:
    """Two more to another namespace, if the ledger believes that they are there; used at once."""
    there.ask(WEB_2, 2)
    if any(entry.key == WEB_2 for entry in there.entries):
        _apply(there, WEB_2)
    _fill(there, WEB_2)


def _begin(there: World, amount: int) -> None:
    there.ask(WEB_1, amount)
    _apply(there, WEB_1)


def _an_old_report_says_the_same(there: World) -> None:
    _begin(there, 1)
    there.report(WEB_1)
    old = there.reports[-1]
    _begin(there, 2)
    _fill(there, WEB_1)
    there.ask(WEB_1, 1)
    there.deliver(*old)
    _lend_rest(there)


def _the_controller_is_late(there: World) -> None:
    _begin(there, 2)
    there.ask(WEB_1, 0)
    there.begin(there.entries[-1])
    there.commit(there.writes[-1])
    _tell(there, WEB_1)
    _lend_rest(there)
    _fill(there, WEB_1)


def _more_is_used_than_asked(there: World) -> None:
    _begin(there, 2)
    _fill(there, WEB_1)
    _begin(there, 0)
    _tell(there, WEB_1)
    _lend_rest(there)


def _growth_is_on_its_way(there: World) -> None:
    _begin(there, 0)
    there.ask(WEB_1, 2)
    _lend_rest(there)
    _apply(there, WEB_1)
    _fill(there, WEB_1)


def _two_services_decide(there: World) -> None:
    base = there.ledger
    there.ask(WEB_1, 2)
    there.ask(WEB_2, 2, base)
    for key in (WEB_1, WEB_2):
        if any(entry.key == key for entry in there.entries):
            _apply(there, key)
        _fill(there, key)


def _an_old_entry_comes_back(there: World) -> None:
    _begin(there, 2)
    old = there.entries[-1]
    _begin(there, 0)
    _tell(there, WEB_1)
    _lend_rest(there)
    if there.begin(old):
        there.commit(there.writes[-1])
    there.control(WEB_1)
    _fill(there, WEB_1)


def _an_agent_slept_before_it_wrote(there: World) -> None:
    _begin(there, 1)
    there.ask(WEB_1, 2)
    there.begin(there.entries[-1])
    slept = there.writes[-1]
    _begin(there, 0)
    _tell(there, WEB_1)
    _lend_rest(there)
    there.commit(slept)
    there.control(WEB_1)
    _fill(there, WEB_1)


def _a_namespace_is_made_anew(there: World) -> None:
    _begin(there, 2)
    old = there.entries[-1]
    _begin(there, 0)
    _tell(there, WEB_1)
    there.delete_namespace(WEB_1)
    there.make_namespace(WEB_1)
    _lend_rest(there)
    if there.begin(old):
        there.commit(there.writes[-1])
    there.control(WEB_1)
    there.bind(WEB_1)
    _fill(there, WEB_1)


def _lent_after_a_restore(there: World) -> None:
    _begin(there, 0)
    there.ask(WEB_2, 0)
    _apply(there, WEB_2)
    there.backups.append(there.ledger)
    _begin(there, 2)
    _fill(there, WEB_1)
    there.restore(there.backups[0])
    _apply(there, WEB_2)
    _tell(there, WEB_2)
    _lend_rest(there)


def _an_old_ask_lands_after_the_restore(there: World) -> None:
    for key in KEYS:
        there.ask(key, 0)
        _apply(there, key)
    there.backups.append(there.ledger)
    there.ask(WEB_1, 2)
    there.begin(there.entries[-1])
    slept = there.writes[-1]
    there.restore(there.backups[0])
    for key in KEYS:
        if any(entry.key == key and entry.ask.kind == "keep" for entry in there.entries):
            _apply(there, key)
        _tell(there, key)
    for cluster in ("m1", "m2"):
        there.deliver_whole(cluster, there.ledger.recovery)
    _lend_rest(there)
    there.commit(slept)
    there.control(WEB_1)
    _fill(there, WEB_1)


HISTORIES: dict[str, Callable[[World], None]] = {
    "number": _an_old_report_says_the_same,
    "status": _the_controller_is_late,
    "used": _more_is_used_than_asked,
    "growth at once": _growth_is_on_its_way,
    "compare-and-set": _two_services_decide,
    "fence": _an_old_entry_comes_back,
    "resourceVersion": _an_agent_slept_before_it_wrote,
    "uid": _a_namespace_is_made_anew,
    "growth in recovery": _lent_after_a_restore,
    "keep": _an_old_ask_lands_after_the_restore,
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_more_runs_than_there_is(guard: str) -> None:
    sound = world()
    HISTORIES[guard](sound)
    sound.check()

    with pytest.raises(AssertionError, match="pods"):
        _run(guard)


def _run(guard: str) -> None:
    broken = world(guard)
    HISTORIES[guard](broken)
    broken.check_sum()
