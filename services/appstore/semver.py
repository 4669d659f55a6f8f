"""Versions of charts, and ranges of versions, as Helm reads them (semver.org 2.0.0; README of github.com/Masterminds/semver). Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

LONGEST = 256
"""Characters of a version."""
LONGEST_RANGE = 1024
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SUFFIX = rf"(?:-(?P<pre>{_IDENTIFIERS}))?(?:\+(?P<build>{_IDENTIFIERS}))?"
_NUMBER = "(?:0|[1-9][0-9]{0,17})"
_VERSION = re.compile(rf"v?(?P<numbers>{_NUMBER}(?:\.{_NUMBER}){{0,2}}){_SUFFIX}")
_PART = rf"(?:{_NUMBER}|[xX*])"
_PARTIAL = re.compile(rf"v?(?P<numbers>{_PART}(?:\.{_PART}){{0,2}}){_SUFFIX}")
_TERM = re.compile(r"(?P<operator>=>|=<|>=|<=|!=|~>|=|>|<|~|\^|)\s*(?P<version>[^\s,<>=!~^|]+)\s*,?\s*")
_HYPHEN = re.compile(r"(?P<low>\S+)\s+-\s+(?P<high>\S+)")
_SAME = {"": "=", "=>": ">=", "=<": "<=", "~>": "~"}


class Version(NamedTuple):
    """A version. Not to be compared as the tuple that it is, but by `precedence`."""

    major: int
    minor: int
    patch: int
    pre: str = ""
    build: str = ""

    @property
    def precedence(self) -> tuple[object, ...]:
        """The order of versions; what follows a plus does not count, so two that are not the same may be level."""
        identifiers = [
            (0, int(each), "") if each.isdigit() else (1, 0, each) for each in self.pre.split(".") if self.pre
        ]
        return self.major, self.minor, self.patch, not self.pre, identifiers

    def __str__(self) -> str:
        pre, build = self.pre and f"-{self.pre}", self.build and f"+{self.build}"
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"


Test = Callable[[Version], bool]
_ANY: Test = lambda candidate: True  # noqa: E731


def version(text: str) -> Version:
    """The version that a text says; numbers that are left out are 0, a v before it is none of it. ValueError."""
    match = _VERSION.fullmatch(text) if len(text) <= LONGEST else None
    if match is None or any(each.isdigit() and each[0] == "0" != each for each in (match["pre"] or "").split(".")):
        raise ValueError(f"{text[:60]!r} is no version: write it as 1.2.3 or 1.2.3-beta.1 (semver.org)")
    numbers = [int(each) for each in match["numbers"].split(".")]
    major, minor, patch = (*numbers, 0, 0)[:3]
    return Version(major, minor, patch, match["pre"] or "", match["build"] or "")


@lru_cache(maxsize=256)
def in_range(text: str) -> Test:
    """The test for a range such as `>=1.25.0-0 <1.33` or `^1.2 || 2.x`. ValueError.

    A version with a prerelease is only in alternatives that name one: `>=1.25` says nothing about 1.26.0-rc.1, and nothing about
    1.26.3-gke.100 either.
    """
    if len(text) > LONGEST_RANGE:
        raise ValueError(f"a range of {len(text)} characters, the limit is {LONGEST_RANGE}")
    alternatives = [_alternative(each.strip(), text) for each in text.split("||")]
    return lambda candidate: any(test(candidate) for test in alternatives)


def _alternative(text: str, whole: str) -> Test:
    if hyphen := _HYPHEN.fullmatch(text):
        terms = [(">=", hyphen["low"]), ("<=", hyphen["high"])]
    else:
        terms, at = [], 0
        while at < len(text) and (term := _TERM.match(text, at)):
            terms.append((_SAME.get(term["operator"], term["operator"]), term["version"]))
            at = term.end()
        if at < len(text) or not terms:
            raise _no_range(whole)
    tests = [_test(operator, each, whole) for operator, each in terms]
    with_pre = any("-" in each.partition("+")[0] for _, each in terms)
    return lambda candidate: (with_pre or not candidate.pre) and all(test(candidate) for test in tests)


def _no_range(whole: str) -> ValueError:
    return ValueError(f"{whole[:60]!r} is no range of versions: write it as >=1.25.0-0 <1.33.0-0")


def _test(operator: str, text: str, whole: str) -> Test:
    """One term. Where numbers are left out, or x, it is about all versions that begin so."""
    partial = _PARTIAL.fullmatch(text)
    if partial is None:
        raise _no_range(whole)
    named: list[int] = []
    for part in partial["numbers"].split("."):
        if part in ("x", "X", "*"):
            break
        named.append(int(part))
    major, minor, patch = (*named, 0, 0, 0)[:3]
    low = Version(major, minor, patch, partial["pre"] or "")
    return _judge(operator, low, _beyond(low, len(named)), exact=len(named) == 3)


def _beyond(low: Version, named: int) -> tuple[object, ...] | None:
    """The precedence that those which begin with so many numbers of `low` stay under; None: all begin so."""
    return None if not named else _next(low, named - 1)


def _next(low: Version, place: int) -> tuple[object, ...]:
    numbers = [low.major, low.minor, low.patch]
    major, minor, patch = (*numbers[:place], numbers[place] + 1, 0, 0)[:3]
    return Version(major, minor, patch).precedence


def _judge(operator: str, low: Version, beyond: tuple[object, ...] | None, *, exact: bool) -> Test:
    floor = low.precedence
    if beyond is None:
        return _ANY if operator not in (">", "<", "!=") else lambda candidate: False
    ceiling = beyond
    if operator == "^":
        first = next((place for place in range(3) if low[place]), 2)
        ceiling = _next(low, first) if exact or low[first] else ceiling
    elif operator == "~" and exact:
        ceiling = _next(low, 1)
    if operator in ("=", "!="):
        inside: Test = lambda candidate: (  # noqa: E731
            candidate.precedence == floor if exact else floor <= candidate.precedence < ceiling
        )
        return inside if operator == "=" else lambda candidate: not inside(candidate)
    return {
        ">=": lambda candidate: candidate.precedence >= floor,
        "<": lambda candidate: candidate.precedence < floor,
        ">": lambda candidate: candidate.precedence > floor if exact else candidate.precedence >= ceiling,
        "<=": lambda candidate: candidate.precedence <= floor if exact else candidate.precedence < ceiling,
    }.get(operator, lambda candidate: floor <= candidate.precedence < ceiling)
