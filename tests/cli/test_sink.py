"""skerry sink: what is sent and said; a stand-in for the host's front door answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from skerry.cli.__main__ import main
from skerry.cli.commands import sink

Captured = pytest.CaptureFixture[str]
PATH = "/apis/skerry.dev/v1alpha1/eventsinks"
SECRET = "whsec_bWFkZSBieSB0aGUgaG9zdCwgYW5kIHNlY3JldA=="
LETTER = {
    "id": "resources:7:notready",
    "type": "dev.skerry.cluster.notready",
    "subject": "cluster/m1",
    "time": "2026-11-28T12:00:00Z",
    "reason": "502",
}


class Host:
    """Notes what is asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], dict[str, Any]] = {}

    def _answer(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        self.asked.append((method, path, body))
        return self.answers.get((method, path), {})

    def get(self, path: str) -> dict[str, Any]:
        return self._answer("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer("POST", path, body)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer("PUT", path, body)

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._answer("PATCH", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        return self._answer("DELETE", path)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    made.answers[("PUT", f"{PATH}/pager/secret")] = {"secret": SECRET}
    monkeypatch.setattr(sink, "connect", lambda kubeconfig, context: made)
    return made


CREATE = ("sink", "create", "pager", "--url", "https://pager.example.org/hook")


def test_a_sink_is_made_and_its_secret_alone_is_the_result(host: Host, capsys: Captured) -> None:
    assert main([*CREATE, "--type", "dev.skerry.cluster.*", "--type", "dev.skerry.system.*", "-n", "team-a"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{SECRET}\n"
    assert "sink test pager" in said.err
    made, secret = host.asked
    assert made[:2] == ("POST", PATH)
    assert made[2]["metadata"] == {"name": "pager"}
    assert made[2]["spec"] == {
        "url": "https://pager.example.org/hook",
        "types": ["dev.skerry.cluster.*", "dev.skerry.system.*"],
        "namespaces": ["team-a"],
        "mode": "structured",
    }
    assert "secret" not in secret[2]


def test_a_secret_and_authorities_are_read_from_files_and_not_shown(
    host: Host, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "ca").write_text("pem")
    files = ("--secret-file", str(tmp_path / "secret"), "--ca-file", str(tmp_path / "ca"))
    assert main([*CREATE, *files, "--mode", "binary"]) == 0
    assert SECRET not in "".join(capsys.readouterr())
    assert host.asked[0][2]["spec"]["caBundle"] == "pem"
    assert host.asked[1][2]["secret"] == SECRET


def test_the_whole_answer_has_the_secret_in_its_status(host: Host, capsys: Captured) -> None:
    host.answers[("POST", PATH)] = {"kind": "EventSink", "metadata": {"name": "pager"}}
    assert main([*CREATE, "--insecure", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == {"secret": SECRET}
    assert host.asked[0][2]["spec"]["insecure"] is True


def test_another_secret_is_told_once_and_until_when_the_old_one_counts(host: Host, capsys: Captured) -> None:
    host.answers[("PUT", f"{PATH}/pager/secret")] |= {"previousUntil": "2026-11-29T12:00:00Z"}
    assert main(["sink", "secret", "pager"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{SECRET}\n"
    assert "2026-11-29T12:00:00Z" in said.err


def test_a_host_that_does_not_show_what_it_made_is_told(host: Host, capsys: Captured) -> None:
    host.answers[("PUT", f"{PATH}/pager/secret")] = {}
    assert main(["sink", "secret", "pager"]) == 1
    assert "did not show it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ({"status": 204, "message": "204"}, 0, "taken (204)"),
        ({"status": 403, "message": "403: no"}, 1, "403: no"),
        ({"status": 0, "message": "nobody there"}, 1, "nobody there"),
    ],
    ids=["taken", "refused", "away"],
)
def test_a_test_fails_unless_it_is_taken(
    host: Host, capsys: Captured, answer: dict[str, Any], code: int, words: str
) -> None:
    host.answers[("POST", f"{PATH}/pager/test")] = answer
    assert main(["sink", "test", "pager"]) == code
    assert words in "".join(capsys.readouterr())


def test_dead_events_are_a_table(host: Host, capsys: Captured) -> None:
    host.answers[("GET", f"{PATH}/pager/dead")] = {"items": [LETTER, {**LETTER, "retrying": True}], "count": 3}
    assert main(["sink", "dead", "pager"]) == 0
    said = capsys.readouterr()
    head, first, second = said.out.splitlines()
    assert head.split() == ["ID", "TYPE", "SUBJECT", "TIME", "REASON"]
    assert first.split()[0] == LETTER["id"]
    assert second.endswith("502 (is sent again)")
    assert "and 1 more" in said.err
    assert main(["sink", "dead", "pager", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 3
    host.answers.clear()
    assert main(["sink", "dead", "pager"]) == 0
    assert "given up no event" in capsys.readouterr().err


def test_dead_events_are_sent_again_all_or_those_that_are_named(host: Host, capsys: Captured) -> None:
    host.answers[("POST", f"{PATH}/pager/retry")] = {"count": 2}
    assert main(["sink", "retry", "pager"]) == 0
    assert "2 events" in capsys.readouterr().err
    host.answers[("POST", f"{PATH}/pager/retry")] = {"count": 0, "unknown": ["x:1"]}
    assert main(["sink", "retry", "pager", "x:1"]) == 1
    assert "no event x:1" in capsys.readouterr().err
    assert [body["ids"] for _, _, body in host.asked] == [[], ["x:1"]]


def test_a_sink_is_paused_resumed_and_removed(host: Host, capsys: Captured) -> None:
    for word in ("pause", "resume", "remove"):
        assert main(["sink", word, "pager"]) == 0
    assert host.asked == [
        ("PATCH", f"{PATH}/pager", {"spec": {"paused": True}}),
        ("PATCH", f"{PATH}/pager", {"spec": {"paused": False}}),
        ("DELETE", f"{PATH}/pager", None),
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*CREATE, "--mode", "xml"), "--mode xml"),
        ((*CREATE, "-o", "wide"), "-o wide"),
        ((*CREATE, "--secret-file", "/nowhere/file"), "/nowhere/file"),
        (("sink", "create", "pager"), "--url"),
        (("sink", "dead", "pager", "-o", "name"), "-o name"),
    ],
    ids=["mode", "style", "file", "url", "dead"],
)
def test_what_cannot_be_meant_is_a_usage_error_before_anything_is_asked(
    host: Host, capsys: Captured, words: tuple[str, ...], said: str
) -> None:
    assert main(list(words)) == 2
    assert said in capsys.readouterr().err
    assert host.asked == []


def test_every_command_has_an_example(capsys: Captured) -> None:
    for word in ("create", "secret", "test", "dead", "retry", "pause", "resume", "remove"):
        assert main(["sink", word, "--help"]) == 0
        assert f"skerry sink {word}" in capsys.readouterr().out
