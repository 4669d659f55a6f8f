"""ObjectMeta's rules, each with the value on either side of it."""

from __future__ import annotations

import pytest

from skerry.admission import metadata
from skerry.admission.conform import FieldError
from skerry.api.meta import Document

OWNER: Document = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}


def fields(found: list[FieldError]) -> list[str]:
    return [problem.field for problem in found]


def said(found: list[FieldError]) -> str:
    return "\n".join(problem.message for problem in found)


def test_what_is_empty_is_left_out() -> None:
    given: Document = {
        "name": "a",
        "labels": {},
        "finalizers": [],
        "namespace": "",
        "uid": None,
        "generation": 0,
        "selfLink": "/x",
    }
    assert metadata.normalised(given) == {"name": "a", "generation": 0}


NAMES = ["a", "a.b", "0", "a-b.c-d", "a" * 253]
NO_NAMES = ["", "A", "-a", "a-", "a..b", ".a", "a.", "a_b", "a/b", "a\n", "é"]


@pytest.mark.parametrize("name", NAMES)
def test_a_subdomain_is_a_name(name: str) -> None:
    assert not list(metadata.name_problems(name))


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_subdomain_is_no_name(name: str) -> None:
    assert said(list(metadata.name_problems(name))).count("a lowercase RFC 1123 subdomain") == 1


def test_a_name_that_is_too_long_is_said_to_be() -> None:
    assert [each.message.rpartition(": ")[2] for each in metadata.name_problems("a" * 254)] == [
        "must be no more than 253 characters"
    ]


@pytest.mark.parametrize(("name", "reasons"), [
    ("a" * 63, []),
    ("a" * 64, ["FieldValueTooLong"]),
    ("a.b", ["FieldValueInvalid"]),
    ("A" * 64, ["FieldValueTooLong", "FieldValueInvalid"]),
])  # fmt: skip
def test_a_label_as_a_name(name: str, reasons: list[str]) -> None:
    assert [each.reason for each in metadata.label_name_problems(name)] == reasons


@pytest.mark.parametrize(
    ("beginning", "good"), [("", True), ("a-", True), ("a", True), ("-", False), ("A-", False), ("a--", False)]
)
def test_the_beginning_of_a_generated_name(beginning: str, good: bool) -> None:
    found = metadata.generated_problems({"generateName": beginning})
    assert (not found) == good
    assert set(fields(found)) <= {"metadata.generateName"}


KEYS = ["a", "A.b_c-d", "x" * 63, "example.com/a", f"{'a' * 253}/b"]
NO_KEYS = {
    "": "name part must be non-empty",
    "a/": "name part must be non-empty",
    "/a": "prefix part must be non-empty",
    "a/b/c": "a qualified name must consist of",
    f"{'a' * 254}/b": "prefix part a lowercase RFC 1123 subdomain",
    "x" * 64: "name part must be no more than 63 bytes",
    "-a": "name part must consist of",
    "a b": "name part must consist of",
    "a\n": "name part must consist of",
}


@pytest.mark.parametrize("key", KEYS)
def test_a_qualified_name_is_a_key(key: str) -> None:
    assert not metadata.problems({"labels": {key: ""}, "annotations": {key: ""}})
    assert not metadata.finalizer_problems({"finalizers": [key]})


@pytest.mark.parametrize(("key", "why"), NO_KEYS.items())
def test_what_is_no_qualified_name_is_no_key(key: str, why: str) -> None:
    for place in ("labels", "annotations"):
        found = metadata.problems({place: {key: ""}})
        assert set(fields(found)) == {f"metadata.{place}"}
        assert why in said(found)
    assert why in said(metadata.finalizer_problems({"finalizers": [key]}))


def test_keys_of_annotations_may_have_capitals_where_those_of_labels_may_not() -> None:
    assert metadata.problems({"labels": {"A.B/c": ""}})
    assert not metadata.problems({"annotations": {"A.B/c": ""}})


@pytest.mark.parametrize(("value", "good"), [
    ("", True), ("a", True), ("A.b_c-d", True), ("x" * 63, True),
    ("x" * 64, False), ("-a", False), ("a.", False), ("a b", False), ("a/b", False), ("a\n", False),
])  # fmt: skip
def test_values_of_labels(value: str, good: bool) -> None:
    assert (not metadata.problems({"labels": {"a": value}})) == good
    assert not metadata.problems({"annotations": {"a": value}})


def test_annotations_have_256_kib_in_all() -> None:
    half = 128 * 1024
    full = {"a": "x" * (half - 1), "b": "é" * (half // 2 - 1) + "x"}
    assert not metadata.problems({"annotations": full})
    assert [each.reason for each in metadata.problems({"annotations": {**full, "c": ""}})] == ["FieldValueTooLong"]


@pytest.mark.parametrize("missing", OWNER)
def test_an_owner_is_named_in_full(missing: str) -> None:
    owner = {key: value for key, value in OWNER.items() if key != missing}
    assert fields(metadata.problems({"ownerReferences": [OWNER, owner]})) == [f"metadata.ownerReferences.{missing}"]


def test_one_owner_controls() -> None:
    one, other = {**OWNER, "controller": True}, {**OWNER, "uid": "v", "controller": True}
    assert not metadata.problems({"ownerReferences": [one, {**OWNER, "uid": "v", "controller": False}]})
    assert "Pod/p and Pod/p" in said(metadata.problems({"ownerReferences": [one, other]}))


def test_an_owner_that_is_there_twice_is_kept_once_and_warned_about() -> None:
    reordered = dict(reversed(OWNER.items()))
    plain, warnings = metadata.without_twins({"ownerReferences": [OWNER, reordered, {**OWNER, "uid": "v"}]})
    assert plain["ownerReferences"] == [OWNER, {**OWNER, "uid": "v"}]
    assert "after mutating" not in warnings[0]
    assert warnings[0].endswith("duplicate UID(s) observed: u")
    assert (
        "after mutating admission"
        in metadata.without_twins({"ownerReferences": [OWNER, dict(OWNER)]}, patched=True)[1][0]
    )
    assert metadata.without_twins({"ownerReferences": [OWNER]}) == ({"ownerReferences": [OWNER]}, [])


def test_fields_that_nobody_knows_are_dropped_but_for_those_that_are_stored() -> None:
    given: Document = {
        "name": "a",
        "x": 1,
        "y": 2,
        "ownerReferences": [{**OWNER, "z": 3}],
        "managedFields": [{"manager": "m", "z": 3}],
    }
    kept, dropped = metadata.known(given, {"y": 1})
    assert kept == {"name": "a", "y": 2, "ownerReferences": [OWNER], "managedFields": [{"manager": "m"}]}
    assert dropped == ["metadata.x", "metadata.ownerReferences[0].z", "metadata.managedFields[0].z"]


@pytest.mark.parametrize(
    ("value", "good"), [(2**63 - 1, True), (2**63, False), (-(2**63), True), (-(2**63) - 1, False)]
)
def test_integers_have_64_bits(value: int, good: bool) -> None:
    for field in ("generation", "deletionGracePeriodSeconds"):
        assert (metadata.oversized({field: value}) == "") == good
        assert good or metadata.oversized({field: value}).startswith(f"{field}: ")


@pytest.mark.parametrize(("value", "good"), [
    (None, True), ("2026-01-01T00:00:00Z", True), ("2026-01-01T00:00:00.123456789+01:00", True), ("2026-02-30T00:00:00Z", False),
    ("2026-01-01T24:00:00Z", False), ("2026-01-01T00:00:00Z\n", False), (5, False), ({}, False),
])  # fmt: skip
def test_times_are_those_of_rfc_3339(value: object, good: bool) -> None:
    for given in ({"creationTimestamp": value}, {"deletionTimestamp": value}, {"managedFields": [{}, {"time": value}]}):
        assert (metadata.mistimed(given) == "") == good
    assert good or metadata.mistimed({"managedFields": [{}, {"time": value}]}).startswith("managedFields[1].time: ")


def test_a_finalizer_without_a_domain_is_unwise_unless_it_is_of_kubernetes() -> None:
    found = metadata.warnings({"finalizers": ["mine", "example.com/a", "orphan", "foregroundDeletion"]})
    assert [text.split('"')[1] for text in found] == ["mine"]


OLD: Document = {"name": "a", "uid": "u", "finalizers": ["x/a"]}
GOING: Document = {**OLD, "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}


@pytest.mark.parametrize(("old", "new", "field"), [
    (OLD, OLD, None),
    (OLD, {**OLD, "name": "b"}, "metadata.name"),
    (OLD, {**OLD, "namespace": "n"}, "metadata.namespace"),
    (OLD, {**OLD, "uid": "v"}, "metadata.uid"),
    (OLD, {"name": "a"}, None),
    (OLD, {**OLD, "deletionTimestamp": "2026-01-01T00:00:00Z"}, "metadata.deletionTimestamp"),
    (OLD, {**OLD, "deletionGracePeriodSeconds": 1}, "metadata.deletionGracePeriodSeconds"),
    (OLD, {**OLD, "finalizers": ["x/b"]}, None),
    (GOING, {**GOING, "finalizers": []}, None),
    (GOING, {**GOING, "finalizers": ["x/a", "x/b"]}, "metadata.finalizers"),
])  # fmt: skip
def test_what_an_update_may_not_change(old: Document, new: Document, field: str | None) -> None:
    assert fields(metadata.change_problems(old, new)) == ([] if field is None else [field])


def test_an_object_without_a_name_is_told_what_is_required() -> None:
    assert metadata.unnamed() == (
        "metadata.name",
        "Required value: name or generateName is required",
        "FieldValueRequired",
    )
