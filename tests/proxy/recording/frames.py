"""Frames of a session, as a member and a client send them, and recordings as lists."""

from __future__ import annotations

import json
from typing import Any

from skerry.api.recordings import RecordingBegin
from skerry.httpwire.websocket import Opcode, frame

START = 1_700_000_000.0
ABOUT = RecordingBegin(id="a" * 22, user="alice", cluster="m1", namespace="shop", pod="web-1", start=START)
MASK = b"\x11\x22\x33\x44"
SUCCESS = b'{"status":"Success"}'


def output(data: bytes) -> bytes:
    """What a terminal is sent."""
    return frame(Opcode.BINARY, b"\x01" + data)


def status(data: bytes) -> bytes:
    """How a command ended."""
    return frame(Opcode.BINARY, b"\x03" + data)


def typed(data: bytes) -> bytes:
    """Keys."""
    return frame(Opcode.BINARY, b"\x00" + data, MASK)


def size(width: int, height: int) -> bytes:
    """The size of the client's terminal."""
    return frame(Opcode.BINARY, b"\x04" + json.dumps({"Width": width, "Height": height}).encode(), MASK)


def lines(data: bytes) -> list[Any]:
    """The lines of a recording."""
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def shown(events: list[Any]) -> str:
    """All output of a recording."""
    return "".join(event[2] for event in events[1:] if event[1] == "o")


def marks(events: list[Any]) -> list[str]:
    """Its marks."""
    return [event[2] for event in events[1:] if event[1] == "m"]
