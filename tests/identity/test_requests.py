"""Signed requests: whose a write is, good for that request, once, for a minute."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.messages import HOST, Caller, Claims, RequestClaims
from skerry.errors import Forbidden, Unauthorized
from skerry.identity import assertion, nkey, requests
from skerry.identity.assertion import Signer, Verifier, make_record
from skerry.identity.nkey import KeyType
from skerry.identity.requests import NonceCache, RequestVerifier, digest, sign
from skerry.identity.trust import pinned

ROOT = nkey.create(KeyType.ACCOUNT)
KEY = nkey.create(KeyType.USER)
NOW = 1_800_000_000.0
ALICE = Caller(user="alice", groups=("skerry:view", "shop"))
SUBJECT, PAYLOAD = "tenancy.workspaces.delete", b'{"requestId":"1","name":"shop"}'


def proxy(
    name: str = "p1", key: nkey.KeyPair = KEY, root: nkey.KeyPair = ROOT, certified: str = "", exp: float = NOW + 3600
) -> Signer:
    """A proxy; `certified` is the key that its record is for, if it is not its own."""
    return Signer(name, key, make_record(root, "p1", certified or key.public, int(exp)))


def signed(signer: Signer | None = None, now: float = NOW) -> str:
    return sign(signer or proxy(), ALICE, SUBJECT, PAYLOAD, now)


def owner() -> RequestVerifier:
    return RequestVerifier(pinned(ROOT.public))


def claims(**changed: Any) -> str:
    """A signature of claims that no proxy of ours makes."""
    honest = RequestClaims(
        member=HOST,
        user="alice",
        groups=(),
        extra={},
        proxy="p1",
        iat=int(NOW),
        exp=int(NOW) + 60,
        nonce=b"n" * 16,
        digest=digest(SUBJECT, PAYLOAD),
    )
    return base64.b64encode(proxy().sign(msgspec.structs.replace(honest, **changed))).decode()


def refused(signature: str, why: str, *, subject: str = SUBJECT, payload: bytes = PAYLOAD, now: float = NOW) -> None:
    with pytest.raises(Unauthorized, match=why):
        owner().verify(signature, subject, payload, now)


def test_the_owner_learns_who_asks() -> None:
    assert owner().verify(signed(), SUBJECT, PAYLOAD, NOW) == ALICE


def test_it_fits_a_header() -> None:
    assert len(signed()) < 800


def test_a_signature_is_used_once() -> None:
    verifier, signature = owner(), signed()
    verifier.verify(signature, SUBJECT, PAYLOAD, NOW)
    for later in (0, 30, 59):
        with pytest.raises(Unauthorized, match="used before"):
            verifier.verify(signature, SUBJECT, PAYLOAD, NOW + later)


def test_the_same_request_may_be_signed_again() -> None:
    verifier = owner()
    assert verifier.verify(signed(), SUBJECT, PAYLOAD, NOW) == verifier.verify(signed(), SUBJECT, PAYLOAD, NOW)


def test_one_that_was_refused_is_not_used_up() -> None:
    verifier, signature = owner(), signed()
    with pytest.raises(Unauthorized, match="another request"):
        verifier.verify(signature, SUBJECT, b"{}", NOW)
    assert verifier.verify(signature, SUBJECT, PAYLOAD, NOW)


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        ("tenancy.credentials.delete", PAYLOAD),
        ("tenancy.workspaces.update", PAYLOAD),
        (SUBJECT, PAYLOAD.replace(b"shop", b"play")),
        (SUBJECT, PAYLOAD.replace(b'"1"', b'"2"')),
        (SUBJECT, PAYLOAD + b" "),
        (SUBJECT + "\0", PAYLOAD[1:]),
        (SUBJECT, b""),
    ],
)
def test_it_is_for_one_request_at_one_endpoint(subject: str, payload: bytes) -> None:
    refused(signed(), "of another request", subject=subject, payload=payload)


def test_it_ends_after_a_minute_and_with_the_proxys_record() -> None:
    assert owner().verify(signed(), SUBJECT, PAYLOAD, NOW + 59)
    refused(signed(), "out of date", now=NOW + 60)
    refused(signed(proxy(exp=NOW + 10)), "out of date", now=NOW + 10)


@pytest.mark.parametrize(
    "changed", [{"exp": int(NOW) + 61}, {"iat": int(NOW) + 31, "exp": int(NOW) + 60}, {"iat": int(NOW) - 600}]
)
def test_a_proxy_cannot_date_it_as_it_likes(changed: dict[str, Any]) -> None:
    refused(claims(**changed), "out of date")


@pytest.mark.parametrize(
    "changed", [{"member": "m1"}, {"member": ""}, {"proxy": "p2"}, {"nonce": b""}, {"nonce": b"n" * 999}]
)
def test_claims_that_are_not_for_the_host_are_refused(changed: dict[str, Any]) -> None:
    refused(claims(**changed), "not made for a service of the host")


def test_another_hosts_proxy_is_refused_also_beside_a_known_one() -> None:
    verifier = owner()
    verifier.verify(signed(), SUBJECT, PAYLOAD, NOW)
    with pytest.raises(Unauthorized, match="did not certify"):
        verifier.verify(signed(proxy(root=nkey.create(KeyType.ACCOUNT))), SUBJECT, PAYLOAD, NOW)


def test_anothers_record_does_not_serve() -> None:
    thief = proxy(key=nkey.create(KeyType.USER), certified=KEY.public)
    refused(signed(thief), "not signed by the proxy")


@pytest.mark.parametrize("signature", ["", "ä", "no base64", "AAAA", "\0", base64.b64encode(b"\x94").decode()])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    refused(signature, "garbled" if signature else "not signed by a proxy")


def test_an_assertion_for_a_member_is_none_for_the_host() -> None:
    for member in ("m1", HOST):
        data = proxy().assertion(member, "skerry:alice", (), {}, NOW)
        refused(base64.b64encode(data).decode(), "garbled")


def test_a_signed_request_is_no_assertion_for_a_member() -> None:
    with pytest.raises(Forbidden, match="another cluster"):
        Verifier(pinned(ROOT.public), "m1").verify(base64.b64decode(signed()), NOW)
    with pytest.raises(Unauthorized):
        assertion.opened(proxy().assertion(HOST, "u", (), {}, NOW), RequestClaims)
    assert assertion.opened(base64.b64decode(signed()), Claims)[2].member == HOST


def test_every_single_byte_matters() -> None:
    data = base64.b64decode(signed())
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(Unauthorized):
            owner().verify(base64.b64encode(changed).decode(), SUBJECT, PAYLOAD, NOW)


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda data: base64.b64encode(data).decode()))
def test_garbage_is_unauthorized_and_nothing_else(signature: str) -> None:
    with pytest.raises(Unauthorized):
        owner().verify(signature, SUBJECT, PAYLOAD, NOW)


@given(st.lists(st.binary(max_size=40), min_size=4, max_size=4))
def test_garbage_in_the_right_shape_is_unauthorized(parts: list[bytes]) -> None:
    with pytest.raises(Unauthorized):
        owner().verify(base64.b64encode(msgspec.msgpack.encode(parts)).decode(), SUBJECT, PAYLOAD, NOW)


def test_a_signature_has_one_spelling() -> None:
    signature = signed()
    for other in (signature[:8] + "!" + signature[8:], signature + "\n", " " + signature):
        refused(other, "garbled")


def test_versions_of_processes_agree_on_what_is_signed() -> None:
    assert digest("tenancy.workspaces.delete", b"{}") == hashlib.sha256(b"tenancy.workspaces.delete\0{}").digest()


def test_verified_records_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "RECORDS", 3)
    verifier = owner()
    for more in range(10):
        verifier.verify(signed(proxy(exp=NOW + 100 + more)), SUBJECT, PAYLOAD, NOW)
        assert len(verifier._records) <= 3


class TestReplayWindow:
    def test_a_nonce_is_remembered_for_the_whole_life_whenever_it_came(self) -> None:
        for start in range(100):
            window = NonceCache(90.0)
            window.first(b"other", NOW)
            assert window.first(b"n", NOW + start)
            assert not window.first(b"n", NOW + start + 89.9)

    def test_it_forgets_what_has_ended(self) -> None:
        window = NonceCache(90.0)
        for at in range(1000):
            assert window.first(b"%d" % at, NOW + at)
        assert len(window) <= 181

    def test_many_of_one_instant_are_remembered(self) -> None:
        window = NonceCache(90.0)
        assert all(window.first(b"%d" % each, NOW) for each in range(9))
        assert not any(window.first(b"%d" % each, NOW) for each in range(9))

    def test_after_a_pause_it_has_forgotten_everything(self) -> None:
        window = NonceCache(90.0)
        for at in range(180):
            window.first(b"%d" % at, NOW + at)
        window.first(b"n", NOW + 3600)
        assert len(window) == 1

    def test_a_clock_that_is_set_back_makes_it_forget_nothing_and_not_grow_for_ever(self) -> None:
        window = NonceCache(90.0)
        window.first(b"n", NOW)
        assert not window.first(b"n", NOW - 3600)
        for at in range(1000):
            window.first(b"%d" % at, NOW - 3600 + at)
        assert len(window) <= 181
