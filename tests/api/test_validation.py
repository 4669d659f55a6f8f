"""Names as Kubernetes allows them: tables with the ends of each rule."""

from __future__ import annotations

import pytest

from skerry.api.validation import (
    LONGEST_LABEL,
    LONGEST_SUBDOMAIN,
    QUALIFIED_RULE,
    SUBDOMAIN_RULE,
    VALUE_RULE,
    is_label,
    is_label_value,
    is_qualified,
    is_subdomain,
)


@pytest.mark.parametrize("name", ["a", "9", "a-b", "a--b", "a" * LONGEST_LABEL])
def test_a_label(name: str) -> None:
    assert is_label(name)
    assert is_subdomain(name)


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a.b", "a_b", "a\n", "\u0661", "a" * (LONGEST_LABEL + 1), "*", ">"]
)
def test_no_label(name: str) -> None:
    assert not is_label(name)


@pytest.mark.parametrize("name", ["a.b", "example.com", "a-1.2-b", "a" * 100, "a." * 126 + "a"])
def test_a_subdomain(name: str) -> None:
    assert is_subdomain(name)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "A.b", "a.-b", "a\n", "a" * (LONGEST_SUBDOMAIN + 1)])
def test_no_subdomain(name: str) -> None:
    assert not is_subdomain(name)


@pytest.mark.parametrize("name", ["a", "A", "MyName", "my.name", "123-abc", "a_b", "x" * 999])
def test_a_qualified_name(name: str) -> None:
    assert is_qualified(name)
    assert is_label_value(name)


@pytest.mark.parametrize("name", ["-a", "a-", "_", "a/b", "a b", "a\n", "\u00e9"])
def test_no_qualified_name(name: str) -> None:
    assert not is_qualified(name)
    assert not is_label_value(name)


def test_a_labels_value_alone_may_be_empty() -> None:
    assert is_label_value("")
    assert not is_qualified("")


def test_rules_quote_the_patterns_of_the_api_server() -> None:
    quoted = [rule.rpartition("regex used for validation is '")[2].removesuffix("')") for rule in RULES]
    assert quoted == [
        "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
        "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
        "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
    ]


RULES = (SUBDOMAIN_RULE, QUALIFIED_RULE, VALUE_RULE)
