"""skerry token: what is sent and said; a stand-in for the host's front door answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from skerry.api.messages import Token
from skerry.cli import api
from skerry.cli.__main__ import main
from skerry.cli.commands import tokens
from skerry.identity import jointoken

Captured = pytest.CaptureFixture[str]
EXPIRED_HERE = 1
"""The host's clock decides about a token, not that of whoever makes one."""


class Host:
    """Notes what is made and deleted."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.shows = True
        self.servers = ["tls://skerry.example.com:4222"]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == api.path_of("jointokens")
        self.posted.append(body)
        spec = body["spec"]
        name, pattern = spec.get("clusterName", ""), spec.get("pattern", "")
        shown = Token(
            host="h", name=name, pattern=pattern, jti="j", jwt="x", servers=self.servers, ca="", expires=EXPIRED_HERE
        )
        return {**body, "status": {"token": jointoken.encode(shown)} if self.shows else {}}

    def delete(self, path: str) -> None:
        self.deleted.append(path)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(tokens, "connect", lambda kubeconfig, context: made)
    return made


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (["m1"], {"clusterName": "m1", "ttl": "1h", "replica": False}),
        (["m1", "--replica", "--ttl", "5m"], {"clusterName": "m1", "ttl": "5m", "replica": True}),
        (["m1", "--approval"], {"clusterName": "m1", "ttl": "1h", "replica": False, "approval": True}),
        (["m1", "--cluster-uid", "u1"], {"clusterName": "m1", "ttl": "1h", "replica": False, "clusterUID": "u1"}),
        (
            ["--pattern", "edge-*", "--uses", "50", "--label", "site=north", "--label", "a=b=c"],
            {"pattern": "edge-*", "uses": 50, "ttl": "1h", "replica": False, "labels": {"site": "north", "a": "b=c"}},
        ),
        (
            ["--pattern", "edge-*", "--label", "empty="],
            {"pattern": "edge-*", "ttl": "1h", "replica": False, "labels": {"empty": ""}},
        ),
    ],
)
def test_what_is_said_is_what_is_sent(words: list[str], spec: dict[str, Any], host: Host) -> None:
    assert main(["token", "create", *words]) == 0
    assert host.posted[0]["spec"] == spec


@pytest.mark.parametrize(
    ("words", "begins"), [(["m1"], "m1-"), (["--pattern", "edge-*"], "edge-"), (["--pattern", "*-" + "x" * 60], "x")]
)
def test_a_token_is_called_after_its_purpose(words: list[str], begins: str, host: Host) -> None:
    assert main(["token", "create", *words]) == 0
    name = host.posted[0]["metadata"]["name"]
    assert name.startswith(begins)
    assert len(name) <= 63


def test_the_host_names_what_cannot_be_named_after_its_purpose(host: Host) -> None:
    """It refuses the pattern anyway, in its own words."""
    assert main(["token", "create", "--pattern", "*"]) == 0
    assert host.posted[0]["metadata"] == {}


def test_the_token_alone_is_the_result_and_the_line_to_run_a_hint(host: Host, capsys: Captured) -> None:
    assert main(["token", "create", "m1"]) == 0
    said = capsys.readouterr()
    assert jointoken.decode(said.out, now=0).name == "m1"
    assert "agent --token-file - --kubeconfig" in said.err
    assert "warning" not in said.err
    assert main(["token", "create", "--pattern", "edge-*"]) == 0
    assert "agent --token-file - --name NAME --kubeconfig" in capsys.readouterr().err


def test_a_token_that_works_on_this_machine_only_is_warned_of(host: Host, capsys: Captured) -> None:
    host.servers = ["tls://127.0.0.1:4222"]
    assert main(["token", "create", "m1", "-o", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["spec"]["clusterName"] == "m1"
    assert said.err.startswith("warning: the token carries a loopback address")


def test_a_host_that_shows_no_token_is_told(host: Host, capsys: Captured) -> None:
    host.shows = False
    assert main(["token", "create", "m1"]) == 1
    assert "did not show it: make another one" in capsys.readouterr().err


def test_revoking_names_the_token(host: Host, capsys: Captured) -> None:
    assert main(["token", "revoke", "edge-1"]) == 0
    assert host.deleted == [api.path_of("jointokens", "edge-1")]
    assert capsys.readouterr().err == "join token edge-1 revoked\n"


def test_names_of_tokens_complete_to_nothing_without_a_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(tmp_path))
    assert tokens.token_names("e") == []
