"""SPDY by its frames' lengths: where one ends, and what is said at the end of a session that broke."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.httpwire.spdy import FrameEnds, is_remote_command, last_words

EXEC = b"/api/v1/namespaces/d/pods/p/exec?command=sh"


def _frame(first: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">IB", first, flags) + len(data).to_bytes(3, "big") + data


frames = st.builds(_frame, st.sampled_from([1, 3, 0x80030001, 0x80030006]), st.integers(0, 255), st.binary(max_size=40))


@given(st.lists(frames, max_size=6), st.integers(1, 20))
def test_between_frames_is_where_one_has_ended_and_none_has_begun(sent: list[bytes], step: int) -> None:
    whole = b"".join(sent)
    ends = {0}
    for frame in sent:
        ends.add(max(ends) + len(frame))
    follower = FrameEnds()
    for at in range(0, len(whole), step):
        follower.feed(whole[at : at + step])
        assert follower.between == (min(at + step, len(whole)) in ends)


def test_the_last_words_are_a_data_frame_that_ends_the_first_stream() -> None:
    raw = last_words(b"{}")
    assert raw == b"\x00\x00\x00\x01\x01\x00\x00\x02{}"
    follower = FrameEnds()
    follower.feed(raw)
    assert follower.between


@pytest.mark.parametrize(
    ("upgrade", "target", "protocol", "is_one"),
    [
        (b"SPDY/3.1", EXEC, b"v4.channel.k8s.io", True),
        (b"spdy/3.1", EXEC.partition(b"?")[0], b"v4.channel.k8s.io", True),
        (b"SPDY/3.1", EXEC.replace(b"exec", b"attach"), b"v4.channel.k8s.io", True),
        (b"SPDY/3.1", EXEC.replace(b"exec", b"portforward"), b"portforward.k8s.io", False),
        (b"SPDY/3.1", EXEC, b"v3.channel.k8s.io", False),
        (b"SPDY/3.1", EXEC, None, False),
        (b"websocket", EXEC, b"v4.channel.k8s.io", False),
        (b"SPDY/3.1", b"/api/v1/namespaces/exec/pods", b"v4.channel.k8s.io", False),
    ],
)
def test_what_is_a_remote_command(upgrade: bytes, target: bytes, protocol: bytes | None, is_one: bool) -> None:
    assert is_remote_command(upgrade, target, protocol) is is_one
