"""The state directory: where it is, formats, and copies before a migration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skerry.cli import state
from skerry.cli.failure import Failure
from skerry.cli.state import StateFile


@pytest.fixture
def host(tmp_path: Path) -> Path:
    path = tmp_path / "host"
    path.mkdir()
    return path


def _write(host: Path, **fields: object) -> None:
    (host / "state.json").write_text(json.dumps({"version": "0.0.9", "name": "skerry", "uid": "u", **fields}))


def test_the_option_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_STATE", "/from/environment")
    assert state.directory(tmp_path) == tmp_path
    assert state.directory(None) == Path("/from/environment")


def test_without_either_it_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKERRY_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state.directory(None) == Path("/x/skerry")


def test_a_first_start_has_no_state(host: Path) -> None:
    assert state.read(host) is None


def test_newer_state_is_refused_naming_both_versions(host: Path) -> None:
    _write(host, format=9, version="7.1.0")
    with pytest.raises(Failure, match=r"format 9, written by skerry 7\.1\.0; this is skerry .* format 1"):
        state.read(host)


def test_damaged_state_is_refused_naming_the_file(host: Path) -> None:
    (host / "state.json").write_text("{")
    with pytest.raises(Failure, match=r"state\.json cannot be read"):
        state.read(host)


def test_older_state_is_migrated_after_a_copy(host: Path) -> None:
    _write(host, format=0)
    (host / "secret").touch(mode=0o600)

    def step(directory: Path, found: StateFile) -> StateFile:
        (directory / "secret").rename(directory / "renamed")
        return StateFile(format=1, version=found.version, name=found.name, uid=found.uid)

    found = state.read(host)
    assert found is not None
    moved, copy = state.migrate(host, found, {0: step})
    assert (moved.format, moved.uid) == (1, "u")
    assert (host / "renamed").exists()
    assert copy == host.with_name("host.format-0")
    assert (copy / "secret").stat().st_mode & 0o777 == 0o600
    assert json.loads((copy / "state.json").read_text())["format"] == 0


def test_a_migration_that_fails_leaves_what_was_there(host: Path) -> None:
    _write(host, format=0)

    def step(directory: Path, found: StateFile) -> StateFile:
        (directory / "state.json").unlink()
        raise OSError("disk full")

    found = state.read(host)
    assert found is not None
    with pytest.raises(OSError, match="disk full"):
        state.migrate(host, found, {0: step})
    assert json.loads((host / "state.json").read_text())["format"] == 0
    assert not host.with_name("host.format-0").exists()


def test_format_0_gets_the_uid_that_it_lacks_and_keeps_one_that_it_has(host: Path) -> None:
    for uid in ("", "kept"):
        _write(host, format=0, uid=uid)
        found = state.read(host)
        assert found is not None
        moved, _ = state.migrate(host, found)
        assert len(moved.uid) == 36 if not uid else moved.uid == "kept"
        assert state.read(host) == moved


def test_state_too_old_to_migrate_says_how_to_go_on(host: Path) -> None:
    _write(host, format=0)
    found = state.read(host)
    assert found is not None
    with pytest.raises(Failure, match=r"start skerry 0\.0\.9 once more"):
        state.migrate(host, found, {})


def test_a_private_directory_is_entered_by_its_owner_only(tmp_path: Path) -> None:
    state.make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("parent", ["file", "/proc/nowhere"])
def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match=r"is not writable: .*; choose another with --state DIR"):
        state.make_private(tmp_path / parent / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
