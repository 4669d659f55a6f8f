"""Which agent an OPEN is addressed to."""

from __future__ import annotations

from skerry.tunnel.agents import Agents
from skerry.tunnel.replay import REMEMBER_S, ReplayWindow
from skerry.tunnel.roundrobin import DeficitRoundRobin


def test_nobody_known_means_the_queue() -> None:
    assert Agents(3.0).pick(0.0, repeatable=True) is None


def test_an_agent_is_known_for_three_seconds() -> None:
    agents = Agents(3.0)
    agents.heard("a", 10.0)
    assert agents.pick(13.0, repeatable=False) == "a"
    assert agents.pick(13.1, repeatable=False) is None


def test_agents_take_turns() -> None:
    agents = Agents(3.0)
    agents.heard("a", 0.0)
    agents.heard("b", 0.0)
    assert {agents.pick(1.0, repeatable=True) for _ in range(4)} == {"a", "b"}
    assert {agents.pick(1.0, repeatable=False, avoid=frozenset("a")) for _ in range(4)} == {"b"}


def test_a_single_agent_is_not_all_that_repeatable_requests_try() -> None:
    agents = Agents(3.0)
    agents.heard("a", 0.0)
    assert [agents.pick(1.0, repeatable=True) for _ in range(64)].count(None) == 8
    assert None not in [agents.pick(1.0, repeatable=False) for _ in range(64)]


def test_a_dropped_agent_is_unknown_until_heard_again() -> None:
    agents = Agents(3.0)
    agents.heard("a", 0.0)
    agents.drop("a")
    assert agents.pick(0.0, repeatable=False) is None
    agents.heard("a", 0.1)
    assert agents.pick(0.1, repeatable=False) == "a"


def test_after_a_silence_whoever_was_heard_in_the_last_minute_is_asked_before_the_queue() -> None:
    agents = Agents(3.0)
    agents.heard("a", 0.0)
    agents.heard("b", 1.0)
    agents.heard("c", 2.0)
    agents.silent("c", 20.0)
    assert agents.pick(20.0, repeatable=True) == "b"
    assert agents.pick(20.0, repeatable=False, avoid=frozenset("b")) == "a"
    assert agents.pick(20.0, repeatable=False, avoid=frozenset("ab")) is None
    assert agents.pick(61.5, repeatable=False) is None


def test_a_repeat_goes_to_whoever_was_heard_in_the_last_minute_before_the_queue() -> None:
    agents = Agents(3.0)
    agents.heard("a", 0.0)
    agents.heard("b", 1.0)
    assert agents.pick(20.0, repeatable=True) is None
    assert agents.pick(20.0, repeatable=True, avoid=frozenset("c")) == "b"
    assert agents.pick(20.0, repeatable=True, avoid=frozenset("bc")) == "a"
    assert agents.pick(61.5, repeatable=True, avoid=frozenset("c")) is None


def test_where_nobody_else_was_heard_who_is_there_by_its_heartbeats_is_asked_before_the_queue() -> None:
    agents = Agents(3.0)
    assert agents.pick(0.0, repeatable=True, beating=lambda: ["a", "b", "c"]) is None
    agents.silent("a", 1.0)
    agents.leaving("b")
    assert agents.pick(1.0, repeatable=True, beating=lambda: ["a", "b", "c"]) == "c"
    assert agents.pick(1.0, repeatable=True, avoid=frozenset("c"), beating=lambda: ["a", "b", "c"]) is None
    agents.heard("a", 2.0)
    agents.drop("a")
    assert agents.pick(3.0, repeatable=True, beating=lambda: ["a", "b", "c"]) == "a"
    assert agents.pick(62.0, repeatable=True, beating=lambda: ["a", "b", "c"]) is None


def test_a_silence_of_the_queue_is_not_explored_again_for_a_minute() -> None:
    agents = Agents(3.0)
    agents.silent("", 0.0)
    agents.heard("a", 58.0)
    assert None not in [agents.pick(59.0, repeatable=True) for _ in range(64)]
    assert [agents.pick(60.5, repeatable=True) for _ in range(64)].count(None) == 8


def test_an_agent_that_is_gone_is_not_remembered() -> None:
    agents = Agents(3.0)
    agents.silent("", 0.0)
    agents.heard("a", 1.0)
    agents.forget("a")
    assert agents.pick(9.0, repeatable=False) == "a"
    agents.drop("a")
    assert agents.pick(9.0, repeatable=False) is None


def test_a_leaving_agent_stays_unknown() -> None:
    agents = Agents(3.0)
    agents.leaving("a")
    agents.heard("a", 0.0)
    assert agents.pick(0.0, repeatable=False) is None
    agents.forget("a")
    agents.heard("a", 0.0)
    assert agents.pick(0.0, repeatable=False) == "a"


def test_a_stream_is_opened_once_per_proxy() -> None:
    seen = ReplayWindow()
    assert [seen.first("p", "1f", 0.0), seen.first("p", "20", 1.0), seen.first("q", "1f", 1.0)] == [True] * 3
    assert not seen.first("p", "1f", 2.0)


def test_numbers_are_forgotten_after_five_minutes() -> None:
    seen = ReplayWindow()
    seen.first("p", "1", 0.0)
    assert not seen.first("p", "1", REMEMBER_S - 1)
    assert seen.first("p", "1", 3 * REMEMBER_S)


def test_everybody_who_waits_gets_one_turn_a_round() -> None:
    turns: DeficitRoundRobin[str] = DeficitRoundRobin()
    for who in ("a", "b", "a", "c"):
        turns.add(who)
    turns.remove("c")
    turns.remove("c")
    assert turns
    assert [turns.next(), turns.next(), turns.next()] == ["a", "b", None]
    assert not turns
