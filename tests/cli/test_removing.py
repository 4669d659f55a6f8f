"""skerry cluster remove: what it sends and says; a stand-in for the host's front door answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skerry.api.names import CLEANUP, WITHDRAW
from skerry.cli import api
from skerry.cli.__main__ import main
from skerry.cli.commands import removing
from skerry.errors import Forbidden, NotFound, StatusError

Captured = pytest.CaptureFixture[str]
PATH = api.path_of("clusters", "m1")
CUT = {"type": "StreamsCut", "status": "True", "reason": "StreamsCut", "message": "streams cut: 3"}
CLEANED = {"type": "Cleaned", "status": "True", "reason": "Cleaned", "message": "cleaned on the member: 4 objects"}
UNMARKED = {**CLEANED, "reason": "Unmarked"}
LEFT = {"type": "DesiredApplied", "status": "False", "reason": "Left", "message": "not all taken away: it is away"}
TAKEN = {"type": "Joined", "status": "False", "reason": "TakenOver", "message": "another host has it"}
PENDING = {"type": "Joined", "status": "False", "reason": "ApprovalPending", "message": "it waits"}


class Host:
    """A host with cluster m1, which goes at once, unless that is refused; `conditions` are what is said of it until then."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.watched: list[dict[str, list[str]]] = []
        self.there = True
        self.goes = True
        self.breaks = False
        self.refusal: StatusError | None = None
        self.mode = "agent"
        self.before: list[dict[str, str]] = []
        self.conditions: list[dict[str, str]] = []
        self.annotations: dict[str, str | None] = {}

    def document(self, conditions: list[dict[str, str]], version: str) -> dict[str, Any]:
        """The Cluster."""
        metadata = {"name": "m1", "uid": "u1", "resourceVersion": version, "annotations": self.annotations}
        return {
            "metadata": metadata,
            "spec": {"connection": {"mode": self.mode}},
            "status": {"conditions": [*self.before, *conditions]},
        }

    def get(self, path: str) -> dict[str, Any]:
        assert path == PATH
        if not self.there:
            raise NotFound("m1 not found")
        return self.document([], "5")

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((path, body))
        self.annotations = {**self.annotations, **body["metadata"]["annotations"]}
        return {}

    def delete(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if self.refusal is not None:
            raise self.refusal
        self.there = not self.goes
        return {}

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        self.watched.append(parse_qs(urlsplit(path).query))
        if self.there or self.breaks:
            self.breaks = False
            return
        yield {"type": "MODIFIED", "object": self.document([], "6")}
        yield {"type": "DELETED", "object": self.document(self.conditions, "7")}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(removing, "connect", lambda kubeconfig, context: found)
    monkeypatch.setattr(removing, "RETRY_S", 0.01)
    return found


def said(how: dict[str, str | None]) -> tuple[str, dict[str, Any]]:
    """The patch that says how."""
    return PATH, {"metadata": {"annotations": how}}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], [PATH]),
        (["--keep-on-member"], [said({WITHDRAW: "Orphan"}), PATH]),
        (["--now"], [said({CLEANUP: "0s"}), PATH]),
        (["--cleanup", "1m"], [said({CLEANUP: "1m"}), PATH]),
        (["--cleanup", "1m", "--keep-on-member"], [said({WITHDRAW: "Orphan", CLEANUP: "1m"}), PATH]),
    ],
)
def test_how_it_is_to_go_is_said_first(words: list[str], asked: list[Any], host: Host) -> None:
    """Without a word nothing is said, so whoever annotated the Cluster is heard."""
    assert main(["cluster", "remove", "m1", *words]) == 0
    assert host.asked == asked
    assert host.watched[0]["resourceVersion"] == ["5"], "what was said before the watch began is in it"


@pytest.mark.parametrize("words", [["--now", "--cleanup", "1m"], ["--now", "--keep-on-member"], ["--cleanup", "soon"]])
def test_what_excludes_itself_is_refused_before_anything_is_asked(words: list[str], host: Host) -> None:
    assert main(["cluster", "remove", "m1", *words]) == 2
    assert host.asked == []


MARK = "  kubectl annotate namespace kube-system skerry.dev/host- skerry.dev/host-name-"


@pytest.mark.parametrize(
    ("before", "conditions", "lines"),
    [
        ([], [CLEANED], ["cleaned on the member: 4 objects", "left there: the mark of this host", MARK]),
        ([], [LEFT], ["not reached: left there:", "  # not all taken away: it is away", "  kubectl delete clusterr…",
                      "  kubectl delete rolebind…", MARK]),
        ([], [CLEANED, LEFT], ["cleaned on the member: 4 objects", "left there:", "  # not all taken away: it is away",
                               "  kubectl delete clusterr…", "  kubectl delete rolebind…", MARK]),
        ([], [], ["not reached: left there:", "  kubectl delete clusterr…", "  kubectl delete rolebind…", MARK]),
        ([], [CUT, CLEANED], ["streams cut: 3", "cleaned on the member: 4 objects", "left there: the mark of this host", MARK]),
        ([], [UNMARKED], ["cleaned on the member: 4 objects"]),
        ([], [UNMARKED, LEFT], ["cleaned on the member: 4 objects", "left there:", "  # not all taken away: it is away",
                                "  kubectl delete clusterr…", "  kubectl delete rolebind…"]),
        ([PENDING], [], []),
        ([TAKEN], [], []),
    ],
)  # fmt: skip
def test_what_became_of_it_is_told_in_order(
    before: list[dict[str, str]], conditions: list[dict[str, str]], lines: list[str], host: Host, capsys: Captured
) -> None:
    host.before, host.conditions = before, conditions
    assert main(["cluster", "remove", "m1"]) == 0
    told = [
        line if "-l " not in line and "ignore-not" not in line else f"{line[:25]}…"
        for line in capsys.readouterr().err.splitlines()
    ]
    end = ["credentials revoked", "cluster m1 removed"]
    if before == [TAKEN]:
        end.append("another host has that cluster now: nothing on it was touched")
    assert told == [*lines, *end]


def test_a_direct_one_may_have_an_account_left(host: Host, capsys: Captured) -> None:
    host.mode, host.conditions = "direct", [CLEANED]
    assert main(["cluster", "remove", "m1"]) == 0
    assert "delete clusterrolebinding,clusterrole,namespace -l skerry.dev/installed=direct" in capsys.readouterr().err


def test_of_a_direct_one_without_the_mark_its_account_alone_is_left(host: Host, capsys: Captured) -> None:
    host.mode, host.conditions = "direct", [UNMARKED]
    assert main(["cluster", "remove", "m1"]) == 0
    told = capsys.readouterr().err
    assert "left there: its account if one was made" in told
    assert "annotate" not in told


def test_what_stays_is_nobodys(host: Host, capsys: Captured) -> None:
    assert main(["cluster", "remove", "m1", "--keep-on-member"]) == 0
    told = capsys.readouterr().err
    assert "stays, and nobody keeps it in place any more" in told
    assert "  kubectl delete clusterrolebinding --ignore-not-found skerry:view skerry:edit" in told


def test_a_watch_that_breaks_off_is_begun_again(host: Host, capsys: Captured) -> None:
    host.breaks, host.conditions = True, [CLEANED]
    host.goes = False

    def gone(path: str) -> Iterator[dict[str, Any]]:
        host.there = False
        return Host.watch(host, path)

    assert main(["cluster", "remove", "m1", "--wait", "0s"]) == 5
    host.watch = gone  # type: ignore[method-assign]
    host.there = True
    assert main(["cluster", "remove", "m1"]) == 0


def test_one_that_does_not_go_in_time_is_exit_5_and_the_host_goes_on(host: Host, capsys: Captured) -> None:
    host.goes = False
    assert main(["cluster", "remove", "m1", "--wait", "1s"]) == 5
    assert "cluster m1 is still there after 1s, and the host goes on" in capsys.readouterr().err


def test_a_cluster_that_may_not_be_removed_is_left_as_it_was(host: Host, capsys: Captured) -> None:
    host.refusal = Forbidden("you may not delete it")
    host.annotations = {CLEANUP: "30s"}
    assert main(["cluster", "remove", "m1", "--cleanup", "1m", "--keep-on-member"]) == 1
    assert host.asked == [
        said({WITHDRAW: "Orphan", CLEANUP: "1m"}), PATH, said({WITHDRAW: None, CLEANUP: "30s"}),
    ]  # fmt: skip
    assert "you may not delete it" in capsys.readouterr().err


def test_a_cluster_that_is_not_there_is_not_patched(host: Host) -> None:
    host.there = False
    assert main(["cluster", "remove", "m1", "--keep-on-member"]) == 1
    assert host.asked == []
