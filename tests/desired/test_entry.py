"""Entries: what is signed is what is read, and nothing else is."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.desired import ENTRY_BYTES, Because, Options, WithdrawOrder
from skerry.desired.entry import ORDER_CONTEXT, Entry, digest_of, opened, opened_order, signed, signed_order
from skerry.errors import BadRequest, Unauthorized
from skerry.identity import nkey, signedtext
from skerry.identity.assertion import check_record

ROOT, OTHER = nkey.create(nkey.KeyType.ACCOUNT), nkey.create(nkey.KeyType.ACCOUNT)
KEY = "m1.tenancy._.namespace._.shop"


def verify(data: bytes, signature: bytes) -> bool:
    """By the root's public key."""
    return nkey.verify(ROOT.public, data, signature)


def entry(**changes: object) -> Entry:
    """A Namespace of tenancy."""
    given = {
        "cluster": "u1",
        "owner": "tenancy",
        "epoch": "e1",
        "previous": 7,
        "object": msgspec.Raw(b'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}'),
        "because": (Because(kind="Workspace", name="shop"),),
        **changes,
    }
    return Entry(**given)  # type: ignore[arg-type]


def test_what_was_signed_is_read() -> None:
    one = entry(options=Options(adopt="Same", after=("m1.tenancy._.namespace._.a",)))
    read = opened(KEY, signed(KEY, one, ROOT.sign), verify)
    assert read == one
    assert read.document()["kind"] == "Namespace"


def test_it_is_json_that_people_can_read() -> None:
    shown = msgspec.json.decode(signed(KEY, entry(), ROOT.sign))
    assert shown["object"]["metadata"] == {"name": "shop"}
    assert list(shown)[-1] == "signature"


@pytest.mark.parametrize(
    "key", ["m2.tenancy._.namespace._.shop", "m1.registry._.namespace._.shop", "m1.tenancy._.namespace._.other", ""]
)
def test_an_entry_for_another_key_is_none(key: str) -> None:
    with pytest.raises(Unauthorized, match="was not signed by this member's host"):
        opened(key, signed(KEY, entry(), ROOT.sign), verify)


def test_another_root_signs_nothing() -> None:
    with pytest.raises(Unauthorized, match="was not signed"):
        opened(KEY, signed(KEY, entry(), OTHER.sign), verify)


def test_the_same_bytes_without_the_context_are_not_signed() -> None:
    text = signed(KEY, entry(), lambda data: ROOT.sign(data.partition(b"\0")[2]))
    with pytest.raises(Unauthorized, match="was not signed"):
        opened(KEY, text, verify)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_byte_of_it_can_be_changed(at: int, byte: int) -> None:
    text = bytearray(signed(KEY, entry(), ROOT.sign))
    at %= len(text)
    if text[at] == byte:
        return
    text[at] = byte
    with pytest.raises(Unauthorized):
        opened(KEY, bytes(text), verify)


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(Unauthorized):
        opened(KEY, data, verify)


@pytest.mark.parametrize("head", [b"[]", b'{"format":1', b'{"format":1,"cluster":3', b"\xff"])
def test_signed_garbage_is_refused_too(head: bytes) -> None:
    signature = base64.b64encode(ROOT.sign(b"\0".join((b"skerry-desired-1", KEY.encode(), head))))
    with pytest.raises(Unauthorized, match="cannot be read"):
        opened(KEY, head + b',"signature":"' + signature + b'"}', verify)


def test_a_newer_format_is_named() -> None:
    with pytest.raises(Unauthorized, match="has format 2, this agent reads 1"):
        opened(KEY, signed(KEY, entry(format=2), ROOT.sign), verify)


def test_fields_that_are_not_known_are_ignored() -> None:
    class Newer(Entry, frozen=True, kw_only=True, omit_defaults=False):
        colour: str = "blue"

    newer = Newer(**msgspec.structs.asdict(entry()))
    assert opened(KEY, signed(KEY, newer, ROOT.sign), verify).owner == "tenancy"


def test_what_is_too_large_is_refused_with_the_limit() -> None:
    large = entry(object=msgspec.Raw(b'{"a":"' + b"x" * ENTRY_BYTES + b'"}'))
    with pytest.raises(BadRequest, match=f"at most {ENTRY_BYTES}"):
        signed(KEY, large, ROOT.sign)


def test_the_digest_is_that_of_object_and_options_alone() -> None:
    one, two = entry(), entry(previous=9, epoch="e2", because=())
    assert one.digest == two.digest == digest_of(bytes(one.object), Options())
    assert one.digest != entry(options=Options(withdraw="Orphan")).digest
    assert one.digest != entry(object=msgspec.Raw(b"{}")).digest


def test_an_object_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        entry(object=msgspec.Raw(b"[]")).document()


def test_what_is_signed_here_can_never_be_read_as_the_certificate_of_a_proxy() -> None:
    """One root signs both."""
    signatures: list[tuple[bytes, bytes]] = []

    def sign(data: bytes) -> bytes:
        signatures.append((data, ROOT.sign(data)))
        return signatures[-1][1]

    signed(KEY, entry(), sign)
    ((data, signature),) = signatures
    record = base64.urlsafe_b64encode(msgspec.msgpack.encode([data, signature])).decode()
    with pytest.raises(Unauthorized):
        check_record((ROOT.public,), record, 0.0)


ORDER = WithdrawOrder(cluster="u1", id="o1")
KEEP = WithdrawOrder(cluster="u1", id="o1", keep=True)


@pytest.mark.parametrize("order", [ORDER, KEEP])
def test_an_order_is_read_by_the_member_that_it_is_for(order: WithdrawOrder) -> None:
    assert opened_order("m1", signed_order("m1", order, ROOT.sign), verify) == order


def test_an_order_to_keep_is_not_believed_by_an_agent_that_knows_only_the_other() -> None:
    """It would ignore the field, and take everything away."""
    with pytest.raises(Unauthorized):
        signedtext.opened(ORDER_CONTEXT, "m1", signed_order("m1", KEEP, ROOT.sign), verify, "it")


def test_none_is_turned_into_the_other() -> None:
    text = signed_order("m1", ORDER, ROOT.sign)
    assert b'"keep":false' in text
    with pytest.raises(Unauthorized):
        opened_order("m1", text.replace(b'"keep":false', b'"keep":true'), verify)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        signed_order("m2", ORDER, ROOT.sign),
        signed_order("m1", ORDER, OTHER.sign),
        signed("m1", entry(), ROOT.sign),
        signed_order("m1", ORDER, ROOT.sign).replace(b"u1", b"u2"),
    ],
)
def test_an_order_of_another_member_or_another_host_or_of_no_host_is_none(text: bytes) -> None:
    with pytest.raises(Unauthorized, match="the order to withdraw everything"):
        opened_order("m1", text, verify)


def test_an_order_is_no_entry_and_an_order_that_is_none_cannot_be_read() -> None:
    with pytest.raises(Unauthorized, match="not signed by this member's host"):
        opened("m1", signed_order("m1", ORDER, ROOT.sign), verify)
    newer = WithdrawOrder(cluster=1, id="o1")  # type: ignore[arg-type]
    with pytest.raises(Unauthorized, match="cannot be read"):
        opened_order("m1", signed_order("m1", newer, ROOT.sign), verify)
