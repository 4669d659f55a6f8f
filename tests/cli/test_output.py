"""What tables and ages look like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from skerry.cli import output
from skerry.cli.failure import Failure

TABLE = {
    "columnDefinitions": [
        {"name": "Name", "type": "string"},
        {"name": "Ready", "type": "string"},
        {"name": "Nodes", "type": "integer"},
        {"name": "UID", "type": "string", "priority": 1},
    ],
    "rows": [{"cells": ["m1", "True", 3, "u-1"]}, {"cells": ["longer-name", "False", None, "u-2"]}],
}


def test_columns_are_aligned_and_wide_ones_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(TABLE, wide=False, empty="none")
    assert capsys.readouterr().out.splitlines() == [
        "NAME          READY   NODES",
        "m1            True    3",
        "longer-name   False   <none>",
    ]


def test_wide_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(TABLE, wide=True, empty="none")
    assert capsys.readouterr().out.splitlines()[1].split() == ["m1", "True", "3", "u-1"]


def test_an_empty_table_says_so_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.table({"columnDefinitions": [], "rows": []}, wide=False, empty="No clusters.")
    assert capsys.readouterr() == ("", "No clusters.\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (190, "3m10s"),
        (3599, "59m"),
        (10800, "3h"),
        (11100, "3h5m"),
        (86400, "24h"),
        (200000, "2d"),
    ],
)
def test_durations_as_kubectl_shows_them(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


def test_ages_are_computed_from_stamps() -> None:
    then = (datetime.now(UTC) - timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert output.age(then) == "5h"
    assert output.age("3m") == "3m"


def test_names_are_what_kubectl_prints(capsys: pytest.CaptureFixture[str]) -> None:
    output.names([{"metadata": {"name": "m1"}}], "cluster")
    assert capsys.readouterr().out == "cluster.skerry.dev/m1\n"


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(Failure, match="wide, json, yaml, name"):
        output.check_format("xml")
