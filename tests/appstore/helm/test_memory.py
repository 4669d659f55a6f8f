"""What is left of a cgroup's memory."""

from __future__ import annotations

from pathlib import Path

from services.appstore.helm.memory import memory_room


def group(path: Path, most: str, current: int, files: int = 0) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "memory.max").write_text(f"{most}\n")
    (path / "memory.current").write_text(f"{current}\n")
    (path / "memory.stat").write_text(f"anon 1\ninactive_file {files}\nslab 2\n")


def own(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "self"
    path.write_text(f"4:memory:/old\n0::{name}\n")
    return path


def test_the_least_of_all_levels_counts_and_kept_files_do_not(tmp_path: Path) -> None:
    group(tmp_path / "pod", "1000", 700, 100)
    group(tmp_path / "pod" / "container", "500", 50)
    assert memory_room(tmp_path, own(tmp_path, "/pod/container")) == 400
    group(tmp_path / "pod", "max", 700)
    assert memory_room(tmp_path, own(tmp_path, "/pod/container")) == 450
    group(tmp_path / "pod" / "container", "10", 50)
    assert memory_room(tmp_path, own(tmp_path, "/pod/container")) == 0


def test_a_container_sees_its_own_at_the_root(tmp_path: Path) -> None:
    group(tmp_path, "1000", 1)
    assert memory_room(tmp_path, own(tmp_path, "/")) == 999


def test_without_a_limit_or_a_cgroup_it_is_not_known(tmp_path: Path) -> None:
    group(tmp_path, "max", 1)
    assert memory_room(tmp_path, own(tmp_path, "/")) is None
    group(tmp_path, "much", 1)
    assert memory_room(tmp_path, own(tmp_path, "/")) is None
    (tmp_path / "self").write_text("4:memory:/\n")
    assert memory_room(tmp_path, tmp_path / "self") is None
    assert memory_room(tmp_path, tmp_path / "nowhere") is None
