"""Credential files."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from skerry.errors import BadRequest
from skerry.identity import creds, nkey
from skerry.identity.creds import Credentials
from skerry.identity.federation import Authority

AUTHORITY = Authority.create()


def test_saved_credentials_load_as_they_were(tmp_path: Path) -> None:
    credentials = AUTHORITY.service_credentials("proxy")
    credentials.save(tmp_path / "deep" / "x.creds")
    loaded = creds.load(tmp_path / "deep" / "x.creds")
    assert (loaded.jwt, loaded.seed) == (credentials.jwt, credentials.seed)
    assert loaded.expires == credentials.expires


def test_a_bearer_has_no_seed_and_signs_nothing(tmp_path: Path) -> None:
    Credentials(AUTHORITY.join_bearer("jti1", 60)).save(tmp_path / "b.creds")
    loaded = creds.load(tmp_path / "b.creds")
    assert loaded.seed == b""
    assert loaded.sign(b"nonce") == b""


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.creds"
    AUTHORITY.service_credentials("proxy").save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_reader_beside_a_writer_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.creds"
    first, second = AUTHORITY.service_credentials("proxy"), AUTHORITY.service_credentials("registry")
    first.save(path)
    writer = threading.Thread(target=_save_all, args=((second, first) * 20, path))
    writer.start()
    while writer.is_alive():
        assert creds.load(path).jwt in {first.jwt, second.jwt}
    writer.join()
    assert [p.name for p in tmp_path.iterdir()] == ["x.creds"]


def _save_all(credentials: tuple[Credentials, ...], path: Path) -> None:
    for each in credentials:
        each.save(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "dir" / "x.creds").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        AUTHORITY.service_credentials("proxy").save(tmp_path / "dir" / "x.creds")
    assert [p.name for p in (tmp_path / "dir").iterdir()] == ["x.creds"]


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(BadRequest, match="holds no NATS credentials"):
        creds.load(tmp_path / "x")


def test_the_inbox_is_the_users_own() -> None:
    credentials = AUTHORITY.service_credentials("proxy")
    assert credentials.inbox == f"_INBOX.{nkey.from_seed(credentials.seed).public}"


def test_repr_shows_no_secret() -> None:
    credentials = AUTHORITY.service_credentials("proxy")
    assert credentials.seed.decode() not in repr(credentials)
    assert credentials.jwt not in repr(credentials)
