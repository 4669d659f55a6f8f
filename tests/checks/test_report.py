"""A check's result: what a message of ours says, taken apart; lines for people, a document for programs."""

from __future__ import annotations

import msgspec
import pytest

from skerry.checks.report import LONGEST, Outcome, check, lines, report, told


@pytest.mark.parametrize(
    ("message", "found", "remedy"),
    [
        ("the token is for 'a', not 'b': use --name a", "the token is for 'a', not 'b'", "use --name a"),
        (
            "it expired by the clock; make a new one: skerry token",
            "it expired by the clock",
            "make a new one: skerry token",
        ),
        ("kube-system cannot be read (403: no): allow it", "kube-system cannot be read (403: no)", "allow it"),
        ("https://a:1 is down", "https://a:1 is down", ""),
        ("cut (off: and never ended", "cut (off: and never ended", ""),
        ("closed) twice: go on", "closed) twice", "go on"),
    ],
)
def test_a_message_is_what_happened_and_then_what_to_do(message: str, found: str, remedy: str) -> None:
    assert told(message) == Outcome(found, "fail", remedy)


def test_the_worst_result_is_that_of_the_whole_and_a_failure_would_make_nothing() -> None:
    passed, warned = check("m", "token", Outcome("good")), check("m", "clock", Outcome("off", "warn", "set it"))
    failed, skipped = check("m", "owner", Outcome("bad", "fail")), check("m", "roles", Outcome("no", "skip"))
    assert report([]).result == "pass"
    assert report([passed, skipped], ["a"]).result == "pass"
    assert report([passed, warned], ["a"]).would_make == ["a"]
    assert report([warned, failed], ["a"]) == report([warned, failed])
    assert report([warned, failed]).result == "fail"


def test_a_line_has_result_name_and_what_was_found_and_below_it_the_next_step() -> None:
    warned = check("m", "clock", Outcome("off", "warn", "set it"))
    assert lines(warned) == ["warn  clock          off", "      set it"]
    assert lines(warned, where=4) == ["m     warn  clock          off", "            set it"]
    assert lines(check("m", "clock", Outcome("off", "skip", "set it"))) == ["skip  clock          off"]
    assert lines(check("m", "clock", Outcome("", "fail"))) == ["fail  clock"]


def test_texts_of_others_print_and_end() -> None:
    made = check("m", "owner", Outcome("a\x1b[31m\n" + "b" * 5000, "fail", "c\r\n"))
    assert made.found.startswith("a [31m b")
    assert len(made.found) == LONGEST
    assert made.next == "c  "


def test_a_document_has_all_fields_also_where_they_are_empty() -> None:
    made = msgspec.to_builtins(report([check("m", "token", Outcome("good"), 1.26)]))
    row = {"where": "m", "name": "token", "result": "pass", "found": "good", "next": "", "ms": 1.3}
    assert made == {"result": "pass", "checks": [row], "wouldMake": []}
