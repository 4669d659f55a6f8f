"""An entry as it lies in the bucket: JSON with the trust root's signature over it, and over its key (identity/signedtext). Pure.

The order to withdraw everything is signed in the same way, in a context of its own; one by which objects stay in another,
so that an agent that does not know it does not believe it, and takes nothing away.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from skerry.api.decode import decoded
from skerry.api.desired import ENTRY_BYTES, Because, Options, WithdrawOrder
from skerry.api.messages import Message
from skerry.errors import BadRequest, Unauthorized
from skerry.identity import signedtext
from skerry.identity.signedtext import Sign, Verify

FORMAT = 1
CONTEXT, ORDER_CONTEXT, KEEP_CONTEXT = b"skerry-desired-1", b"skerry-withdraw-1", b"skerry-orphan-1"


class Entry(Message, frozen=True, kw_only=True, omit_defaults=False):
    """What the signature covers besides the key."""

    format: int = FORMAT
    cluster: str
    """UID of the Cluster object, so that nothing is taken over by a later member of the same name."""
    owner: str
    epoch: str
    """Of the bucket."""
    previous: int
    """Revision of the key before this write; it rises, so that an old entry cannot be played again."""
    object: msgspec.Raw
    options: Options = Options()
    because: tuple[Because, ...] = ()
    more: int = 0
    """How many it is because of, besides those."""

    def document(self) -> dict[str, Any]:
        """The object. ValueError if it is none."""
        document = decoded(self.object)
        if not isinstance(document, dict):
            raise ValueError("the object of an entry is not a JSON object")  # noqa: TRY004 - one error for bad content
        return document

    @property
    def digest(self) -> str:
        """Of object and options: equal for what need not be applied again."""
        return digest_of(bytes(self.object), self.options)


def digest_of(document: bytes, options: Options) -> str:
    """See Entry.digest; `document` is the object's JSON as it is stored."""
    return hashlib.sha256(document + b"\0" + _encode(options)).hexdigest()[:32]


def signed(key: str, entry: Entry, sign: Sign) -> bytes:
    """The text of an entry for `key`. BadRequest if it is too large."""
    text = signedtext.signed(CONTEXT, key, _encode(entry), sign)
    if len(text) > ENTRY_BYTES:
        raise BadRequest(f"entry {key} has {len(text)} bytes: at most {ENTRY_BYTES} can be kept for a member")
    return text


def opened(key: str, text: bytes, verify: Verify) -> Entry:
    """The entry in `text`. Unauthorized: not signed for this key by the trust root, or of a newer format."""
    body = signedtext.opened(CONTEXT, key, text, verify, f"entry {key}")
    try:
        entry = decoded(body, Entry)
    except msgspec.DecodeError as error:
        raise Unauthorized(f"entry {key} cannot be read: the host may be newer than this agent") from error
    if entry.format != FORMAT:
        raise Unauthorized(f"entry {key} has format {entry.format}, this agent reads {FORMAT}: update the agent")
    return entry


def signed_order(member: str, order: WithdrawOrder, sign: Sign) -> bytes:
    """The text of an order for a member."""
    return signedtext.signed(KEEP_CONTEXT if order.keep else ORDER_CONTEXT, member, _encode(order), sign)


def opened_order(member: str, text: bytes, verify: Verify) -> WithdrawOrder:
    """The order in `text`. Unauthorized: not signed for this member by the trust root."""
    what = "the order to withdraw everything"
    try:
        body = signedtext.opened(ORDER_CONTEXT, member, text, verify, what)
    except Unauthorized:
        body = signedtext.opened(KEEP_CONTEXT, member, text, verify, what)
    try:
        return decoded(body, WithdrawOrder)
    except msgspec.DecodeError as error:
        raise Unauthorized("the order to withdraw everything cannot be read: the host may be newer") from error


_encode = msgspec.json.Encoder().encode
