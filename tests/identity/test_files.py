"""Files that one user may read: whole, with their rights from the first moment, and nothing left of a write that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.identity.files import write_private


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("durable", [True, False])
def test_private_files_are_replaced_whole(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "f"
    write_private(path, b"one", durable=durable)
    write_private(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert rights(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_missing_is_its_owners_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "made" / "f", b"secret")
    assert rights(tmp_path / "made") == 0o700


def test_a_file_gets_the_rights_that_are_asked_for(tmp_path: Path) -> None:
    write_private(tmp_path / "f", b"data", 0o640)
    assert rights(tmp_path / "f") == 0o640


def test_a_write_that_fails_leaves_nothing_and_the_old(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        write_private(target, b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
