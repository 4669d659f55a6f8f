"""Secret values by path, as helm --set-string takes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.appstore.releases import secretvalues
from services.appstore.releases.secretvalues import parsed, path_of


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("auth.password", ("auth", "password")),
        ("users[1].token", ("users", 1, "token")),
        ("grid[0][2]", ("grid", 0, 2)),
        (r"a\.b.c\[0\]", ("a.b", "c[0]")),
        ("with space", ("with space",)),
    ],
)
def test_paths(text: str, path: tuple[str | int, ...]) -> None:
    assert path_of(text) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "[0]",
        "a[",
        "a[x]",
        "a[1",
        "a]",
        "a.[0]",
        "a[1001]",
        "a[99999]",
        "\\",
        ".".join("a" * 31),
    ],
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no path|an index is at most"):
        path_of(text)


def test_they_become_one_document() -> None:
    assert parsed({"a.b": "1", "a.c[1].d": "2", "e": "true"}) == {
        "a": {"b": "1", "c": [None, {"d": "2"}]},
        "e": "true",
    }


@pytest.mark.parametrize(
    "values",
    [
        {"a": "1", "a.b": "2"},
        {"a.b": "1", "a.b.c": "2"},
        {"a[0].b": "1", "a[0]": "2"},
        {"a[0]": "1", "a.b": "2"},
        {"a.b": "1", "a[0]": "2"},
    ],
)
def test_paths_that_contradict_each_other_are_refused_without_their_values(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="goes through what another path sets"):
        secretvalues.check(values)


def test_there_are_limits() -> None:
    secretvalues.check({f"a{number}": "x" for number in range(secretvalues.MOST)})
    with pytest.raises(ValueError, match="101 secret values"):
        secretvalues.check({f"a{number}": "x" for number in range(secretvalues.MOST + 1)})
    with pytest.raises(ValueError, match="more than 65536 characters"):
        secretvalues.check({"a": "x" * (secretvalues.LONGEST + 1)})


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        path = path_of(text)
    except ValueError:
        return
    assert isinstance(path[0], str)
