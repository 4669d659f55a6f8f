"""JSON patch and JSON merge patch. The tables are those of RFC 6902, appendix A, and RFC 7396, appendix A."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.admission import patches

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": [{"b": None, "c": [{"d": None}]}, None]}, {"a": [{"c": [{}]}, None]}),
    ],
)
def test_merge_patch(document: Any, patch: Any, expected: Any) -> None:
    assert patches.merge(document, patch) == expected


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, {"op": "add", "path": "/foo/1", "value": "q"}, {"foo": ["bar", "q", "baz"]}),
        ({"foo": ["bar"]}, {"op": "add", "path": "/foo/-", "value": ["abc"]}, {"foo": ["bar", ["abc"]]}),
        ({"baz": "qux", "foo": "bar"}, {"op": "remove", "path": "/baz"}, {"foo": "bar"}),
        ({"foo": ["a", "b", "c"]}, {"op": "remove", "path": "/foo/1"}, {"foo": ["a", "c"]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": 2}, {"a": 2}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2]}, {"op": "copy", "from": "/a/0", "path": "/a/-"}, {"a": [1, 2, 1]}),
        ({"a/b": 1, "m~n": 2}, {"op": "test", "path": "/a~1b", "value": 1}, {"a/b": 1, "m~n": 2}),
        ({"a": 1}, {"op": "test", "path": "/b", "value": None}, {"a": 1}),
        ({"a": 1}, {"op": "test", "path": "", "value": {"a": 1}}, {"a": 1}),
        ({"": 1}, {"op": "replace", "path": "/", "value": 2}, {"": 2}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"b": 2}}, {"b": 2}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/01"}, {"a": [1]}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/+0"}, {"a": [None, 2]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-"}, {"a": [1, None]}),
        ({"a": {}}, {"op": "copy", "from": "/a/b", "path": "/c"}, {"a": {}, "c": None}),
    ],
)
def test_json_patch(document: Any, operation: Any, expected: Any) -> None:
    before = copy.deepcopy(document)
    assert patches.apply(document, [operation]) == expected
    assert document == before


@pytest.mark.parametrize(
    "operation",
    [
        {},
        [],
        None,
        7,
        {"op": "add"},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/l/3", "value": 1},
        {"op": "add", "path": "/l/0x1", "value": 1},
        {"op": "add", "path": "/l/1_0", "value": 1},
        {"op": "add", "path": "/l/\u0661", "value": 1},
        {"op": "add", "path": "/s/x", "value": 1},
        {"op": "remove", "path": "/zz"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "", "value": {}},
        {"op": "copy", "from": "", "path": "/a"},
        {"op": "copy", "from": "/a", "path": ""},
        {"op": "move", "from": "/a", "path": ""},
        {"op": "replace", "path": "", "value": 1},
        {"op": "replace", "path": ""},
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/zz/y", "value": None},
        {"op": "test", "path": "/l/9", "value": None},
        {"op": "copy", "from": "/zz/y", "path": "/a"},
        {"op": "copy", "from": "/l/9", "path": "/a"},
        {"op": "move", "from": "/zz", "path": "/a"},
        {"op": 5, "path": "/a"},
        {"op": "add", "path": 5, "value": 1},
    ],
)
def test_what_does_not_apply_is_rejected(operation: Any) -> None:
    with pytest.raises(patches.Rejected, match="operation 0"):
        patches.apply({"a": 1, "l": [1], "s": "text"}, [operation])


def test_a_patch_cannot_double_a_document_for_ever() -> None:
    double = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 40
    with pytest.raises(patches.Rejected, match="copies more than"):
        patches.apply({"a": ["x" * 1000]}, double)


@given(JSON, JSON)
def test_a_merge_patch_can_be_repeated(document: Any, patch: Any) -> None:
    once = patches.merge(document, patch)
    assert patches.merge(once, patch) == once


@given(st.dictionaries(st.text(max_size=2), JSON, max_size=3), st.lists(JSON, max_size=3))
def test_no_patch_breaks_more_than_itself(document: dict[str, Any], operations: list[Any]) -> None:
    try:
        patches.apply(document, operations)
    except patches.Rejected:
        return
    assert not operations
