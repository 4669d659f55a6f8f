"""skerry cluster remove: what it sends and says; a stand-in for the host's front door answers."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.api.names import WITHDRAW
from skerry.cli import api, app
from skerry.cli.__main__ import main
from skerry.cli.commands import clients
from skerry.errors import Forbidden, NotFound, StatusError

Captured = pytest.CaptureFixture[str]
PATH = api.path_of("clusters", "m1")


class Host:
    """A host with cluster m1, which goes at once, unless that is refused."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.there = True
        self.refusal: StatusError | None = None

    def get(self, path: str) -> dict[str, Any]:
        assert path == PATH
        if not self.there:
            raise NotFound("m1 not found")
        return {"metadata": {"name": "m1"}, "spec": {"connection": {"mode": "agent"}}}

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((path, body))
        return {}

    def delete(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if self.refusal is not None:
            raise self.refusal
        self.there = False
        return {}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    app.tree("")  # all modules of commands: one that borrows `connect` while it is another would keep that
    found = Host()
    monkeypatch.setattr(clients, "connect", lambda kubeconfig, context: found)
    return found


def kept(how: str | None) -> tuple[str, dict[str, Any]]:
    """The patch that says how."""
    return PATH, {"metadata": {"annotations": {WITHDRAW: how}}}


def test_without_a_word_nothing_is_said_of_what_is_to_stay(host: Host, capsys: Captured) -> None:
    """So whoever annotated the Cluster is heard."""
    assert main(["cluster", "remove", "m1"]) == 0
    assert host.asked == [PATH]
    assert "nobody keeps it" not in capsys.readouterr().err


def test_what_is_to_stay_is_said_first(host: Host, capsys: Captured) -> None:
    assert main(["cluster", "remove", "m1", "--keep-on-member"]) == 0
    assert host.asked == [kept("Orphan"), PATH]
    assert "stays, and nobody keeps it in place any more" in capsys.readouterr().err


def test_a_cluster_that_may_not_be_removed_is_left_as_it_was(host: Host, capsys: Captured) -> None:
    host.refusal = Forbidden("you may not delete it")
    assert main(["cluster", "remove", "m1", "--keep-on-member"]) == 1
    assert host.asked == [kept("Orphan"), PATH, kept(None)]
    assert "you may not delete it" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_not_patched(host: Host) -> None:
    host.there = False
    assert main(["cluster", "remove", "m1", "--keep-on-member"]) == 1
    assert host.asked == []
