"""The chunked coding: any split of the same bytes gives the same body, and sloppy framing is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.httpwire.chunks import LAST_CHUNK, ChunkDecoder, ChunkError, encode_chunk


def _decode(parts: list[bytes]) -> tuple[bytes, ChunkDecoder]:
    decoder = ChunkDecoder()
    body, rest = b"", b""
    for part in parts:
        if decoder.done:
            rest += part
        else:
            body += decoder.feed(part)
    decoder.rest += rest
    return body, decoder


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_same_body(chunks: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(b"".join(encode_chunk(chunk)) for chunk in chunks) + LAST_CHUNK + b"NEXT"
    edges = sorted({min(cut, len(raw)) for cut in cuts} | {0, len(raw)})
    body, decoder = _decode([raw[a:b] for a, b in pairwise(edges)])
    assert body == b"".join(chunks)
    assert decoder.done
    assert decoder.rest == b"NEXT"


def test_large_chunks_are_not_copied_together() -> None:
    data = bytes(100_000)
    buffers = encode_chunk(data)
    assert buffers[1] is data
    assert _decode([b"".join(buffers) + LAST_CHUNK])[0] == data


def test_extensions_and_trailers_are_dropped() -> None:
    body, decoder = _decode([b"3;a=b\r\nabc\r\n0\r\nX-Trailer: y\r\nZ: w\r\n\r\nrest"])
    assert (body, decoder.done, decoder.rest) == (b"abc", True, b"rest")


@pytest.mark.parametrize(
    "raw",
    [
        b"5\nhello\n0\n\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello",
        b"\r\nhello",
        b";x\r\n",
        b"g\r\n",
        b"1234567890123456\r\n",
        b"5;\x00\r\nhello",
        b"5;a\nb\r\nhello",
        b"5;" + b"a" * 300,
        b"0\r\nX: y\nZ: w\r\n\r\n",
        b"0\r\nX : y\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\n" + b"a: b\r\n" * 2000,
    ],
)
def test_sloppy_framing_is_refused(raw: bytes) -> None:
    with pytest.raises(ChunkError):
        _decode([raw])
    with pytest.raises(ChunkError):
        _decode([raw[i : i + 1] for i in range(len(raw))])
