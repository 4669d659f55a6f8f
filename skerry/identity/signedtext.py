"""JSON that ends with the trust root's signature over everything before it, and over what it is for. Pure.

A signature has always the same length, so what it covers is found without parsing, and nothing that was not signed is
ever decoded. The context keeps it from standing for anything else that the same key signs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from skerry.errors import Unauthorized

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]
"""Whether the second, 64 bytes, is the trust root's signature over the first."""

_FIELD, _END = b',"signature":"', b'"}'
_SIGNATURE = 88
"""Characters of 64 bytes in base64."""
_TAIL = len(_FIELD) + _SIGNATURE + len(_END)


def signed(context: bytes, key: str, body: bytes, sign: Sign) -> bytes:
    """`body`, a JSON object with fields, with its signature for `key`."""
    head = body[:-1]
    return b"".join((head, _FIELD, base64.b64encode(sign(_covered(context, key, head))), _END))


def opened(context: bytes, key: str, text: bytes, verify: Verify, what: str) -> bytes:
    """What was signed, for `key`. Unauthorized if it was not; the message calls it `what`."""
    head, tail = text[:-_TAIL], text[-_TAIL:]
    if not tail.startswith(_FIELD) or not tail.endswith(_END):
        raise Unauthorized(f"{what} carries no signature")
    try:
        signature = base64.b64decode(tail[len(_FIELD) : -len(_END)], validate=True)
    except binascii.Error as error:
        raise Unauthorized(f"{what} carries no signature") from error
    if not verify(_covered(context, key, head), signature):
        raise Unauthorized(f"{what} was not signed by this member's host")
    return head + b"}"


def _covered(context: bytes, key: str, head: bytes) -> bytes:
    return b"\0".join((context, key.encode(), head))
