"""Which command is loaded when: only the one that is called, and the same whichever way."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from skerry.cli import app
from skerry.cli.__main__ import main
from skerry.cli.commands.listings import LISTED


def _names(word: str) -> list[str]:
    return list(typer.main.get_group(app.tree(word)).commands)


def test_all_commands_are_there_in_the_order_of_the_help() -> None:
    assert _names("") == [*app.BEFORE, *LISTED, *app.AFTER]


@pytest.mark.parametrize("word", [*app.BEFORE, *app.AFTER])
def test_a_command_that_is_called_is_alone(word: str) -> None:
    assert _names(word) == [word]


@pytest.mark.parametrize("word", LISTED)
def test_a_listing_that_is_called_is_there(word: str) -> None:
    assert _names(word) == list(LISTED)


@pytest.mark.parametrize("word", ["bogus", "--help", "-h", "-x", "list"])
def test_what_is_no_command_has_them_all_to_choose_from(word: str) -> None:
    assert len(_names(word)) == len(app.BEFORE) + len(LISTED) + len(app.AFTER)


@pytest.mark.parametrize("word", ["cluster", "desired", "agent"])
def test_a_group_that_is_built_twice_has_each_command_once(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    helps = []
    for _ in range(2):
        assert main([word, "--help"]) == 0
        helps.append(capsys.readouterr().out)
    assert helps[0] == helps[1]


def test_the_group_of_clusters_is_whole() -> None:
    group = typer.main.get_group(app.tree("cluster")).commands["cluster"]
    assert {"list", "agents", "remove", "join", "set", "pause", "resume", "cordon", "uncordon"} <= set(group.commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "loaded"),
    [
        (["version", "-o", "json"], {"info"}),
        (["status", "-o", "json"], {"host", "clients"}),
        (
            ["bogus"],
            set(app.BEFORE.values())
            | set(app.AFTER.values())
            | {"agentjoin", "approving", "clusteragents", "direct", "holding", "listings", "removing", "takingaway"},
        ),
    ],
    ids=["a command", "a command that needs another", "no command"],
)
def test_of_the_commands_only_what_is_called_is_loaded(words: list[str], loaded: set[str]) -> None:
    place = "skerry.cli.commands."
    code = f"import sys; from skerry.cli.__main__ import main; main({words}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    modules = done.stderr.splitlines()[-1].split()
    own = {name.removeprefix(place) for name in modules if name.startswith(place)}
    assert {_first(name) for name in own} == {_first(name) for name in loaded}  # `app`: a group of its own, as a whole


def _first(module: str) -> str:
    return module.partition(".")[0]
