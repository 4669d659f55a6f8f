"""A session of exec or attach as asciicast v2: a line of JSON that says what it is, then a line for each thing that happened.

Pure: bytes of WebSocket messages in, lines out; times are arguments. What is in a recording is what the terminal was sent, when
it changed its size and how it ended, never what was typed (https://docs.asciinema.org/manual/asciicast/v2/; version 3 is
refused by the players that distributions have).
"""

from __future__ import annotations

import codecs

import msgspec

from skerry.api.decode import decoder
from skerry.api.recordings import RecordingBegin

DEFAULT_SIZE = (80, 24)
"""Columns and rows of a terminal whose client never said them."""
OUTPUT, RESIZE, MARK = "o", "r", "m"
EVENT_CHARACTERS = 4096
"""Of one event: written as JSON, each takes at most six bytes."""
LONGEST_EVENT = 6 * EVENT_CHARACTERS + 64
TITLE_CHARACTERS = 200
RESIZE_BYTES, STATUS_BYTES = 256, 16 * 1024
"""Most bytes of a message that is read as a whole: what is longer is none."""
LARGEST = 10_000
"""Columns or rows: a terminal that says more is not believed."""

_encode = msgspec.json.Encoder().encode


class TerminalSize(msgspec.Struct, frozen=True):
    """What a client says on the resize channel (remotecommand.TerminalSize)."""

    width: int = msgspec.field(name="Width", default=0)
    height: int = msgspec.field(name="Height", default=0)


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] = ()


class _Ended(msgspec.Struct, frozen=True):
    status: str = ""
    reason: str = ""
    message: str = ""
    details: _Details | None = None


_size = decoder(TerminalSize)
_ended = decoder(_Ended)


def terminal_size(message: bytes) -> tuple[int, int] | None:
    """Columns and rows; None for what says neither."""
    try:
        size = _size(message)
    except msgspec.DecodeError:
        return None
    fits = 0 < size.width <= LARGEST and 0 < size.height <= LARGEST
    return (size.width, size.height) if fits else None


def exit_of(message: bytes) -> str:
    """How a command ended, by the Status on the error channel: `0`, another exit code, or the Status's message."""
    try:
        ended = _ended(message)
    except msgspec.DecodeError:
        return "a status that cannot be read"
    if ended.status == "Success":
        return "0"
    causes = ended.details.causes if ended.details is not None else ()
    code = next((each.message for each in causes if each.reason == "ExitCode"), "")
    return code or ended.message[:EVENT_CHARACTERS] or ended.reason or "failed"


def header(size: tuple[int, int], about: RecordingBegin) -> bytes:
    """The first line, which says whose session it is too: players pass over a field that they do not know."""
    what = " ".join(about.command) or about.subresource
    title = f"{about.user} on {about.cluster}: {about.namespace}/{about.pod} {what}"[:TITLE_CHARACTERS]
    head = {"version": 2, "width": size[0], "height": size[1], "timestamp": int(about.start), "title": title}
    return _encode(head | {"skerry": about}) + b"\n"


def event(seconds: float, code: str, data: str) -> bytes:
    """One line; `seconds` since the beginning."""
    return _encode((round(max(seconds, 0.0), 6), code, data)) + b"\n"


class OutputText:
    """What a terminal was sent, as text: a character may be cut between two pieces, and what is no UTF-8 becomes U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes, *, last: bool = False) -> list[str]:
        """Texts of at most EVENT_CHARACTERS; `last`: nothing follows."""
        text = self._decoder.decode(data, last)
        return [text[start : start + EVENT_CHARACTERS] for start in range(0, len(text), EVENT_CHARACTERS)]
