"""Farewells: believed by their signature, by the membership that they name, and nothing else."""

from __future__ import annotations

import pytest

from skerry.errors import Unauthorized
from skerry.identity import farewell, nkey, signedtext
from skerry.identity.nkey import KeyType

ROOT = nkey.create(KeyType.ACCOUNT)
ACCOUNT, OTHER = nkey.create(KeyType.ACCOUNT).public, nkey.create(KeyType.ACCOUNT).public
TEXT = farewell.make_farewell("m1", ACCOUNT, "it was removed", ROOT.sign)


def verify(data: bytes, signature: bytes) -> bool:
    """By the root's public key."""
    return nkey.verify(ROOT.public, data, signature)


def test_its_own_membership_believes_it() -> None:
    assert farewell.check_farewell("m1", ACCOUNT, TEXT, verify) == "it was removed"


@pytest.mark.parametrize(
    ("member", "account"), [("m2", ACCOUNT), ("m1", OTHER), ("m1", "")], ids=["name", "account", "none"]
)
def test_another_membership_does_not(member: str, account: str) -> None:
    with pytest.raises(Unauthorized):
        farewell.check_farewell(member, account, TEXT, verify)


@pytest.mark.parametrize("text", [b"", b"{}", TEXT[:-1], TEXT.replace(b"removed", b"rem0ved"), b" " + TEXT])
def test_what_was_changed_is_not_believed(text: bytes) -> None:
    with pytest.raises(Unauthorized):
        farewell.check_farewell("m1", ACCOUNT, text, verify)


def test_what_the_root_signed_for_something_else_is_no_farewell() -> None:
    body = b'{"member":"m1","account":"%s","message":"x"}' % ACCOUNT.encode()
    other = signedtext.signed(b"skerry-withdraw-1", "m1", body, ROOT.sign)
    with pytest.raises(Unauthorized, match="not signed by this member's host"):
        farewell.check_farewell("m1", ACCOUNT, other, verify)


def test_what_cannot_be_read_names_the_likely_reason() -> None:
    odd = signedtext.signed(farewell.CONTEXT, "m1", b'{"member":7}', ROOT.sign)
    with pytest.raises(Unauthorized, match="may be newer"):
        farewell.check_farewell("m1", ACCOUNT, odd, verify)


def test_its_message_is_one_line_that_prints() -> None:
    text = farewell.make_farewell("m1", ACCOUNT, "a\nb\x1b[31m" + "x" * 5000, ROOT.sign)
    message = farewell.check_farewell("m1", ACCOUNT, text, verify)
    assert (message.isprintable(), len(message)) == (True, farewell.LONGEST)
