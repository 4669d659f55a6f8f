"""skerry request: what it sends, prints and waits for; a stand-in for the host's front door answers."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.cli import placing
from skerry.cli.__main__ import main
from skerry.cli.api import path_of
from skerry.cli.commands import requesting
from skerry.errors import Conflict

Captured = pytest.CaptureFixture[str]
REQUESTS = path_of("accessrequests")
ENFORCED = {
    "status": {"conditions": [{"type": "Enforced", "status": "True", "reason": "Enforced", "message": "on m1"}]}
}


def request(state: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "req-1"}, "status": {"state": state, "ends": "T", **status}}


PENDING = request("Pending", message="waits for approval")
APPROVED = request("Approved", approvals=[{"by": "bob"}], grant="req-1")


class Host:
    """Notes what is posted, and answers with the states that it was given, one after the other."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.states = [PENDING]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.posted.append((path, body))
        return self._next()

    def get(self, path: str) -> dict[str, Any]:
        return ENFORCED if "accessgrants" in path else self._next()

    def _next(self) -> dict[str, Any]:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(requesting, "connect", lambda kubeconfig, context: found)
    monkeypatch.setattr(placing, "POLL_S", 0.0)
    monkeypatch.setattr(requesting, "POLL_S", 0.0)
    return found


CREATE = ["request", "create", "edit", "--cluster", "m1", "--reason", "INC-1"]


def test_what_is_asked_for_is_sent_and_its_name_alone_printed(host: Host, capsys: Captured) -> None:
    assert main([*CREATE, "-n", "shop", "--for", "90m"]) == 0
    path, body = host.posted[0]
    assert path == REQUESTS
    assert body["metadata"] == {"generateName": "req-"}
    assert body["spec"] == {
        "role": "edit",
        "clusters": {"names": ["m1"]},
        "namespaces": ["shop"],
        "reason": "INC-1",
        "duration": "5400s",
    }
    shown = capsys.readouterr()
    assert shown.out == "accessrequest.skerry.dev/req-1\n"
    assert shown.err.startswith("waits for approval until T: ")


@pytest.mark.parametrize(
    ("states", "wait", "code", "said"),
    [
        ([PENDING, PENDING, APPROVED], "60s", 0, "approved by bob until T\non m1\n"),
        ([APPROVED], "0s", 0, "approved by bob until T\non m1\n"),
        ([PENDING], "1ms", 5, "error: nobody approved request req-1 within 1ms: it waits until T\n"),
        (
            [PENDING, request("Denied", message="denied by bob")],
            "60s",
            1,
            "error: request req-1 is Denied: denied by bob\n",
        ),
    ],
)
def test_it_waits_for_a_decision_when_asked_to(
    states: list[Any], wait: str, code: int, said: str, host: Host, capsys: Captured
) -> None:
    host.states = states
    assert main([*CREATE, "--wait", wait]) == code
    shown = capsys.readouterr()
    assert shown.out == "accessrequest.skerry.dev/req-1\n"
    assert shown.err == said


def test_an_approval_says_until_when_and_where_it_is_in_place(host: Host, capsys: Captured) -> None:
    host.states = [APPROVED]
    assert main(["request", "approve", "req-1", "--for", "1h", "--comment", "go"]) == 0
    path, body = host.posted[0]
    assert path == f"{REQUESTS}/req-1/approve"
    assert (body["kind"], body["duration"], body["comment"]) == ("AccessRequestApproval", "3600s", "go")
    shown = capsys.readouterr()
    assert shown.out == "accessrequest.skerry.dev/req-1\n"
    assert shown.err == "approved by bob until T\non m1\n"


def test_one_approval_of_several_says_how_many(host: Host, capsys: Captured) -> None:
    host.states = [request("Pending", message="waits for approval: 1 of 2")]
    assert main(["request", "approve", "req-1"]) == 0
    assert "duration" not in host.posted[0][1]
    assert capsys.readouterr().err == "waits for approval: 1 of 2\n"


@pytest.mark.parametrize(("what", "said"), [("deny", "request req-1 denied\n"), ("end", "request req-1 ended\n")])
def test_a_request_is_denied_or_ended(what: str, said: str, host: Host, capsys: Captured) -> None:
    assert main(["request", what, "req-1", "--comment", "no"]) == 0
    assert host.posted == [
        (
            f"{REQUESTS}/req-1/{what}",
            {"apiVersion": "skerry.dev/v1alpha1", "kind": "AccessRequestDecision", "comment": "no"},
        )
    ]
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


def test_what_is_over_is_one_line_and_exit_1(host: Host, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def refuse(path: str, body: dict[str, Any]) -> dict[str, Any]:
        raise Conflict("accessrequest 'req-1' is Denied, and nothing is left to approve")

    monkeypatch.setattr(host, "post", refuse)
    for what in ("approve", "deny", "end"):
        assert main(["request", what, "req-1"]) == 1
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["request", "create", "owner", "--cluster", "m1", "--reason", "x"],
        ["request", "create", "edit", "--reason", "x"],
        [*CREATE, "--for", "0s"],
        [*CREATE, "--wait", "soon"],
        ["request", "approve", "req-1", "--for", "never"],
        ["request", "approve"],
    ],
)
def test_usage_is_exit_2_and_nothing_is_sent(words: list[str], host: Host) -> None:
    assert main(words) == 2
    assert not host.posted


@pytest.mark.parametrize("what", ["create", "list", "approve", "deny", "end"])
def test_help_has_an_example(what: str, capsys: Captured) -> None:
    assert main(["request", what, "--help"]) == 0
    assert "Example" in capsys.readouterr().out
