"""Warnings travel as header lines: as many as an API server sends, and no more."""

from __future__ import annotations

from skerry.admission.writes import WARNING, WARNINGS, bounded


def test_each_is_told_once() -> None:
    assert bounded(["a", "b", "a"]) == ("a", "b")


def test_a_few_are_told_whole() -> None:
    long = "x" * 3000
    assert bounded([long, "y"]) == (long, "y")


def test_of_more_each_is_cut_and_the_first_are_told() -> None:
    told = bounded(f"{number:04} {'x' * 500}" for number in range(1000))
    assert [len(text) for text in told] == [WARNING] * (WARNINGS // WARNING)
    assert told[0].startswith("0000 ")


def test_sixty_thousand_are_a_handful() -> None:
    told = bounded(f'unknown field "metadata.x{number}"' for number in range(60_000))
    assert sum(map(len, told)) <= WARNINGS
    assert len(told) > 100
