"""What a PUT and a patch make of a stored object, whole, and what they say where they change nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.admission.patches import MOST_OPERATIONS
from skerry.admission.prepare import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Preparation, Prepared
from skerry.admission.reading import DEEPEST
from skerry.api.meta import Document
from tests.admission.workspace import (
    CONDITION,
    ELSEWHERE,
    LABEL_RULE,
    LIVE,
    MANAGED,
    MOVED,
    NAMESPACED,
    NOW,
    OBSERVED,
    PREPARATION,
    UNDETERMINED,
    UNVERSIONED,
    Refusal,
    live,
    owned,
    refusal,
    request,
    said,
    with_meta,
)


def put(document: Any, before: Document = OBSERVED, preparation: Preparation = PREPARATION, **options: Any) -> Prepared:
    return preparation.replaced(request(document, **options), before, NOW)


def merge(patch: Any, before: Document = OBSERVED, **options: Any) -> Prepared:
    return PREPARATION.patched(request(patch, MERGE_PATCH, **options), before, NOW)


def operate(*operations: Document, before: Document = OBSERVED, **options: Any) -> Prepared:
    return PREPARATION.patched(request(list(operations), JSON_PATCH, **options), before, NOW)


def refused_patch(document: Any, why: str) -> Refusal:
    """As an API server answers a patch whose result cannot be decoded: with all of it."""
    text = (
        f"Invalid value: {msgspec.json.encode(msgspec.json.encode(document, order='sorted').decode()).decode()}: {why}"
    )
    return Refusal(422, f' "" is invalid: patch: {text}', causes=(("patch", text, "FieldValueInvalid"),))


# What is stored


def test_a_put_says_all_but_the_status_and_what_the_server_sets() -> None:
    sent = with_meta(LIVE, labels={"c": "d"}, creationTimestamp=None, namespace="x", selfLink="/x", annotations={})
    sent |= {"spec": {"displayName": "b"}, "status": {"conditions": []}}
    assert put(sent) == Prepared({**with_meta(OBSERVED, labels={"c": "d"}), "spec": {"displayName": "b"}})


def test_an_object_without_a_status_gets_none_from_a_client() -> None:
    assert put({**LIVE, "status": {"conditions": [CONDITION]}}, LIVE) == Prepared(LIVE)
    assert merge({"status": {"conditions": [CONDITION]}}, LIVE) == Prepared(LIVE)


NEWER = [
    {"conditions": "gone since"},
    {"conditions": {"Ready": "True"}},
    {"conditions": [{"type": "Ready", "status": "Perhaps"}, {"type": "Ready"}, 7, None]},
    {"conditions": [CONDITION], "added": {"later": [1, None]}},
    ["another", "shape"],
    "a text",
]
"""Statuses of a replica whose schema is another one."""


@pytest.mark.parametrize("status", NEWER, ids=range(len(NEWER)))
def test_a_stored_status_that_does_not_fit_stays_and_is_in_nobodys_way(status: Any) -> None:
    """A rolling upgrade: a newer replica wrote the status, an older one takes a change of the rest."""
    before, spec = {**OBSERVED, "status": status}, {**LIVE["spec"], "displayName": "b"}
    stored = Prepared({**before, "spec": spec})
    assert put({**before, "spec": spec}, before) == stored
    assert put({**LIVE, "spec": spec}, before) == stored
    assert merge({"spec": {"displayName": "b"}}, before) == stored
    assert operate({"op": "replace", "path": "/spec/displayName", "value": "b"}, before=before) == stored
    sent = {key: LIVE[key] for key in ("apiVersion", "kind")} | {
        "metadata": {"name": "n"},
        "spec": {"displayName": "b"},
    }
    applied = PREPARATION.applied(request(sent, APPLY_PATCH, force=True), before, NOW).document
    assert (applied["spec"]["displayName"], applied["status"]) == ("b", status)
    managed = {**before, "metadata": applied["metadata"]}
    again = PREPARATION.applied(request({**sent, "spec": {}}, APPLY_PATCH, force=True), managed, NOW).document
    assert again["status"] == status


@pytest.mark.parametrize("metadata", [{}, {"resourceVersion": ""}, {"resourceVersion": "5"}])
def test_a_put_without_a_version_was_looked_at_before(metadata: Document) -> None:
    sent = {**LIVE, "metadata": {"name": "n", "uid": "u", **metadata}}
    kept = {"name": "n", "uid": "u", "creationTimestamp": "2025-01-01T00:00:00Z"}
    kept |= {key: each for key, each in metadata.items() if each}
    assert put(sent) == Prepared({**OBSERVED, "metadata": kept})


def test_defaults_fill_in_what_a_change_leaves_out() -> None:
    member = {"kind": "User", "name": "b"}
    for prepared in (
        put({**LIVE, "spec": {"members": [member], "displayName": None}}),
        merge({"spec": {"members": [{**member, "role": None}], "displayName": None}}),
        operate({"op": "replace", "path": "/spec", "value": {"members": [member], "displayName": None}}),
    ):
        assert prepared == Prepared({**OBSERVED, "spec": {"members": [{**member, "role": "view"}]}})


def test_a_patch_changes_what_it_names() -> None:
    renamed = Prepared({**OBSERVED, "spec": {**LIVE["spec"], "displayName": "z"}})
    assert merge({"spec": {"displayName": "z"}}) == renamed
    assert operate({"op": "replace", "path": "/spec/displayName", "value": "z"}) == renamed
    assert renamed.document != OBSERVED
    assert live()["spec"]["displayName"] == "a"


@pytest.mark.parametrize("namespace", ["x", ""])
def test_the_namespace_of_an_object_stays(namespace: str) -> None:
    before = with_meta(OBSERVED, namespace="x")
    sent = with_meta(OBSERVED, namespace=namespace)
    if namespace:
        assert put(sent, before, NAMESPACED) == Prepared(before)
        return
    text = 'Invalid value: "": field is immutable'
    assert refusal(put, sent, before, NAMESPACED) == Refusal(
        422,
        f'Workspace.skerry.dev "n" is invalid: metadata.namespace: {text}',
        ("Workspace", "skerry.dev", "n"),
        (("metadata.namespace", text, "FieldValueInvalid"),) * 2,
    )


@pytest.mark.parametrize("change", [put, merge])
def test_metadata_that_a_newer_replica_wrote_stays(change: Any) -> None:
    newer = with_meta(OBSERVED, fromTheFuture=1)
    assert change(newer, newer) == Prepared(newer)


# Who owns what


@pytest.mark.parametrize(("given", "kept"), [
    ({}, [owned("x", {"f:spec": {"f:displayName": {}}})]),
    ({"managedFields": []}, [owned("x", {"f:spec": {"f:displayName": {}}})]),
    ({"managedFields": [owned("y", {"f:spec": {"f:members": {}}})]}, [owned("y", {"f:spec": {"f:members": {}}})]),
])  # fmt: skip
def test_a_change_may_say_who_owns_what(given: Document, kept: list[Document]) -> None:
    assert put(with_meta(OBSERVED, **given), MANAGED) == Prepared(with_meta(OBSERVED, managedFields=kept))
    assert merge({"metadata": given}, MANAGED).document["metadata"]["managedFields"] == kept


@pytest.mark.parametrize(("manager", "warnings"), [
    ({}, ()),
    ({"zz": 1}, ('unknown field "metadata.managedFields[0].zz"',)),
])  # fmt: skip
def test_a_change_may_say_that_nobody_owns_anything(manager: Document, warnings: tuple[str, ...]) -> None:
    assert put(with_meta(OBSERVED, managedFields=[manager]), MANAGED) == Prepared(OBSERVED, warnings)


def test_who_changes_a_field_owns_it() -> None:
    sent = {**OBSERVED, "spec": {**LIVE["spec"], "displayName": "z"}}
    mine = with_meta(sent, managedFields=[owned("test", {"f:spec": {"f:displayName": {}}})])
    assert put(sent, MANAGED) == Prepared(mine)
    assert merge({"spec": {"displayName": "z"}}, MANAGED) == Prepared(mine)


@pytest.mark.parametrize("observed", [OBSERVED, LIVE])
def test_nobody_owns_a_status_that_a_client_sends(observed: Document) -> None:
    before = {**observed, "metadata": MANAGED["metadata"]}
    sent = {**before, "status": {"conditions": [{**CONDITION, "status": "False"}]}}
    assert put(sent, before) == Prepared(before)
    assert merge({"status": sent["status"]}, before) == Prepared(before)


def test_a_write_through_a_subresource_is_named_as_one() -> None:
    asked = msgspec.structs.replace(
        request({**OBSERVED, "spec": {**LIVE["spec"], "displayName": "z"}}), subresource="scale"
    )
    fields = PREPARATION.replaced(asked, MANAGED, NOW).document["metadata"]["managedFields"]
    assert [entry["subresource"] for entry in fields] == ["scale"]


# Warnings


def test_fields_that_nobody_knows_are_told_and_then_what_is_unwise() -> None:
    before = with_meta(OBSERVED, finalizers=["a"])
    sent = with_meta(before, finalizers=["b", "a", "skerry.dev/x"], zz=1)
    finalizer = 'metadata.finalizers: "b": prefer a domain-qualified finalizer name to avoid accidental conflicts with'
    assert put({**sent, "colour": 1}, before) == Prepared(
        with_meta(before, finalizers=["b", "a", "skerry.dev/x"]),
        ('unknown field "metadata.zz"', 'unknown field "colour"', f"{finalizer} other finalizer writers"),
    )


def test_what_is_unwise_is_told_in_order() -> None:
    warnings = put(with_meta(OBSERVED, finalizers=["c", "a", "d", "b"])).warnings
    assert [text.split('"')[1] for text in warnings] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("validation", "warnings"), [
    ("Warn", ('unknown field "spec.colour"',)),
    ("Ignore", ()),
])  # fmt: skip
def test_a_patch_that_adds_what_nobody_knows_adds_nothing(validation: str, warnings: tuple[str, ...]) -> None:
    assert merge({"spec": {"colour": 1}}, field_validation=validation) == Prepared(OBSERVED, warnings)
    operation = {"op": "add", "path": "/spec/colour", "value": 1}
    assert operate(operation, field_validation=validation) == Prepared(OBSERVED, warnings)


def test_a_strict_patch_that_adds_what_nobody_knows_is_refused() -> None:
    refused = refused_patch(
        {**OBSERVED, "spec": {**LIVE["spec"], "colour": 1}}, 'strict decoding error: unknown field "spec.colour"'
    )
    assert refusal(lambda: merge({"spec": {"colour": 1}}, field_validation="Strict")) == refused
    operation = {"op": "add", "path": "/spec/colour", "value": 1}
    assert refusal(lambda: operate(operation, field_validation="Strict")) == refused


def test_a_strict_put_that_adds_what_nobody_knows_is_refused_as_a_create_is() -> None:
    assert refusal(lambda: put({**OBSERVED, "colour": 1}, field_validation="Strict")) == Refusal(
        400,
        'Workspace in version "v1alpha1" cannot be handled as a Workspace: strict decoding error: unknown field "colour"',
    )


def test_a_key_that_a_merge_patch_names_twice_is_told_and_of_operations_it_is_not() -> None:
    twice = b'{"spec":{"displayName":"z","displayName":"a"}}'
    assert merge(twice) == Prepared(OBSERVED, ('duplicate field "spec.displayName"',))
    operations = b'[{"op":"replace","path":"/spec/displayName","value":"z","value":"a"}]'
    assert PREPARATION.patched(request(operations, JSON_PATCH), OBSERVED, NOW) == Prepared(OBSERVED)


def test_an_owner_that_is_there_twice_is_told_of_a_patch_as_of_a_later_step() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1"}
    stored = with_meta(OBSERVED, ownerReferences=[owner])
    texts = []
    for prepared in (
        put(with_meta(OBSERVED, ownerReferences=[owner, owner])),
        merge({"metadata": {"ownerReferences": [owner, owner]}}),
        operate({"op": "add", "path": "/metadata/ownerReferences", "value": [owner, owner]}),
    ):
        assert prepared.document == stored
        texts += [text.partition(";")[0] for text in prepared.warnings]
    plain, later = (
        f".metadata.ownerReferences contains duplicate entries{when}"
        for when in ("", " after mutating admission happens")
    )
    assert texts == [plain, later, later]


# Refusals


@pytest.mark.parametrize("change", [put, merge])
def test_a_change_of_another_version_is_a_conflict(change: Any) -> None:
    assert refusal(change, with_meta(LIVE, resourceVersion="4")) == MOVED


@pytest.mark.parametrize("version", [None, "", "0"])
def test_a_patch_may_not_take_the_version_away(version: str | None) -> None:
    assert refusal(merge, {"metadata": {"resourceVersion": version}}) == UNVERSIONED


def test_a_change_without_a_version_is_told_so() -> None:
    assert said(PREPARATION.unversioned("n")) == UNVERSIONED


@pytest.mark.parametrize(("metadata", "versions"), [
    ({"name": "n"}, ("", "")),
    ({"name": "n", "uid": None, "resourceVersion": None}, ("", "")),
    ({"name": "n", "uid": "u", "resourceVersion": "5"}, ("u", "5")),
])  # fmt: skip
def test_a_put_says_what_it_is_based_on(metadata: Document, versions: tuple[str, str]) -> None:
    assert PREPARATION.versioned(request({**LIVE, "metadata": metadata})) == versions


@pytest.mark.parametrize(("metadata", "refused"), [
    ({"name": "m"}, ELSEWHERE),
    ({"name": ""}, UNDETERMINED),
    ({"name": None}, UNDETERMINED),
])  # fmt: skip
def test_an_object_has_the_name_of_its_address(metadata: Document, refused: Refusal) -> None:
    assert refusal(PREPARATION.versioned, request({**LIVE, "metadata": metadata})) == refused
    assert refusal(merge, {"metadata": metadata}) == refused


@pytest.mark.parametrize("body", [{"metadata": None}, {"metadata": {"name": None}}])
def test_a_patch_may_not_take_the_name_away(body: Document) -> None:
    assert refusal(merge, body) == UNDETERMINED


def test_all_that_is_wrong_is_told_as_often_as_an_api_server_looks_at_it() -> None:
    uid, label, finalizer = (
        f"Invalid value: {text}" for text in ('"x": field is immutable', f'"-": {LABEL_RULE}', f'"!": {LABEL_RULE}')
    )
    members = 'Invalid value: "integer": spec.members in body must be of type array: "integer"'
    sent = {**with_meta(LIVE, uid="x", labels={"-": "c"}, finalizers=["!"]), "spec": {"members": 1}}
    assert refusal(put, sent) == Refusal(
        422,
        f'Workspace.skerry.dev "n" is invalid: [metadata.uid: {uid}, metadata.labels: {label}, metadata.finalizers: '
        f"{finalizer}, spec.members: {members}]",
        ("Workspace", "skerry.dev", "n"),
        (
            *[("metadata.uid", uid, "FieldValueInvalid")] * 2,
            *[("metadata.labels", label, "FieldValueInvalid")] * 3,
            ("metadata.finalizers", finalizer, "FieldValueInvalid"),
            ("spec.members", members, "FieldValueTypeInvalid"),
        ),
    )


@pytest.mark.parametrize(("head", "about", "field", "text"), [
    ({"kind": "Pod"}, ("Pod", "skerry.dev", "n"), "kind", 'Invalid value: "Pod": must be Workspace'),
    ({"apiVersion": "v1"}, ("Workspace", "", "n"), "apiVersion", 'Invalid value: "v1": must be skerry.dev/v1alpha1'),
    (
        {"apiVersion": "a/v1", "kind": "Pod"},
        ("Pod", "a", "n"),
        "kind",
        'Invalid value: "Pod": must be Workspace',
    ),
])  # fmt: skip
def test_an_object_stays_of_its_kind(head: Document, about: tuple[str, str, str], field: str, text: str) -> None:
    assert refusal(merge, head) == Refusal(
        422,
        f'{about[0]}.{about[1]} "n" is invalid: {field}: {text}',
        about,
        ((field, text, "FieldValueInvalid"),),
    )


@pytest.mark.parametrize(("key", "told"), [("kind", "Kind"), ("apiVersion", "apiVersion")])
@pytest.mark.parametrize("value", [None, ""])
def test_a_patch_may_not_take_the_head_away(key: str, told: str, value: str | None) -> None:
    left = {name: each for name, each in OBSERVED.items() if name != key} | ({} if value is None else {key: value})
    assert refusal(merge, {key: value}) == refused_patch(left, f"Object '{told}' is missing")


@pytest.mark.parametrize(("patch", "why"), [
    ({"metadata": {"labels": 7}}, "metadata: Expected `object`, got `int` - at `$.labels`"),
    ({"metadata": {"generation": 10**30}}, f"metadata: generation: {10**30} is out of range"),
    (
        {"metadata": {"creationTimestamp": "x"}},
        "metadata: creationTimestamp: 'x' is not a time such as 2006-01-02T15:04:05Z",
    ),
])  # fmt: skip
def test_what_a_patch_leaves_behind_can_be_decoded(patch: Document, why: str) -> None:
    assert refusal(merge, patch) == refused_patch(with_meta(OBSERVED, **patch["metadata"]), why)


@pytest.mark.parametrize(("patch", "why"), [
    ({"kind": 7}, "kind: expected a text"),
    ({"apiVersion": ["v1"]}, "apiVersion: expected a text"),
])  # fmt: skip
def test_a_head_that_is_no_text_is_refused(patch: Document, why: str) -> None:
    assert refusal(merge, patch) == refused_patch({**OBSERVED, **patch}, why)


def test_a_patch_that_leaves_a_list_behind_is_refused() -> None:
    whole = {"op": "replace", "path": "", "value": [{"b": 1, "a": 2}]}
    assert refusal(operate, whole) == refused_patch([{"a": 2, "b": 1}], "it leaves no object behind")


def test_operations_that_do_not_apply_are_named() -> None:
    test, remove = {"op": "test", "path": "/kind", "value": "Workspace"}, {"op": "remove", "path": "/zz"}
    assert refusal(operate, test, remove) == Refusal(
        422,
        "the server rejected our request due to an error in our request: operation 1 of the patch does not apply: 'zz'",
    )


@pytest.mark.parametrize(("body", "media", "message"), [
    (b"[]", MERGE_PATCH, "an application/merge-patch+json is a JSON object"),
    (b"null", MERGE_PATCH, "an application/merge-patch+json is a JSON object"),
    (b"{}", JSON_PATCH, "an application/json-patch+json is a JSON array of operations"),
    (b"null", JSON_PATCH, "an application/json-patch+json is a JSON array of operations"),
    (b"{", MERGE_PATCH, "Input data was truncated"),
    (b"{", JSON_PATCH, "Input data was truncated"),
])  # fmt: skip
def test_a_body_that_is_no_patch_is_refused(body: bytes, media: str, message: str) -> None:
    asked = request(body, media)
    assert refusal(PREPARATION.patched, asked, OBSERVED, NOW) == Refusal(400, f"error decoding patch: {message}")


def test_a_patch_has_so_many_operations_and_no_more() -> None:
    test = {"op": "test", "path": "/kind", "value": "Workspace"}
    assert operate(*[test] * MOST_OPERATIONS) == Prepared(OBSERVED)
    assert refusal(operate, *[test] * (MOST_OPERATIONS + 1)) == Refusal(
        400, "a patch has at most 10000 operations, this one has 10001"
    )


def test_a_merge_patch_may_name_more_fields_than_that() -> None:
    labels = {f"x{index}": None for index in range(MOST_OPERATIONS + 1)}
    assert merge(labels) == Prepared(OBSERVED)


def nested(levels: int) -> Document:
    """An object of so many levels."""
    document: Document = {}
    for _ in range(levels - 1):
        document = {"a": document}
    return document


def test_what_two_patches_nest_together_may_not_be_too_deep() -> None:
    before = {**OBSERVED, "spec": {**LIVE["spec"], "colour": {}}}
    deepest = nested(DEEPEST - 2)
    assert operate({"op": "add", "path": "/spec/colour", "value": deepest}, before=before).warnings == ()
    assert refusal(
        lambda: operate({"op": "add", "path": "/spec/colour/a", "value": deepest}, before=before)
    ) == Refusal(400, "the patch leaves an object behind that is nested deeper than 64 levels")


# Whether anything changed


@pytest.mark.parametrize(("metadata", "same"), [
    ({}, True),
    ({"resourceVersion": "6"}, True),
    ({"generation": 2}, True),
    ({"managedFields": [{**owned("x", {"f:spec": {"f:displayName": {}}}), "time": "2027-01-01T00:00:00Z"}]}, True),
    ({"managedFields": [owned("y", {"f:spec": {"f:displayName": {}}})]}, False),
    ({"managedFields": []}, False),
    ({"labels": {"a": "c"}}, False),
    ({"uid": "v"}, False),
])  # fmt: skip
def test_times_of_owners_and_numbers_of_the_server_are_no_change(metadata: Document, same: bool) -> None:
    assert PREPARATION.unchanged(with_meta(MANAGED, **metadata), MANAGED) is same
    assert PREPARATION.unchanged(MANAGED, with_meta(MANAGED, **metadata)) is same


def test_what_is_in_an_object_is_a_change() -> None:
    assert not PREPARATION.unchanged({**LIVE, "spec": {}}, LIVE)
    assert not PREPARATION.unchanged(OBSERVED, LIVE)
    assert PREPARATION.unchanged(live(), LIVE)
