"""Sets of fields and FieldsV1, as structured-merge-diff writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.apply import fieldset
from skerry.apply.fieldset import Path

KEYED = fieldset.keys({"name": "al", "kind": "User"})

FORMS: list[tuple[set[Path], dict[str, Any]]] = [
    (set(), {}),
    ({("f:a",)}, {"f:a": {}}),
    ({("f:a", "f:b")}, {"f:a": {"f:b": {}}}),
    ({("f:a",), ("f:a", "f:b")}, {"f:a": {".": {}, "f:b": {}}}),
    ({("f:a", KEYED), ("f:a", KEYED, "f:role")}, {"f:a": {'k:{"kind":"User","name":"al"}': {".": {}, "f:role": {}}}}),
    ({("f:s", 'v:"x"'), ("f:s", "i:0")}, {"f:s": {'v:"x"': {}, "i:0": {}}}),
]


@pytest.mark.parametrize(("fields", "document"), FORMS)
def test_a_set_is_written_and_read_as_kubernetes_does(fields: set[Path], document: dict[str, Any]) -> None:
    assert fieldset.encode(fields) == document
    assert fieldset.decode(document) == fields


ELEMENTS = st.one_of(
    st.text(max_size=4).map(fieldset.name),
    st.one_of(st.text(max_size=3), st.integers(), st.booleans(), st.none()).map(fieldset.value),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), min_size=1, max_size=2).map(fieldset.keys),
    st.integers(0, 9).map(lambda index: f"i:{index}"),
)
SETS = st.frozensets(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=8)


@given(SETS)
def test_a_set_survives_being_written(fields: frozenset[Path]) -> None:
    assert fieldset.decode(fieldset.encode(fields)) == fields


@given(SETS)
def test_a_tree_holds_the_paths_of_its_set(fields: frozenset[Path]) -> None:
    def paths(node: fieldset.Tree, before: Path) -> set[Path]:
        here = {(*before, element) for element in node.members}
        return here.union(*(paths(child, (*before, element)) for element, child in node.children.items()))

    assert paths(fieldset.tree(fields), ()) == fields


def test_keys_and_values_are_the_same_however_they_were_spelled() -> None:
    assert fieldset.decode({'k:{ "name": "al", "kind":"User" }': {}}) == {(KEYED,)}
    assert fieldset.decode({"v: 1": {}}) == {("v:1",)}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "f:a",
        {"f:a": None},
        {"f:a": []},
        {"f:a": "x"},
        {"a": {}},
        {"x:a": {}},
        {"": {}},
        {"v:{": {}},
        {"k:": {}},
    ],
)
def test_what_is_no_fields_v1_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        fieldset.decode(document)


def test_a_dot_owns_what_it_stands_in_and_nothing_at_the_top() -> None:
    assert fieldset.decode({".": {}, "f:a": {".": {}}}) == {("f:a",)}


def test_fields_that_are_too_deep_are_refused() -> None:
    document: dict[str, Any] = {}
    for _ in range(fieldset.DEEPEST):
        document = {"f:a": document}
    assert fieldset.decode(document)
    with pytest.raises(ValueError, match="not FieldsV1"):
        fieldset.decode({"f:a": {"f:b": document}})


def test_a_path_is_shown_as_messages_show_it() -> None:
    assert fieldset.text(("f:spec", "f:members", KEYED, "f:role")) == '.spec.members[kind="User",name="al"].role'
    assert fieldset.text(("f:finalizers", 'v:"x"')) == '.finalizers[="x"]'
    assert fieldset.text(("f:list", "i:3")) == ".list[3]"
