"""skerry audit: what is asked, and how records are shown; a stand-in for the front door answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skerry.audit import event
from skerry.cli.__main__ import main
from skerry.cli.commands.audit import listing
from tests.audit.logs import ID, record

Captured = pytest.CaptureFixture[str]


class Host:
    """Answers with these records, and notes what is asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.records: list[dict[str, Any]] = []

    def lines(self, path: str, *, quiet_s: float | None = 0.0) -> Iterator[bytes]:
        split = urlsplit(path)
        assert split.path == "/audit"
        self.asked.append({name: values[0] for name, values in parse_qs(split.query).items()})
        assert (quiet_s is None) == (self.asked[-1].get("follow") == "true")
        yield from (json.dumps(each).encode() + b"\n" for each in self.records)

    def add(self, user: str = "alice", **notes: str) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(record(user)[0])
        made["annotations"] |= notes
        self.records.append(made)
        return made


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(listing, "connect", lambda kubeconfig, context: made)
    return made


def test_records_are_a_table_by_default_and_the_last_hour(host: Host, capsys: Captured) -> None:
    host.add(**{event.MS: "1.5"})
    host.add("bob", **{event.ENDED: "cut"})
    host.add("system:anonymous", **{event.COUNT: "53"})
    assert main(["audit"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == list(listing.HEAD)
    cells = ["2026-11-18", "11:06:40", "alice", "m1", "get", "pods", "p", "200", "1.5", "10.0.0.1"]
    assert rows[0].split() == cells
    assert " cut " in rows[1]
    assert " 200 ×53 " in rows[2]
    (asked,) = host.asked
    assert set(asked) == {"since"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", asked["since"])


def test_all_options_are_asked_of_the_host(host: Host) -> None:
    words = [
        "--user",
        "u",
        "--cluster",
        "c",
        "--verb",
        "get",
        "--resource",
        "pods/exec",
        "-n",
        "ns",
        "--name",
        "n",
        "--code",
        "4xx",
    ]
    assert main(["audit", *words, "--since", "2026-11-28T08:00:00Z", "--until", "2026-11-28T09:00:00+01:00", "-f"]) == 0
    assert host.asked == [
        {
            "user": "u", "cluster": "c", "verb": "get", "resource": "pods/exec", "namespace": "ns", "name": "n", "code": "4xx",
            "since": "2026-11-28T08:00:00.000000Z", "until": "2026-11-28T08:00:00.000000Z", "follow": "true",
        }
    ]  # fmt: skip


def test_wide_has_who_let_it_and_the_id(host: Host, capsys: Captured) -> None:
    host.add(**{event.REASON: "AccessGrant ops"})
    assert main(["audit", "-o", "wide"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == list(listing.WIDE)
    assert "AccessGrant ops" in row
    assert row.endswith(ID)


def test_json_is_a_list_of_events(host: Host, capsys: Captured) -> None:
    made = host.add()
    assert main(["audit", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "items": [made],
    }
    assert main(["audit", "-o", "json", "-f"]) == 0
    assert json.loads(capsys.readouterr().out) == made


def test_no_records_are_said(host: Host, capsys: Captured) -> None:
    assert main(["audit"]) == 0
    said = capsys.readouterr()
    assert (said.out, "--since" in said.err) == ("", True)


@pytest.mark.parametrize("words", [["--since", "yesterday"], ["--until", "noon"], ["-o", "yaml"]], ids=str)
def test_what_cannot_be_asked_is_a_usage_error_with_examples(words: list[str], host: Host, capsys: Captured) -> None:
    assert main(["audit", *words]) == 2
    assert ("for example" in (said := capsys.readouterr().err)) or "use wide or json" in said


def test_one_request_is_explained(host: Host, capsys: Captured) -> None:
    made = host.add(**{event.REASON: "AccessGrant ops", event.DECISION: "allow", event.MS: "3", event.CREDENTIAL: "c1"})
    made["impersonatedUser"] = {"username": "skerry:alice"}
    assert main(["audit", "--explain", ID]) == 0
    text = capsys.readouterr().out
    assert host.asked == [{"id": ID}]
    for part in (
        "get /api/v1/namespaces/a/pods/p",
        "AccessGrant ops",
        f"auditID {ID}",
        "skerry:alice",
        "10.0.0.1",
        "3 ms",
    ):
        assert part in text


def test_a_request_that_is_not_there_says_so(host: Host, capsys: Captured) -> None:
    assert main(["audit", "--explain", ID]) == 1
    assert ID in capsys.readouterr().err
