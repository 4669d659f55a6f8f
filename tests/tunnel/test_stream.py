"""The rules of one stream, one fact a test."""

from __future__ import annotations

import lz4.block
import pytest

from skerry.relay import ResetCode
from skerry.tunnel import frames, packing
from skerry.tunnel.codes import ProtocolError, RejectCode
from skerry.tunnel.frames import END, FLUSH, LONG, PACKED, Frame, Sent, Trail, Type, decode, encode
from skerry.tunnel.stream import Accepted, Answered, Broken, Core, Data, Ended, StreamEvent, StreamRefused, Writable
from skerry.tunnel.window import LEAST_CREDIT, MAX_WINDOW, MIN_WINDOW, Budget, PeerRate, Window
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
    assert got(core, frames.reject(RejectCode.LIMIT, "full")) == StreamRefused(RejectCode.LIMIT, True, "full")
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


# The wire


def test_an_acceptor_may_send_nothing_before_it_was_granted() -> None:
    assert bare(initiator=False).room == 0


@pytest.mark.parametrize("end", [False, True])
def test_a_message_that_is_whole_says_so(end: bool) -> None:
    request, answer = bare(initiator=True), acceptor()
    assert decode(request.open(opening("1"), b"", end=end)).flags == (END if end else 0)
    assert decode(answer.respond(answering(), b"", end=end)).flags == (END if end else 0)
    assert (request.out_end, answer.out_end) == (end, end)


@pytest.mark.parametrize("flush", [False, True])
def test_a_piece_says_whether_more_is_to_be_waited_for(flush: bool) -> None:
    core = acceptor()
    core.respond(answering(), b"", end=False)
    assert decode(core.data(b"x", flush=flush)).flags == (FLUSH if flush else 0)


@pytest.mark.parametrize("long", [False, True])
def test_an_acceptor_tells_its_credit_and_whether_heads_may_continue(long: bool) -> None:
    core = acceptor()
    core.long = long
    frame = decode(core.ack())
    assert (frame.flags, frame.offset) == (LONG if long else 0, MIN_WINDOW)
    other = initiator()
    assert not other.long
    other.receive(frame, 0.0)
    assert other.long is long


def test_who_was_not_told_otherwise_neither_packs_nor_continues_heads() -> None:
    core = acceptor()
    assert decode(core.respond(answering(), b"x" * 1000, end=False)).flags == 0
    assert decode(bare(initiator=False).ack()).flags == 0
    core.credit = 1 << 20
    assert decode(core.data(b"x" * packing.LEAST)).flags == 0


def test_a_piece_is_packed_from_four_kib_on() -> None:
    for size, flags in ((packing.LEAST - 1, 0), (packing.LEAST, PACKED)):
        core = acceptor()
        core.packs, core.credit = True, 1 << 20
        assert decode(core.respond(answering(), b"x" * size, end=False)).flags == flags


def test_an_end_needs_no_credit_and_says_how_much_there_was() -> None:
    core = acceptor()
    core.respond(answering(), b"x" * 1000, end=False)
    assert core.room == 0
    frame = decode(core.end())
    assert (frame.type, frame.seq, frame.offset, frame.head) == (Type.END, 1, 1000, None)
    assert core.state("1") == Sent(number="1", seq=2, offset=1000, credit=MIN_WINDOW)


def test_trailers_travel_with_the_end() -> None:
    trail = Trail(trailers=((b"grpc-status", b"0"),))
    core, other = acceptor(), initiator()
    core.respond(answering(), b"", end=False)
    got(other, resp())
    assert got(other, core.end(trail)) == Ended(trail)


@pytest.mark.parametrize("reset", [False, True])
def test_nothing_is_sent_after_the_own_end_or_a_reset(reset: bool) -> None:
    core = bare(initiator=True)
    core.open(opening("1"), b"", end=not reset)
    core.credit = 1000
    if reset:
        core.abort(ResetCode.CANCEL, "")
    assert core.finished is reset
    with pytest.raises(ProtocolError, match="after the end"):
        core.data(b"x")


def test_credit_is_not_announced_for_a_request_that_has_ended() -> None:
    core = bare(initiator=False)
    got(core, encode(Type.DATA, seq=1, body=b"x" * 40_000))
    got(core, encode(Type.END, seq=2, offset=40_000))
    assert core.in_end
    assert not core.finished
    assert core.consumed(40_000, 0.0) is None


def test_credit_is_not_announced_for_a_few_bytes() -> None:
    core = bare(initiator=False)
    got(core, encode(Type.DATA, seq=1, body=b"x" * 40_000))
    assert core.consumed(1, 0.0) is None


def test_packed_pieces_say_what_the_link_carries_by_what_travelled() -> None:
    core = bare(initiator=True)
    core.open(opening("1", bulk=True), b"", end=True)
    rate = PeerRate()
    core.bind(rate, 0.0)
    got(core, resp())
    piece = lz4.block.compress(b"x" * 20_000, store_size=True)
    got(core, encode(Type.DATA, flags=PACKED, seq=1, offset=0, body=piece))
    got(core, encode(Type.DATA, flags=PACKED, seq=2, offset=20_000, body=piece), now=0.5)
    assert rate.rate == len(piece) / 0.5


def test_a_packed_piece_that_is_none_says_what_is_wrong() -> None:
    core = bare(initiator=True)
    core.open(opening("1", bulk=True), b"", end=True)
    got(core, resp())
    event = got(core, encode(Type.DATA, flags=PACKED, seq=1, offset=0, body=b"x"))
    assert isinstance(event, Broken)
    assert "does not say its size" in event.message


@pytest.mark.parametrize("pieces", [0, 7, 300])
def test_as_many_frames_that_move_nothing_are_borne_as_others_moved_and_a_hundred(pieces: int) -> None:
    core = initiator()
    got(core, resp())
    for seq in range(1, pieces + 1):
        assert got(core, data(seq, seq - 1)) == Data(b"x")
    moved = 1 + 1 + pieces  # the own OPEN, the head, and the pieces
    assert [got(core, resp()) for _ in range(moved + 100)] == [None] * (moved + 100)
    assert broken(got(core, resp())) == (ResetCode.LIMIT, True, True)


def test_credit_moves_something_from_a_quarter_of_the_smallest_window_on() -> None:
    for step, steps in ((LEAST_CREDIT, 40), (LEAST_CREDIT - 1, 0)):
        core = bare(initiator=False)
        for count in range(1, 41):
            assert got(core, encode(Type.CREDIT, offset=count * step)) == Writable()
        idle = 100 + steps - (40 - steps)
        assert [got(core, encode(Type.CREDIT, offset=0)) for _ in range(idle)] == [None] * idle
        assert isinstance(got(core, encode(Type.CREDIT, offset=0)), Broken)
