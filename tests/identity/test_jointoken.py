"""The text of join tokens."""

from __future__ import annotations

import base64
import json
import zlib

import msgspec
import pytest

from skerry.api.messages import FORMAT, Token
from skerry.errors import BadRequest, Unauthorized
from skerry.identity import jointoken
from skerry.identity.jointoken import WITH_PATTERN

FIELDS = {"host": "h", "name": "m1", "jti": "j", "jwt": "a.b.c", "servers": ["tls://h:4222"], "ca": "PEM"}


def token(expires: int = 2_000_000_000, **more: object) -> Token:
    """A token with whatever else the contract demands."""
    wanted = {"expires": expires, "hostUid": "uid", **FIELDS, **more}
    return msgspec.convert(wanted, Token)


def wrapped(document: object) -> str:
    body = json.dumps(document).encode()
    return f"skerry-join-{base64.urlsafe_b64encode(body).rstrip(b'=').decode()}{zlib.crc32(body):08x}"


def test_a_token_survives_being_pasted_with_white_space() -> None:
    assert jointoken.decode(f"  {jointoken.encode(token())}\n", now=0) == token()


def test_the_text_is_one_word() -> None:
    assert jointoken.encode(token()).replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("at", [0, 12, 40, -9, -1])
def test_one_wrong_character_is_told_as_garbled(at: int) -> None:
    text = list(jointoken.encode(token()))
    text[at] = "A" if text[at] != "A" else "B"
    with pytest.raises(BadRequest, match=r"garbled|not a join token"):
        jointoken.decode("".join(text), now=0)


@pytest.mark.parametrize("text", ["", "skerry-join-", "skerry-join-ü", "Bearer x", "skerry-join-" + "A" * 50])
def test_what_is_not_a_token_is_told_with_the_next_step(text: str) -> None:
    with pytest.raises(BadRequest, match="skerry token create"):
        jointoken.decode(text, now=0)


def test_a_cut_token_is_told_as_garbled() -> None:
    with pytest.raises(BadRequest, match="garbled"):
        jointoken.decode(jointoken.encode(token())[:-20], now=0)


def test_a_newer_format_is_refused_naming_both() -> None:
    with pytest.raises(BadRequest, match=f"format {WITH_PATTERN + 1}.*up to {WITH_PATTERN}"):
        jointoken.decode(wrapped({"format": WITH_PATTERN + 1, "new": "things"}), now=0)


@pytest.mark.parametrize("document", [{}, [], {"format": 1}, {"format": "x"}])
def test_a_document_of_another_kind_is_garbled(document: object) -> None:
    with pytest.raises(BadRequest, match="garbled"):
        jointoken.decode(wrapped(document), now=0)


def test_an_expired_token_says_when_by_which_clock() -> None:
    with pytest.raises(Unauthorized, match=r"m1 expired 2 min ago.*this machine's clock"):
        jointoken.decode(jointoken.encode(token(expires=1000)), now=1120)


def test_a_token_for_a_pattern_has_a_format_that_agents_without_patterns_refuse() -> None:
    edge = token(name="", pattern="edge-*", format=WITH_PATTERN)
    assert jointoken.decode(jointoken.encode(edge), now=0) == edge
    assert edge.purpose == "--pattern 'edge-*'"
    assert WITH_PATTERN > FORMAT


@pytest.mark.parametrize(("name", "pattern"), [("", ""), ("m1", "edge-*")])
def test_a_token_is_for_one_name_or_a_pattern(name: str, pattern: str) -> None:
    with pytest.raises(BadRequest, match="names no cluster"):
        jointoken.decode(jointoken.encode(token(name=name, pattern=pattern)), now=0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "say which one this is with --name"),
        ("m1", "skerry token create m1"),
        ("host", "use another"),
        ("edge-7", ""),
    ],
)
def test_a_name_must_fit_the_pattern(name: str, says: str) -> None:
    problem = jointoken.named_problem(token(name="", pattern="edge-*"), name)
    assert says in problem
    assert bool(problem) == bool(says)
