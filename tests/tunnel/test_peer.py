"""Two processes: alive, agreed, and not flooding."""

from __future__ import annotations

from skerry.relay import ResetCode
from skerry.tunnel import frames
from skerry.tunnel.frames import SYNC_ENTRIES, Frame, Sent, Sync, Type, decode, encode
from skerry.tunnel.peer import AbuseCounter, Consequence, Peer, answer_sync, stretch
from skerry.tunnel.stream import Broken, Core, Writable
from skerry.tunnel.window import Budget, Window
from tests.tunnel.pair import opening


def core() -> Core:
    window = Window(Budget(1 << 30), bulk=False)
    assert window.open()
    made = Core(window, initiator=True, long_running=False)
    made.open(opening("1"), b"", end=True)
    return made


def peer(*numbers: str) -> Peer:
    made = Peer(0.0)
    for number in numbers:
        made.add(number, core(), 0.0)
    return made


def types(outcomes: list[Consequence]) -> list[Type]:
    return [decode(o.frame).type for o in outcomes if o.frame is not None]


def ping(n: int = 1) -> Frame:
    return decode(encode(Type.PING, offset=n))


def pong(n: int) -> Frame:
    return decode(encode(Type.PONG, offset=n))


def sync(*entries: Sent) -> Frame:
    return decode(encode(Type.SYNC, head=Sync(streams=entries)))


def entry(number: str = "1", *, seq: int = 0, credit: int = 0) -> Sent:
    return Sent(number=number, seq=seq, offset=0, credit=credit)


def test_a_ping_is_echoed() -> None:
    assert peer().receive(ping(7), 0.0) == [Consequence("-", frame=encode(Type.PONG, offset=7))]


def test_three_pings_and_a_sync_every_two_seconds_while_there_are_streams() -> None:
    made = peer("1")
    sent = []
    for tenth in range(1, 45):
        sent += types(made.tick(tenth / 10, 1.0, 60.0))
        made.receive(pong(tenth), tenth / 10)
    assert (sent.count(Type.PING), sent.count(Type.SYNC)) == (6, 2)


def test_nothing_is_sent_without_streams() -> None:
    made = peer("1")
    made.remove("1")
    made.remove("1")
    assert made.tick(100.0, 1.0, 60.0) == []


def test_a_silent_peer_is_lost_within_three_seconds_of_ticks() -> None:
    made = peer("1")
    assert types(made.tick(0.75, 1.0, 60.0)) == [Type.PING]
    made.receive(pong(1), 0.75)
    lost = next(n / 4 for n in range(4, 40) if any(o.event for o in made.tick(n / 4, 1.0, 60.0)))
    assert lost - 0.75 <= 3.0


def test_after_a_pause_pings_are_not_sent_in_a_burst() -> None:
    made = peer("1")
    assert [types(made.tick(now, 1.0, 60.0)).count(Type.PING) for now in (10.0, 10.25, 10.5, 10.75)] == [1, 0, 0, 1]


def test_three_unanswered_pings_lose_the_peer() -> None:
    made = peer("1", "2")
    made.streams["2"].reset = True
    outcomes = [o for second in range(1, 5) for o in made.tick(float(second), 1.0, 60.0)]
    lost = [(o.number, o.event.code) for o in outcomes if isinstance(o.event, Broken)]
    assert lost == [("1", ResetCode.PEER_LOST)]


def test_a_peer_that_nobody_hears_twice_is_gone() -> None:
    made = peer("1")
    assert made.unheard(1.0) == []
    assert made.unheard(1.4) == []
    assert [o.number for o in made.unheard(2.0)] == ["1"]


def test_a_pong_clears_the_doubt() -> None:
    made = peer("1")
    made.unheard(1.0)
    made.receive(pong(0), 1.5)
    assert made.unheard(2.0) == []


def test_a_new_first_stream_starts_with_a_clean_count() -> None:
    made = peer("1")
    for second in range(1, 4):
        made.tick(float(second), 1.0, 60.0)
    made.remove("1")
    made.add("2", core(), 3.5)
    assert types(made.tick(4.5, 1.0, 60.0)) == [Type.PING]


def test_a_pong_for_the_future_is_not_believed() -> None:
    made = peer("1")
    made.receive(pong(1 << 40), 0.0)
    outcomes = [o for second in range(1, 5) for o in made.tick(float(second), 1.0, 60.0)]
    assert any(isinstance(o.event, Broken) for o in outcomes)


def test_ping_and_sync_stretch_to_300_a_second() -> None:
    assert stretch(10) == 1.0
    assert stretch(1500) == 10.0


def test_sync_is_split_over_frames() -> None:
    made = peer(*(f"{n:x}" for n in range(SYNC_ENTRIES + 1)))
    assert [len(decode(f).head.streams) for f in made.sync()] == [SYNC_ENTRIES, 1]
    made.streams["0"].reset = True
    assert len(made.sync()) == 1


def test_sync_resets_streams_that_nobody_knows() -> None:
    outcomes = peer("1").receive(sync(entry("1"), entry("ff")), 0.0)
    assert outcomes == [Consequence("ff", frame=frames.reset(ResetCode.PEER_LOST, "no such stream here"))]


def test_sync_repairs_credit_and_finds_gaps() -> None:
    assert peer("1").receive(sync(entry(credit=100)), 0.0) == [Consequence("1", Writable())]
    outcomes = peer("1").receive(sync(entry(seq=3)), 0.0) or []
    assert [o.event.code for o in outcomes if isinstance(o.event, Broken)] == [ResetCode.GAP]


def test_one_sync_is_answered_with_a_bounded_number_of_resets() -> None:
    head = Sync(streams=tuple(entry(f"{n:x}") for n in range(500)))
    assert len(answer_sync(head, {})) == 64


def test_drain_is_remembered() -> None:
    made = peer()
    assert made.receive(decode(encode(Type.DRAIN)), 0.0) == []
    assert made.draining


def test_a_stream_frame_for_the_connection_is_counted() -> None:
    assert peer().receive(decode(encode(Type.DATA, body=b"x")), 0.0) is None


def test_more_than_twenty_connection_frames_a_second_are_counted() -> None:
    made = peer()
    answers = [made.receive(ping(), 0.5) for _ in range(30)]
    assert answers.count(None) == 10
    assert made.receive(ping(), 2.0) is not None


def test_a_stalled_reader_is_found_by_the_tick() -> None:
    made = peer("1")
    window = made.streams["1"].window
    window.arrived(5, 1.0)
    assert any(isinstance(o.event, Broken) for o in made.tick(62.0, 1.0, 60.0))


def test_late_frames_are_excused_within_what_streams_left() -> None:
    abuse = AbuseCounter(3, 0.0)
    abuse.ended(10_000)
    floods = [abuse.stray(5_000, 0.0) for _ in range(8)]
    assert floods == [False] * 6 + [True, True]
    assert abuse.strays == 5


def test_what_cannot_be_late_is_always_counted() -> None:
    abuse = AbuseCounter(2, 0.0)
    abuse.ended(1 << 30)
    assert [abuse.stray(1, 0.0, excusable=False) for _ in range(3)] == [False, False, True]


def test_the_count_halves_in_a_minute() -> None:
    abuse = AbuseCounter(10, 0.0)
    for _ in range(8):
        abuse.stray(1, 1.0, excusable=False)
    abuse.stray(1, 70.0, excusable=False)
    assert abuse.strays == 5
