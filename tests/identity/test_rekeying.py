"""A request for another key, and the word that one is over: who may say it, of what, and when."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import msgspec
import pytest

from skerry.api.messages import RekeyRequest, RetireRequest
from skerry.errors import BadRequest, StatusError, Unauthorized
from skerry.identity import nkey, rekeying
from skerry.identity.nkey import KeyPair, KeyType

NOW = 1_800_000_000.0
OLD, NEW, OTHER = (nkey.create(KeyType.USER) for _ in range(3))
ACCOUNT = nkey.create(KeyType.ACCOUNT)


def asked(member: str = "m1", old: KeyPair = OLD, new: KeyPair = NEW, now: float = NOW) -> RekeyRequest:
    return rekeying.rekey_request(member, old, new, now, "nonce")


def said(member: str = "m1", key: KeyPair = NEW, used: tuple[str, ...] = (), now: float = NOW) -> RetireRequest:
    return rekeying.retire_request(member, key, used, now, "nonce")


def signed(key: KeyPair, text: str) -> str:
    return base64.b64encode(key.sign(text.encode())).decode()


def test_who_has_both_keys_may_ask() -> None:
    assert rekeying.check_rekey(asked(), "m1", NOW) == (OLD.public, NEW.public)


def test_who_has_the_key_may_say_what_it_still_uses() -> None:
    assert rekeying.check_retirement(said(), "m1", NOW) == (NEW.public, frozenset())
    used = rekeying.check_retirement(said(used=("UB", "UA")), "m1", NOW).used
    assert used == {"UA", "UB"}


@pytest.mark.parametrize("off", [-601.0, 601.0, 1e9])
def test_a_request_from_another_time_is_refused_with_both_times(off: float) -> None:
    for check in (partial(rekeying.check_rekey, asked()), partial(rekeying.check_retirement, said())):
        with pytest.raises(Unauthorized, match=r"was made at 2027-01-15T08:00:00Z, the host has .*: correct the clock"):
            check("m1", NOW + off)


@pytest.mark.parametrize("off", [-599.0, 0.0, 599.0])
def test_a_clock_that_is_minutes_off_is_no_hindrance(off: float) -> None:
    rekeying.check_rekey(asked(), "m1", NOW + off)
    rekeying.check_retirement(said(), "m1", NOW + off)


TEXT = asked().text
FORGED: list[tuple[str, dict[str, Any], type[StatusError]]] = [
    ("signed by the new key alone", {"by_old": signed(NEW, TEXT)}, Unauthorized),
    ("signed by the old key alone", {"by_new": signed(OLD, TEXT)}, Unauthorized),
    ("without a signature", {"by_old": ""}, Unauthorized),
    ("with a signature that is none", {"by_new": "%%%"}, Unauthorized),
    ("with one that is no ASCII", {"by_new": "ä"}, Unauthorized),
    ("with one that is too short", {"by_new": "AAAA"}, Unauthorized),
    ("with another new key put in", {"text": TEXT.replace(NEW.public, OTHER.public)}, Unauthorized),
    ("with another old key put in", {"text": TEXT.replace(OLD.public, OTHER.public)}, Unauthorized),
    ("re-dated", {"text": TEXT.replace(str(int(NOW)), str(int(NOW) + 1))}, Unauthorized),
    ("with another nonce", {"text": f"{TEXT}x"}, Unauthorized),
    ("for another member", {"text": TEXT.replace(" m1 ", " m2 ")}, BadRequest),
    ("of another form", {"text": TEXT.replace("rekey", "retire")}, BadRequest),
    ("with an account's key", {"text": TEXT.replace(NEW.public, ACCOUNT.public)}, BadRequest),
    ("with what is no key", {"text": TEXT.replace(NEW.public, "U")}, BadRequest),
    ("with a time that is none", {"text": TEXT.replace(str(int(NOW)), "1e9")}, BadRequest),
    ("with a time that is not ASCII", {"text": TEXT.replace(str(int(NOW)), "²")}, BadRequest),
    ("with an endless time", {"text": TEXT.replace(str(int(NOW)), "9" * 400)}, BadRequest),
    ("with a part too few", {"text": TEXT.rpartition(" ")[0]}, BadRequest),
    ("with a part too many", {"text": f"{TEXT} x"}, BadRequest),
    ("empty", {"text": ""}, BadRequest),
    ("endless", {"text": TEXT + "x" * rekeying.LONGEST}, BadRequest),
]


@pytest.mark.parametrize(("changes", "error"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_a_forged_request_is_refused(changes: dict[str, Any], error: type[StatusError]) -> None:
    with pytest.raises(error):
        rekeying.check_rekey(msgspec.structs.replace(asked(), **changes), "m1", NOW)


def test_the_key_that_there_is_is_not_another_one() -> None:
    with pytest.raises(BadRequest, match="asks for the key that it has"):
        rekeying.check_rekey(asked(new=OLD), "m1", NOW)


def test_another_key_than_the_one_named_ends_nothing() -> None:
    forged = msgspec.structs.replace(said(), signature=signed(OTHER, said().text))
    with pytest.raises(Unauthorized, match=f"is not signed by the key {NEW.public}, which it names"):
        rekeying.check_retirement(forged, "m1", NOW)


def test_what_signs_a_renewal_is_no_request_for_another_key() -> None:
    challenge = f"m1 {OLD.public} {int(NOW)} nonce"
    request = RekeyRequest(text=challenge, by_old=signed(OLD, challenge), by_new=signed(NEW, challenge))
    with pytest.raises(BadRequest):
        rekeying.check_rekey(request, "m1", NOW)
    with pytest.raises(BadRequest):
        rekeying.check_retirement(RetireRequest(text=challenge, signature=signed(OLD, challenge)), "m1", NOW)
