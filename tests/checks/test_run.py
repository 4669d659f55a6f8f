"""Running checks: in order, each in its time, and each cause told once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from skerry.checks.report import Outcome
from skerry.checks.run import CheckFailed, Checks
from skerry.errors import BadGateway, Forbidden, SkerryError, TooManyRequests
from skerry.member.identity import RightsMissing, WrongCluster


def answering(outcome: Outcome | Exception) -> Callable[[], Awaitable[Outcome]]:
    async def work() -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return work


async def test_results_are_told_in_the_order_of_the_list_whichever_is_known_first() -> None:
    seen: list[str] = []
    run = Checks("m", ("a", "b", "c"), lambda check: seen.append(check.name))
    run.keep("c", Outcome("three"))
    assert seen == []
    await run.run("a", answering(Outcome("one")))
    assert seen == ["a"]
    await run.run("b", answering(Outcome("two")))
    assert seen == ["a", "b", "c"]
    assert [each.found for each in run.checks] == ["one", "two", "three"]


async def test_what_stands_on_a_check_that_failed_is_skipped_naming_it() -> None:
    run = Checks("m", ("a", "b", "c"))
    assert not await run.run("a", answering(BadGateway("it is down: start it")))
    assert not await run.run("b", answering(Outcome("never")), needs=("a",))
    first, second = run.checks
    assert (first.result, first.found, first.next) == ("fail", "it is down", "start it")
    assert (second.result, second.found) == ("skip", "not looked at, because a did not pass")
    with pytest.raises(CheckFailed, match="a: it is down: start it") as caught:
        run.raise_failed()
    assert caught.value.check == "a"


async def test_a_warning_stands_and_raises_nothing() -> None:
    run = Checks("m", ("a", "b"))
    assert await run.run("a", answering(Outcome("hm", "warn")))
    assert await run.run("b", answering(Outcome("yes")), needs=("a",))
    run.raise_failed()


async def test_one_that_waits_says_for_what_and_one_that_never_ends_fails() -> None:
    waits: list[tuple[str, str]] = []

    async def never() -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    run = Checks("m", ("a",), waiting=lambda name, what: waits.append((name, what)), wait_s=0.01, limit_s=0.1)
    assert not await run.run("a", never, waits_for="h:1")
    assert waits == [("a", "h:1")]
    assert (run.checks[0].result, run.checks[0].found) == ("fail", "no answer in time (h:1)")


async def test_one_that_is_quick_says_nothing_of_waiting() -> None:
    run = Checks("m", ("a",), waiting=lambda name, what: pytest.fail("it does not wait"), wait_s=0.05)
    await run.run("a", answering(Outcome("good")))
    await asyncio.sleep(0.06)


@pytest.mark.parametrize("error", [SkerryError("bad: mend it"), ValueError("secret")])
async def test_errors_are_fails_and_unexpected_ones_tell_nothing_of_themselves(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    run = Checks("m", ("a",))
    await run.run("a", answering(error))
    assert run.checks[0].result == "fail"
    assert "secret" not in run.checks[0].found
    assert ("could not be made" in caplog.text) is isinstance(error, ValueError)


async def test_a_file_that_cannot_be_read_is_a_fail_that_names_it() -> None:
    run = Checks("m", ("a",))
    await run.run("a", answering(FileNotFoundError(2, "No such file or directory", "/x")))
    assert (run.checks[0].result, run.checks[0].found) == ("fail", "/x: No such file or directory")


async def test_a_check_that_is_not_in_the_list_is_a_bug() -> None:
    run = Checks("m", ("a",))
    with pytest.raises(ValueError, match="no check b"):
        run.keep("b", Outcome("x"))
    assert run.knows("a") is False


@pytest.mark.parametrize(
    ("error", "unanswered"),
    [
        (BadGateway("it is down"), True),
        (TooManyRequests("busy"), True),
        (Forbidden("no"), False),
        (RightsMissing("no right"), False),
        (WrongCluster("another one", "u"), False),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_who_was_not_answered_may_be_later_and_who_lacks_a_right_not(error: Exception, unanswered: bool) -> None:
    run = Checks("m", ("a",))
    await run.run("a", answering(error))
    assert (run.unanswered == {"a"}) is unanswered
