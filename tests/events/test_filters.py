"""Which subjects a sink is told of."""

from __future__ import annotations

import pytest

from services.events.filters import filters, problem


@pytest.mark.parametrize(
    ("types", "namespaces", "subjects"),
    [
        ([], [], ("event.>",)),
        (["dev.skerry.*"], [], ("event.>",)),
        (["dev.skerry.cluster.*"], [], ("event.cluster.>",)),
        (["dev.skerry.cluster.notready"], [], ("event.cluster.*.notready",)),
        (["dev.skerry.apprelease.failed"], [], ("event.apprelease.*.*.failed",)),
        (
            ["dev.skerry.system.*", "dev.skerry.member.*"],
            [],
            ("event.member.>", "event.system.>"),
        ),
        (["dev.skerry.cluster.*", "dev.skerry.cluster.notready"], [], ("event.cluster.>",)),
        (["dev.skerry.cluster.notready", "dev.skerry.*", "dev.skerry.app.*"], [], ("event.>",)),
        (["dev.skerry.cluster.ready"] * 2, [], ("event.cluster.*.ready",)),
        (["dev.skerry.app.*"], ["a", "b"], ("event.app.a.*.*", "event.app.b.*.*")),
        (["dev.skerry.app.created", "dev.skerry.app.*"], ["a"], ("event.app.a.*.*",)),
        (["dev.skerry.cluster.*"], ["a"], ()),
        (["dev.skerry.system.*"], ["a"], ()),
        (["nonsense", "dev.skerry.nokind.*"], [], ()),
    ],
    ids=lambda value: ",".join(value) or "none" if isinstance(value, list) else "",
)
def test_types_and_namespaces_are_subjects(types: list[str], namespaces: list[str], subjects: tuple[str, ...]) -> None:
    assert filters(types, namespaces) == subjects


def test_all_types_in_a_namespace_are_those_of_kinds_that_lie_in_one() -> None:
    subjects = filters([], ["team-a"])
    assert "event.apprelease.team-a.*.*" in subjects
    assert not any(each.startswith(("event.cluster.", "event.workspace.", "event.system.")) for each in subjects)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dev.skerry.cluster.notready", ""),
        ("dev.skerry.member.*", ""),
        ("dev.skerry.*", ""),
        ("*", "must be"),
        ("", "must be"),
        ("dev.skerry.cluster", "must be"),
        ("dev.skerry.*.ready", "must be"),
        ("dev.skerry.cluster.not.ready", "must be"),
        ("dev.skerry.Cluster.ready", "must be"),
        ("dev.skerry.cluster.>", "must be"),
        ("com.example.cluster.ready", "must be"),
        ("dev.skerry.pod.created", "there are no events of pod"),
        ("dev.skerry.credential.created", "there are no events of credential"),
        ("dev.skerry.cluster.never", "no event never of cluster"),
        ("dev.skerry.system.notready", "no event notready of system"),
        ("dev.skerry.apprelease.whatever", ""),
    ],
)
def test_what_is_no_type_is_told(text: str, why: str) -> None:
    assert why in problem(text) if why else not problem(text)
