"""The benchmark of a fleet measures what it says: a small one, with real processes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import fleet, fleetdesired, services

pytestmark = pytest.mark.integration


def test_a_small_fleet_is_measured_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleetdesired, "ENTRIES", 3)
    monkeypatch.setattr(fleetdesired, "ROUNDS", 1)
    monkeypatch.setattr(fleetdesired, "SECONDS", 1)
    figures = fleet.measure(1, members=6, only=("sync", "spread", "sustained"))
    assert (figures["members"], figures["spread"]["members"], figures["sync"]["members"]) == (6, 6, 6)
    assert figures["sync"]["peak_mib"] > 0
    out = io.StringIO()
    fleet.show(figures, Console(file=out, width=200))
    text = out.getvalue()
    assert all(row.what in text for row in fleet.ROWS if row.scenario in ("sync", "spread", "sustained"))
    assert fleet.SCENARIOS.keys() == {row.scenario for row in fleet.ROWS}


@pytest.mark.parametrize(("members", "only"), [(10, ("quite",)), (1, ())])
def test_what_cannot_be_measured_is_refused(members: int, only: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"no scenario quite: quiet, dead|2 members or more"):
        fleet.measure(1, members=members, only=only)


def test_turns_are_those_of_whole_seconds_within_a_span(tmp_path: Path) -> None:
    file = tmp_path / "turns"
    now = 1_800_000_000.0
    file.write_text(f"{now:.3f} 100 90\n{now + 1:.3f} 3 2\n{now + 2:.3f} 5 1\n{now + 9:.3f} 100 90\n")
    assert services.turns(file, now, now + 3) == (5.0, 2.0)
