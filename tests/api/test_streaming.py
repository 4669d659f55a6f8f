"""Parts of an answer as messages: what was written is read, and what is no part is said to be none."""

from __future__ import annotations

import msgspec
import pytest

from skerry.api.streaming import PartHead, decode_part, encode_part


@pytest.mark.parametrize("data", [b"", b"\n", b"a\n{}\nb", bytes(range(256))])
def test_a_part_is_read_as_it_was_written(data: bytes) -> None:
    head = PartHead(size=3, digest="sha256:00", content_type="text/plain", attachment="a\nb", next="1.2")
    assert decode_part(encode_part(head, data)) == (head, data)


def test_what_is_not_known_is_not_said() -> None:
    assert encode_part(PartHead(), b"x") == b"{}\nx"


@pytest.mark.parametrize("message", [b"", b"\n", b"x", b"[]\n", b'{"size":"many"}\n', b"\xff\n"])
def test_what_is_no_part_is_said_to_be_none(message: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_part(message)
