"""The host's last word to the agents of a member that was removed: proof of it, signed by the trust root. Pure.

An agent ends for good on proof alone, and can ask nobody once its account is a tombstone: so it is told before. The proof
names the account, which is new for each membership: played again, it ends nobody who joined under the name since.
"""

from __future__ import annotations

import msgspec

from skerry.api.decode import decoded
from skerry.api.messages import Farewell
from skerry.api.text import clean
from skerry.errors import Unauthorized
from skerry.identity.signedtext import Sign, Verify, opened, signed

CONTEXT = b"skerry-farewell-1"
LONGEST = 1000
"""Characters of the message."""


def make_farewell(member: str, account: str, message: str, sign: Sign) -> bytes:
    """The text of a farewell."""
    farewell = Farewell(member=member, account=account, message=message)
    return signed(CONTEXT, member, msgspec.json.encode(farewell), sign)


def check_farewell(member: str, account: str, text: bytes, verify: Verify) -> str:
    """The message of the farewell to this membership. Unauthorized if it is not one."""
    try:
        farewell = decoded(opened(CONTEXT, member, text, verify, "the host's farewell"), Farewell)
    except msgspec.DecodeError as error:
        raise Unauthorized("the host's farewell cannot be read: the host may be newer") from error
    if (farewell.member, farewell.account) != (member, account):
        raise Unauthorized("the host's farewell is of another membership than this one")
    return clean(farewell.message, LONGEST)
