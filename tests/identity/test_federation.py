"""The authority's keys on disk, and what it refuses to mint."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from skerry import inspected
from skerry.errors import BadRequest, Conflict
from skerry.identity import jwt, nkey
from skerry.identity.federation import Authority
from skerry.identity.nkey import KeyType

AUTHORITY = Authority.create("h")
AGENT = nkey.create(KeyType.USER).public


@pytest.mark.parametrize("name", ["*", ">", "m.*", "a.b", "", "A", "-a", "a" * 64, "m 1", "m\r\n1"])
def test_a_member_name_that_is_not_a_label_is_refused_at_minting(name: str) -> None:
    with pytest.raises(BadRequest, match="DNS label"):
        AUTHORITY.member_account(name)


@pytest.mark.parametrize("jti", ["*", ">", "a.b", "", "a b"])
def test_a_token_id_that_is_not_one_subject_token_is_refused(jti: str) -> None:
    with pytest.raises(BadRequest):
        AUTHORITY.join_bearer(jti, 60)


@pytest.mark.parametrize(
    "public", ["", "x", nkey.create(KeyType.ACCOUNT).public, AGENT[:-1]], ids=["empty", "x", "account", "cut"]
)
def test_only_a_user_key_becomes_a_user(public: str) -> None:
    with pytest.raises(BadRequest, match="public key of a user"):
        AUTHORITY.member_user(AUTHORITY.member_account("m1"), public)


def test_there_are_no_unknown_services() -> None:
    with pytest.raises(BadRequest, match="no service 'proxi'"):
        AUTHORITY.service_user("proxi", AGENT)


def test_keys_are_files_for_their_owner_and_the_root_is_kept_apart(tmp_path: Path) -> None:
    AUTHORITY.save(tmp_path)
    secrets = list(tmp_path.rglob("*.nk"))
    assert {stat.S_IMODE(p.stat().st_mode) for p in secrets} == {0o600}
    assert (tmp_path / "root" / "operator.nk") in secrets


def test_services_work_without_the_root_seed(tmp_path: Path) -> None:
    AUTHORITY.save(tmp_path)
    (tmp_path / "root" / "operator.nk").unlink()
    loaded = Authority.load(tmp_path)
    assert loaded.public == AUTHORITY.public
    signer = jwt.decode(loaded.member_account("m1").jwt).iss
    assert signer in jwt.decode(AUTHORITY.public.operator_jwt).nats["signing_keys"]


def test_a_loaded_authority_never_writes_the_root_again(tmp_path: Path) -> None:
    AUTHORITY.save(tmp_path / "a")
    Authority.load(tmp_path / "a").save(tmp_path / "b")
    assert not (tmp_path / "b" / "root").exists()


def test_missing_keys_are_named(tmp_path: Path) -> None:
    AUTHORITY.save(tmp_path)
    (tmp_path / "join.nk").unlink()
    with pytest.raises(BadRequest, match=r"join\.nk is missing"):
        Authority.load(tmp_path)


def test_keys_of_a_newer_format_are_refused_naming_both(tmp_path: Path) -> None:
    newer = Authority(msgspec.structs.replace(AUTHORITY.public, format=2), AUTHORITY._keys)
    newer.save(tmp_path)
    with pytest.raises(Conflict, match=r"format 2.*up to 1"):
        Authority.load(tmp_path)


def test_a_known_account_keeps_its_identity_and_its_users() -> None:
    first = AUTHORITY.member_account("m1")
    again = AUTHORITY.member_account("m1", known=first, revoked={AGENT: 5})
    assert (again.public, again.seed) == (first.public, first.seed)
    assert jwt.decode(again.jwt).nats["revocations"] == {AGENT: 5}


def test_two_accounts_of_one_name_share_nothing() -> None:
    first, second = AUTHORITY.member_account("m1"), AUTHORITY.member_account("m1")
    assert first.public != second.public
    assert first.seed != second.seed


def test_a_member_account_has_no_jetstream_no_exports_and_few_connections() -> None:
    nats = jwt.decode(AUTHORITY.member_account("m1").jwt).nats
    limits = nats["limits"]
    assert (limits["mem_storage"], limits["disk_storage"], limits["exports"], limits["conn"]) == (0, 0, 0, 16)
    assert limits["subs"] == 32
    assert limits["disallow_bearer"]
    assert "exports" not in nats
    assert [i["subject"] for i in nats["imports"]] == ["up.m1.>", "down.m1.>", "renew.m1"]


def test_exports_ask_for_activation_tokens() -> None:
    exports = jwt.decode(AUTHORITY.host_jwt).nats["exports"]
    assert [e["subject"] for e in exports] == [
        *("up.*.>", "down.*.>", "join.*", "renew.*"),
        *inspected.ASKED,
        *inspected.HEARD,
    ]
    assert all(e["token_req"] for e in exports)
    assert exports[0]["response_type"] == "Singleton"
    assert exports[0]["response_threshold"] == 5_000_000_000


def test_lives_of_users_are_as_decided() -> None:
    agent = jwt.decode(AUTHORITY.member_user(AUTHORITY.member_account("m1"), AGENT))
    service = jwt.decode(AUTHORITY.service_user("proxy", AGENT))
    renewal = jwt.decode(AUTHORITY.renewal_user(AUTHORITY.member_account("m1"), AGENT))
    assert agent.exp - agent.iat == 30 * 24 * 3600
    assert service.exp - service.iat == 24 * 3600
    assert renewal.exp == 0


def test_repr_of_an_account_shows_no_seed() -> None:
    account = AUTHORITY.member_account("m1")
    assert account.seed.decode() not in repr(account)
