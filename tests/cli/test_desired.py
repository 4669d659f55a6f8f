"""skerry desired: what it asks for and prints, and how its waiting ends; a stand-in for the host's front door answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from skerry.cli.__main__ import main
from skerry.cli.commands import desired
from skerry.errors import NotFound

Captured = pytest.CaptureFixture[str]
BINDING, SPACE = "rbac=2Eauthorization=2Ek8s=2Eio.rolebinding.shop.skerry=3Aedit", "_.namespace._.shop"


def entry(key: str = SPACE, state: str = "Applied", cluster: str = "m1", **more: Any) -> dict[str, Any]:
    """One of the host's answer."""
    fields = {"because": [], "more": 0, "message": "", "revision": 7, "since": "never"}
    return {"cluster": cluster, "owner": "tenancy", "key": f"{cluster}.tenancy.{key}", "state": state, **fields, **more}


class Host:
    """Answers with one page after the other of what each cluster has; `moves` is called before each question for a list."""

    def __init__(self) -> None:
        self.entries: dict[str, list[dict[str, Any]]] = {"m1": [], "m2": []}
        self.page = 500
        self.asked: list[dict[str, list[str]]] = []
        self.moves: list[Callable[[], None]] = []
        self.condition: dict[str, str] = {}

    def get(self, path: str, *, accept: str = "application/json") -> dict[str, Any]:
        where = urlsplit(path)
        if where.path.endswith("/clusters"):
            modes = {"host": "none", "m1": "agent", "m2": "direct", "m3": "agent"}
            return {"items": [{"metadata": {"name": name}, "spec": {"connection": {"mode": mode}}} for name, mode in modes.items()]}  # fmt: skip
        name = where.path.split("/")[5]
        if not where.path.endswith("/desired"):
            return {"metadata": {"name": name}, "status": {"conditions": [self.condition] if self.condition else []}}
        if self.moves:
            self.moves.pop(0)()
        if name not in self.entries:
            raise NotFound(f'clusters.skerry.dev "{name}" not found')
        query = parse_qs(where.query)
        self.asked.append(query)
        begin = int(query.get("continue", ["0"])[0])
        end = begin + self.page
        more = {"continue": str(end)} if end < len(self.entries[name]) else {}
        return {"metadata": more, "items": self.entries[name][begin:end]}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(desired, "connect", lambda kubeconfig, context: found)
    monkeypatch.setattr(desired, "WATCH_S", 0.0)
    monkeypatch.setattr(desired, "WAIT_S", 0.0)
    return found


def stop() -> None:
    raise KeyboardInterrupt


def test_entries_of_all_members_stand_in_one_table_in_order(host: Host, capsys: Captured) -> None:
    """Of a cluster that went meanwhile nothing is told."""
    host.entries = {"m2": [entry(cluster="m2")], "m1": [entry(BINDING, "Waiting"), entry()]}
    assert main(["desired"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["CLUSTER", "OWNER", "KIND", "NAMESPACE", "NAME", "STATE", "REVISION", "SINCE"],
        ["m1", "tenancy", "Namespace", "<none>", "shop", "Applied", "7", "never"],
        ["m1", "tenancy", "RoleBinding", "shop", "skerry:edit", "Waiting", "7", "never"],
        ["m2", "tenancy", "Namespace", "<none>", "shop", "Applied", "7", "never"],
    ]


def test_wide_says_why_it_is_wanted_and_why_it_is_not_there(host: Host, capsys: Captured) -> None:
    because = [{"kind": "AccessGrant", "name": "a"}, {"kind": "Workspace", "name": "w"}]
    host.entries["m1"] = [entry(state="Exists", because=because, more=3, message="there already"), entry(BINDING)]
    assert main(["desired", "m1", "-o", "wide"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["BECAUSE", "MESSAGE"]
    assert first.endswith("AccessGrant/a,Workspace/w,3 more   there already")
    assert second.split()[-2:] == ["<none>", "<none>"]


def test_as_a_document_it_is_a_list_of_what_the_host_said(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry(BINDING), entry()]
    assert main(["desired", "m1", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["items"]) == ("DesiredEntryList", [entry(), entry(BINDING)])


def test_by_name_it_is_the_keys(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry()]
    assert main(["desired", "m1", "-o", "name"]) == 0
    assert capsys.readouterr().out == f"m1.tenancy.{SPACE}\n"


def test_all_pages_are_asked_for(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry(f"_.namespace._.n{number}") for number in range(5)]
    host.page = 2
    assert main(["desired", "m1", "--owner", "tenancy", "-o", "name"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert host.asked == [
        {"owner": ["tenancy"]},
        {"owner": ["tenancy"], "continue": ["2"]},
        {"owner": ["tenancy"], "continue": ["4"]},
    ]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--problems"], ["Conflict", "Pending"]),
        (["--state", "conflict"], ["Conflict"]),
        (["--state", "Applied,Pending"], ["Applied", "Pending"]),
    ],
)
def test_states_select(words: list[str], shown: list[str], host: Host, capsys: Captured) -> None:
    names = {"a": "Applied", "b": "Conflict", "c": "Pending"}
    host.entries["m1"] = [entry(f"_.namespace._.{name}", state) for name, state in names.items()]
    assert main(["desired", "m1", *words]) == 0
    assert [line.split()[5] for line in capsys.readouterr().out.splitlines()[1:]] == shown


@pytest.mark.parametrize("words", [["--state", "Broken"], ["--problems", "--state", "Applied"], ["-o", "xml"]])
def test_what_cannot_be_asked_is_wrong_usage_and_asks_nobody(words: list[str], host: Host) -> None:
    assert main(["desired", "m1", *words]) == 2
    assert host.asked == []


def test_nothing_is_said_in_one_line_and_is_no_failure(host: Host, capsys: Captured) -> None:
    assert main(["desired", "m1", "--problems"]) == 0
    assert capsys.readouterr() == ("", "No such entries on cluster m1.\n")
    assert main(["desired"]) == 0
    assert capsys.readouterr() == ("", "No such entries on any cluster.\n")
    assert main(["desired", "m1", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == []


def test_a_cluster_that_does_not_exist_fails(host: Host, capsys: Captured) -> None:
    assert main(["desired", "m9"]) == 1
    assert capsys.readouterr() == ("", 'error: clusters.skerry.dev "m9" not found\n')


def test_a_watch_goes_on_with_what_changes_and_what_goes(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry(), entry(BINDING, "Pending")]

    def applied() -> None:
        host.entries["m1"] = [entry(), entry(BINDING)]

    def withdrawn() -> None:
        host.entries["m1"] = [entry(BINDING)]

    host.moves = [lambda: None, applied, lambda: None, withdrawn, stop]
    assert main(["desired", "m1", "-w"]) == 130
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(line[2], line[5]) for line in lines] == [
        ("Namespace", "Applied"),
        ("RoleBinding", "Pending"),
        ("RoleBinding", "Applied"),
        ("Namespace", "Withdrawn"),
    ]


def test_a_watch_of_problems_shows_their_end_once(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry(state="Conflict"), entry(BINDING)]

    def mended() -> None:
        host.entries["m1"][0] = entry()

    def changed() -> None:
        host.entries["m1"][0] = entry(revision=9)

    host.moves = [lambda: None, mended, changed, stop]
    assert main(["desired", "m1", "-w", "--problems", "-o", "json"]) == 130
    found = [json.loads(text + "}")["state"] for text in capsys.readouterr().out.split("\n}\n")[:-1]]
    assert found == ["Conflict", "Applied"]


def test_waiting_ends_when_all_is_in_place(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry(state="Pending"), entry(BINDING, "Waiting")]

    def applied() -> None:
        host.entries["m1"] = [entry(), entry(BINDING)]

    host.moves = [lambda: None, lambda: None, applied]
    assert main(["desired", "wait", "m1"]) == 0
    assert capsys.readouterr() == ("", "cluster m1: 2 entries are in place\n")


def test_where_nothing_is_wanted_there_is_nothing_to_wait_for(host: Host, capsys: Captured) -> None:
    assert main(["desired", "wait", "m1", "--owner", "tenancy"]) == 0
    assert host.asked == [{"owner": ["tenancy"]}]
    assert capsys.readouterr().err == "No such entries on cluster m1.\n"


def test_what_waiting_cannot_mend_ends_it_with_what_is_not_in_place(host: Host, capsys: Captured) -> None:
    host.entries["m1"] = [entry(state="Exists", message="it is there"), entry(BINDING)]
    assert main(["desired", "wait", "m1"]) == 1
    found = capsys.readouterr()
    assert [line.split()[5] for line in found.out.splitlines()] == ["STATE", "Exists"]
    assert found.err == "error: cluster m1: 1 entries cannot be brought in place: the messages say why\n"


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({}, ""),
        ({"type": "DesiredApplied", "status": "False", "reason": "Behind", "message": "it is away"}, ": it is away"),
        ({"type": "DesiredApplied", "status": "True", "reason": "Applied", "message": "all is"}, ""),
    ],
)
def test_a_time_that_is_over_says_why_nothing_happened(
    condition: dict[str, str], why: str, host: Host, capsys: Captured
) -> None:
    host.entries["m1"], host.condition = [entry(state="Pending")], condition
    assert main(["desired", "wait", "m1", "--timeout", "10ms"]) == 5
    found = capsys.readouterr()
    assert "Pending" in found.out
    assert found.err.endswith(f"error: cluster m1: 1 entries are not in place after 10ms{why}\n")


def test_waiting_for_a_cluster_that_does_not_exist_fails_at_once(host: Host) -> None:
    assert main(["desired", "wait", "m9"]) == 1


@pytest.mark.parametrize(("words", "says"), [([], "Commands"), (["list"], "--problems"), (["wait"], "--timeout")])
def test_help_shows_examples(words: list[str], says: str, capsys: Captured) -> None:
    assert main(["desired", *words, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example" in text
    assert says in text
