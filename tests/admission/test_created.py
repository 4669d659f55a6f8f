"""What a create stores, whole, and what it says where it stores nothing."""

from __future__ import annotations

from typing import Any

import pytest

from skerry.admission import prepare
from skerry.admission.prepare import Preparation
from skerry.api.kinds import ACCESS_GRANT, WORKSPACE
from skerry.api.meta import Document
from tests.admission.workspace import (
    LABEL_RULE,
    NAMESPACED,
    NOW,
    PREPARATION,
    UNREADABLE,
    UNRECOGNIZED,
    Refusal,
    owned,
    refusal,
    request,
)


def new(metadata: Any = None, **more: Any) -> Document:
    """The object n as a client writes it."""
    head = {"apiVersion": WORKSPACE.api_version, "kind": "Workspace", "spec": {"displayName": "a"}}
    return {**head, "metadata": {"name": "n"} if metadata is None else metadata, **more}


def stored(**metadata: Any) -> Document:
    """`new` with its managedFields: who made it owns what is in its spec."""
    fields: Document = {"f:spec": {".": {}, "f:displayName": {}}}
    return new({**metadata, "managedFields": [owned("test", fields)]})


def test_a_client_says_what_is_its_own_and_nothing_of_what_the_server_sets() -> None:
    metadata = {
        "name": "n",
        "generateName": "",
        "namespace": "elsewhere",
        "uid": "x",
        "resourceVersion": "",
        "generation": 4,
        "creationTimestamp": "2020-01-01T00:00:00Z",
        "deletionTimestamp": "2020-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": 3,
        "selfLink": "/x",
        "labels": {"a": "b"},
        "annotations": {},
        "finalizers": ["x", "skerry.dev/y"],
        "managedFields": [owned("m", {"f:spec": {}})],
    }
    spec = {"members": [{"kind": "User", "name": "a", "role": None}], "displayName": None}
    prepared = PREPARATION.created(request(new(metadata, spec=spec, status={"conditions": []}, colour=1)), NOW)
    assert prepared.document == {
        "apiVersion": "skerry.dev/v1alpha1",
        "kind": "Workspace",
        "metadata": {
            "name": "n",
            "labels": {"a": "b"},
            "finalizers": ["x", "skerry.dev/y"],
            "managedFields": [
                owned(
                    "test",
                    {
                        "f:metadata": {
                            "f:finalizers": {".": {}, 'v:"skerry.dev/y"': {}, 'v:"x"': {}},
                            "f:labels": {".": {}, "f:a": {}},
                        },
                        "f:spec": {
                            ".": {},
                            "f:members": {
                                ".": {},
                                'k:{"kind":"User","name":"a"}': {".": {}, "f:kind": {}, "f:name": {}, "f:role": {}},
                            },
                        },
                    },
                )
            ],
        },
        "spec": {"members": [{"kind": "User", "name": "a", "role": "view"}]},
    }
    assert prepared.warnings == (
        'unknown field "colour"',
        'metadata.finalizers: "x": prefer a domain-qualified finalizer name to avoid accidental conflicts with other '
        "finalizer writers",
    )


@pytest.mark.parametrize("metadata", [{}, None])
def test_metadata_may_be_empty_null_or_absent(metadata: Document | None) -> None:
    bodies = [new({}) | {"metadata": metadata}, {key: each for key, each in new().items() if key != "metadata"}]
    for body in bodies:
        assert PREPARATION.created(request(body), NOW).document == stored()


def test_a_null_of_the_servers_own_is_no_resource_version() -> None:
    prepared = PREPARATION.created(request(new({"name": "n", "resourceVersion": None})), NOW)
    assert prepared.document == stored(name="n")


@pytest.mark.parametrize(("given", "sent", "kept"), [
    ({}, "", {}),
    ({}, "x", {"namespace": "x"}),
    ({"namespace": ""}, "x", {"namespace": "x"}),
    ({"namespace": "x"}, "x", {"namespace": "x"}),
])  # fmt: skip
def test_an_object_is_in_the_namespace_of_the_request(given: Document, sent: str, kept: Document) -> None:
    prepared = NAMESPACED.created(request(new({"name": "n", **given}), namespace=sent), NOW)
    assert prepared.document == stored(name="n", **kept)


def test_an_object_of_another_namespace_is_refused() -> None:
    body = new({"name": "n", "namespace": "x"})
    assert refusal(NAMESPACED.created, request(body, namespace="y"), NOW) == Refusal(
        400, "the namespace of the provided object does not match the namespace sent on the request"
    )


def test_where_there_are_no_namespaces_none_is_kept() -> None:
    prepared = PREPARATION.created(request(new({"name": "n", "namespace": "x"})), NOW)
    assert prepared.document == stored(name="n")


@pytest.mark.parametrize(("start", "kept"), [("team-", "team-"), ("a" * 58, "a" * 58), ("a" * 70, "a" * 58)])
def test_a_name_is_made_from_its_start_and_five_letters_of_chance(start: str, kept: str) -> None:
    documents = [PREPARATION.created(request(new({"generateName": start})), NOW).document for _ in range(20)]
    names = {document["metadata"]["name"] for document in documents}
    assert len(names) > 1
    for name in names:
        assert name.startswith(kept)
        assert len(name) == len(kept) + 5
        assert set(name.removeprefix(kept)) <= set(prepare.SUFFIX)
    fields: Document = {"f:metadata": {"f:generateName": {}}, "f:spec": {".": {}, "f:displayName": {}}}
    rest = {key: each for key, each in documents[0]["metadata"].items() if key != "name"}
    assert {**documents[0], "metadata": rest} == new({"generateName": start, "managedFields": [owned("test", fields)]})


def test_a_name_that_is_given_is_the_name() -> None:
    prepared = PREPARATION.created(request(new({"generateName": "team-", "name": "n"})), NOW)
    assert prepared.document["metadata"]["name"] == "n"


def test_a_name_of_a_create_is_looked_at_later_since_rules_may_give_one() -> None:
    assert PREPARATION.created(request(new({"name": "A"})), NOW).document == stored(name="A")


def test_all_that_is_wrong_with_metadata_and_values_is_told_at_once() -> None:
    wrong = new({"name": "n", "labels": {"-": "b"}, "finalizers": ["!"]}, spec={"members": 7})
    labels, finalizers = f'Invalid value: "-": {LABEL_RULE}', f'Invalid value: "!": {LABEL_RULE}'
    members = 'Invalid value: "integer": spec.members in body must be of type array: "integer"'
    assert refusal(PREPARATION.created, request(wrong), NOW) == Refusal(
        422,
        f'Workspace.skerry.dev "n" is invalid: [metadata.labels: {labels}, metadata.finalizers: {finalizers}, '
        f"spec.members: {members}]",
        ("Workspace", "skerry.dev", "n"),
        (
            ("metadata.labels", labels, "FieldValueInvalid"),
            ("metadata.finalizers", finalizers, "FieldValueInvalid"),
            ("spec.members", members, "FieldValueTypeInvalid"),
        ),
    )


HEADS = [
    ({"kind": None}, f"{UNRECOGNIZED}: Object 'Kind' is missing"),
    ({"kind": ""}, f"{UNRECOGNIZED}: Object 'Kind' is missing"),
    ({"apiVersion": None}, f"{UNRECOGNIZED}: Object 'apiVersion' is missing"),
    ({"apiVersion": "", "kind": ""}, f"{UNRECOGNIZED}: Object 'Kind' is missing"),
    (
        {"apiVersion": "v1"},
        "the API version in the data (v1) does not match the expected API version (skerry.dev/v1alpha1)",
    ),
    ({"apiVersion": 7}, f"{UNREADABLE}apiVersion: expected a text"),
    ({"kind": 7}, f"{UNREADABLE}kind: expected a text"),
]


@pytest.mark.parametrize(("head", "message"), HEADS)
def test_an_object_without_its_head_is_refused(head: Document, message: str) -> None:
    asked = request({**new(), **head})
    assert refusal(PREPARATION.created, asked, NOW) == Refusal(400, message)
    assert refusal(PREPARATION.versioned, asked) == Refusal(400, message)


@pytest.mark.parametrize("key", ["kind", "apiVersion"])
def test_a_head_may_not_be_absent(key: str) -> None:
    body = {name: each for name, each in new().items() if name != key}
    told = "Kind" if key == "kind" else key
    assert refusal(PREPARATION.created, request(body), NOW).message == f"{UNRECOGNIZED}: Object '{told}' is missing"


def test_an_object_of_another_kind_is_refused_as_what_it_says_that_it_is() -> None:
    text = 'Invalid value: "Pod": must be Workspace'
    assert refusal(PREPARATION.created, request(new(kind="Pod")), NOW) == Refusal(
        422,
        f'Pod.skerry.dev "n" is invalid: kind: {text}',
        ("Pod", "skerry.dev", "n"),
        (("kind", text, "FieldValueInvalid"),),
    )


BODIES = [
    (b"{", f"{UNRECOGNIZED}: Input data was truncated"),
    (b"[]", f"{UNRECOGNIZED}: it is no JSON object"),
    (b"null", f"{UNRECOGNIZED}: it is no JSON object"),
    (b'{"a":' * 70 + b"1" + b"}" * 70, f"{UNRECOGNIZED}: it is nested deeper than 64 levels"),
]


@pytest.mark.parametrize(("body", "message"), BODIES)
def test_a_body_that_is_no_object_is_refused(body: bytes, message: str) -> None:
    assert refusal(PREPARATION.created, request(body), NOW) == Refusal(400, message)


METADATA = [
    (7, "Expected `object`, got `int`"),
    ({"name": 7}, "Expected `str`, got `int` - at `$.name`"),
    ({"generation": 10**30}, f"generation: {10**30} is out of range"),
    ({"generation": 1e30}, "Expected `int`, got `float` - at `$.generation`"),
    ({"deletionGracePeriodSeconds": 2**63}, "deletionGracePeriodSeconds: 9223372036854775808 is out of range"),
    ({"deletionTimestamp": "x"}, "deletionTimestamp: 'x' is not a time such as 2006-01-02T15:04:05Z"),
]


@pytest.mark.parametrize(("metadata", "message"), METADATA)
def test_metadata_of_a_wrong_type_is_refused(metadata: Any, message: str) -> None:
    assert refusal(PREPARATION.created, request(new(metadata)), NOW) == Refusal(400, f"{UNREADABLE}metadata: {message}")


def test_a_version_is_the_servers() -> None:
    assert refusal(PREPARATION.created, request(new({"name": "n", "resourceVersion": "5"})), NOW) == Refusal(
        400, "resourceVersion should not be set on objects to be created"
    )


# Fields that nobody knows

TWICE = b'{"apiVersion":"skerry.dev/v1alpha1","kind":"Workspace","metadata":{"name":"n","zz":1,"ab":2},"zz":1,"ab":2,'
TWICE += b'"spec":{"displayName":"b","displayName":"a"}}'
STRANGE = (
    'duplicate field "spec.displayName"',
    'unknown field "metadata.ab"',
    'unknown field "metadata.zz"',
    'unknown field "ab"',
    'unknown field "zz"',
)


@pytest.mark.parametrize(("validation", "warnings"), [("Warn", STRANGE), ("", STRANGE), ("Ignore", ())])
def test_fields_that_nobody_knows_are_left_out_and_told_if_that_is_wanted(validation: str, warnings: Any) -> None:
    prepared = PREPARATION.created(request(TWICE, field_validation=validation), NOW)
    assert prepared.document == stored(name="n")
    assert prepared.warnings == warnings


def test_fields_that_nobody_knows_are_refused_if_that_is_wanted() -> None:
    message = f"{UNREADABLE}strict decoding error: {', '.join(STRANGE)}"
    assert refusal(PREPARATION.created, request(TWICE, field_validation="Strict"), NOW) == Refusal(400, message)


def test_twenty_of_many_fields_are_named() -> None:
    many = {f"x{index:02}": 1 for index in range(30)}
    message = refusal(PREPARATION.created, request(new(**many), field_validation="Strict"), NOW).message
    assert message == f"{UNREADABLE}strict decoding error: " + ", ".join(
        f'unknown field "x{index:02}"' for index in range(20)
    )


def test_strictness_has_nothing_against_what_is_known() -> None:
    prepared = PREPARATION.created(request(new(), field_validation="Strict"), NOW)
    assert (prepared.document, prepared.warnings) == (stored(name="n"), ())


def test_an_owner_that_is_there_twice_is_there_once_and_told() -> None:
    owner = {"apiVersion": "v1", "kind": "X", "name": "x", "uid": "1"}
    prepared = PREPARATION.created(request(new({"name": "n", "ownerReferences": [owner, owner]})), NOW)
    assert prepared.document["metadata"]["ownerReferences"] == [owner]
    assert prepared.warnings == (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject "
        "such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: 1",
    )


# Names

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_PATTERN = "metadata.name in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'"
REQUIRED = "Required value: name or generateName is required"


@pytest.mark.parametrize("metadata", [{}, {"name": ""}])
def test_an_object_needs_a_name(metadata: Document) -> None:
    assert refusal(PREPARATION.check_name, new(metadata)) == Refusal(
        422,
        f'Workspace.skerry.dev "" is invalid: metadata.name: {REQUIRED}',
        ("Workspace", "skerry.dev", ""),
        (("metadata.name", REQUIRED, "FieldValueRequired"),),
    )


def test_a_name_that_is_neither_label_nor_subdomain_is_told_both() -> None:
    texts = [f'Invalid value: "A": {rule}' for rule in (SUBDOMAIN_RULE, LABEL_PATTERN)]
    assert refusal(PREPARATION.check_name, new({"name": "A"})) == Refusal(
        422,
        f'Workspace.skerry.dev "A" is invalid: [metadata.name: {texts[0]}, metadata.name: {texts[1]}]',
        ("Workspace", "skerry.dev", "A"),
        tuple(("metadata.name", text, "FieldValueInvalid") for text in texts),
    )


@pytest.mark.parametrize("name", ["a.b", "a" * 64])
def test_dots_and_length_are_for_kinds_whose_names_stand_nowhere_else(name: str) -> None:
    document = new({"name": name}, kind="AccessGrant")
    Preparation(ACCESS_GRANT).check_name(document)
    assert [field for field, _, _ in refusal(PREPARATION.check_name, document).causes] == ["metadata.name"]


@pytest.mark.parametrize("name", ["n", "a" * 63, "0-9"])
def test_a_label_is_a_name(name: str) -> None:
    PREPARATION.check_name(new({"name": name}))
