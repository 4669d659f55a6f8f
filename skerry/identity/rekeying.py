"""An agent gets another key: the request, signed by both keys, and later the word that the first is used no longer. Pure.

A text says everything, so that a signature stands for one member, these keys, about now, and for nothing else: no renewal's
challenge has its form. Who holds one key alone, or a text from before, asks in vain; the same text again gets the same answer.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import NamedTuple

from skerry.api.messages import RekeyRequest, RetireRequest
from skerry.api.times import rfc3339
from skerry.errors import BadRequest, Unauthorized
from skerry.identity import nkey
from skerry.identity.nkey import KeyPair, KeyType

REKEY, RETIRE = "rekey", "retire"
WISH = "rekey"
"""An empty file in an agent's directory: its own people want it to have another key."""
SKEW_S = 600.0
"""How far the time in a text may be off."""
LONGEST = 8192
"""Characters of a text: a process names the keys that it still uses, and its account has few connections."""
NONE = "-"


class KeySuccession(NamedTuple):
    """A key and the one that takes its place: public nkeys."""

    old: str
    new: str


class Retirement(NamedTuple):
    """A key, and which of those that it replaced are still used."""

    nkey: str
    used: frozenset[str]


def rekey_request(member: str, old: KeyPair, new: KeyPair, now: float, nonce: str) -> RekeyRequest:
    """An agent's request. `now` is the host's time as far as it is known."""
    text = f"{REKEY} {member} {old.public} {new.public} {int(now)} {nonce}"
    return RekeyRequest(text=text, by_old=_signed(old, text), by_new=_signed(new, text))


def check_rekey(request: RekeyRequest, member: str, now: float) -> KeySuccession:
    """What is asked, by who has both keys. BadRequest, Unauthorized."""
    old, new, moment = _parts(request.text, REKEY, member)
    _check_keys(old, new)
    for key, signature in ((old, request.by_old), (new, request.by_new)):
        _check_signature(key, request.text, signature)
    _check_time(moment, now)
    if old == new:
        raise BadRequest("the agent asks for the key that it has: upgrade it")
    return KeySuccession(old, new)


def retire_request(member: str, key: KeyPair, used: Iterable[str], now: float, nonce: str) -> RetireRequest:
    """An agent's word that of the keys which `key` replaced it uses only these."""
    text = f"{RETIRE} {member} {key.public} {','.join(sorted(used)) or NONE} {int(now)} {nonce}"
    return RetireRequest(text=text, signature=_signed(key, text))


def check_retirement(request: RetireRequest, member: str, now: float) -> Retirement:
    """What is said, by who has the key. BadRequest, Unauthorized."""
    public, used, moment = _parts(request.text, RETIRE, member)
    _check_keys(public)
    _check_signature(public, request.text, request.signature)
    _check_time(moment, now)
    return Retirement(public, frozenset() if used == NONE else frozenset(used.split(",")))


def _parts(text: str, form: str, member: str) -> tuple[str, str, str]:
    parts = text[: LONGEST + 1].split(" ")
    if len(text) > LONGEST or len(parts) != 6 or parts[:2] != [form, member] or not _is_time(parts[4]):
        raise BadRequest("the agent's request for another key is malformed: upgrade the agent")
    return parts[2], parts[3], parts[4]


def _is_time(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 11


def _check_keys(*publics: str) -> None:
    if any(nkey.kind_of(public) is not KeyType.USER for public in publics):
        raise BadRequest("a key in the agent's request is not the public half of a user's nkey: upgrade the agent")


def _check_signature(public: str, text: str, signature: str) -> None:
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not nkey.verify(public, text.encode(), raw):
        raise Unauthorized(f"the request for another key is not signed by the key {public}, which it names")


def _check_time(moment: str, now: float) -> None:
    if abs(float(moment) - now) > SKEW_S:
        raise Unauthorized(
            f"the request for another key was made at {rfc3339(float(moment))}, the host has {rfc3339(now)}: correct the clock "
            "of the agent's machine"
        )


def _signed(key: KeyPair, text: str) -> str:
    return base64.b64encode(key.sign(text.encode())).decode()
