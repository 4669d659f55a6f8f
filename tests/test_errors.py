"""Errors as Statuses, there and back: what a boundary writes, the next one reads."""

from __future__ import annotations

import msgspec
import pytest

from skerry import errors
from skerry.api.meta import Status
from skerry.errors import StatusError

EVERY = [each for each in errors._subclasses(StatusError) if each.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_behind_a_boundary(kind: type[StatusError]) -> None:
    before = kind("it went wrong", kind="clusters", name="a", group="skerry.dev", retry_after_s=3)
    after = errors.from_body(before.body())
    assert (after.code, after.reason, after.message) == (kind.code, kind.reason, "it went wrong")
    assert after.details == before.details
    assert after.status() == before.status()


def test_a_handler_catches_it_by_its_type() -> None:
    for kind in (
        errors.NotFound,
        errors.Conflict,
        errors.AlreadyExists,
        errors.Gone,
        errors.Invalid,
        errors.Unauthorized,
    ):
        assert type(errors.from_body(kind("no").body())) is kind


def test_causes_travel_with_the_error() -> None:
    found = errors.from_body(errors.Invalid("no", causes=(errors.cause("spec.a", "is too long"),)).body())
    assert [(each.field, each.message, each.reason) for each in found.details.causes] == [
        ("spec.a", "is too long", "FieldValueInvalid")
    ]


def test_a_reason_of_tomorrow_stays_what_it_is() -> None:
    found = errors.from_status(Status(message="short and stout", reason="Teapot", code=418))
    assert (type(found), found.code, found.reason, found.message) == (StatusError, 418, "Teapot", "short and stout")


def test_what_names_nothing_has_no_details() -> None:
    assert "details" not in msgspec.json.decode(errors.BadRequest("no").body())


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b'{"code":"x"}', b"\xff"])
def test_a_body_that_is_no_status_is_said_to_be_none(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        errors.from_body(body)
