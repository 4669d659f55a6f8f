"""Which context and namespace `--from` means; what it fetches is tested on a real cluster (tests/deploy/test_host_install.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skerry.cli.failure import Failure
from skerry.cli.incluster.admin import resolved


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    names = ("hub", "arn:aws:eks:eu:1:cluster/hub")
    path = tmp_path / "config"
    path.write_text(json.dumps({"contexts": [{"name": name, "context": {}} for name in names]}))
    return path


@pytest.mark.parametrize(
    ("place", "context", "namespace"),
    [
        ("hub", "hub", "skerry-system"),
        ("hub/isle", "hub", "isle"),
        ("arn:aws:eks:eu:1:cluster/hub", "arn:aws:eks:eu:1:cluster/hub", "skerry-system"),
        ("arn:aws:eks:eu:1:cluster/hub/isle", "arn:aws:eks:eu:1:cluster/hub", "isle"),
    ],
)
def test_a_context_may_have_slashes_and_a_namespace_may_follow(
    kubeconfig: Path, place: str, context: str, namespace: str
) -> None:
    assert resolved(place, [kubeconfig]) == (kubeconfig, context, namespace)


@pytest.mark.parametrize("place", ["", "/", "nub", "hub/", "hub/Isle", "hub/a/b"])
def test_what_is_no_context_is_told_with_those_that_there_are(kubeconfig: Path, place: str) -> None:
    with pytest.raises(Failure, match=r"no such context in .*, which has: .*hub"):
        resolved(place, [kubeconfig])


def test_the_first_of_several_files_is_meant(kubeconfig: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(kubeconfig.read_text())
    assert resolved("hub", [other, kubeconfig, tmp_path / "missing"])[0] == other
