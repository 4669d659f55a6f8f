"""Helm's library renders as the program does, within the same walls; what it lacks is refused by name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.appstore.helm.commandline import CommandLine
from services.appstore.helm.engine import HelmError, RenderRequest, RollbackRequest, UninstallRequest, UpgradeRequest
from services.appstore.helm.lookup import Lookup, new_enough
from services.appstore.helm.sdk import Sdk
from skerry.member.kubeconfig import Target
from tests.appstore.helm.charts import CONFIG, chart, rendered

pytestmark = pytest.mark.integration

NOWHERE = Target(scheme="https", host="127.0.0.1", port=9, token="t0ken")
PLACE: dict[str, Any] = {"access": NOWHERE, "release": "web", "namespace": "shop"}


def wanted(path: Path, **more: Any) -> RenderRequest:
    return RenderRequest(**{"chart": path, "release": "web", "namespace": "shop", **more})


async def test_it_is_found_where_there_is_no_program(sdk: Sdk, tmp_path: Path) -> None:
    environ = {"PATH": "", "SKERRY_CACHE": str(tmp_path)}
    engine, state = await Lookup(environ=environ).engine()
    assert (engine is not None, state.engine, new_enough(state.version)) == (True, "sdk", True), state
    assert "cannot skip hooks or CRDs" in state.message


async def test_it_renders_what_the_program_renders(sdk: Sdk, helm: CommandLine, tmp_path: Path, rooms: Path) -> None:
    hook = CONFIG.replace("name: a", "name: h, annotations: {helm.sh/hook: pre-install}") + "one"
    files = {"crds/a.yaml": CONFIG + "crd", "templates/NOTES.txt": "hello", "templates/_x.tpl": "{{/* x */}}"}
    path = chart(tmp_path, CONFIG + "{{ .Values.a }}{{ .Release.Name }}{{ .Release.IsUpgrade }}", hook, files=files)
    request = wanted(path, values={"a": "b"}, upgrade=True)
    by_library, by_program = [
        {(str(each.identity), each.source, str(each.content)) for each in await rendered(one, request)}
        for one in (sdk, helm)
    ]
    assert by_library == by_program
    assert len(by_library) == 3
    assert list(rooms.iterdir()) == []


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ until 2000000000 }}", "ResourceLimit"),
        ('{{ repeat 1000000000 "0123456789" }}', "ResourceLimit"),
        ("{{ tpl .Values.t . }}", "ResourceLimit"),
        (CONFIG + '{{ repeat 9000000 "x" }}', "ResourceLimit"),
        ('{{ fail (printf "no: %s" .Values.password) }}', "RenderFailed"),
        ("{{ nope }}", "RenderFailed"),
        ("{{ .Values.n.o.p.e }}", "RenderFailed"),
    ],
    ids=["until", "repeat", "tpl", "large", "fail", "function", "nil"],
)
async def test_a_hostile_chart_ends_with_a_reason_and_leaves_nothing(
    sdk: Sdk, tmp_path: Path, rooms: Path, template: str, reason: str
) -> None:
    values = {"t": "{{ tpl .Values.t . }}", "password": "hunter2-hunter2"}
    request = wanted(chart(tmp_path, template), values=values, secrets=frozenset(["hunter2-hunter2"]))
    with pytest.raises(HelmError) as caught:
        await rendered(sdk, request)
    assert caught.value.reason == reason, caught.value
    assert "hunter2" not in str(caught.value)
    assert list(rooms.iterdir()) == []


async def test_a_schema_is_checked_and_reaches_nothing(sdk: Sdk, tmp_path: Path) -> None:
    for schema, says in (
        ('{"properties": {"n": {"type": "integer"}}}', "- at '/n': got string, want integer"),
        ('{"$ref": "file:///etc/passwd"}', "permission denied"),
    ):
        with pytest.raises(HelmError, match=says) as caught:
            await rendered(sdk, wanted(chart(tmp_path, files={"values.schema.json": schema}), values={"n": "x"}))
        assert caught.value.reason == "SchemaInvalid"


async def test_what_it_lacks_is_refused_by_name(sdk: Sdk, tmp_path: Path) -> None:
    path = chart(tmp_path, CONFIG + "one")
    for call, says in (
        (rendered(sdk, wanted(path, kube_version="1.34")), "render for a version of Kubernetes"),
        (rendered(sdk, wanted(path, api_versions=("a/v1",), hooks=False)), "render for other APIs or leave hooks out"),
        (sdk.upgrade(UpgradeRequest(**PLACE, chart=path, crds="Skip")), "leave CRDs out"),
        (sdk.rollback(RollbackRequest(**PLACE, revision=1, hooks=False)), "leave hooks out"),
        (sdk.uninstall(UninstallRequest(**PLACE, hooks=False)), "leave hooks out"),
    ):
        with pytest.raises(HelmError, match=f"cannot {says}: install helm 4.2.2") as caught:
            await call
        assert caught.value.reason == "EngineMissing"


async def test_a_cluster_that_is_not_there(sdk: Sdk, tmp_path: Path, rooms: Path) -> None:
    path = chart(tmp_path, CONFIG + "one")
    for call in (
        sdk.upgrade(UpgradeRequest(**PLACE, chart=path)),
        sdk.rollback(RollbackRequest(**PLACE, revision=1)),
        sdk.uninstall(UninstallRequest(**PLACE)),
    ):
        with pytest.raises(HelmError) as caught:
            await call
        assert caught.value.reason == "Unreachable", caught.value
    assert list(rooms.iterdir()) == []


async def test_who_is_cancelled_leaves_nothing(sdk: Sdk, tmp_path: Path, rooms: Path) -> None:
    bomb = "{{ range until 100000 }}{{ range until 100000 }}{{ range until 9999 }}{{ end }}{{ end }}{{ end }}"
    running = asyncio.create_task(rendered(sdk, wanted(chart(tmp_path, bomb))))
    while not list(rooms.iterdir()):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(rooms.iterdir()) == []
