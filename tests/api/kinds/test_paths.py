"""Reading what documents have at a path, and knowing from a Struct whether they may have something there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from skerry.api.kinds.paths import at, has


class Inner(msgspec.Struct, rename="camel"):
    plain_text: str = ""
    maybe: str | None = None


class Shape(msgspec.Struct, rename="camel"):
    inner: Inner
    absent_or_inner: Inner | msgspec.UnsetType = msgspec.UNSET
    none_or_inner: Inner | None = None
    labels: dict[str, str] = {}
    labels_or_none: dict[str, str] | None = None
    anything: Any = None
    many: list[Inner] = []


DOCUMENT = {"spec": {"mode": "Agent", "limits": {"cpu": "4"}}, "name": "shop"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "shop"),
        ("spec.mode", "Agent"),
        ("spec.limits.cpu", "4"),
        ("spec.limits", {"cpu": "4"}),
        ("other", None),
        ("other.mode", None),
        ("spec.other", None),
        ("spec.mode.cpu", None),
        ("name.cpu", None),
        ("spec.limits.other", None),
        ("spec.limits.cpu.other", None),
    ],
)
def test_what_is_at_a_path_of_any_length_is_read_and_what_is_not_there_is_none(path: str, value: object) -> None:
    assert at(path)(DOCUMENT) == value


@pytest.mark.parametrize("wrong", [None, [], "text", 7])
@pytest.mark.parametrize("path", ["spec.mode", "spec.limits.cpu"])
def test_what_is_of_another_type_on_the_way_has_nothing_within(path: str, wrong: object) -> None:
    assert at(path)({"spec": wrong}) is None


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("inner", True),
        ("inner.plainText", True),
        ("inner.plain_text", False),
        ("inner.maybe", True),
        ("inner.maybe.more", False),
        ("absentOrInner.plainText", True),
        ("absentOrInner.other", False),
        ("noneOrInner.plainText", True),
        ("labels.any", True),
        ("labelsOrNone.any", True),
        ("anything.at.all", True),
        ("many", True),
        ("many.plainText", False),
        ("other", False),
        ("other.plainText", False),
    ],
)
def test_a_struct_has_the_paths_of_its_fields_by_their_names_on_the_wire(path: str, there: bool) -> None:
    assert has(Shape, path) is there
