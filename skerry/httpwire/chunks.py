"""The chunked transfer coding (RFC 9112, 7.1), strict: bare LF, blanks, signs, long sizes and long extensions fail.

Decoded in Python because the end of the message matters as much as its bytes: llhttp runs on into what follows, and
httptools does not say where. Trailers are read and checked; what of an answer's may travel on says headers.clean_trailers.
"""

from __future__ import annotations

import re

from skerry.httpwire.head import Headers, MalformedHead
from skerry.httpwire.headreader import parse_fields

LAST_CHUNK = b"0\r\n\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e]*)?")
_PLAIN_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_SIZE_LINE_LIMIT = 256
_TRAILER_LIMIT = 8 * 1024


class ChunkError(ValueError):
    """The peer's chunk framing breaks a rule; the text says which."""


def encode_chunk(data: bytes) -> list[bytes]:
    """The buffers that carry `data` (not empty) as one chunk; small ones are joined to one buffer."""
    if len(data) <= 16 * 1024:
        return [b"%x\r\n%b\r\n" % (len(data), data)]
    return [b"%x\r\n" % len(data), data, b"\r\n"]


def last_chunk(trailers: Headers) -> bytes:
    """The end of a body, with its trailers. Raises MalformedHead if one could not be sent as exactly one line."""
    if not trailers:
        return LAST_CHUNK
    lines = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
    if lines.count(b"\r\n") != len(trailers) or parse_fields(lines) is None:
        raise MalformedHead("the answer's trailers hold bytes that HTTP/1.1 does not allow")
    return b"0\r\n%b\r\n" % lines


class ChunkDecoder:
    """Takes raw bytes, gives body bytes. After `done`, `rest` holds what follows the message."""

    __slots__ = ("_held", "_left", "_stage", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._held = b""  # an unfinished size line, chunk end or trailer section
        self._left = 0
        self._stage = 0  # 0 size line, 1 data, 2 CR LF after data, 3 trailers
        self.done = False
        self.rest = b""
        self.trailers: Headers = []
        """As received; complete when `done`."""

    def feed(self, data: bytes) -> bytes:
        """The body bytes in `data`, maybe none. Raises ChunkError; the decoder is of no use afterwards."""
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.done:
            if self._stage == 0 and (at := self._whole_chunks(data, at, pieces)) == size:
                break
            if self._stage == 1:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._stage = 2
                continue
            step = (self._size_line, None, self._chunk_end, self._trailers)[self._stage]
            assert step is not None  # noqa: S101 (stage 1 was handled above)
            moved = step(data, at)
            if not moved:
                self._held = data[at:]
                break
            at += moved
        if self.done:
            self.rest = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @staticmethod
    def _whole_chunks(data: bytes, at: int, pieces: list[bytes]) -> int:
        """Takes the chunks that lie in `data` from line to end, from `at` on; where what is left begins. An API server writes
        a list as one chunk for each object: 400 in a megabyte.
        """
        while line := _PLAIN_LINE.match(data, at):
            start = line.end()
            end = start + int(line[1], 16)
            if end == start or not data.startswith(b"\r\n", end):
                break
            pieces.append(data[start:end])
            at = end + 2
        return at

    def _size_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + _SIZE_LINE_LIMIT)
        if end < 0:
            if len(data) - at >= _SIZE_LINE_LIMIT or b"\n" in data[at:]:
                raise ChunkError("a chunk's size line is too long or ends without CR LF")
            return 0
        match = _SIZE.fullmatch(data, at, end)
        if match is None:
            raise ChunkError("a chunk's size is not a hexadecimal number")
        self._left = int(match[1], 16)
        self._stage = 1 if self._left else 3
        return end + 2 - at

    def _chunk_end(self, data: bytes, at: int) -> int:
        tail = data[at : at + 2]
        if tail != b"\r\n"[: len(tail)]:
            raise ChunkError("a chunk is longer than its size says")
        if len(tail) < 2:
            return 0
        self._stage = 0
        return 2

    def _trailers(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self.done = True
            return 2
        end = data.find(b"\r\n\r\n", at, at + _TRAILER_LIMIT)
        if end < 0:
            if len(data) - at >= _TRAILER_LIMIT:
                raise ChunkError("the trailers are too long")
            return 0
        trailers = parse_fields(data[at : end + 2])
        if trailers is None:
            raise ChunkError("the trailers are malformed")
        self.trailers = trailers
        self.done = True
        return end + 4 - at
