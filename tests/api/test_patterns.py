"""Patterns for names of clusters."""

from __future__ import annotations

import time

import pytest

from skerry.api.patterns import matches, pattern_problem


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("edge-*", "edge-1", True),
        ("edge-*", "edge-", False),
        ("edge-*", "edge", False),
        ("edge-*", "my-edge-1", False),
        ("*-edge", "my-edge", True),
        ("e*g*", "edge", True),
        ("e**e", "ee", True),
        ("edge-*", "edge-A", False),
        ("edge-*", "edge-a.b", False),
        ("edge-*", "edge-*", False),
        ("edge-*", "edge-1\n", False),
        ("edge-*", "edge-" + "x" * 59, False),
        ("*", "x", False),
        ("[a-z]*", "x", False),
    ],
)
def test_a_name_fits_or_not(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) == fits


@pytest.mark.parametrize(
    "pattern", ["", "*", "***", "edge", "Edge-*", "-*", "*-", "a.*", "a?", "[a]*", "a*\n", "a" * 63 + "*"]
)
def test_what_is_no_pattern_has_a_problem(pattern: str) -> None:
    assert pattern_problem(pattern)


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    assert not matches("*a" * 31 + "b", "a" * 63)
    assert time.process_time() - began < 1
