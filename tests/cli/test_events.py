"""skerry events: what it asks for and prints; a stand-in for the host's front door answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from skerry.cli.__main__ import main
from skerry.cli.commands import events

Captured = pytest.CaptureFixture[str]


def event(sequence: int, **more: Any) -> dict[str, Any]:
    data = {"type": "Warning", "reason": "NotReady", "message": "away", "cluster": "m1", **more.pop("data", {})}
    return {
        "specversion": "1.0",
        "type": "dev.skerry.cluster.notready",
        "subject": "cluster/m1",
        "time": "2030-01-31T12:00:00.250Z",
        "sequence": str(sequence),
        "data": data,
        **more,
    }


class Host:
    """Answers each question with the next of `answers`."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[str, str]]] = []
        self.answers: list[list[dict[str, Any]]] = []

    def watch(self, path: str) -> Iterator[dict[str, Any]]:
        url = urlsplit(path)
        assert url.path == "/events"
        self.asked.append(parse_qsl(url.query))
        if not self.answers:
            raise KeyboardInterrupt
        yield from self.answers.pop(0)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(events, "connect", lambda kubeconfig, context: made)
    monkeypatch.setattr(events, "RETRY_S", 0.0)
    return made


def test_a_line_says_when_what_to_whom_and_who_did_it(host: Host, capsys: Captured) -> None:
    host.answers = [[event(1, actor="alice"), event(2, data={"count": 3, "message": "a\x1b[31m"})]]
    assert main(["events", "--since", "24h", "--cluster", "m1", "--kind", "cluster", "--type", "dev.skerry.*"]) == 0
    assert host.asked == [[("since", "24h"), ("cluster", "m1"), ("kind", "cluster"), ("type", "dev.skerry.*")]]
    assert capsys.readouterr().out.splitlines() == [
        "TIME                       TYPE                          OBJECT       ACTOR    MESSAGE",
        "2030-01-31T12:00:00.250Z   dev.skerry.cluster.notready   cluster/m1   alice    away",
        "2030-01-31T12:00:00.250Z   dev.skerry.cluster.notready   cluster/m1   <none>   a [31m (x3)",
    ]


def test_wide_has_the_cluster_and_the_request(host: Host, capsys: Captured) -> None:
    host.answers = [[event(1, auditid="6f1c")]]
    assert main(["events", "-o", "wide"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["TIME", "TYPE", "OBJECT", "ACTOR", "CLUSTER", "AUDIT-ID", "MESSAGE"]
    assert line.split()[3:] == ["<none>", "m1", "6f1c", "away"]


def test_json_is_an_event_a_line_and_nothing_when_there_is_none(host: Host, capsys: Captured) -> None:
    host.answers = [[event(1)], []]
    assert main(["events", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == event(1)
    assert main(["events", "-o", "json"]) == 0
    assert capsys.readouterr() == ("", "")


def test_no_event_is_said(host: Host, capsys: Captured) -> None:
    host.answers = [[]]
    assert main(["events"]) == 0
    assert capsys.readouterr() == ("", "No events since 1h.\n")


def test_a_watch_goes_on_behind_the_last_event(host: Host, capsys: Captured) -> None:
    host.answers = [[event(7), event(9)], [], [event(10)]]
    assert main(["events", "-w"]) == 130
    assert [dict(each).get("after") for each in host.asked] == [None, "9", "9", "10"]
    assert all(("follow", "1") in each for each in host.asked)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["TIME", *["2030-01-31T12:00:00.250Z"] * 3]


@pytest.mark.parametrize("since", ["yesterday", "", "1 fortnight", "2030-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_a_usage_error_with_examples(host: Host, since: str, capsys: Captured) -> None:
    assert main(["events", "--since", since]) == 2
    assert "--since 1h, --since 90m or --since 2030-01-31T12:00:00Z" in capsys.readouterr().err
    assert host.asked == []


def test_a_format_that_is_none_is_a_usage_error(host: Host) -> None:
    assert main(["events", "-o", "yaml"]) == 2
