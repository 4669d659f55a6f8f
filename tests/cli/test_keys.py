"""skerry keys: what it says where it cannot work."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli.__main__ import main

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["list"], 3, "no host runs here"),
        (["rotate", "secrets"], 3, "works on the host's machine only"),
        (["finish", "secrets"], 3, "no host runs here"),
        (["list", "-o", "wide"], 2, "use json or yaml"),
        (["rotate", "secrets", "--wait", "soon"], 2, "is not a duration"),
        (["rotate"], 2, "KEY"),
    ],
)
def test_what_it_needs_is_told(
    words: list[str], code: int, says: str, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(tmp_path))
    assert main(["keys", *words]) == code
    err = capsys.readouterr().err
    assert says in err
    assert len(err.strip().splitlines()) == 1
