"""Pushing packages on a real bus: a version of the workspace's own, replaced while it is a draft, refused with the rule."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from services.appstore.catalogue.uploading import replaced
from skerry.api.appstore import STORE
from skerry.api.kinds import APP, APP_REVIEW, APP_STORE, APP_VERSION
from skerry.api.meta import Document
from skerry.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, RequestEntityTooLarge
from tests.appstore.charts import package
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
README, VALUES = "# Web\n\nA server.", "replicas: 1\n"
FILES = {"README.md": README, "values.yaml": VALUES, "values.schema.json": '{"type": "object"}'}


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        await running.enable()
        await running.workspace("shop")
        yield running


async def test_a_package_becomes_a_version_whose_parts_can_be_read(store: World) -> None:
    content = package(version="1.0.0", files=FILES, more="description: a server\nappVersion: '9'\n")
    version = await store.push("web", content, namespace="shop")
    assert (version["metadata"]["name"], version["status"]["phase"]) == ("web-1.0.0", "Draft")
    assert version["status"]["files"] == ["readme", "schema", "values"]
    await store.until(APP, "web", "shop", lambda app: app["status"]["latest"] == "1.0.0")
    head, pulled = await store.pull("web-1.0.0", "package", namespace="shop")
    assert (pulled, head.attachment) == (content, "web-1.0.0.tgz")
    for what, text in (("readme", README), ("values", VALUES), ("schema", '{"type": "object"}')):
        assert (await store.pull("web-1.0.0", what, namespace="shop"))[1].decode() == text
    with pytest.raises(NotFound, match="names no icon"):
        await store.pull("web-1.0.0", "icon", namespace="shop")


async def test_a_package_of_megabytes_comes_back_as_it_was(store: World) -> None:
    noise = random.Random(7).randbytes(600 * 1024)
    content = package(version="1.0.0", files={"files/noise": noise})
    await store.push("web", content, namespace="shop")
    assert (await store.pull("web-1.0.0", "package", namespace="shop"))[1] == content


async def test_a_draft_is_replaced_and_what_was_submitted_is_not(store: World) -> None:
    first = await store.push("web", package(version="1.0.0"), namespace="shop")
    second = await store.push("web", package(version="1.0.0", files=FILES), namespace="shop")
    assert first["status"]["digest"] != second["status"]["digest"]
    same = await store.push("web", package(version="1.0.0", files=FILES), namespace="shop")
    assert same["metadata"]["uid"] == second["metadata"]["uid"]
    review = {
        "metadata": {"generateName": "r-", "namespace": "shop"},
        "spec": {"action": "Submit", "version": "web-1.0.0"},
    }
    await store.create(APP_REVIEW, review)
    with pytest.raises(Conflict, match="is Submitted: a package is replaced in Draft and Rejected alone"):
        await store.push("web", package(version="1.0.0"), namespace="shop")


async def test_a_listed_version_is_not_replaced_by_an_upload(store: World) -> None:
    await store.version("web", "1.0.0", "shop", spec={"repository": "stable"})
    with pytest.raises(Conflict, match="comes from repository stable"):
        await store.push("web", package(version="1.0.0"), namespace="shop")


async def test_a_dry_run_keeps_nothing(store: World) -> None:
    version = await store.push("web", package(version="1.0.0"), namespace="shop", dry_run=True)
    assert version["status"]["phase"] == "Draft"
    assert await store.find(APP_VERSION, "web-1.0.0", "shop") is None
    assert await store.state.packages.sweep(lambda digest: False, lambda digest: False, 0) == 0


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"no archive", Invalid, "BadArchive"),
        (package("other", "1.0.0"), BadRequest, "of chart other, and was pushed as web"),
        (package(version="one"), Invalid, "BadVersion"),
        (package(version="1.0.0", more="dependencies: [{name: db, version: 1.x}]\n"), Invalid, "MissingDependency"),
        (b"\x1f\x8b" + bytes(6 * 1024 * 1024), RequestEntityTooLarge, "spec.limits.packageMiB"),
    ],
    ids=["no archive", "other chart", "no version", "dependency", "large"],
)
async def test_what_is_refused_names_its_rule_and_leaves_nothing(
    store: World, content: bytes, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        await store.push("web", content, namespace="shop")
    assert await store.find(APP_VERSION, "web-1.0.0", "shop") is None
    assert await store.state.packages.sweep(lambda digest: False, lambda digest: False, 0) == 0


async def test_while_the_store_is_off_nothing_is_pushed_and_all_can_be_read(store: World) -> None:
    await store.push("web", package(version="1.0.0", files=FILES), namespace="shop")
    await store.patch(APP_STORE, STORE, {"spec": {"enabled": False}})
    with pytest.raises(Forbidden, match="disabled on this host"):
        await store.push("web", package(version="1.1.0"), namespace="shop")
    assert (await store.pull("web-1.0.0", "readme", namespace="shop"))[1].decode() == README


def test_the_same_package_is_looked_into_again_if_it_had_a_problem() -> None:
    new: Document = {
        "metadata": {"name": "web-1.0.0"},
        "spec": {},
        "status": {"digest": "d", "uploaded": True, "phase": "Draft"},
    }
    assert replaced(new, new) is new
    problem = {"reason": "Deadline", "message": "30 s"}
    bad: Document = {**new, "status": {**new["status"], "problem": problem, "conditions": [{"type": "Checked"}]}}
    assert replaced(bad, new) == new
    submitted = {**bad, "status": {**bad["status"], "phase": "Submitted"}}
    assert replaced(submitted, new) is submitted
