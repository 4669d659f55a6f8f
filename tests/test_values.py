"""Values are merged as Helm merges them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.values import coalesced, merged


@pytest.mark.parametrize(
    ("layers", "whole"),
    [
        ([], {}),
        ([{"a": 1}, {"a": 2}], {"a": 2}),
        ([{"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}], {"a": {"b": 1, "c": 3}}),
        ([{"a": [1, 2]}, {"a": [3]}], {"a": [3]}),
        ([{"a": {"b": 1}}, {"a": None}], {"a": None}),
        ([{"a": {"b": 1}}, {"a": None}, {"a": {"c": 1}}], {"a": {"c": 1}}),
        ([{"a": 1}, {"a": {"b": 1}}], {"a": {"b": 1}}),
        ([{"a": {"b": {"c": None}}}, {"a": {"b": {"d": 1}}}], {"a": {"b": {"c": None, "d": 1}}}),
    ],
)
def test_later_layers_count(layers: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    assert merged(layers) == whole


@pytest.mark.parametrize(
    ("defaults", "values", "seen"),
    [
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {}),
        ({"a": None}, {}, {"a": None}),
        ({}, {"a": {"b": None}}, {"a": {"b": None}}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {"b": None}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": {"b": 1}}, {"c": 1}, {"a": {"b": 1}, "c": 1}),
    ],
)
def test_defaults_lie_under_values(defaults: dict[str, Any], values: dict[str, Any], seen: dict[str, Any]) -> None:
    assert coalesced(defaults, values) == seen


keys = st.sampled_from("abc")
documents = st.recursive(
    st.dictionaries(keys, st.integers(0, 3) | st.none()), lambda inner: st.dictionaries(keys, inner), max_leaves=8
)


@given(documents, documents, documents)
def test_merging_is_associative_and_leaves_what_it_gets_alone(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    before = repr((one, two, three))
    assert merged([merged([one, two]), three]) == merged([one, two, three])
    coalesced(one, two)
    assert repr((one, two, three)) == before
