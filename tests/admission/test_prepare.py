"""From a request to a document: what is refused, what is kept, and that nothing breaks on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.admission import conform
from skerry.admission.prepare import APPLY_PATCH, JSON_PATCH, MERGE_PATCH
from skerry.admission.reading import DEEPEST
from skerry.api.kinds import WORKSPACE
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.errors import BadRequest, Invalid, StatusError
from tests.admission.workspace import LIVE, NOW, PREPARATION, live, request


def test_fields_that_a_newer_replica_wrote_survive_an_older_one() -> None:
    newer = live(fromTheFuture={"x": [1]})
    newer["spec"]["members"][0]["since"] = "today"
    for body, media in ((newer, "application/json"), ({"metadata": {"labels": {"c": "d"}}}, MERGE_PATCH)):
        change = PREPARATION.replaced if media == "application/json" else PREPARATION.patched
        prepared = change(request(body, media), newer, NOW)
        assert prepared.document["spec"] == newer["spec"]
        assert prepared.warnings == ()
    applied = PREPARATION.applied(request(LIVE | {"metadata": {}}, APPLY_PATCH, force=True), newer, NOW)
    assert applied.document["spec"] == newer["spec"]


def test_a_field_that_was_not_there_is_dropped_with_a_warning() -> None:
    prepared = PREPARATION.replaced(request(live(colour="red")), live(), NOW)
    assert "colour" not in prepared.document["spec"]
    assert prepared.warnings == ('unknown field "spec.colour"',)


def test_a_key_that_is_there_twice_is_named() -> None:
    body = msgspec.json.encode(LIVE).replace(b'"displayName":"a"', b'"displayName":"a","displayName":"b"')
    prepared = PREPARATION.replaced(request(body), live(), NOW)
    assert prepared.warnings == ('duplicate field "spec.displayName"',)
    with pytest.raises(BadRequest, match=r'duplicate field "spec\.displayName"'):
        PREPARATION.replaced(request(body, field_validation="Strict"), live(), NOW)


@pytest.mark.parametrize("media", ["application/json", MERGE_PATCH, APPLY_PATCH])
def test_what_is_nested_too_deep_is_refused(media: str) -> None:
    deep = b'{"a":' * (DEEPEST + 5) + b"1" + b"}" * (DEEPEST + 5)
    body = msgspec.json.encode(LIVE | {"metadata": {"name": "n"}}).replace(b'"a"', deep, 1)
    change = {MERGE_PATCH: PREPARATION.patched, APPLY_PATCH: PREPARATION.applied}.get(media, PREPARATION.replaced)
    with pytest.raises(BadRequest, match="nested deeper"):
        change(request(body, media), live(), NOW)


def test_defaults_fill_in_what_is_absent_or_null() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "string"}}}
    assert conform.defaulted(schema, {"a": None}) == {"a": "x"}
    assert conform.defaulted(schema, {"b": "y"}) == {"a": "x", "b": "y"}
    assert conform.without_nulls(schema, {"a": None, "b": None, "c": None}) == {"c": None}


_KEYS = st.sampled_from([*LIVE, *LIVE["metadata"], "finalizers", "ownerReferences", "managedFields", "members", "f:a"])
_ANY = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, -1, 1.5, 10**30, "", "a", "User", "\u0000"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=10,
)
_POINTERS = st.sampled_from(
    ["", "/spec", "/spec/members/0", "/spec/members/-", "/metadata/labels", "/metadata", "/kind"]
)
_OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": _POINTERS},
    optional={"value": _ANY, "from": _POINTERS},
)


def _refused_or_sound(prepare: Any, asked: WriteRequest, *more: Any) -> None:
    """An error of the API, or a document that fits its type: nothing else."""
    refusal = None
    try:
        prepared = prepare(asked, *more, NOW)
    except StatusError as error:
        refusal = error.code
    assert refusal in (None, 400, 409, 422)
    if refusal is None:
        msgspec.convert(prepared.document, WORKSPACE.type)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), _ANY), st.booleans())
@settings(max_examples=300)
def test_no_object_breaks_anything(found: Document, force: bool) -> None:
    whole = {**LIVE, **found}
    _refused_or_sound(PREPARATION.created, request(whole))
    _refused_or_sound(PREPARATION.replaced, request(whole), live())
    _refused_or_sound(PREPARATION.patched, request(found, MERGE_PATCH), live())
    _refused_or_sound(PREPARATION.applied, request(whole, APPLY_PATCH, force=force), live())
    _refused_or_sound(PREPARATION.applied, request(whole, APPLY_PATCH), {})


@given(st.lists(_OPERATION, max_size=4))
@settings(max_examples=300)
def test_no_patch_breaks_anything(operations: list[Document]) -> None:
    _refused_or_sound(PREPARATION.patched, request(operations, JSON_PATCH), live())


def test_metadata_has_no_other_fields_but_those_that_a_newer_replica_wrote() -> None:
    newer = live()
    newer["metadata"]["fromTheFuture"] = 1
    owner = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1", "zz": 1}
    patch = {"metadata": {"zz": 1, "selfLink": "/x", "namespace": "x", "ownerReferences": [owner]}}
    found = PREPARATION.patched(request(patch, MERGE_PATCH), newer, NOW)
    assert found.document["metadata"]["fromTheFuture"] == 1
    assert not {"zz", "selfLink", "namespace"} & set(found.document["metadata"])
    assert "zz" not in found.document["metadata"]["ownerReferences"][0]
    assert [text.split('"')[1] for text in found.warnings] == ["metadata.ownerReferences[0].zz", "metadata.zz"]


@pytest.mark.parametrize("key", ["kind", "apiVersion"])
def test_a_patch_that_takes_the_head_away_is_refused(key: str) -> None:
    with pytest.raises(Invalid, match=f"(?i)object '{key}' is missing") as caught:
        PREPARATION.patched(request({key: None}, MERGE_PATCH), live(), NOW)
    assert [each.field for each in caught.value.details.causes] == ["patch"]


@pytest.mark.parametrize(("value", "fields"), [([{}], ["patch"]), ("x", []), (None, [])])
def test_a_patch_that_leaves_no_object_behind_is_refused(value: Any, fields: list[str]) -> None:
    replaced = [{"op": "replace", "path": "", "value": value}]
    with pytest.raises(Invalid) as caught:
        PREPARATION.patched(request(replaced, JSON_PATCH), live(), NOW)
    assert [each.field for each in caught.value.details.causes] == fields


def test_what_a_merge_patch_empties_in_a_list_is_no_unknown_field() -> None:
    patch = {"spec": {"members": [{"kind": "User", "name": "a", "zz": None}]}}
    assert not PREPARATION.patched(request(patch, MERGE_PATCH), live(), NOW).warnings


@pytest.mark.parametrize(
    "time", ["x", "", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "２０26-01-01T00:00:00Z"]
)
def test_a_time_is_one(time: str) -> None:
    with pytest.raises(BadRequest, match="is not a time"):
        PREPARATION.decoded(request({**LIVE, "metadata": {"name": "n", "creationTimestamp": time}}).body)


@pytest.mark.parametrize("name", ["a.b", "a" * 64, "A", "-a", "a\n"])
def test_a_workspace_is_called_as_a_namespace_can_be(name: str) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name"):
        PREPARATION.check_name({**LIVE, "metadata": {"name": name}})


def test_all_that_is_wrong_with_a_value_is_said() -> None:
    odd = {**LIVE, "spec": {"members": [{"kind": 7, "name": "a"}, "x"]}}
    with pytest.raises(Invalid) as caught:
        PREPARATION.created(request({**odd, "metadata": {"name": "n"}}), NOW)
    assert [(each.field, each.reason) for each in caught.value.details.causes] == [
        ("spec.members[0].kind", "FieldValueTypeInvalid"),
        ("spec.members[0].kind", "FieldValueNotSupported"),
        ("spec.members[1]", "FieldValueTypeInvalid"),
        ("spec.members[1]", "FieldValueInvalid"),
    ]
