"""The state directory: what it keeps, who may read it, and what it refuses."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from services.agent.store import AgentStore, Membership, StateError
from skerry.api.v1alpha1 import Ceiling
from skerry.identity import creds, nkey
from skerry.identity.creds import Credentials
from skerry.identity.jwt import encode

MEMBERSHIP = Membership(
    member="m1",
    host="skerry",
    host_uid="h",
    servers=["tls://h:4222"],
    ca="pem",
    assertion_root="A",
    cluster_uid="c",
    jti="j",
)


def user(seed: bytes) -> Credentials:
    account = nkey.create(nkey.KeyType.ACCOUNT)
    return Credentials(encode(account, nkey.from_seed(seed).public, "m1", {"type": "user"}), seed)


def test_a_membership_survives(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "m1")
    with store.locked():
        key = store.key()
        store.joined(MEMBERSHIP, user(key.seed), user(key.seed))
    again = AgentStore(tmp_path / "m1")
    assert again.membership() == MEMBERSHIP
    assert again.key().public == key.public
    assert creds.load(again.user).seed == key.seed


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "m1")
    with store.locked():
        key = store.key()
        store.joined(MEMBERSHIP, user(key.seed), user(key.seed))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700


def test_the_key_is_stored_before_anything_else(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "m1")
    with store.locked():
        public = store.key().public
    assert store.membership() is None
    assert store.key().public == public


def test_a_ceiling_outlives_the_membership(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "m1")
    assert store.ceiling() is None
    store.key()
    store.keep_ceiling(Ceiling(read_only=True, namespaces=["a"], desired="Access"))
    store.forget()
    assert AgentStore(tmp_path / "m1").ceiling() == Ceiling(read_only=True, namespaces=["a"], desired="Access")
    assert stat.S_IMODE((store.directory / "ceiling.json").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format":2,"ceiling":{}}', "format 2; this version of skerry reads format 1"),
        ('{"format":1,"read_only":"yes","no_exec":false,"namespaces":[],"desired":"All"}', "--ceiling-off"),
        ('{"format":1,"read_only":true,"no_exec":false,"namespaces":[],"desired":"Some"}', "--ceiling-off"),
        ('{"format":1,"read_only":true}', "--ceiling-off"),
        (
            '{"format":1,"read_only":true,"no_exec":false,"namespaces":[],"desired":"All","no_secrets":1}',
            "--ceiling-off",
        ),
        ("", "--ceiling-off"),
    ],
)
def test_a_ceiling_that_cannot_be_read_is_not_taken_for_an_open_one(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "ceiling.json").write_text(content)
    with pytest.raises(StateError, match=said):
        AgentStore(tmp_path).ceiling()


def test_nothing_half_made_is_left(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "m1")

    def fails() -> None:
        with store.locked():
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fails()
    assert not store.directory.exists()


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    store = AgentStore(tmp_path / "m1")
    with store.locked(), pytest.raises(StateError, match="another agent"), AgentStore(tmp_path / "m1").locked():
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="--state"), AgentStore(tmp_path / "file" / "m1").locked():
        pass


def test_newer_state_is_refused_naming_both_versions(tmp_path: Path) -> None:
    (tmp_path / "agent.json").write_bytes(msgspec.json.encode({"format": 7, "later": True}))
    with pytest.raises(StateError, match=r"format 7.*reads format 1.*newer skerry"):
        AgentStore(tmp_path).membership()


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"format": 1}'])
def test_damage_is_told_with_the_way_out(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "agent.json").write_bytes(text)
    with pytest.raises(StateError, match="join again"):
        AgentStore(tmp_path).membership()


def test_a_damaged_key_is_told_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "seed").write_bytes(b"SUAWRONG")
    with pytest.raises(StateError, match="damaged") as caught:
        AgentStore(tmp_path).key()
    assert "SUAWRONG" not in str(caught.value)


def test_a_removal_is_remembered_until_a_new_join(tmp_path: Path) -> None:
    store = AgentStore(tmp_path)
    store.key()
    store.removed(MEMBERSHIP, "gone")
    found = store.membership()
    assert found is not None
    assert found.removed == "gone"
    store.forget()
    assert store.membership() is None
