"""Merging, comparing and removing, without an API server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.api.grants import Workspace
from skerry.apply import fieldset, typed
from skerry.apply.schema import DEDUCED, List, Map, Scalar, type_of

TYPE = Map(
    {
        "name": Scalar("string"),
        "tags": List(Scalar("string"), "set"),
        "ports": List(Map({"port": Scalar("numeric"), "note": Scalar("string")}), "map", ("port",)),
        "whole": List(DEDUCED),
        "labels": Map(element=Scalar("string")),
        "free": DEDUCED,
    }
)

_words = st.sampled_from(["a", "b", "c", "d"])
_ports = st.lists(st.integers(1, 4), unique=True).flatmap(
    lambda numbers: st.tuples(
        *(st.fixed_dictionaries({"port": st.just(n)}, optional={"note": _words}) for n in numbers)
    ).map(list)
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "name": _words,
        "tags": st.lists(_words, unique=True),
        "ports": _ports,
        "whole": st.lists(_words),
        "labels": st.dictionaries(_words, _words),
        "free": st.recursive(_words, lambda inner: st.lists(inner) | st.dictionaries(_words, inner), max_leaves=5),
    },
)


@given(documents)
def test_nothing_differs_from_itself(document: dict[str, Any]) -> None:
    compared = typed.compare(TYPE, document, document)
    assert compared == (frozenset(), frozenset(), frozenset())


@given(documents, documents)
def test_what_is_added_one_way_is_removed_the_other(first: dict[str, Any], second: dict[str, Any]) -> None:
    there, back = typed.compare(TYPE, first, second), typed.compare(TYPE, second, first)
    assert (there.added, there.removed, there.modified) == (back.removed, back.added, back.modified)


@given(documents, documents)
@settings(max_examples=200)
def test_an_applied_document_is_in_the_result(live: dict[str, Any], applied: dict[str, Any]) -> None:
    merged = typed.merge(TYPE, live, applied)
    compared = typed.compare(TYPE, applied, merged)
    assert not compared.removed
    assert not {path for path in compared.modified if path != ("f:free",) and path[0] != "f:free"}
    assert typed.same(typed.merge(TYPE, merged, applied), merged)


@given(documents)
def test_a_document_applied_to_nothing_or_itself_stays(document: dict[str, Any]) -> None:
    assert typed.same(typed.merge(TYPE, typed.ABSENT, document), document)
    assert typed.same(typed.merge(TYPE, document, document), document)
    assert typed.same(typed.merge(TYPE, document, typed.ABSENT), document)


@given(documents)
def test_fieldsv1_survives_the_way_there_and_back(document: dict[str, Any]) -> None:
    fields = typed.fields_of(TYPE, document)
    assert fieldset.decode(fieldset.encode(fields)) == fields


@given(documents)
def test_without_all_fields_nothing_is_left(document: dict[str, Any]) -> None:
    everything = typed.named_members(TYPE, typed.fields_of(TYPE, document)) | {(f"f:{key}",) for key in document}
    assert typed.without(TYPE, document, frozenset(everything)) is None


@pytest.mark.parametrize(
    ("live", "applied", "expected"),
    [
        ("abc", "", "abc"),
        ("abc", "cd", "abcd"),
        ("abc", "dca", "bdca"),
        ("abc", "ba", "bca"),
        ("", "ba", "ba"),
        ("xay", "az", "xayz"),
    ],
)
def test_lists_keep_the_appliers_order(live: str, applied: str, expected: str) -> None:
    merged = typed.merge(List(Scalar("string"), "set"), list(live), list(applied))
    assert "".join(merged) == expected


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"zz": 1}, ".spec.zz: field not declared in schema"),
        ({"displayName": 5}, ".spec.displayName: expected string, got 5"),
        ({"displayName": True}, ".spec.displayName: expected string, got True"),
        ({"members": {}}, ".spec.members: expected list, got map"),
        ({"members": [1]}, ".spec.members: associative list with keys may not have non-map elements"),
        (
            {"members": [{}, 1]},
            ".spec.members: associative list with keys has an element that omits all key fields: kind, name",
        ),
        (
            {"members": [{"kind": "User", "name": "a"}] * 2},
            '.spec.members: duplicate entries for key [kind="User",name="a"]',
        ),
    ],
)
def test_what_does_not_fit_the_type_is_named(spec: dict[str, Any], problem: str) -> None:
    assert list(typed.problems(type_of(Workspace), {"spec": spec})) == [problem]


def test_an_owner_has_no_other_fields_but_its_own() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1"}
    fitting, stray = ({"metadata": {"ownerReferences": [each]}} for each in (owner, {**owner, "zz": None}))
    assert not list(typed.problems(type_of(Workspace), fitting))
    assert "field not declared in schema" in next(typed.problems(type_of(Workspace), stray))


@pytest.mark.parametrize("rubbish", [None, [], {"x": {}}, {"f:a": 1}, {"k:{": {}}, {"z:a": {}}, {"f:a": {"f:b": []}}])
def test_rubbish_is_no_field_set(rubbish: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        fieldset.decode(rubbish)


def test_a_deep_field_set_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"f:a": deep}
    with pytest.raises(ValueError, match="FieldsV1"):
        fieldset.decode(deep)
