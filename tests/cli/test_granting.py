"""skerry grant and revoke: what they send, print and wait for; a stand-in for the host's front door answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skerry.cli import placing
from skerry.cli.__main__ import main
from skerry.cli.api import path_of
from skerry.cli.commands import granting
from skerry.errors import Forbidden, NotFound

Captured = pytest.CaptureFixture[str]
GRANTS = path_of("accessgrants")


def enforced(status: str, reason: str, message: str, *clusters: tuple[str, str]) -> dict[str, Any]:
    condition = {"type": "Enforced", "status": status, "reason": reason, "message": message}
    return {
        "metadata": {"name": "alice-edit-x"},
        "status": {"conditions": [condition], "clusters": [{"name": name, "state": state} for name, state in clusters]},
    }


class Host:
    """Notes what is posted and deleted; the grant is what `states` says, one after the other."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.deleted: list[str] = []
        self.missing: set[str] = set()
        self.states = [enforced("True", "Enforced", "on m1")]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.posted.append((path, body))
        metadata = body["metadata"]
        return {**body, "metadata": {"name": metadata.get("name") or metadata["generateName"] + "x"}}

    def get(self, path: str) -> dict[str, Any]:
        if path.rpartition("/")[2] in self.missing:
            raise NotFound("it is not there")
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def delete(self, path: str) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        if name in self.missing:
            raise NotFound(f'accessgrants.skerry.dev "{name}" not found')
        self.deleted.append(path)
        return {}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(granting, "connect", lambda kubeconfig, context: found)
    monkeypatch.setattr(placing, "POLL_S", 0.0)
    return found


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        (
            ["alice", "edit", "--cluster", "m1", "-n", "shop"],
            {"subjects": [{"kind": "User", "name": "alice"}], "role": "edit", "namespaces": ["shop"]},
        ),
        (
            ["org:shop", "view", "--cluster", "m1", "--cluster", "m2", "--cluster", "m1", "--kind", "Group"],
            {"subjects": [{"kind": "Group", "name": "org:shop"}], "role": "view", "clusters": {"names": ["m1", "m2"]}},
        ),
        (
            [
                "ci:deployer",
                "admin",
                "-l",
                "env=prod",
                "--kind",
                "ServiceAccount",
                "--until",
                "2030-01-01T01:00:00+01:00",
            ],
            {
                "subjects": [{"kind": "ServiceAccount", "name": "ci:deployer"}],
                "role": "admin",
                "clusters": {"selector": {"matchLabels": {"env": "prod"}}},
                "expires": "2030-01-01T00:00:00Z",
            },
        ),
    ],
)
def test_a_grant_is_sent_and_its_name_alone_printed(
    words: list[str], spec: dict[str, Any], host: Host, capsys: Captured
) -> None:
    assert main(["grant", *words]) == 0
    path, body = host.posted[0]
    assert (path, body["kind"]) == (GRANTS, "AccessGrant")
    assert body["spec"] == {"clusters": {"names": ["m1"]}, **spec}
    shown = capsys.readouterr()
    assert shown.out == f"accessgrant.skerry.dev/{body['metadata']['generateName']}x\n"
    assert shown.err == "on m1\n"


def test_for_is_an_end_from_now_and_a_name_may_be_given(host: Host, capsys: Captured) -> None:
    before = datetime.now(UTC)
    assert main(["grant", "alice", "edit", "--cluster", "m1", "--for", "8h", "--name", "on-call"]) == 0
    body = host.posted[0][1]
    end = datetime.fromisoformat(body["spec"]["expires"])
    assert before + timedelta(hours=8, seconds=-1) <= end <= datetime.now(UTC) + timedelta(hours=8)
    assert body["metadata"] == {"name": "on-call"}
    assert capsys.readouterr().out == "accessgrant.skerry.dev/on-call\n"


def test_a_dry_run_stores_nothing_and_waits_for_nothing(host: Host, capsys: Captured) -> None:
    assert main(["grant", "alice", "edit", "--cluster", "m1", "--dry-run"]) == 0
    assert host.posted[0][0] == f"{GRANTS}?dryRun=All"
    assert "nothing was stored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("states", "wait", "code", "said"),
    [
        (
            [("False", "Applying", "", ("m1", "Applying")), ("True", "Enforced", "on m1", ("m1", "Enforced"))],
            "9s",
            0,
            "on m1",
        ),
        ([("False", "Applying", "stored", ("m1", "Applying"))], "0s", 5, "not in place yet on m1 (Applying)"),
        ([("False", "Applying", "stored", ("m1", ""))], "0s", 5, "not in place yet on m1 (Applying)"),
        ([("False", "Partly", "", ("m1", "Problem"), ("m2", "Enforced"))], "0s", 5, "not in place yet on m1 (Problem)"),
        ([("False", "Applying", "stored")], "0s", 5, "not in place yet on stored"),
        ([("False", "NoCluster", "no cluster m9", ("m9", "NoCluster"))], "9s", 0, "no cluster m9"),
        ([("False", "Partly", "away: m2", ("m1", "Enforced"), ("m2", "Away"))], "9s", 0, "away: m2"),
    ],
)
def test_it_waits_for_members_that_can_be_reached_and_no_others(
    states: list[Any], wait: str, code: int, said: str, host: Host, capsys: Captured
) -> None:
    host.states = [enforced(*state) for state in states]
    assert main(["grant", "alice", "edit", "--cluster", "m1", "--wait", wait]) == code
    shown = capsys.readouterr()
    assert shown.out == "accessgrant.skerry.dev/alice-edit-x\n"
    assert said in shown.err
    assert shown.err.count("\n") == 1


def test_who_may_give_and_not_see_is_not_failed_for_that(host: Host) -> None:
    host.missing = {"alice-edit-x"}
    assert main(["grant", "alice", "edit", "--cluster", "m1"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["alice", "owner", "--cluster", "m1"], "role 'owner': use one of view, edit, admin, cluster-admin"),
        (["alice", "edit"], "say on which clusters"),
        (["alice", "edit", "--cluster", "m1", "-l", "a=b"], "say on which clusters"),
        (["alice", "edit", "--cluster", "m1", "--for", "0s"], "must be at least 1s"),
        (["alice", "edit", "--cluster", "m1", "--for", "soon"], "is not a duration"),
        (["alice", "edit", "--cluster", "m1", "--for", "1h", "--until", "2030-01-01T00:00:00Z"], "exclude each other"),
        (["alice", "edit", "--cluster", "m1", "--until", "tomorrow"], "use a time with a zone"),
        (["alice", "edit", "--cluster", "m1", "--until", "2030-01-01T00:00:00"], "use a time with a zone"),
        (["alice", "edit", "--cluster", "m1", "--kind", "Robot"], "use one of User, Group, ServiceAccount"),
    ],
)
def test_usage_is_one_line_and_exit_2(words: list[str], said: str, host: Host, capsys: Captured) -> None:
    assert main(["grant", *words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert not host.posted


def test_what_the_host_refuses_is_its_sentence(host: Host, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def refuse(path: str, body: dict[str, Any]) -> dict[str, Any]:
        raise Forbidden("it takes admin in the whole of m1")

    monkeypatch.setattr(host, "post", refuse)
    assert main(["grant", "alice", "edit", "--cluster", "m1"]) == 1
    assert capsys.readouterr().err == "error: it takes admin in the whole of m1\n"


def test_grants_are_revoked_each_and_those_that_are_not_are_named(host: Host, capsys: Captured) -> None:
    assert main(["revoke", "a", "b", "a"]) == 0
    assert host.deleted == [f"{GRANTS}/a", f"{GRANTS}/b"]
    host.missing = {"b"}
    capsys.readouterr()
    assert main(["revoke", "a", "b"]) == 1
    err = capsys.readouterr().err
    assert 'grant b is not revoked: accessgrants.skerry.dev "b" not found' in err
    assert "1 of 2 grants are not revoked" in err
    assert main(["revoke", "b"]) == 1
    assert capsys.readouterr().err == 'error: accessgrants.skerry.dev "b" not found\n'


@pytest.mark.parametrize(
    ("subject", "begins"),
    [
        ("alice", "alice-edit-"),
        ("org:Shop Admins", "org-shop-admins-edit-"),
        ("\u00e9", "grant-edit-"),
        ("a" * 90, "a" * 40 + "-edit-"),
    ],
)
def test_a_name_that_is_made_says_for_whom(subject: str, begins: str) -> None:
    assert granting.prefix(subject, "edit") == begins


def test_the_shell_is_told_roles_and_kinds() -> None:
    assert granting.roles("e") == ["edit"]
    assert granting.kinds("S") == ["ServiceAccount"]
