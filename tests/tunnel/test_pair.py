"""Whatever the network does: what is delivered is a prefix, an end is a true end, and nothing hangs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.relay import ResetCode
from tests.tunnel.pair import CONTENT, Network

SIDES = st.sampled_from(["proxy", "agent"])
NUMBERS = st.sampled_from(["1", "2", "3"])
SIZES = st.sampled_from([0, 1, 100, 40_000, 70_000, 300_000])
OPERATIONS = st.one_of(
    st.tuples(st.just("open"), NUMBERS, st.sampled_from([0, 10, 200_000]), st.booleans(), st.booleans()),
    st.tuples(st.just("respond"), NUMBERS, SIZES, st.sampled_from([200, 101]), st.booleans()),
    st.tuples(st.just("write"), SIDES, NUMBERS, SIZES),
    st.tuples(st.just("finish"), SIDES, NUMBERS),
    st.tuples(st.just("read"), SIDES, NUMBERS, SIZES),
    st.tuples(st.just("cancel"), SIDES, NUMBERS),
    st.tuples(st.just("deliver"), SIDES, st.integers(0, 3)),
    st.tuples(st.just("repeat"), SIDES, st.integers(0, 3)),
    st.tuples(st.just("drop"), SIDES),
    st.tuples(st.just("time"), st.sampled_from([0.05, 0.6, 2.5])),
)


def act(network: Network, operation: tuple[Any, ...]) -> None:
    match operation:
        case ("open", number, size, end, bulk):
            if number not in network.proxy.ends:
                network.proxy.open(number, CONTENT[:size], end=end, bulk=bulk)
        case ("respond", number, size, status, end):
            network.agent.respond(number, size, status, end=end and status != 101)
        case ("write", side, number, size):
            network.side(side).write(number, size)
        case ("finish", side, number):
            network.side(side).finish(number)
        case ("read", side, number, size):
            network.side(side).read(number, size)
        case ("cancel", side, number):
            network.side(side).cancel(number)
        case ("deliver", side, which):
            network.deliver(side, which)
        case ("repeat", side, which):
            network.deliver(side, which, keep=True)
        case ("drop", side):
            network.drop(side)
        case ("time", seconds):
            network.pass_time(seconds)


def check(network: Network) -> None:
    for number, ours in network.proxy.ends.items():
        theirs = network.agent.ends.get(number)
        assert ours.received == CONTENT[: len(ours.received)]
        if theirs is None:
            assert not ours.clean
            continue
        assert theirs.received == CONTENT[: len(theirs.received)]
        assert not ours.clean or (theirs.core.out_end and len(ours.received) == theirs.sent)
        assert not theirs.clean or (ours.core.out_end and len(theirs.received) == ours.sent)
        assert theirs.core.sent <= ours.core.window.granted
        assert ours.core.sent <= max(theirs.core.window.granted, 256 << 10)


@settings(max_examples=300)
@given(st.lists(OPERATIONS, max_size=60))
def test_prefix_true_end_and_no_hang(operations: list[tuple[Any, ...]]) -> None:
    network = Network()
    for operation in operations:
        act(network, operation)
        check(network)
    assert network.settle()
    check(network)
    assert not network.proxy.peer.streams
    assert not network.agent.peer.streams


@pytest.mark.parametrize("lost", range(12))
@pytest.mark.parametrize("side", ["proxy", "agent"])
def test_any_single_lost_frame_breaks_or_repairs_and_never_hangs(side: Any, lost: int) -> None:
    network = Network()
    network.proxy.open("1", b"", end=False, bulk=True)
    counts = {"proxy": 0, "agent": 0}
    for _ in range(60):
        for name in ("proxy", "agent"):
            while network.queues[name]:
                counts[name] += 1
                if name == side and counts[name] == lost + 1:
                    network.drop(name)
                else:
                    network.deliver(name)
        network.agent.respond("1", 100, 101, end=False)
        for process in (network.proxy, network.agent):
            if "1" in process.ends:
                process.read("1", process.ends["1"].unread)
            process.write("1", 300_000)
        network.pass_time(0.1)
    assert network.settle()
    check(network)


def test_a_silent_peer_is_lost_after_three_unanswered_pings() -> None:
    network = Network()
    network.proxy.open("1", b"", end=True, bulk=False)
    network.deliver("proxy")
    network.deliver("agent")
    for _ in range(45):
        network.queues["proxy"].clear()
        network.pass_time(0.1)
    broken = network.proxy.ends["1"].broken
    assert broken is not None
    assert broken.code is ResetCode.PEER_LOST


def test_a_process_that_slept_asks_once_more_before_it_gives_the_other_up() -> None:
    network = Network()
    network.proxy.open("1", b"", end=True, bulk=False)
    network.pass_time(0.1)
    for name in ("proxy", "agent"):
        network.deliver(name)
    network.pass_time(100.0)
    assert network.proxy.ends["1"].broken is None
