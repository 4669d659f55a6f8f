"""Keys that wait, each once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from skerry.controller.queue import Queue


def test_keys_come_in_the_order_of_arrival_each_once() -> None:
    queue: Queue[str] = Queue()
    for key in ("b", "a", "b", "c", "a"):
        queue.add(key, 0.0)
    assert [queue.take(0.0) for _ in range(4)] == ["b", "a", "c", None]


def test_a_key_that_is_added_while_it_runs_comes_again_when_it_is_done() -> None:
    queue: Queue[str] = Queue()
    queue.add("a", 0.0)
    assert queue.take(1.0) == "a"
    queue.add("a", 2.0)
    queue.add("a", 3.0)
    assert queue.take(3.0) is None
    queue.done("a")
    assert (queue.take(4.0), queue.take(4.0)) == ("a", None)


def test_the_earlier_appointment_counts() -> None:
    queue: Queue[str] = Queue()
    queue.add_at("a", 10.0)
    queue.add_at("a", 5.0)
    queue.add_at("a", 20.0)
    assert queue.next_due() == 5.0
    assert not queue.wake(4.9)
    assert queue.wake(5.0)
    assert queue.take(5.0) == "a"
    queue.done("a")
    assert queue.next_due() is None


def test_who_takes_a_key_forgets_its_appointment() -> None:
    queue: Queue[str] = Queue()
    queue.add_at("a", 10.0)
    queue.add("a", 0.0)
    assert queue.take(0.0) == "a"
    assert queue.next_due() is None


def test_an_appointment_made_while_it_runs_stays() -> None:
    queue: Queue[str] = Queue()
    queue.add("a", 0.0)
    queue.take(0.0)
    queue.add_at("a", 10.0)
    queue.done("a")
    assert queue.take(0.0) is None
    assert queue.next_due() == 10.0


def test_how_long_the_first_has_waited_and_the_longest_has_run() -> None:
    queue: Queue[str] = Queue()
    assert queue.waits(7.0) == 0.0
    assert queue.longest(7.0) is None
    queue.add("a", 1.0)
    queue.add("b", 2.0)
    assert queue.waits(7.0) == 6.0
    queue.take(3.0)
    assert queue.waits(7.0) == 5.0
    assert queue.longest(7.0) == ("a", 4.0)
    assert queue.depth == 1


def test_a_forgotten_key_does_not_come() -> None:
    queue: Queue[str] = Queue()
    queue.add("a", 0.0)
    queue.add_at("b", 5.0)
    queue.forget("a")
    queue.forget("b")
    assert not queue.wake(9.0)
    assert queue.take(9.0) is None


def owned(*keys: str) -> Queue[str]:
    """Keys whose owner is their first letter; of one owner two run at a time."""
    queue: Queue[str] = Queue(lambda key: key[0], 2)
    for number, key in enumerate(keys):
        queue.add(key, float(number))
    return queue


def test_owners_take_turns() -> None:
    queue = owned("a1", "a2", "a3", "b1", "c1", "b2")
    assert [queue.take(9.0) for _ in range(5)] == ["a1", "b1", "c1", "a2", "b2"]


def test_an_owner_has_no_more_than_their_share_however_long_it_takes() -> None:
    queue = owned("a1", "a2", "a3")
    assert [queue.take(9.0) for _ in range(3)] == ["a1", "a2", None]
    assert (queue.ready, queue.depth, queue.waits(9.0)) == (False, 1, 7.0)
    queue.add("b1", 9.0)
    assert queue.ready
    assert queue.take(9.0) == "b1"
    queue.add_at("a3", 20.0)
    assert queue.next_due() is None, "it is ready"
    queue.add("a1", 9.0)
    queue.done("a1")
    assert [queue.take(9.0), queue.take(9.0)] == ["a3", None]
    queue.done("a2")
    assert queue.take(9.0) == "a1"
    queue.add("b2", 9.0)
    queue.forget("b2")
    assert not queue.ready


class Model(RuleBasedStateMachine):
    """Against sets: what must be looked at is looked at, nothing is taken twice, nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue[int] = Queue(lambda key: key % 2, 2)
        self.now = 0.0
        self.wanted: set[int] = set()
        self.running: set[int] = set()
        self.due: dict[int, float] = {}

    @rule(key=st.integers(0, 4))
    def add(self, key: int) -> None:
        self.queue.add(key, self.now)
        self.wanted.add(key)
        self.due.pop(key, None)

    @rule(key=st.integers(0, 4), seconds=st.integers(0, 9))
    def add_at(self, key: int, seconds: int) -> None:
        self.queue.add_at(key, self.now + seconds)
        if key not in self.wanted:
            self.due[key] = min(self.due.get(key, 1e9), self.now + seconds)

    @rule(seconds=st.integers(1, 5))
    def wake(self, seconds: int) -> None:
        self.now += seconds
        self.queue.wake(self.now)
        for key in [key for key, when in self.due.items() if when <= self.now]:
            del self.due[key]
            self.wanted.add(key)

    @rule()
    def take(self) -> None:
        key = self.queue.take(self.now)
        if key is None:
            full = {owner for owner in (0, 1) if sum(each % 2 == owner for each in self.running) == 2}
            assert all(key in self.running or key % 2 in full for key in self.wanted)
            return
        assert key in self.wanted
        assert key not in self.running
        assert sum(each % 2 == key % 2 for each in self.running) < 2
        self.wanted.discard(key)
        self.running.add(key)
        self.due.pop(key, None)

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        self.queue.done(key)

    @invariant()
    def counts_agree(self) -> None:
        assert self.queue.depth == len(self.wanted)
        assert self.queue.running == len(self.running)
        assert self.queue.next_due() == min(self.due.values(), default=None)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=30)
