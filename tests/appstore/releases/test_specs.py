"""What an AppRelease may say, and which values come out of it."""

from __future__ import annotations

from typing import Any

import pytest

from services.appstore.releases import specs
from services.appstore.releases.specs import ValueLayers
from skerry.api.apprelease import AppReleaseSpec, ValuesOverride
from skerry.api.grants import ClusterSelection, LabelSelector
from skerry.api.meta import Document

SPEC: Document = {"app": "skerry-apps/stable.nginx", "version": "1.2.3", "clusters": {"names": ["m1"]}}


def release(name: str = "web", **spec: Any) -> Document:
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {**SPEC, **spec}}


def fields(document: Document, current: Document | None = None) -> list[str]:
    return [each.field for each in specs.problems(document, current)]


def deep(levels: int) -> Document:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"app": "own.nginx"},
        {"app": "shop/nginx"},
        {"version": "1.2.3-rc.1+build"},
        {"releaseName": "a" * 53},
        {"clusters": {"selector": {}}},
        {"timeout": "24h", "hooks": {"timeout": "15m"}, "historyLimit": 50},
        {"values": deep(specs.DEEPEST)},
        {"valuesFrom": [{"kind": "Secret", "name": "db", "key": "values.yaml"}]},
        {"overrides": [{"clusters": {"names": ["m1"]}, "values": {"replicas": 1}}]},
    ],
)
def test_what_it_may_say(spec: Document) -> None:
    assert fields(release(**spec)) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"app": "other/nginx"}, "spec.app"),
        ({"app": "a/b/c"}, "spec.app"),
        ({"app": "/nginx"}, "spec.app"),
        ({"app": ""}, "spec.app"),
        ({"version": "latest"}, "spec.version"),
        ({"version": ">=1.2"}, "spec.version"),
        ({"releaseName": "a" * 54}, "spec.releaseName"),
        ({"releaseName": "--set"}, "spec.releaseName"),
        ({"targetNamespace": "kube_system"}, "spec.targetNamespace"),
        ({"clusters": {}}, "spec.clusters"),
        ({"clusters": {"names": ["m1"], "selector": {}}}, "spec.clusters.selector"),
        ({"timeout": "forever"}, "spec.timeout"),
        ({"timeout": "25h"}, "spec.timeout"),
        ({"hooks": {"timeout": "16m"}}, "spec.hooks.timeout"),
        ({"historyLimit": 0}, "spec.historyLimit"),
        ({"historyLimit": 51}, "spec.historyLimit"),
        ({"values": deep(specs.DEEPEST + 1)}, "spec.values"),
        ({"values": {"a": [[[deep(60)]]]}}, "spec.values"),
        ({"valuesFrom": [{"kind": "Secret", "name": "../x"}]}, "spec.valuesFrom[0].name"),
        ({"valuesFrom": [{"kind": "Secret", "name": "x", "key": ""}]}, "spec.valuesFrom[0].key"),
        ({"valuesFrom": [{"kind": "Secret", "name": "x"}] * 21}, "spec.valuesFrom"),
        ({"overrides": [{"clusters": {}}]}, "spec.overrides[0].clusters"),
        ({"overrides": [{"clusters": {"names": ["m1"]}, "values": deep(60)}]}, "spec.overrides[0].values"),
        ({"overrides": [{"clusters": {"names": ["m1"]}}] * 101}, "spec.overrides"),
    ],
)
def test_what_it_may_not_say(spec: Document, field: str) -> None:
    assert fields(release(**spec)) == [field]


def test_an_app_without_a_workspace_is_one_of_its_own() -> None:
    assert str(specs.app_reference("nginx", "shop")) == "shop/nginx"


def test_its_own_name_is_that_of_the_helm_release_and_is_as_short() -> None:
    assert fields(release("a" * 54)) == ["metadata.name"]
    assert fields(release("a" * 54, releaseName="web")) == []


def test_where_it_is_installed_stays() -> None:
    before = release()
    assert fields(release(releaseName="web", targetNamespace="shop"), before) == []
    assert fields(release(releaseName="new"), before) == ["spec.releaseName"]
    assert fields(release(targetNamespace="store"), before) == ["spec.targetNamespace"]


OTHERWISE: list[Document] = [
    {"version": "1.2.4"}, {"values": {"a": 1}}, {"app": "nginx"}, {"overrides": [{}]}, {"valuesFrom": [{}]},
]  # fmt: skip
THE_SAME: list[Document] = [
    {"values": {}}, {"timeout": "1m"}, {"clusters": {"names": ["m2"]}}, {"suspend": True}, {"overrides": []},
]  # fmt: skip


@pytest.mark.parametrize("spec", OTHERWISE)
def test_what_is_installed_otherwise(spec: Document) -> None:
    assert specs.installs_otherwise(SPEC, {**SPEC, **spec})


@pytest.mark.parametrize("spec", THE_SAME)
def test_what_is_installed_as_before(spec: Document) -> None:
    assert not specs.installs_otherwise(SPEC, {**SPEC, **spec})


def test_values_lie_over_each_other_in_their_order() -> None:
    spec = AppReleaseSpec(
        app="a",
        version="1.0.0",
        clusters=ClusterSelection(selector=LabelSelector()),
        values={"own": 1, "first": 1, "second": 1, "secret": 1},
        overrides=[
            ValuesOverride(clusters=ClusterSelection(names=["m1"]), values={"first": 2, "second": 2, "secret": 2}),
            ValuesOverride(clusters=ClusterSelection(names=["m2"]), values={"first": 9}),
            ValuesOverride(
                clusters=ClusterSelection(selector=LabelSelector(match_labels={"zone": "a"})),
                values={"second": 3, "secret": None},
            ),
        ],
    )
    layers = ValueLayers(({"below": 0, "own": 0},), {"secret": "s", "deep.er": "s"})
    assert specs.values_of(spec, "m1", {"zone": "a"}, layers) == {
        "below": 0, "own": 1, "first": 2, "second": 3, "secret": "s", "deep": {"er": "s"},
    }  # fmt: skip
    assert specs.values_of(spec, "m3", {}, ValueLayers())["second"] == 1


def test_values_that_look_like_secrets_are_warned_of_without_them() -> None:
    values = {"auth": {"adminPassword": "hunter2", "password": ""}, "tokens": 3, "token": "hunter2"}
    overrides = [{"clusters": {"names": ["m1"]}, "values": {"db": {"secret": "hunter2"}}}]
    said = list(specs.warnings({**SPEC, "values": values, "overrides": overrides}))
    assert [each.partition(" ")[0] for each in said] == [
        "spec.values.auth.adminPassword",
        "spec.values.token",
        "spec.overrides[0].values.db.secret",
    ]
    assert "hunter2" not in "".join(said)
