"""skerry cluster approve and deny: what they send and say; a stand-in for the host's front door answers."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.cli import api
from skerry.cli.__main__ import main
from skerry.cli.commands import approving
from skerry.errors import Conflict

Captured = pytest.CaptureFixture[str]


class Host:
    """Notes what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []
        self.error: Conflict | None = None

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        assert body["kind"] == "ClusterDecision"
        self.posted.append((path, body["reason"]))
        return {}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(approving, "connect", lambda kubeconfig, context: found)
    return found


@pytest.mark.parametrize(
    ("words", "action", "reason", "said"),
    [
        (["approve", "m1"], "approve", "", "cluster m1 approved\n"),
        (["approve", "m1", "--reason", "ours"], "approve", "ours", "cluster m1 approved\n"),
        (["deny", "m1", "--reason", "no"], "deny", "no", "cluster m1 denied: nothing of it is left here"),
    ],
)
def test_a_decision_is_sent_and_told(
    words: list[str], action: str, reason: str, said: str, host: Host, capsys: Captured
) -> None:
    assert main(["cluster", *words]) == 0
    assert host.posted == [(f"{api.path_of('clusters', 'm1')}/{action}", reason)]
    assert capsys.readouterr().err.startswith(said)


def test_what_does_not_wait_is_one_line_and_exit_1(host: Host, capsys: Captured) -> None:
    host.error = Conflict("cluster 'm1' does not wait for approval: joined through its agent")
    assert main(["cluster", "approve", "m1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
