"""skerry cluster agents: what is printed of what the host answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skerry.cli import api
from skerry.cli.__main__ import main
from skerry.cli.commands import clusteragents
from skerry.cli.term import program

Captured = pytest.CaptureFixture[str]
NKEY = "UAAB" + "C" * 52


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def agent(**changes: Any) -> dict[str, Any]:
    return {
        "name": NKEY[:10], "nkey": NKEY, "epoch": "e1", "version": "0.1.0", "connected": "True", "lastHeartbeat": ago(3.5),
        "lead": True, "expires": "2026-12-27T16:00:00Z", "since": ago(7200.5), **changes,
    }  # fmt: skip


class Host:
    """Answers with these agents."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = [agent()]
        self.asked: list[str] = []

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        return {"kind": "ClusterAgentList", "metadata": {}, "items": self.items}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(clusteragents, "connect", lambda kubeconfig, context: found)
    return found


def test_each_agent_is_a_row(host: Host, capsys: Captured) -> None:
    host.items.append(
        agent(name="UAABDDDDDD", epoch="", version="", connected="False", lastHeartbeat="", lead=False, expires="")
    )
    assert main(["cluster", "agents", "m1"]) == 0
    assert host.asked == [f"{api.path_of('clusters', 'm1')}/agents"]
    assert capsys.readouterr().out.splitlines() == [
        "AGENT        VERSION   CONNECTED   LAST HEARTBEAT   LEAD   CREDENTIAL ENDS",
        "UAABCCCCCC   0.1.0     True        3s ago           yes    2026-12-27T16:00:00Z",
        "UAABDDDDDD   <none>    False       <none>           no     <unknown>",
    ]


def test_wide_says_whose_key_it_is_and_since_when(host: Host, capsys: Captured) -> None:
    assert main(["cluster", "agents", "m1", "-o", "wide"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-4:] == ["KEY", "SINCE", "EPOCH", "NKEY"]
    assert row.split()[-3:] == ["120m", "e1", NKEY]


def test_name_says_each_agent_once(host: Host, capsys: Captured) -> None:
    host.items.append(agent(epoch="e2"))
    assert main(["cluster", "agents", "m1", "-o", "name"]) == 0
    assert capsys.readouterr().out == "UAABCCCCCC\n"


def test_json_is_what_the_host_answered(host: Host, capsys: Captured) -> None:
    assert main(["cluster", "agents", "m1", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == host.items


def test_none_is_said_with_what_to_do(host: Host, capsys: Captured) -> None:
    host.items = []
    assert main(["cluster", "agents", "m1"]) == 0
    said, done = capsys.readouterr(), f"Make a token for one: {program()} token create m1 --replica"
    assert said == ("", f"Cluster m1 has no agents. {done}\n")


def test_an_unknown_format_is_refused_before_anything_is_asked(host: Host) -> None:
    assert (main(["cluster", "agents", "m1", "-o", "xml"]), host.asked) == (2, [])
