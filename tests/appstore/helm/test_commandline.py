"""Helm renders within its walls: what a chart does to it ends with a reason, in time, and leaves nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.appstore.helm.commandline import CommandLine
from services.appstore.helm.engine import HelmError, RenderRequest, RollbackRequest, UpgradeRequest
from services.appstore.helm.enter import landlock_version
from skerry.member.kubeconfig import Target
from tests.appstore.helm.charts import CONFIG, chart, rendered

pytestmark = pytest.mark.integration
walled = pytest.mark.skipif(landlock_version() < 4, reason="this kernel has no Landlock with rules for TCP")

NOWHERE = Target(scheme="https", host="127.0.0.1", port=9, token="t0ken")


def wanted(path: Path, **more: Any) -> RenderRequest:
    return RenderRequest(**{"chart": path, "release": "web", "namespace": "shop", "kube_version": "1.34", **more})


async def refused(helm: CommandLine, request: RenderRequest) -> HelmError:
    with pytest.raises(HelmError) as caught:
        await rendered(helm, request)
    return caught.value


async def test_its_version(helm: CommandLine, rooms: Path) -> None:
    assert await helm.version() == "4.3.1"
    assert list(rooms.iterdir()) == []


async def test_a_chart_is_rendered_with_values_for_a_version_and_apis(
    helm: CommandLine, tmp_path: Path, rooms: Path
) -> None:
    text = (
        "{{ .Values.a }} {{ .Release.Name }} {{ .Release.Namespace }} {{ .Release.IsUpgrade }}"
        ' {{ .Capabilities.KubeVersion }} {{ .Capabilities.APIVersions.Has "sea.io/v1/Ship" }} {{ hasKey .Values "d" }}'
    )
    path = chart(tmp_path, CONFIG + text, files={"values.yaml": "a: default\nd: default\n"})
    request = wanted(path, values={"a": "own", "d": None}, api_versions=("sea.io/v1/Ship",), upgrade=True)
    (only,) = await rendered(helm, request)
    assert only.content["data"]["x"] == "own web shop true v1.34 true false"
    assert list(rooms.iterdir()) == []


async def test_hooks_and_definitions_are_rendered_unless_they_are_not_wanted(helm: CommandLine, tmp_path: Path) -> None:
    hook = CONFIG.replace("name: a", "name: h, annotations: {helm.sh/hook: pre-install}") + "y"
    crd = CONFIG.replace("ConfigMap", "CustomResourceDefinition") + "y"
    path = chart(tmp_path, CONFIG + "y", hook, files={"crds/a.yaml": crd})
    everything = await rendered(helm, wanted(path))
    assert sorted(str(each.identity) for each in everything) == [
        "ConfigMap/a",
        "ConfigMap/h",
        "CustomResourceDefinition/a",
    ]
    assert {each.source for each in everything} >= {"web/crds/a.yaml"}
    few = await rendered(helm, wanted(path, hooks=False, crds=False))
    assert [str(each.identity) for each in few] == ["ConfigMap/a"]


SCHEMA = '{"properties": {"n": {"type": "integer"}}}'


@pytest.mark.parametrize(
    ("values", "says"),
    [({"n": "many"}, "- at '/n': got string, want integer"), ({"n": "5e3cret"}, "got string")],
)
async def test_values_that_do_not_meet_the_schema(
    helm: CommandLine, tmp_path: Path, values: dict[str, Any], says: str
) -> None:
    error = await refused(helm, wanted(chart(tmp_path, files={"values.schema.json": SCHEMA}), values=values))
    assert (error.reason, error.final, says in str(error)) == ("SchemaInvalid", True, True), error


HOSTILE = {
    "until": ("{{ until 2000000000 }}", "ResourceLimit"),
    "repeat": ('{{ repeat 1000000000 "0123456789" }}', "ResourceLimit"),
    "tpl": ("{{ tpl .Values.t . }}", "ResourceLimit"),
    "include": ('{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}', "RenderFailed"),
    "template": ('{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}', "RenderFailed ResourceLimit"),
    "nested": (
        "{{ range until 100000 }}{{ range until 100000 }}{{ range until 9999 }}{{ end }}{{ end }}{{ end }}",
        "Deadline",
    ),
    "slow": ('{{ range until 100000 }}{{ bcrypt "x" }}{{ end }}', "Deadline"),
    "objects": (f"{{{{ range until 10000 }}}}---\n{CONFIG}x\n{{{{ end }}}}", "ResourceLimit"),
    "large": (CONFIG + '{{ repeat 9000000 "x" }}', "ResourceLimit"),
    "larger": (CONFIG + '{{ repeat 17000000 "x" }}', "ResourceLimit"),
    "regex": ('{{ regexFind "(a{1,1000}){1,1000}" "a" }}', "RenderFailed"),
    "fail": ('{{ fail (printf "no: %s" .Values.password) }}', "RenderFailed"),
    "other-secrets": ('{{ (lookup "v1" "Secret" "kube-system" "x").data.y }}', "RenderFailed"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_chart_ends_with_a_reason_and_leaves_nothing(
    helm: CommandLine, tmp_path: Path, rooms: Path, name: str
) -> None:
    template, reason = HOSTILE[name]
    values = {"t": "{{ tpl .Values.t . }}", "password": "hunter2-hunter2"}
    request = wanted(chart(tmp_path, template), values=values, secrets=frozenset(["hunter2-hunter2"]), deadline_s=30.0)
    if reason == "Deadline":
        request = wanted(request.chart, deadline_s=2.0)
    error = await refused(helm, request)
    assert error.reason in reason.split(), error
    assert "hunter2" not in str(error)
    assert list(rooms.iterdir()) == []


@walled
@pytest.mark.parametrize(
    "reference", ["file:///etc/passwd", "http://127.0.0.1:9/x", "#"], ids=["file", "http", "itself"]
)
async def test_a_schema_reaches_nothing(helm: CommandLine, tmp_path: Path, reference: str) -> None:
    schema = f'{{"$ref": "{reference}"}}'
    error = await refused(helm, wanted(chart(tmp_path, files={"values.schema.json": schema})))
    assert error.reason == "SchemaInvalid"
    assert ("permission denied" in str(error)) is (reference != "#")


async def test_what_is_not_fit_to_be_an_argument_is_no_argument(helm: CommandLine, tmp_path: Path) -> None:
    path = chart(tmp_path, CONFIG + "x")
    for bad in (
        {"release": "--post-renderer=x"},
        {"release": "a" * 54},
        {"namespace": "-n"},
        {"chart": Path("web")},
        {"kube_version": "1.34,x"},
        {"api_versions": ("a b",)},
    ):
        with pytest.raises(ValueError, match=r"is no|no absolute path"):
            await rendered(helm, wanted(path, **bad))
    for labels in ({"a,b": "c"}, {"a": "b,c=d"}, {"a": ""}, {"": "a"}):
        request = UpgradeRequest(access=NOWHERE, release="web", namespace="shop", chart=path, labels=labels)
        with pytest.raises(ValueError, match="is no label"):
            await helm.upgrade(request)
    with pytest.raises(HelmError, match="not there any more"):
        await rendered(helm, wanted(path.with_name("gone.tgz")))


async def test_a_cluster_that_is_not_there(helm: CommandLine, tmp_path: Path, rooms: Path) -> None:
    path = chart(tmp_path, CONFIG + "x")
    request = UpgradeRequest(access=NOWHERE, release="web", namespace="shop", chart=path)
    for access in (NOWHERE, Target(scheme="https", host="nowhere.invalid", port=9, token="t")):
        with pytest.raises(HelmError) as caught:
            await helm.upgrade(UpgradeRequest(access=access, release="web", namespace="shop", chart=request.chart))
        assert (caught.value.reason, caught.value.final) == ("Unreachable", False), caught.value
    with pytest.raises(HelmError) as caught:
        await helm.rollback(RollbackRequest(access=NOWHERE, release="web", namespace="shop", revision=1))
    assert caught.value.reason == "Unreachable"
    assert list(rooms.iterdir()) == []


async def test_who_is_cancelled_leaves_nothing(helm: CommandLine, tmp_path: Path, rooms: Path) -> None:
    running = asyncio.create_task(rendered(helm, wanted(chart(tmp_path, HOSTILE["nested"][0]))))
    while not any(rooms.glob("*/values.json")):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(rooms.iterdir()) == []


async def test_a_program_that_is_not_there_or_is_no_helm(tmp_path: Path, rooms: Path) -> None:
    for program, says in (
        (tmp_path / "helm", "not started"),
        (Path("/bin/true"), "says no version|not started|no helm"),
    ):
        with pytest.raises(HelmError, match=says) as caught:
            await CommandLine(program, directory=rooms).version()
        assert caught.value.reason in ("EngineMissing", "Failed")
