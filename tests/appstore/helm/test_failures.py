"""What Helm says becomes a reason, and a text that is fit for people."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest

from services.appstore.helm.engine import FINAL, HelmError
from services.appstore.helm.failures import LONGEST, MASK, cleaned, failure, masked, reason, secret_texts
from services.appstore.helm.jail import Finished

SAID: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "said.toml").read_text())["said"]


def ended(stderr: str, code: int = 1) -> HelmError:
    return failure(Finished("exit", code, b"", stderr.encode()))


@pytest.mark.parametrize("said", SAID, ids=range(len(SAID)))
def test_what_helm_says_is_taken_for_what_it_is(said: dict[str, Any]) -> None:
    error = ended(said["text"].lstrip())
    assert error.reason == said["reason"], error
    if "message" in said:
        assert str(error) == said["message"].lstrip()


def test_every_reason_that_has_a_text_is_in_the_table_of_texts() -> None:
    without_text = {"Deadline", "EngineMissing", "Cancelled"}
    assert {said["reason"] for said in SAID} | without_text >= FINAL - {"ResourceLimit"}


@pytest.mark.parametrize(
    ("finished", "reason", "says"),
    [
        (Finished("deadline", 15, b"", b""), "Deadline", "Helm did not end within 30 s and was stopped"),
        (Finished("deadline", 1, b"", b"Error: context canceled\n"), "Deadline", "and was stopped: context canceled"),
        (Finished("output", 15, b"", b""), "ResourceLimit", "more than 16 MiB"),
        (Finished("processor", 9, b"", b""), "ResourceLimit", "more processor time"),
        (Finished("signal", 9, b"", b""), "Failed", "signal 9, by somebody else or by the system"),
        (Finished("signal", 11, b"", b""), "Failed", "signal 11"),
        (Finished("exit", 2, b"", b"fatal error: runtime: out of memory\n"), "ResourceLimit", "ran out of memory"),
        (
            Finished("exit", 2, b"", b"fatal error: out of memory allocating heap arena metadata\n"),
            "ResourceLimit",
            "ran out of memory",
        ),
        (Finished("signal", 6, b"", b"fatal error: runtime: out of memory\n"), "ResourceLimit", "ran out of memory"),
        (Finished("signal", 6, b"", b"assertion failed\n"), "Failed", "signal 6"),
        (Finished("exit", 1, b"", b""), "Failed", "exit code 1 and said nothing"),
        (Finished("exit", 1, b"", b"Error: whatever\n"), "Failed", "whatever"),
        (Finished("exit", 78, b"", b"this kernel has no Landlock\n"), "EngineMissing", "no Landlock"),
        (
            Finished("exit", 1, b"", b"Traceback (most recent call last):\n  x\nOSError: no such helm\n"),
            "EngineMissing",
            "not started: OSError: no such helm",
        ),
    ],
)
def test_how_it_ended_comes_before_what_it_said(finished: Finished, reason: str, says: str) -> None:
    error = failure(finished, deadline_s=30)
    assert (error.reason, says in str(error)) == (reason, True), error


def test_reasons_say_whether_trying_again_can_help() -> None:
    assert HelmError("SchemaInvalid", "x").final
    assert not HelmError("Unreachable", "x").final


def test_warnings_and_logs_of_hooks_are_no_part_of_the_error() -> None:
    stderr = 'level=WARN msg="deprecated"\npassword=hunter2\nError: UPGRADE FAILED: real\n'
    assert str(ended(stderr)) == "real"
    assert str(ended('level=WARN msg="upgrade failed"\nlevel=ERROR msg="command failed"\n')) == '"command failed"'


def test_what_does_not_print_is_taken_out() -> None:
    assert cleaned("\x1b[31mred\x1b[0m \x1b]0;title\x07and\x00 \u202eleft\r\n\n  two ") == "red and left\n\ntwo"


def test_it_is_cut() -> None:
    assert len(cleaned("x" * 3 * LONGEST)) == LONGEST
    assert cleaned("x" * LONGEST) == "x" * LONGEST


def test_secrets_are_not_in_it_in_any_form() -> None:
    secret = 'pa"ss\nword-of-two-lines'
    for form in (
        secret,
        "word-of-two-lines",
        r"pa\"ss\nword-of-two-lines",
        base64.b64encode(secret.encode()).decode(),
    ):
        assert masked(f"got {form}.", [secret]) == f"got {MASK}.", form
    assert masked("schlüssel", ["schlüssel"]) == MASK


def test_a_short_secret_is_masked_where_it_stands_alone() -> None:
    assert masked("the key abc of abcde", ["abc"]) == f"the key {MASK} of abcde"
    assert masked("a b", ["", " "]) == "a b"


def test_the_longest_secret_goes_first() -> None:
    assert masked("hunter22", ["hunter2", "hunter22"]) == MASK


def test_secret_values_are_their_texts_and_numbers() -> None:
    values = {"a": {"b": ["x", 7, None, True]}, "c": 1.5}
    assert secret_texts(values) == {"x", "7", "1.5"}


def test_a_chart_that_imitates_an_error_deceives_itself_alone() -> None:
    assert reason("execution error at (web/x.yaml:1:1): values don't meet the specifications of the schema") == (
        "SchemaInvalid"
    )
