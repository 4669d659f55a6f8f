"""Downloads part by part; through the front door: tests/hostapi/test_streams.py."""

from __future__ import annotations

import pytest

from skerry.admission import Download
from skerry.api.streaming import decode_part
from skerry.bus.objects import PART_BYTES
from skerry.errors import BadRequest


async def test_every_part_says_what_the_whole_is() -> None:
    data = bytes(PART_BYTES + 1)
    download = Download.of_bytes(data, content_type="text/plain", attachment="a.txt")
    first, begin = decode_part(await download.part(""))
    last, end = decode_part(await download.part(first.next))
    assert begin + end == data
    assert (first.size, first.digest, first.content_type, first.attachment) == (
        last.size,
        last.digest,
        "text/plain",
        "a.txt",
    )
    assert last.next == ""


@pytest.mark.parametrize("cursor", ["x", "-1", "1.2", "1.", "\uff11", " 1"])
async def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(BadRequest, match="not given by this service"):
        await Download.of_bytes(b"x").part(cursor)


async def test_behind_the_end_is_nothing() -> None:
    head, data = decode_part(await Download.of_bytes(b"x").part("5"))
    assert (head.next, data) == ("", b"")
