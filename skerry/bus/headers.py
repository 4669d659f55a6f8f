"""NATS headers: `NATS/1.0`, an optional status, `Name: value` lines. One value per name is all that Skerry uses.

nats-py 2.16 turns CR and LF of a value into spaces; here they are refused (trap 10): a value that needs them is a bug
or an attack, and silently changing it hides both. HTTP headers never travel here; they are part of frames.
"""

from __future__ import annotations

import re

from skerry.api.text import clean
from skerry.errors import BadRequest

STATUS = "Status"
DESCRIPTION = "Description"

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[^\r\n\0]*\Z")
_VERSION = "NATS/1.0"
_BLANK = " \t\n\r\v\f"
"""ASCII alone: what else Unicode takes for a blank is part of a value."""


def encode_headers(headers: dict[str, str]) -> bytes:
    """The header block of a message. BadRequest for a name that is not a token, or a value with CR, LF or NUL."""
    lines = [_VERSION.encode()]
    for name, value in headers.items():
        if not _NAME.match(name) or not _VALUE.match(value):
            raise BadRequest(f"header {name[:60]!r} has characters that a header cannot hold")
        lines.append(f"{name}: {value}".encode())
    return b"\r\n".join((*lines, b"", b""))


def decode_headers(block: bytes) -> dict[str, str]:
    """Names and values of a header block; a status line's parts under `Status` and `Description`.

    Bytes that are not UTF-8 become U+FFFD; lines without a colon are ignored.
    """
    first, *lines = block.decode("utf-8", "replace").split("\r\n")
    status = first.removeprefix(_VERSION).strip(_BLANK)
    headers = {}
    if status:
        headers[STATUS], _, headers[DESCRIPTION] = status.partition(" ")
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip(_BLANK)] = value.strip(_BLANK)
    return headers


def one_line(text: str) -> str:
    """`text` as a header value: control characters become spaces, at most 512 characters."""
    return " ".join(clean(text, len(text)).split())[:512]
