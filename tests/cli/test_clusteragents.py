"""skerry cluster agents, rekey and revoke-agent: what is asked, and what is printed of what the host answers."""

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
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.rekeys: list[dict[str, Any] | None] = []
        """What the Cluster says of its rekey: at the order, and at each look after it; the last goes on."""

    def get(self, path: str) -> dict[str, Any]:
        self.asked.append(path)
        if not path.endswith("/agents"):
            return self.cluster()
        return {"kind": "ClusterAgentList", "metadata": {}, "items": self.items}

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.posted.append((path, body))
        return self.cluster() if self.rekeys else {}

    def cluster(self) -> dict[str, Any]:
        rekey = self.rekeys.pop(0) if len(self.rekeys) > 1 else self.rekeys[0]
        return {"status": {"credentials": {"expires": "", **({"rekey": rekey} if rekey else {})}}}


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


OTHER = "UAABD" + "D" * 51
BOTH = {"requested": "", "pending": [NKEY, OTHER]}
ONE_LEFT = {"requested": "", "pending": [OTHER], "replaced": [{"key": NKEY, "by": "UB", "at": ""}]}
RUNNING = {"requested": "", "replaced": [{"key": NKEY, "by": "UB", "at": ""}, {"key": OTHER, "by": "UC", "at": ""}]}


@pytest.mark.parametrize(
    ("words", "at_once", "rekeys", "said"),
    [
        (
            [],
            False,
            [BOTH, ONE_LEFT, RUNNING],
            "its 2 agents have another key; requests that run with the one before may end first, within 8 hours",
        ),
        ([], False, [BOTH, ONE_LEFT, None], "its 2 agents have another key, and the one before is revoked"),
        (["--now"], True, [BOTH, RUNNING, None], "its 2 agents have another key, and the one before is revoked"),
        ([], False, [{"pending": [NKEY]}, None], "its agent has another key, and the one before is revoked"),
    ],
    ids=["streams run", "none run", "at once", "one agent"],
)
def test_a_rekey_waits_for_each_agent(
    words: list[str], at_once: bool, rekeys: list[dict[str, Any] | None], said: str, host: Host, capsys: Captured
) -> None:
    host.rekeys = rekeys
    assert main(["cluster", "rekey", "m1", *words]) == 0
    assert host.posted == [(f"{api.path_of('clusters', 'm1')}/rekey", {"atOnce": at_once})]
    assert capsys.readouterr().err == f"cluster m1: {said}\n"


@pytest.mark.parametrize(
    ("words", "rekeys", "said"),
    [
        ([], [BOTH, ONE_LEFT], f"cluster m1: after 0.3s no other key has agent {OTHER[:10]}: it is away"),
        (["--now"], [BOTH, RUNNING], f"the replaced key {NKEY[:10]}, {OTHER[:10]} is not revoked yet"),
    ],
)
def test_when_the_time_is_over_it_says_who_is_missing(
    words: list[str], rekeys: list[dict[str, Any] | None], said: str, host: Host, capsys: Captured
) -> None:
    host.rekeys = rekeys
    assert main(["cluster", "rekey", "m1", "--wait", "0.3s", *words]) == 5
    assert said in capsys.readouterr().err


def test_an_agent_that_joins_meanwhile_is_not_waited_for(host: Host) -> None:
    host.rekeys = [{"pending": [NKEY]}, {"pending": [OTHER]}]
    assert main(["cluster", "rekey", "m1"]) == 0


def test_one_agent_is_revoked_by_its_name(host: Host, capsys: Captured) -> None:
    assert main(["cluster", "revoke-agent", "m1", "UAABC"]) == 0
    assert host.posted == [(f"{api.path_of('clusters', 'm1')}/revoke-agent", {"agent": "UAABC"})]
    assert capsys.readouterr().err == "agent UAABC of cluster m1 is revoked\n"
