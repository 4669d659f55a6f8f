"""What a server-side apply makes of what is stored, or of nothing, whole, and what it says where it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.admission.prepare import APPLY_PATCH, Preparation, Prepared
from skerry.api.kinds import WORKSPACE
from skerry.api.meta import Document
from tests.admission.workspace import (
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
    UNREADABLE,
    UNRECOGNIZED,
    UNVERSIONED,
    Refusal,
    live,
    owned,
    refusal,
    request,
    with_meta,
)

HEAD = {"apiVersion": WORKSPACE.api_version, "kind": "Workspace"}
NAME: Document = {"f:spec": {"f:displayName": {}}}
"""The field that most applies here are about."""


def configuration(metadata: Any = None, **more: Any) -> Document:
    """What is applied: the object n with a name for people."""
    return {**HEAD, "metadata": {"name": "n"} if metadata is None else metadata, "spec": {"displayName": "a"}, **more}


def apply(
    document: Any,
    before: Document = MANAGED,
    preparation: Preparation = PREPARATION,
    namespace: str = "",
    **options: Any,
) -> Prepared:
    return preparation.applied(request(document, APPLY_PATCH, namespace, **options), before, NOW)


def anew(document: Any, **options: Any) -> Prepared:
    """An apply of what is not there."""
    return apply(document, {}, **options)


def applier(fields: Document = NAME, *, since: bool = True) -> Document:
    """The applier's entry; without a time if its first apply changed nothing."""
    entry = owned("test", fields, "Apply")
    return entry if since else {key: each for key, each in entry.items() if key != "time"}


SHARED = with_meta(OBSERVED, managedFields=[applier(since=False), owned("x", NAME)])
"""The stored object after an apply of what it says already."""
MADE = {**configuration({"name": "n", "managedFields": [applier()]})}
"""The object that an apply made."""


# What is stored


def test_an_apply_of_what_is_there_shares_it() -> None:
    assert apply(configuration()) == Prepared(SHARED)


def test_an_apply_of_what_is_not_there_makes_it() -> None:
    assert anew(configuration()) == Prepared(MADE)


def test_the_name_of_what_is_there_need_not_be_applied() -> None:
    assert apply(configuration({})) == Prepared(SHARED)


def test_metadata_need_not_be_applied() -> None:
    assert apply({key: each for key, each in configuration().items() if key != "metadata"}) == Prepared(SHARED)


def test_what_another_owns_is_a_conflict_unless_it_is_forced() -> None:
    document = configuration(spec={"displayName": "z"})
    text = 'conflict with "x" using skerry.dev/v1alpha1'
    assert refusal(apply, document) == Refusal(
        409,
        f"Apply failed with 1 conflict: {text}: .spec.displayName",
        causes=((".spec.displayName", text, "FieldManagerConflict"),),
    )
    assert apply(document, force=True) == Prepared(
        {**with_meta(OBSERVED, managedFields=[applier()]), "spec": {**LIVE["spec"], "displayName": "z"}}
    )


def test_defaults_are_filled_in_and_owned_by_nobody() -> None:
    member = {"kind": "User", "name": "b"}
    fields: Document = {
        "f:spec": {"f:members": {'k:{"kind":"User","name":"b"}': {".": {}, "f:kind": {}, "f:name": {}}}}
    }
    document = configuration(spec={"members": [member]})
    kept = [owned("test", fields, "Apply"), owned("x", NAME)]
    members = [*LIVE["spec"]["members"], {**member, "role": "view"}]
    assert apply(document) == Prepared(
        {**with_meta(OBSERVED, managedFields=kept), "spec": {"displayName": "a", "members": members}}
    )
    assert anew(document) == Prepared(
        {**MADE, "metadata": {"name": "n", "managedFields": kept[:1]}, "spec": {"members": members[1:]}}
    )


def test_what_a_client_says_of_the_status_and_of_what_the_server_sets_is_not_taken() -> None:
    document = configuration(
        {"name": "n", "namespace": "x", "generation": 7, "creationTimestamp": "2020-01-01T00:00:00Z", "selfLink": "/x"},
        status={"conditions": []},
    )
    assert anew(document) == Prepared(MADE)
    prepared = apply(document).document
    assert prepared["status"] == OBSERVED["status"]
    kept = {**SHARED["metadata"], "generation": 7, "managedFields": [applier(), owned("x", NAME)]}
    assert prepared["metadata"] == kept, "the generation is the store's to count"


@pytest.mark.parametrize("before", [OBSERVED, live()])
def test_an_apply_makes_no_status(before: Document) -> None:
    document = configuration(status={"conditions": []})
    assert apply(document, before).document.get("status") == before.get("status")
    assert "status" not in anew(document).document


def test_nulls_of_metadata_are_no_values_and_owned() -> None:
    fields = {"f:metadata": {"f:annotations": {}, "f:labels": {}}, **NAME}
    prepared = apply(configuration({"name": "n", "labels": None, "annotations": None}))
    assert prepared == Prepared(with_meta(OBSERVED, managedFields=[applier(fields), owned("x", NAME)]))


def test_null_is_no_metadata() -> None:
    assert apply({**configuration(), "metadata": None}) == Prepared(SHARED)
    assert refusal(anew, {**configuration(), "metadata": None}) == UNDETERMINED


@pytest.mark.parametrize(("namespaced", "kept"), [(NAMESPACED, {"namespace": "x"}), (PREPARATION, {})])
def test_what_is_made_is_in_the_namespace_of_the_request(namespaced: Preparation, kept: Document) -> None:
    namespace = kept.get("namespace", "")
    assert apply(configuration(), {}, namespaced, namespace) == Prepared(with_meta(MADE, **kept))


def test_an_object_of_another_namespace_is_refused() -> None:
    document = configuration({"name": "n", "namespace": "y"})
    assert refusal(apply, document, {}, NAMESPACED, "x") == Refusal(
        400, "the namespace of the provided object does not match the namespace sent on the request"
    )


# Warnings

FINALIZER = (
    'metadata.finalizers: "q": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer '
    "writers"
)
TWICE = b'{"apiVersion":"skerry.dev/v1alpha1","kind":"Workspace","metadata":{"name":"n","finalizers":["q"]},'
TWICE += b'"spec":{"displayName":"b","displayName":"a"}}'


@pytest.mark.parametrize("before", [MANAGED, {}])
def test_a_key_that_is_named_twice_is_told_and_then_what_is_unwise(before: Document) -> None:
    assert apply(TWICE, before).warnings == ('duplicate field "spec.displayName"', FINALIZER)
    assert apply(TWICE, before, field_validation="Ignore").warnings == (FINALIZER,)
    assert refusal(lambda: apply(TWICE, before, field_validation="Strict")) == Refusal(
        400, 'error decoding apply patch: duplicate field "spec.displayName"'
    )


def test_strictness_has_nothing_against_keys_that_are_named_once() -> None:
    assert apply(configuration(), field_validation="Strict") == Prepared(SHARED)


def test_twenty_of_many_keys_are_named() -> None:
    keys = [f"x{index:02}" for index in range(30)]
    pairs = ",".join(f'"{key}":"a","{key}":"b"' for key in keys)
    document = TWICE.replace(b'"finalizers":["q"]', f'"labels":{{{pairs}}}'.encode())
    message = refusal(lambda: apply(document, field_validation="Strict")).message
    assert message.removeprefix("error decoding apply patch: ") == ", ".join(
        f'duplicate field "metadata.labels.{key}"' for key in keys[:20]
    )


# Refusals


def test_what_is_there_has_the_name_of_its_address() -> None:
    assert refusal(apply, configuration({"name": "m"})) == ELSEWHERE
    assert refusal(apply, configuration({"name": ""})) == UNDETERMINED


@pytest.mark.parametrize(
    ("metadata", "refused"), [({"name": "m"}, ELSEWHERE), ({}, UNDETERMINED), ({"name": ""}, UNDETERMINED)]
)
def test_what_is_not_there_says_the_name_of_its_address(metadata: Document, refused: Refusal) -> None:
    assert refusal(anew, configuration(metadata)) == refused


@pytest.mark.parametrize("version", [None, "", "0"])
def test_a_version_that_is_applied_is_one(version: str | None) -> None:
    assert refusal(apply, configuration({"name": "n", "resourceVersion": version})) == UNVERSIONED


def test_what_is_applied_to_a_version_is_not_applied_to_another() -> None:
    assert apply(configuration({"name": "n", "resourceVersion": "5"})) == Prepared(SHARED)
    assert refusal(apply, configuration({"name": "n", "resourceVersion": "4"})) == MOVED


def test_conflicts_come_before_what_the_head_says() -> None:
    document = configuration({"name": "m", "resourceVersion": "4"}, spec={"displayName": "z"})
    assert refusal(apply, document).message.startswith("Apply failed with 1 conflict")


def test_an_object_that_is_meant_and_not_there_is_a_conflict() -> None:
    assert refusal(anew, configuration({"name": "n", "uid": "7"})) == Refusal(
        409,
        'Operation cannot be fulfilled on workspaces.skerry.dev "n": uid mismatch: the provided object specified uid 7, and '
        "no existing object was found",
        ("workspaces", "skerry.dev", "n"),
    )


@pytest.mark.parametrize("uid", ["", None])
def test_an_empty_uid_means_no_object(uid: str | None) -> None:
    assert anew(configuration({"name": "n", "uid": uid})).document["spec"] == MADE["spec"]


def test_an_object_that_is_meant_and_another_than_the_stored_one_is_refused() -> None:
    text = 'Invalid value: "7": field is immutable'
    assert refusal(apply, configuration({"name": "n", "uid": "7"})) == Refusal(
        422,
        f'Workspace.skerry.dev "n" is invalid: metadata.uid: {text}',
        ("Workspace", "skerry.dev", "n"),
        (("metadata.uid", text, "FieldValueInvalid"),) * 2,
    )


@pytest.mark.parametrize("managers", [[], [owned("x", NAME)]])
def test_who_owns_what_cannot_be_applied(managers: list[Document]) -> None:
    refused = Refusal(400, "metadata.managedFields must be nil")
    for before in (MANAGED, {}):
        assert refusal(apply, configuration({"name": "n", "managedFields": managers}), before) == refused


@pytest.mark.parametrize(("head", "told"), [
    ({"kind": "Pod"}, "skerry.dev/v1alpha1, Kind=Pod"),
    ({"kind": None}, "skerry.dev/v1alpha1, Kind="),
    ({"apiVersion": "v1"}, "/v1, Kind=Workspace"),
    ({"apiVersion": "a/v1"}, "a/v1, Kind=Workspace"),
    ({"apiVersion": None}, "/, Kind=Workspace"),
    ({"apiVersion": "", "kind": ""}, "/, Kind="),
])  # fmt: skip
def test_what_is_applied_is_of_the_kind(head: Document, told: str) -> None:
    for before in (MANAGED, {}):
        assert refusal(apply, {**configuration(), **head}, before) == Refusal(400, f"invalid object type: {told}")


@pytest.mark.parametrize("key", ["kind", "apiVersion"])
def test_what_is_applied_says_its_kind(key: str) -> None:
    document = {name: each for name, each in configuration().items() if name != key}
    assert refusal(apply, document).message.startswith("invalid object type: ")


@pytest.mark.parametrize(("document", "message"), [
    (b"{", f"{UNRECOGNIZED}: Input data was truncated"),
    (b"[]", f"{UNRECOGNIZED}: it is no JSON object"),
    ({**configuration(), "apiVersion": 7}, f"{UNREADABLE}apiVersion: expected a text"),
    (configuration({"name": 7}), f"{UNREADABLE}metadata: Expected `str`, got `int` - at `$.name`"),
    (configuration(7), f"{UNREADABLE}metadata: Expected `object`, got `int`"),
])  # fmt: skip
def test_what_is_applied_can_be_read(document: Any, message: str) -> None:
    assert refusal(apply, document) == Refusal(400, message)
    assert refusal(anew, document) == Refusal(400, message)


@pytest.mark.parametrize(("document", "why"), [
    (configuration(spec={"displayName": 7}), ".spec.displayName: expected string, got 7"),
    (configuration(status={"zz": 1}), ".status.zz: field not declared in schema"),
    (configuration(zz=1), ".zz: field not declared in schema"),
    (
        configuration({"name": "n", "zz": 1}, spec={"yy": 1}),
        "errors:\n  .metadata.zz: field not declared in schema\n  .spec.yy: field not declared in schema",
    ),
])  # fmt: skip
def test_what_is_applied_is_of_the_kinds_type(document: Document, why: str) -> None:
    text = f"failed to create typed patch object ({{}}/n; skerry.dev/v1alpha1, Kind=Workspace): {why}"
    assert refusal(apply, document) == Refusal(400, text.format(""))
    assert refusal(apply, document, {}, NAMESPACED, "x") == Refusal(400, text.format("x"))


@pytest.mark.parametrize("before", [MANAGED, {}])
def test_a_status_that_is_null_is_none(before: Document) -> None:
    assert apply(configuration(status=None), before) == Prepared(SHARED if before else MADE)


LABEL = f'Invalid value: "-": {LABEL_RULE}'
KIND = 'Unsupported value: "Foo": supported values: "User", "Group", "ServiceAccount"'


@pytest.mark.parametrize(("before", "times", "index"), [(MANAGED, 3, 1), ({}, 1, 0)])
def test_all_that_is_wrong_with_the_result_is_told(before: Document, times: int, index: int) -> None:
    document = configuration({"name": "n", "labels": {"-": "a"}}, spec={"members": [{"kind": "Foo", "name": "a"}]})
    assert refusal(apply, document, before) == Refusal(
        422,
        f'Workspace.skerry.dev "n" is invalid: [metadata.labels: {LABEL}, spec.members[{index}].kind: {KIND}]',
        ("Workspace", "skerry.dev", "n"),
        (
            *[("metadata.labels", LABEL, "FieldValueInvalid")] * times,
            (f"spec.members[{index}].kind", KIND, "FieldValueNotSupported"),
        ),
    )
