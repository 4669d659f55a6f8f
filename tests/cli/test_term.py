"""Durations, and the name under which commands are printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from skerry.cli import term
from skerry.cli.failure import USAGE, Failure


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("90", 90), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172800), (" 5M ", 300)]
)
def test_durations(text: str, seconds: float) -> None:
    assert term.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1x", "1h 30m", "-5s", "1h30"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    with pytest.raises(Failure) as caught:
        term.seconds(text)
    assert caught.value.code == USAGE


def test_printed_commands_start_with_the_path_as_invoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "venv" / "bin" / "skerry"
    script.parent.mkdir(parents=True)
    script.touch(mode=0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.chdir(tmp_path)
    assert term.program() == "venv/bin/skerry"


def test_printed_commands_are_short_where_skerry_is_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "skerry"
    script.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert term.program() == "skerry"


def test_another_skerry_on_path_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ours", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "skerry").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "ours" / "skerry")])
    monkeypatch.chdir(tmp_path)
    assert term.program() == "ours/skerry"
