"""`skerry requirements`: the table as people, scripts and the docs have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from skerry import requirements
from skerry.cli.__main__ import main

Captured = pytest.CaptureFixture[str]
PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"


def printed(capsys: Captured, *words: str) -> str:
    assert main(["requirements", *words]) == 0
    return capsys.readouterr().out


def test_a_line_for_each_workload(capsys: Captured) -> None:
    lines = printed(capsys).splitlines()
    assert lines[0].split("   ")[0] == "WORKLOAD"
    assert lines[1].split() == ["controller-manager", "host", "2", "100m", "64Mi", "500m", "512Mi"]
    assert [line.split()[0] for line in lines[1:]] == [row.name for row in requirements.rows()]


def test_wide_adds_what_all_replicas_ask_for(capsys: Captured) -> None:
    assert printed(capsys, "-o", "wide").splitlines()[1].split()[-2:] == ["200m", "128Mi"]


def test_documents_have_it_all(capsys: Captured) -> None:
    document = json.loads(printed(capsys, "-o", "json"))
    assert document["kubernetes"] == {"oldest": requirements.oldest_kubernetes()}
    assert document["workloads"][0] == {
        "name": "controller-manager",
        "where": "host",
        "replicas": 2,
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"cpu": "500m", "memory": "512Mi"},
    }
    assert yaml.safe_load(printed(capsys, "-o", "yaml")) == document


def test_another_format_is_a_usage_error(capsys: Captured) -> None:
    assert main(["requirements", "-o", "xml"]) == 2
    assert "use one of wide, json, yaml" in capsys.readouterr().err


def test_the_page_on_sizing_shows_the_table_as_it_is(capsys: Captured) -> None:
    assert f"```\n{printed(capsys, '-o', 'wide')}```" in PAGE.read_text()
    assert f"Kubernetes {requirements.oldest_kubernetes()} is the oldest" in PAGE.read_text()
