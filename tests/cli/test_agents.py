"""Running agents: what they are told, how their token travels, and how a failed start is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from skerry.cli.agents import LocalAgent, detached, hidden, stop
from skerry.cli.failure import FAILED, Failure
from skerry.cli.term import ProgressLine


@pytest.fixture
def agent(tmp_path: Path) -> LocalAgent:
    return LocalAgent(
        directory=tmp_path / "agents" / "m1", name="m1", kubeconfig=str(tmp_path / "none"), read_only=True
    )


def test_an_agent_is_told_everything_and_nothing_foreign(agent: LocalAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKERRY_STATE", "/x")
    monkeypatch.setenv("SKERRY_LOG_LEVEL", "debug")
    env = agent.environment("/t")
    ours = {name: value for name, value in env.items() if name.startswith("SKERRY_")}
    assert ours == {
        "SKERRY_AGENT_STATE": str(agent.directory),
        "SKERRY_AGENT_NAME": "m1",
        "SKERRY_TOKEN_FILE": "/t",
        "SKERRY_KUBECONFIG": agent.kubeconfig,
        "SKERRY_READ_ONLY": "1",
        "SKERRY_LOG_LEVEL": "debug",
    }


def test_a_token_can_be_read_by_the_child_more_than_once() -> None:
    with hidden("the-token") as (path, numbers):
        code = f"print(open({path!r}).read(), open({path!r}).read())"
        done = subprocess.run(
            [sys.executable, "-c", code], pass_fds=numbers, capture_output=True, text=True, check=True
        )
    assert done.stdout == "the-token the-token\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is a file for a moment")
def test_a_token_is_in_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with hidden("the-token"):
        assert list(tmp_path.iterdir()) == []


def test_no_token_is_no_path() -> None:
    with hidden("") as found:
        assert found == ("", ())


@pytest.mark.integration
def test_an_agent_that_ends_at_once_is_a_failure_with_its_last_words_and_leaves_nothing(agent: LocalAgent) -> None:
    with pytest.raises(Failure) as caught:
        detached(agent, "skerry-join-x", "", 20, ProgressLine())
    assert caught.value.code == FAILED
    assert caught.value.message.startswith("agent m1 could not start: ")
    assert str(agent.kubeconfig) in caught.value.message
    assert not agent.directory.exists()


def test_stopping_what_does_not_run_is_no_error(agent: LocalAgent) -> None:
    assert stop(agent, 1, ProgressLine()) is False
