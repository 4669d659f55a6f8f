"""Versions and ranges mean what they mean to Helm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.semver import LONGEST, LONGEST_RANGE, Version, in_range, version

ORDER = [
    "0.0.1", "1.0.0-0", "1.0.0-1", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
]  # fmt: skip


def test_precedence_is_that_of_the_specification() -> None:
    keys = [version(each).precedence for each in ORDER]
    assert keys == sorted(keys)


def test_what_follows_a_plus_does_not_count() -> None:
    assert version("1.0.0+a").precedence == version("1.0.0+b").precedence


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("1", "1.0.0"),
        ("1.2-beta.1+build.5", "1.2.0-beta.1+build.5"),
        ("v1.30.2+k3s1", "1.30.2+k3s1"),
    ],
)
def test_a_version_is_read(text: str, plain: str) -> None:
    assert str(version(text)) == plain


@pytest.mark.parametrize(
    "text",
    ["", "x", "1.x", "01.2.3", "1.2.3.4", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "-1.2.3", "1.2.3 ", " 1.2.3", "1.2.3\n", "V1.2.3",
     "1.2.3-\u00e9", "9" * 19 + ".0.0", "1.2.3-" + "a" * LONGEST, "latest"],
)  # fmt: skip
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        version(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3", "1.2.3+k3s1"], ["1.2.4", "1.2.3-a"]),
        ("=1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.9"]),
        ("!=1.2.3", ["1.2.4"], ["1.2.3"]),
        ("!=1.2", ["1.1.0", "1.3.0"], ["1.2.0", "1.2.9"]),
        (">1.2.3", ["1.2.4", "2.0.0"], ["1.2.3"]),
        (">1.2", ["1.3.0"], ["1.2.0", "1.2.9"]),
        (">11", ["12.0.0"], ["11.1.0"]),
        (">=1.2", ["1.2.0", "2.0.0"], ["1.1.9"]),
        ("=>1.2", ["1.2.0"], ["1.1.9"]),
        ("<1.2", ["1.1.9"], ["1.2.0"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("=<1.2.3", ["1.2.3"], ["1.2.4"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0", "1.2.2"]),
        ("~1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("~>1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.2", ["0.2.0", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.0", "0.0.9"], ["0.1.0"]),
        ("^0", ["0.0.0", "0.9.0"], ["1.0.0"]),
        ("^0.0.0", ["0.0.0"], ["0.0.1"]),
        ("1.x", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("1.2.x", ["1.2.5"], ["1.3.0"]),
        ("*", ["0.0.0", "9.9.9"], ["1.0.0-rc.1"]),
        (">*", [], ["1.0.0"]),
        (">=*", ["1.0.0"], []),
        ("1.2 - 1.4.5", ["1.2.0", "1.4.5"], ["1.4.6", "1.1.9"]),
        ("1.2 - 2", ["2.9.0"], ["3.0.0"]),
        (">= 1.25.0-0, < 1.33.0-0", ["1.25.0", "1.32.9", "1.26.3-gke.100"], ["1.33.0"]),
        (">=1.25.0-0 <1.33.0-0", ["1.26.3-gke.100"], ["1.33.0-rc.1"]),
        (">=1.21.0", ["1.21.0"], ["1.26.3-gke.100"]),
        ("^1.2 || 3.x", ["1.5.0", "3.1.0"], ["2.0.0"]),
        (">=1.2.0-alpha <1.3.0", ["1.2.0-beta", "1.3.0-alpha"], ["1.3.0"]),
        ("v1.2.3", ["1.2.3"], ["1.2.2"]),
        ("<2,>1.5", ["1.6.0"], ["2.0.0", "1.5.9"]),
    ],
)  # fmt: skip
def test_a_range_holds_what_it_says(text: str, inside: list[str], outside: list[str]) -> None:
    test = in_range(text)
    assert [each for each in inside if not test(version(each))] == []
    assert [each for each in outside if test(version(each))] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "||",
        ">=",
        "abc",
        "1.2.3.4",
        "1 || ",
        "> > 1",
        ">=1.2 foo",
        "1 - 2 - 3",
        "=1.2;rm",
        "x" * (LONGEST_RANGE + 1),
    ],
)
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        in_range(text)


numbers = st.integers(0, 4)
versions = st.builds(Version, numbers, numbers, numbers, st.sampled_from(["", "", "0", "rc.1", "rc.2"]), st.just(""))


@given(versions)
def test_a_version_is_what_it_says(one: Version) -> None:
    assert version(str(one)) == one


@given(versions, versions)
def test_operators_are_those_of_the_order(one: Version, other: Version) -> None:
    if one.pre and not other.pre:
        assert not in_range(f">={other}")(one)
        return
    assert in_range(f">={other}")(one) == (one.precedence >= other.precedence)
    assert in_range(f"<{other}")(one) != in_range(f">={other}")(one)
    assert in_range(f"={other}")(one) != in_range(f"!={other}")(one)
    assert in_range(f"^{other}")(one) <= in_range(f">={other}")(one)
    assert in_range(f"~{other}")(one) <= in_range(f">={other}")(one)


@given(st.text(alphabet="0123456789.xX*<>=!~^|, -abv+", max_size=30), versions)
def test_any_text_is_a_range_or_none(text: str, one: Version) -> None:
    try:
        assert in_range(text)(one) in (True, False)
    except ValueError:
        return
