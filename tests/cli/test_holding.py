"""skerry cluster pause, resume, cordon and uncordon: what they send and say; a stand-in for the host's front door answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skerry.cli import api
from skerry.cli.__main__ import main
from skerry.cli.commands import holding
from skerry.cli.failure import Failure

Captured = pytest.CaptureFixture[str]


class Host:
    """Notes what is patched."""

    def __init__(self) -> None:
        self.patched: list[tuple[str, dict[str, Any]]] = []

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.patched.append((path, body))
        return {}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(holding, "connect", lambda kubeconfig, context: found)
    return found


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (["pause", "m1"], {"paused": True, "pause": None}),
        (["resume", "m1"], {"paused": None, "pause": None}),
        (["cordon", "m1", "--reason", "full"], {"unschedulable": True, "cordon": {"until": None, "reason": "full"}}),
        (["uncordon", "m1"], {"unschedulable": None, "cordon": None}),
    ],
)
def test_each_says_the_whole_of_what_holds(words: list[str], spec: dict[str, Any], host: Host) -> None:
    """Called again it replaces what was said before: an end that is not named is none."""
    assert main(["cluster", *words]) == 0
    assert host.patched == [(api.path_of("clusters", "m1"), {"spec": spec})]


def test_for_is_an_end_from_now(host: Host, capsys: Captured) -> None:
    before = datetime.now(UTC)
    assert main(["cluster", "pause", "m1", "--for", "2h"]) == 0
    after = datetime.now(UTC)
    until = host.patched[0][1]["spec"]["pause"]["until"]
    end = datetime.fromisoformat(until)
    assert before + timedelta(hours=2, seconds=-1) <= end <= after + timedelta(hours=2)
    assert capsys.readouterr().err == f"cluster m1 is paused until {until}\n"


def test_without_an_end_it_says_how_to_end_it(host: Host, capsys: Captured) -> None:
    main(["cluster", "cordon", "m1"])
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.startswith("cluster m1 is cordoned until: ")
    assert found.err.endswith("cluster uncordon m1\n")


@pytest.mark.parametrize("duration", ["0s", "0", "99999999999h", "soon", "-1h"])
def test_a_time_that_cannot_be_is_wrong_usage_and_sends_nothing(duration: str, host: Host) -> None:
    assert main(["cluster", "pause", "m1", f"--for={duration}"]) == 2
    assert host.patched == []


def test_the_longest_time_ends_too() -> None:
    with pytest.raises(Failure, match="at most 87600h"):
        holding._until("87601h")


@pytest.mark.parametrize("command", ["pause", "resume", "cordon", "uncordon"])
def test_help_has_an_example(command: str, capsys: Captured) -> None:
    assert main(["cluster", command, "--help"]) == 0
    assert f"Example: skerry cluster {command} m1" in capsys.readouterr().out


def test_a_host_that_is_not_there_is_said(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_HOME", str(tmp_path))
    assert main(["cluster", "pause", "m1", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err
