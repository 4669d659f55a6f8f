"""Bytes of any length, to an action and from one: what the messages that carry them say.

What is sent to an action lies in the object store `uploads`, and the write that asks for the action names it with its digest,
so that the caller's signature covers every byte. What is answered is pulled: each part is asked for with the request that
asked for the first, and says where the next begins. So whichever replica is asked can answer, none holds anything for a
client, and one that reads slowly holds up nobody. Pure.
"""

from __future__ import annotations

import msgspec

from skerry.api.decode import decoder

BINARY = "application/octet-stream"


class UploadReference(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A body in the store `uploads`."""

    name: str
    size: int
    """Bytes."""
    digest: str
    """`sha256:` and hexadecimal digits."""
    content_type: str = BINARY
    """What the client says it is."""


class PartHead(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The first line of an answer with bytes; those of the part come behind it."""

    size: int | None = None
    """Bytes of the whole, if they are known."""
    digest: str = ""
    """Of the whole, as in UploadReference, if it is known."""
    content_type: str = BINARY
    attachment: str = ""
    """The name of a file that it is to be saved as; empty: it may be shown."""
    next: str = ""
    """The cursor of the next part, for the `cursor` of a Write; empty: this is the last."""


_encode = msgspec.json.Encoder().encode
_decode = decoder(PartHead)


def encode_part(head: PartHead, data: bytes) -> bytes:
    """A message of head and bytes."""
    return b"%b\n%b" % (_encode(head), data)


def decode_part(message: bytes) -> tuple[PartHead, bytes]:
    """Head and bytes of a message. msgspec.DecodeError."""
    head, _, data = message.partition(b"\n")
    return _decode(head), data
