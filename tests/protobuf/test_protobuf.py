"""The wire format, against known bytes and any bytes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import BadRequest
from skerry.protobuf import MAGIC, access_attributes, field, fields, message, review_spec, texts, unwrapped, varint


def test_known_encodings() -> None:
    assert (varint(0), varint(127), varint(300)) == (b"\x00", b"\x7f", b"\xac\x02")
    assert field(1, "testing") == b"\x0a\x07testing"
    assert (field(3, value=True), field(3, value=False), field(3, "")) == (b"\x18\x01", b"", b"")
    assert message(3, b"") == b"\x1a\x00"


@given(st.dictionaries(st.integers(1, 500), st.binary(min_size=1, max_size=300)))
def test_what_was_written_is_read(values: dict[int, bytes]) -> None:
    data = b"".join(field(number, value) for number, value in values.items())
    assert fields(data) == values
    assert fields(field(501, value=True) + data) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        texts(unwrapped(MAGIC + data), {1: "a"})


def test_another_envelope_is_refused() -> None:
    with pytest.raises(BadRequest, match="not Kubernetes protobuf"):
        unwrapped(b"{}")


def test_the_spec_of_an_access_review_is_read_as_its_json() -> None:
    resource = field(1, "a") + field(2, "delete") + field(5, "pods") + field(9, "newer")
    spec = message(1, resource) + message(2, field(1, "/healthz") + field(2, "get"))
    body = MAGIC + field(1, "type") + message(2, message(2, spec))
    assert access_attributes(review_spec(body)) == {
        "resourceAttributes": {"namespace": "a", "verb": "delete", "resource": "pods"},
        "nonResourceAttributes": {"path": "/healthz", "verb": "get"},
    }
    assert access_attributes(review_spec(MAGIC)) == {}
