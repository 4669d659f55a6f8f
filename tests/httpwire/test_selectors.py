"""Selectors as far as authorization depends on them: what the API server would refuse has no meaning here."""

from __future__ import annotations

import pytest

from skerry.httpwire.selectors import exact_name, valid_labels

KEY, PREFIX = "k" * 63, "p" * 253


@pytest.mark.parametrize(
    "selector",
    [
        "",
        " ",
        "a",
        "!a",
        "a=",
        "a = b",
        "a==b",
        "a!=B_1.x",
        "x.y/a in (b, c,)",
        "a notin (b)",
        "a > 3",
        "a,b=c , !d",
        KEY,
        f"{PREFIX}/{KEY}",
        f"{KEY} in ({KEY})",
    ],
)
def test_a_selector_of_labels(selector: str) -> None:
    assert valid_labels(selector)


@pytest.mark.parametrize(
    "selector",
    [
        ",",
        "a,,b",
        "a=b=c",
        "-a",
        "a-",
        "a=-",
        "A.B/c",
        "a/b/c",
        "/a",
        "a in b",
        "a in (b",
        "a > b",
        "\u00e9",
        f"{KEY}k",
        f"{PREFIX}p/a",
        f"a={KEY}k",
        "a," * (8 * 1024) + "a",
    ],
)
def test_no_selector_of_labels(selector: str) -> None:
    assert not valid_labels(selector)


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("metadata.name=a", "a"),
        ("metadata.name==a", "a"),
        ("metadata.name!=a", None),
        ("spec.nodeName=n,metadata.name=a", "a"),
        ("metadata.name=b,metadata.name=a", "a"),
        (",metadata.name=a", "a"),
        (r"metadata.name=a\,b", "a,b"),
        (r"metadata.name=a\=b", "a=b"),
        (r"metadata.name=a\b", None),
        ("metadata.name=a=b", None),
        ("metadata.name=a,spec", None),
        ("metadata.name=..", None),
        ("metadata.name=a/b", None),
        ("metadata.name=", ""),
        ("spec.nodeName=n", None),
    ],
)
def test_the_one_name_that_a_field_selector_allows(selector: str, name: str | None) -> None:
    assert exact_name(selector) == name
