"""What strangers wrote is read in another process: its answers are ours, its end is not."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from services.appstore.helm.engine import HelmError
from services.appstore.helm.failures import MASK
from services.appstore.inspect import client
from services.appstore.inspect.answers import IndexQuestion, main, question
from services.appstore.inspect.client import (
    HiddenTexts,
    read_crds,
    read_difference,
    read_index,
    read_inventory,
    read_leftovers,
    read_package,
    read_risks,
)
from services.appstore.metadata import ChartError
from skerry.api.meta import Document
from tests.appstore.charts import package
from tests.appstore.helm.secrets import release, secret

INDEX = b"""apiVersion: v1
entries:
  web:
  - {name: web, version: 1.0.0, urls: [web-1.0.0.tgz]}
  - {name: web, version: 1.1.0, urls: [web-1.1.0.tgz]}
  redis:
  - {name: redis, version: latest, urls: [x]}
"""


async def test_an_index_is_read_there() -> None:
    web, redis = await read_index(BytesIO(INDEX), IndexQuestion(newest=1))
    assert ([each.chart.version for each in web.versions], web.known) == (["1.1.0"], 2)
    assert redis.skipped[0].reason == "BadVersion"
    seen = IndexQuestion(newest=1, charts=frozenset(("web",)), seen=frozenset((web.block,)))
    (only,) = await read_index(BytesIO(INDEX), seen)
    assert only.unchanged


async def test_a_package_is_read_there() -> None:
    found = await read_package(package(files={"README.md": b"\xff\x00#"}))
    assert (found.chart.name, found.readme) == ("web", b"\xff\x00#")


@pytest.mark.parametrize("content", [b"<html>", b"", b"entries: [" * 5000])
async def test_what_is_no_index_is_refused(content: bytes) -> None:
    with pytest.raises(ChartError) as caught:
        await read_index(BytesIO(content), IndexQuestion(newest=1))
    assert caught.value.reason == "NotARepository"


async def test_a_package_that_breaks_a_rule_is_refused_by_it() -> None:
    zeros = zlib.compress(bytes(1), wbits=31)
    for content, reason in ((b"x", "BadArchive"), (zeros, "NoChart"), (package("web", "x"), "BadVersion")):
        with pytest.raises(ChartError) as caught:
            await read_package(content)
        assert caught.value.reason == reason


async def test_a_process_that_does_not_end_well_is_the_contents_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DATA", 8 << 20)
    with pytest.raises(ChartError) as caught:
        await read_package(package())
    assert caught.value.reason == "Unreadable"


def written(directory: Path, text: str) -> Path:
    path = directory / "manifest.yaml"
    path.write_text(text)
    return path


DOCUMENT = "---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: web}}\n{more}\n"


@pytest.mark.parametrize("size", [1, client.SMALL], ids=["here", "there"])
async def test_risks_of_a_manifest_are_told(size: int, tmp_path: Path) -> None:
    manifest = DOCUMENT.format(api="rbac.authorization.k8s.io/v1", kind="ClusterRole", more="#" * size)
    risks = {risk.type: (risk.objects, risk.total) for risk in await read_risks(written(tmp_path, manifest), "shop")}
    assert risks == {"ClusterScoped": (("ClusterRole/web",), 1), "RBAC": (("ClusterRole/web",), 1)}
    assert await read_risks(written(tmp_path, "#" * (size + 10)), "shop") == ()


@pytest.mark.parametrize("size", [1, client.SMALL], ids=["here", "there"])
async def test_a_manifest_that_is_none_is_refused(size: int, tmp_path: Path) -> None:
    with pytest.raises(HelmError) as caught:
        await read_risks(written(tmp_path, "a: [" + "é" * size), "shop")
    assert caught.value.reason == "RenderFailed"
    with pytest.raises(HelmError) as caught:
        await read_risks(written(tmp_path, DOCUMENT.format(api="v1", kind="Pod", more="") * 2001 + "#" * size), "shop")
    assert caught.value.reason == "ResourceLimit"


async def test_a_manifest_that_cannot_be_read_may_be_the_machines_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "DATA", 8 << 20)
    with pytest.raises(HelmError) as caught:
        await read_risks(written(tmp_path, "#" * (client.SMALL + 1)), "shop")
    assert caught.value.reason == "Failed"


KEPT = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, annotations: {helm.sh/resource-policy: keep}}\n"
CONFIG = DOCUMENT.format(api="v1", kind="ConfigMap", more="data: {word: hunter2, color: blue}")
HOOK = "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: web, annotations: {helm.sh/hook: pre-delete}}\n"
JOB: Document = {
    "kind": "Job",
    "name": "web",
    "manifest": HOOK,
    "events": ["pre-delete"],
}


def installed(size: int) -> bytes:
    """The Secret of a revision that is larger than this when it is unpacked."""
    text = CONFIG + KEPT + "#" * size
    return msgspec.json.encode(
        secret(release(revision=7, manifest=text, hooks=[JOB], config={"a": "hunter2"}), revision=7)
    )


@pytest.mark.parametrize("size", [1, client.SMALL], ids=["here", "there"])
async def test_what_a_release_consists_of_is_told_and_its_texts_are_not(size: int) -> None:
    answer = await read_inventory(installed(size))
    assert [str(each) for each in answer.identities] == ["ConfigMap/web", "Service/web"]
    assert (answer.revision.entry.revision, answer.revision.chart) == (7, "nginx")
    assert (answer.revision.manifest, answer.revision.hooks, answer.revision.values) == ("", (), {})
    stays = await read_leftovers(installed(size))
    assert [(str(each.identity), each.is_hook, each.kept) for each in stays] == [
        ("Service/web", False, True),
        ("Job/web", True, False),
    ]


@pytest.mark.parametrize("content", [b"x", b"[]", b"{}"])
async def test_a_secret_that_is_no_revision_is_refused(content: bytes) -> None:
    for read in (read_inventory, read_leftovers):
        with pytest.raises(HelmError) as caught:
            await read(content)
        assert caught.value.reason == "Failed"


@pytest.mark.parametrize("size", [1, client.SMALL], ids=["here", "there"])
async def test_what_would_change_is_told_without_secrets(size: int, tmp_path: Path) -> None:
    hidden = HiddenTexts(frozenset(("hunter2",)), frozenset())
    after = written(tmp_path, CONFIG.replace("blue", "red") + KEPT + "#" * size)
    changes = (await read_difference(installed(1), after, "shop", hidden)).splitlines()
    assert {"-  color: blue", "+  color: red", "--- Job/web"} <= set(changes)
    assert "--- Service/web" not in changes
    assert "hunter2" not in "".join(changes)
    whole = await read_difference(b"", after, "shop", hidden)
    assert "color: red" in whole
    assert "hunter2" not in whole
    lasting = HiddenTexts(frozenset(("hunter2",)), frozenset(("hunter2",)))
    same = written(tmp_path, CONFIG.replace("hunter2", MASK) + KEPT + HOOK + "#" * size)
    assert await read_difference(installed(1), same, "shop", lasting) == ""


async def test_crds_are_read_there() -> None:
    crd = DOCUMENT.format(api="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", more="")
    (only,) = await read_crds(package(files={"crds/a.yaml": crd, "templates/a.yaml": "{{ bad"}))
    assert (str(only.identity), only.source) == ("CustomResourceDefinition/web", "web/crds/a.yaml")
    for content in (package(files={"crds/a.yaml": CONFIG}), b"x"):
        with pytest.raises(HelmError) as caught:
            await read_crds(content)
        assert caught.value.reason == "RenderFailed"


async def test_many_are_read_at_once() -> None:
    names = [f"c{number}" for number in range(4)]
    found = await asyncio.gather(*(read_package(package(name)) for name in names))
    assert [each.chart.name for each in found] == names


def test_answers_have_an_end() -> None:
    assert b'"Done"' in list(main("index", BytesIO(question(IndexQuestion(newest=1)) + INDEX)))[-1]
    assert b'"Done"' in list(main("package", BytesIO(b"x")))[-1]


async def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await read_package(package())
    assert list(tmp_path.iterdir()) == []
