"""Assertions: what a proxy vouches for, and what an agent accepts."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.api.messages import Claims
from skerry.errors import Forbidden, StatusError, Unauthorized
from skerry.identity import assertion, nkey
from skerry.identity.assertion import Signer, Verifier, check_record, make_record
from skerry.identity.nkey import KeyType
from skerry.identity.trust import pinned

ROOT = nkey.create(KeyType.ACCOUNT)
PROXY = nkey.create(KeyType.USER)
NOW = 1_800_000_000.0
GROUPS = ("skerry:view",)


def signer(exp: float = NOW + 3600, root: nkey.KeyPair = ROOT, proxy: str = "p1") -> Signer:
    return Signer("p1", PROXY, make_record(root, proxy, PROXY.public, int(exp)))


def signed(now: float = NOW, member: str = "m1", exp: float = NOW + 3600) -> bytes:
    return signer(exp).assertion(member, "skerry:alice", GROUPS, {"k": ("v",)}, now)


def verifier(member: str = "m1") -> Verifier:
    return Verifier(pinned(ROOT.public), member)


def test_the_agent_reads_what_the_proxy_vouched_for() -> None:
    claims = verifier().verify(signed(), NOW)
    assert (claims.user, claims.groups, claims.extra) == ("skerry:alice", GROUPS, {"k": ("v",)})
    assert claims.exp - claims.iat == 60


def test_agents_of_before_read_what_is_signed_today() -> None:
    """Recorded at version 0.1.0, before requests to services were signed: same keys, same claims, same bytes."""
    root, key = nkey.KeyPair(KeyType.ACCOUNT, bytes(range(32))), nkey.KeyPair(KeyType.USER, bytes(range(32, 64)))
    proxy = Signer("P1", key, make_record(root, "P1", key.public, int(NOW) + 3600))
    today = proxy.assertion("m1", "skerry:alice", GROUPS, {"k": ("v",)}, NOW)
    assert today == base64.b64decode(
        "lMRDk6JQMdk4VUFVMlpPWEJJRzZNVjRGU0ZZTkpKVTJOQlBEVE1IU1NOVUY3NEVXSVM2S0xaRVpDU1pXNVBNUk3Oa0ngEMRAGHkoHPZtuswEno9f"
        "aGGmAtf3sJH9HlL5c/gmRGBdKMDIC6GJJo7sdfOekPvz+pdUfkb6/eDM4JsKIO5nF5e3C8Qxl6JtMaxza2Vycnk6YWxpY2WRq3NrZXJyeTp2aWV3"
        "gaFrkaF2olAxzmtJ0gDOa0nSPMRAkBwiITJYgHPkXXTMxenEfEoMbOFBXiXiopFAU6SHhkaKbFskKv0ftHnF628Tq6aQjWGeVCj1w0Rwj3SHL2Zt"
        "DQ=="
    )


def test_an_assertion_is_small() -> None:
    assert len(signed()) < 450


def test_it_ends_after_a_minute_also_when_it_is_cached() -> None:
    agent, data = verifier(), signed()
    agent.verify(data, NOW + 59)
    with pytest.raises(Unauthorized, match="expired"):
        agent.verify(data, NOW + 60)


def test_it_ends_with_the_record_of_the_proxys_key() -> None:
    data = signed(exp=NOW + 10)
    assert verifier().verify(data, NOW + 9)
    with pytest.raises(Unauthorized, match="expired"):
        verifier().verify(data, NOW + 10)


def test_another_member_is_forbidden() -> None:
    with pytest.raises(Forbidden, match="another cluster"):
        verifier("m2").verify(signed(), NOW)


def test_another_hosts_root_is_refused() -> None:
    with pytest.raises(Unauthorized, match="did not join"):
        Verifier(pinned(nkey.create(KeyType.ACCOUNT).public), "m1").verify(signed(), NOW)


def test_a_record_for_another_proxy_does_not_serve() -> None:
    foreign = Signer("p1", PROXY, make_record(ROOT, "p2", PROXY.public, int(NOW) + 60))
    with pytest.raises(Unauthorized, match="another proxy"):
        verifier().verify(foreign.assertion("m1", "u", (), {}, NOW), NOW)


def test_a_key_without_a_record_of_its_own_does_not_serve() -> None:
    thief = Signer("p1", nkey.create(KeyType.USER), make_record(ROOT, "p1", PROXY.public, int(NOW) + 60))
    with pytest.raises(Unauthorized, match="not signed by proxy p1"):
        verifier().verify(thief.assertion("m1", "u", (), {}, NOW), NOW)


def test_a_proxy_cannot_vouch_for_longer_than_a_minute() -> None:
    claims = Claims(member="m1", user="u", groups=(), extra={}, proxy="p1", iat=int(NOW), exp=int(NOW) + 61)
    with pytest.raises(Unauthorized, match="times"):
        verifier().verify(signer().sign(claims), NOW)


def test_an_assertion_from_the_future_is_refused() -> None:
    with pytest.raises(Unauthorized, match="clocks"):
        verifier().verify(signed(now=NOW + 31), NOW)


def test_a_proxy_makes_it_once_and_renews_it_before_it_ends() -> None:
    proxy = signer()
    first = proxy.assertion("m1", "u", (), {}, NOW)
    assert proxy.assertion("m1", "u", (), {}, NOW + 39) is first
    assert proxy.assertion("m1", "u", (), {}, NOW + 41) != first
    assert proxy.assertion("m2", "u", (), {}, NOW) != first
    assert proxy.assertion("m1", "u", GROUPS, {}, NOW) != first


def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assertion, "CACHE_ENTRIES", 3)
    proxy, agent = signer(), verifier()
    for i in range(10):
        agent.verify(proxy.assertion("m1", f"u{i}", (), {}, NOW), NOW)
    assert len(proxy._cache) <= 3
    assert len(agent._cache) <= 3


def test_every_single_byte_matters() -> None:
    data = signed()
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(StatusError):
            verifier().verify(changed, NOW)


@given(st.binary(max_size=600))
def test_garbage_is_unauthorized_and_nothing_else(data: bytes) -> None:
    with pytest.raises(Unauthorized):
        verifier().verify(data, NOW)


@given(st.lists(st.binary(max_size=40), min_size=4, max_size=4))
def test_garbage_in_the_right_shape_is_unauthorized(parts: list[bytes]) -> None:
    with pytest.raises(Unauthorized):
        verifier().verify(msgspec.msgpack.encode(parts), NOW)


def test_a_record_is_believed_while_it_lasts_and_was_signed_by_the_root() -> None:
    record = make_record(ROOT, "p1", PROXY.public, int(NOW) + 60)
    found = check_record((ROOT.public,), record, NOW)
    assert (found.proxy, found.key) == ("p1", PROXY.public)
    with pytest.raises(Unauthorized, match="ended"):
        check_record((ROOT.public,), record, NOW + 60)
    with pytest.raises(Unauthorized, match="not signed"):
        check_record((nkey.create(KeyType.ACCOUNT).public,), record, NOW)


@given(st.text(max_size=200))
def test_a_garbled_record_is_unauthorized_and_nothing_else(text: str) -> None:
    with pytest.raises(Unauthorized):
        check_record((ROOT.public,), text, NOW)
