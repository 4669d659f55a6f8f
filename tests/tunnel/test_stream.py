"""The rules of one stream, one fact a test."""

from __future__ import annotations

import lz4.block
import pytest

from skerry.relay import ResetCode
from skerry.tunnel import frames
from skerry.tunnel.codes import ProtocolError, RejectCode
from skerry.tunnel.frames import END, PACKED, Frame, Sent, Type, decode, encode
from skerry.tunnel.stream import Accepted, Answered, Broken, Core, Data, Ended, Refused, StreamEvent, Writable
from skerry.tunnel.window import MAX_WINDOW, MIN_WINDOW, Budget, PeerRate, Window
from tests.tunnel.pair import answering, opening


def initiator(*, long_running: bool = False) -> Core:
    """A proxy's end after OPEN with END."""
    core = bare(initiator=True, long_running=long_running)
    core.open(opening("1"), b"", end=True)
    return core


def bare(*, initiator: bool, long_running: bool = False) -> Core:
    window = Window(Budget(1 << 20), bulk=False)
    assert window.open()
    core = Core(window, initiator=initiator, long_running=long_running)
    core.bind(PeerRate(), 0.0)
    return core


def acceptor() -> Core:
    """An agent's end with credit for 1,000 bytes."""
    core = bare(initiator=False)
    core.credit = 1000
    return core


def got(core: Core, data: bytes, now: float = 0.0) -> StreamEvent | None:
    return core.receive(decode(data), now)


def resp(body: bytes = b"", *, end: bool = False, status: int = 200, credit: int = 0) -> bytes:
    return encode(Type.RESP, flags=END if end else 0, offset=credit, head=answering(status), body=body)


def data(seq: int, offset: int, body: bytes = b"x") -> bytes:
    return encode(Type.DATA, seq=seq, offset=offset, body=body)


def broken(event: StreamEvent | None) -> tuple[ResetCode, bool, bool]:
    assert isinstance(event, Broken)
    return event.code, event.tell, event.stray


def test_an_answer_in_one_message_finishes_the_stream() -> None:
    core = initiator()
    assert got(core, resp(b"body", end=True)) == Answered(answering(), b"body", True)
    assert core.finished


def test_head_data_and_end_come_in_order() -> None:
    core = initiator()
    assert isinstance(got(core, resp(b"ab")), Answered)
    assert got(core, data(1, 2, b"cd")) == Data(b"cd")
    assert got(core, encode(Type.END, seq=2, offset=4)) == Ended()
    assert core.finished


def test_a_repeated_frame_is_dropped() -> None:
    core = initiator()
    got(core, resp(b"ab"))
    assert got(core, resp(b"ab")) is None


def test_a_missing_frame_is_a_gap() -> None:
    core = initiator()
    got(core, resp())
    assert broken(got(core, data(2, 0))) == (ResetCode.GAP, True, False)


@pytest.mark.parametrize(
    "frame",
    [
        data(1, 7),
        resp(b"x" * 10)[:4] + (1).to_bytes(4, "big") + resp(b"x" * 10)[8:],
        encode(Type.END, seq=1, offset=9),
        data(1, 0, b"x" * (MIN_WINDOW + 1)),
        encode(Type.PING),
    ],
    ids=["wrong offset", "second head", "wrong total", "beyond the credit", "ping"],
)
def test_what_no_correct_peer_sends_is_reset_and_counted(frame: bytes) -> None:
    core = initiator()
    got(core, resp())
    assert broken(got(core, frame)) == (ResetCode.LIMIT, True, True)


def test_data_before_the_head_is_out_of_turn() -> None:
    assert broken(got(initiator(), data(0, 0)))[2]


def test_a_head_from_the_initiator_is_out_of_turn() -> None:
    core = acceptor()
    core.in_seq = 0
    assert broken(got(core, resp()))[2]


def test_data_after_the_end_is_out_of_turn() -> None:
    core = bare(initiator=True)
    core.open(opening("1"), b"", end=False)
    got(core, resp(status=101))
    got(core, encode(Type.END, seq=1, offset=0))
    assert broken(got(core, data(2, 0)))[2]


def test_an_inline_body_counts_against_the_window() -> None:
    assert broken(got(initiator(), resp(b"x" * (MIN_WINDOW + 1))))[2]


def test_endless_repeats_are_a_flood() -> None:
    core = initiator()
    got(core, resp())
    events = [got(core, resp()) for _ in range(200)]
    assert [broken(e) for e in events if e is not None] == [(ResetCode.LIMIT, True, True)]


def test_data_without_a_byte_is_a_flood_when_it_never_ends() -> None:
    core = initiator(long_running=True)
    got(core, resp())
    events = [got(core, data(seq, 0, b"")) for seq in range(1, 300)]
    assert [broken(e) for e in events if e is not None] == [(ResetCode.LIMIT, True, True)]


def test_a_few_pieces_without_a_byte_are_nothing() -> None:
    core = initiator()
    got(core, resp())
    assert [got(core, data(seq, 0, b"")) for seq in range(1, 51)] == [None] * 50
    assert got(core, data(51, 0, b"x")) == Data(b"x")


def test_packed_pieces_of_nothing_count_as_well() -> None:
    core = bare(initiator=True, long_running=True)
    core.open(opening("1", bulk=True), b"", end=True)
    got(core, resp())
    nothing = lz4.block.compress(b"", store_size=True)
    events = [got(core, encode(Type.DATA, flags=PACKED, seq=seq, offset=0, body=nothing)) for seq in range(1, 300)]
    assert [broken(e) for e in events if e is not None] == [(ResetCode.LIMIT, True, True)]


def test_credit_that_hardly_rises_is_believed_and_is_a_flood_when_it_never_ends() -> None:
    core = acceptor()
    assert got(core, encode(Type.CREDIT, offset=1001)) == Writable()
    assert core.credit == 1001
    events = [got(core, encode(Type.CREDIT, offset=1000 + n)) for n in range(2, 300)]
    assert [broken(e) for e in events if isinstance(e, Broken)] == [(ResetCode.LIMIT, True, True)]


def test_ack_grants_credit_and_a_second_one_is_nothing() -> None:
    core = initiator()
    assert got(core, encode(Type.ACK, offset=500)) == Accepted()
    assert core.room == 500
    assert got(core, encode(Type.ACK, offset=600)) is None


def test_a_refusal_ends_the_stream() -> None:
    core = initiator()
    assert got(core, frames.reject(RejectCode.LIMIT, "full")) == Refused(RejectCode.LIMIT, True, "full")
    assert core.finished


def test_the_refusal_of_a_duplicate_says_nothing_about_the_first() -> None:
    core = initiator()
    assert got(core, frames.reject(RejectCode.DUPLICATE, "")) is None
    assert isinstance(got(core, resp()), Answered)


def test_credit_only_rises() -> None:
    core = acceptor()
    assert got(core, encode(Type.CREDIT, offset=2000)) == Writable()
    assert got(core, encode(Type.CREDIT, offset=1500)) is None
    assert core.room == 2000


def test_credit_beyond_a_window_is_not_believed() -> None:
    core = acceptor()
    got(core, encode(Type.CREDIT, offset=1 << 60))
    assert core.room == MAX_WINDOW


def test_a_reset_is_not_answered() -> None:
    core = initiator()
    assert got(core, frames.reset(ResetCode.UPSTREAM, "cut")) == Broken(ResetCode.UPSTREAM, "cut", tell=False)
    assert got(core, resp()) is None
    assert core.abort(ResetCode.CANCEL, "") is None


def test_abort_tells_the_other_side_once() -> None:
    core = initiator()
    frame = core.abort(ResetCode.CANCEL, "gone")
    assert frame == frames.reset(ResetCode.CANCEL, "gone")
    assert core.abort(ResetCode.CANCEL, "gone") is None


def test_the_answer_ends_the_stream_before_the_request_did() -> None:
    core = acceptor()
    core.respond(answering(), b"", end=True)
    assert core.finished
    assert got(core, data(1, 0)) is None


def test_after_101_both_directions_end_on_their_own() -> None:
    core = acceptor()
    core.respond(answering(101), b"", end=False)
    core.end()
    assert not core.finished
    assert got(core, encode(Type.END, seq=1, offset=0)) == Ended()
    assert core.finished


def test_sent_frames_are_numbered_and_placed() -> None:
    core = acceptor()
    sent = [core.respond(answering(), b"ab", end=False), core.data(b"cde"), core.data(b"f", flush=True), core.end()]
    assert [(f.seq, f.offset) for f in map(decode, sent)] == [(0, core.window.granted), (1, 2), (2, 5), (3, 6)]


def test_data_before_the_head_is_a_local_mistake() -> None:
    with pytest.raises(ProtocolError, match="head comes first"):
        acceptor().data(b"x")


def test_a_second_head_is_a_local_mistake() -> None:
    core = acceptor()
    core.respond(answering(), b"", end=False)
    with pytest.raises(ProtocolError, match="sent once"):
        core.respond(answering(), b"", end=False)


def test_more_than_the_credit_is_a_local_mistake() -> None:
    core = acceptor()
    core.respond(answering(), b"", end=False)
    with pytest.raises(ProtocolError, match="credit for 1000"):
        core.data(b"x" * 1001)


def test_data_after_the_own_end_is_a_local_mistake() -> None:
    core = acceptor()
    core.respond(answering(), b"", end=True)
    with pytest.raises(ProtocolError, match="after the end"):
        core.data(b"x")


def test_credit_is_announced_while_somebody_may_use_it() -> None:
    core = initiator()
    got(core, resp(b"x" * 40_000))
    frame = core.consumed(40_000, 0.0)
    assert frame is not None
    assert decode(frame) == Frame(Type.CREDIT, 0, 0, 40_000 + MIN_WINDOW, None, b"")


def test_credit_is_not_announced_after_the_end() -> None:
    core = initiator()
    got(core, resp(b"x" * 40_000, end=True))
    assert core.consumed(40_000, 0.0) is None


def test_sync_tells_a_missing_tail_and_repeats_credit() -> None:
    core = initiator()
    got(core, resp())
    assert core.synced(Sent(number="1", seq=1, offset=0, credit=0)) is None
    assert core.synced(Sent(number="1", seq=1, offset=0, credit=900)) == Writable()
    assert broken(core.synced(Sent(number="1", seq=2, offset=0, credit=0))) == (ResetCode.GAP, True, False)
    assert core.synced(Sent(number="1", seq=3, offset=0, credit=0)) is None


def test_sync_tells_missing_bytes() -> None:
    core = initiator()
    assert broken(core.synced(Sent(number="1", seq=0, offset=5, credit=0)))[0] is ResetCode.GAP


def test_a_stalled_reader_is_cut_unless_the_request_is_long_running() -> None:
    for long_running in (False, True):
        core = initiator(long_running=long_running)
        got(core, resp(b"x"), 100.0)
        assert core.tick(150.0, 60.0) is None
        event = core.tick(161.0, 60.0)
        assert event is None if long_running else broken(event)[0] is ResetCode.LIMIT
