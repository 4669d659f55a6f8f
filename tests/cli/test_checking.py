"""Checks on the terminal: lines and documents, and which stream they go to."""

from __future__ import annotations

import json

import pytest

from skerry.checks.report import Outcome, check, report
from skerry.cli.checking import check_style, shown, tell, waiting
from skerry.cli.failure import Failure

Captured = pytest.CaptureFixture[str]
GOOD, BAD = (
    check("m1", "token", Outcome("for m1")),
    check("m1", "owner", Outcome("it is h's", "fail", "remove it there")),
)


def test_as_they_come_they_are_on_stderr_alone(capsys: Captured) -> None:
    tell(BAD)
    waiting("bus.tcp", "h:1")
    waiting("bus.tcp", "")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "fail  owner          it is h's", "      remove it there", "waiting for check bus.tcp (h:1)", "waiting for check bus.tcp",
    ]  # fmt: skip


def test_as_a_result_they_are_on_stdout_and_what_would_be_made_beside_it(capsys: Captured) -> None:
    shown(report([GOOD], ["Cluster m1"]), "")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("pass  token          for m1\n", "would make: Cluster m1\n")


def test_a_failure_is_named_with_code_1_after_all_was_shown(capsys: Captured) -> None:
    with pytest.raises(Failure, match="failed: m1 owner") as caught:
        shown(report([GOOD, BAD]), "", where=True)
    assert caught.value.code == 1
    assert capsys.readouterr().out.splitlines()[1] == "m1  fail  owner          it is h's"


def test_a_document_is_the_whole_report(capsys: Captured) -> None:
    shown(report([GOOD], ["Cluster m1"]), "json")
    document = json.loads(capsys.readouterr().out)
    assert (document["result"], document["wouldMake"]) == ("pass", ["Cluster m1"])
    assert document["checks"][0]["where"] == "m1"


def test_a_format_is_json_and_goes_with_a_report() -> None:
    check_style("")
    check_style("json")
    for style, dry_run in (("yaml", True), ("json", False)):
        with pytest.raises(Failure) as caught:
            check_style(style, dry_run=dry_run)
        assert caught.value.code == 2
