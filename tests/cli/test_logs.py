"""Following a log across truncation and replacement."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli import launch
from skerry.cli.logs import Follower, show


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_text("one\ntwo\n")
    return path


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_only_what_is_new_is_given(log: Path) -> None:
    follower = Follower(log)
    _append(log, "three\nfour")
    assert follower.lines() == ["three"]
    _append(log, " and a half\n")
    assert follower.lines() == ["four and a half"]
    assert follower.lines() == []


def test_a_truncated_log_is_read_from_its_beginning(log: Path) -> None:
    follower = Follower(log)
    log.write_text("new\n")
    assert follower.lines() == ["new"]


def test_a_log_that_comes_later_is_followed(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "later.log")
    assert follower.lines() == []
    (tmp_path / "later.log").write_text("hello\n")
    assert follower.lines() == ["hello"]


def test_several_logs_have_their_names_in_front(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "longer.log").write_text("x\n")
    show({"a": log, "longer": tmp_path / "longer.log"}, 1, follow=False)
    assert capsys.readouterr().out == "a      | two\nlonger | x\n"


def test_a_tail_is_the_last_lines(log: Path) -> None:
    assert launch.tail(log, 1) == "two"
    assert launch.tail(log.with_name("none"), 1) == ""
