"""What was measured of an installation is inside what it asks for, and is what the page on sizing says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import deploy, preflight
from skerry import requirements
from skerry.api.quantity import NANO

ROOT = Path(__file__).parents[2]
SIZING = ROOT / "docs" / "sizing.md"
MIB = 1 << 20


@pytest.fixture
def figures() -> dict[str, Any]:
    """Of the last run that was kept."""
    figures: dict[str, Any] = json.loads((ROOT / "bench" / "results" / "deploy.json").read_text())
    return figures


def test_the_page_says_what_was_measured(figures: dict[str, Any]) -> None:
    table = deploy.documented(figures)
    assert table in SIZING.read_text(), f"docs/sizing.md has another table than bench/results/deploy.json:\n{table}"


@pytest.mark.parametrize("row", deploy.WORKLOADS)
def test_an_idle_workload_has_what_it_asks_for(figures: dict[str, Any], row: str) -> None:
    idle, asked = figures["idle"][row], requirements.workload(row).requests
    assert idle["rss_mib"] * MIB <= asked["memory"] / NANO
    assert idle["millicores"] / 1000 <= asked["cpu"] / NANO


@pytest.mark.parametrize("row", ["controller-manager", "tower", "nats-server"])
def test_a_workload_of_a_host_with_fifty_members_has_what_it_asks_for(figures: dict[str, Any], row: str) -> None:
    fleet, asked = figures["fleet"][row], requirements.workload(row).requests
    assert fleet["rss_mib"] * MIB <= asked["memory"] / NANO
    assert fleet["millicores"] / 1000 <= asked["cpu"] / NANO


@pytest.mark.parametrize("row", deploy.WORKLOADS)
def test_a_workload_under_load_stays_below_its_limit(figures: dict[str, Any], row: str) -> None:
    limit = requirements.workload(row).limits["memory"] / NANO
    for each in figures["load"].values():
        assert each["answers"]["failures"] == {}
        assert each["workloads"][row]["peak_mib"] * MIB < limit


def test_all_workloads_were_measured() -> None:
    assert set(deploy.WORKLOADS) == {each.name for each in requirements.rows()}


@pytest.mark.parametrize("image", deploy.AIMS_MB)
def test_an_image_is_as_small_as_it_was_aimed_to_be(figures: dict[str, Any], image: str) -> None:
    assert figures["images_mb"][image] <= deploy.AIMS_MB[image]


def test_a_preflight_of_a_large_cluster_takes_little() -> None:
    runs = json.loads((ROOT / "bench" / "results" / "preflight.json").read_text())["runs"]
    assert max(each["cpu_s"] for each in runs) <= preflight.AIM_S
    assert max(each["peak_mib"] for each in runs) <= preflight.AIM_MIB
