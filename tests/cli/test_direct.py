"""cluster join and cluster set: what is refused before anything is asked of anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.__main__ import main
from skerry.cli.commands.clients import leftovers

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))


def member(directory: Path, user: dict[str, Any]) -> str:
    """A kubeconfig of a cluster that nobody runs."""
    document = {
        "current-context": "m",
        "contexts": [{"name": "m", "context": {"cluster": "m", "user": "m"}}],
        "clusters": [{"name": "m", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "m", "user": user}],
    }
    path = directory / "member"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize("words", [["join", "m1", "--direct"], ["set", "m1"]])
def test_the_members_kubeconfig_is_asked_for(capsys: Captured, words: list[str]) -> None:
    assert main(["cluster", *words]) == 2
    assert "of the member, not of the host" in capsys.readouterr().err


def test_an_exec_plugin_is_refused_with_the_way_out(capsys: Captured, tmp_path: Path) -> None:
    plugin = {"exec": {"command": "touch", "args": [str(tmp_path / "ran")], "interactiveMode": "Never",
                       "apiVersion": "client.authentication.k8s.io/v1"}}  # fmt: skip
    for words in (["join", "m1", "--direct"], ["set", "m1"]):
        assert main(["cluster", *words, "--kubeconfig", member(tmp_path, plugin)]) == 1
        assert "--create-service-account" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_a_token_file_that_is_not_there_is_named(capsys: Captured, tmp_path: Path) -> None:
    user = {"tokenFile": str(tmp_path / "gone")}
    assert main(["cluster", "join", "m1", "--direct", "--kubeconfig", member(tmp_path, user)]) == 1
    assert "gone" in capsys.readouterr().err


def test_without_a_host_the_next_step_is_named(capsys: Captured, tmp_path: Path) -> None:
    assert main(["cluster", "join", "m1", "--direct", "--kubeconfig", member(tmp_path, {"token": "t"})]) == 1
    assert "no host here" in capsys.readouterr().err


def test_leftovers_of_a_direct_member_name_the_account_too() -> None:
    assert any("namespace -l" in line for line in leftovers(direct=True))
    assert not any("namespace -l" in line for line in leftovers(direct=False))


def test_leftovers_are_what_joining_made_and_what_carries_a_hosts_label_but_no_namespace() -> None:
    bindings, labelled, _ = leftovers("m1", direct=False)
    assert bindings.endswith("skerry:view skerry:edit skerry:admin skerry:cluster-admin")
    assert labelled == (
        "kubectl --context m1 delete rolebinding,clusterrolebinding,clusterrole --all-namespaces -l skerry.dev/host"
    )
