"""What an upgrade would change, on a real bus and with the real Helm; clusters are asked in tests/e2e/test_releases.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.appstore.helm.differences import worded
from skerry.api.appstore import STORE
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE, APP_STORE
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from tests.appstore.charts import package
from tests.appstore.world import ADMIN, World, world
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {color: {{ .Values.color | quote }}, word: {{ .Values.word | default "none" | quote }}, on: {{ .Capabilities.KubeVersion }}}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: s}
stringData: {password: {{ .Values.word | default "hunter1" }}}
"""
SCHEMA = '{"properties": {"color": {"type": "string"}}}'
FILES = {
    "values.yaml": "color: blue\n",
    "values.schema.json": SCHEMA,
    "templates/a.yaml": CONFIG,
    "templates/b.yaml": SECRET,
}


@pytest.fixture
async def store(
    fresh_nats_host: NatsHost, helms: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("SKERRY_HELM", str(helms["helm-4"]))
    async with world(fresh_nats_host) as running:
        await running.enable()
        await running.member("m1", conditions=[READY], kubernetesVersion="v1.36.3")
        digest = await running.state.packages.put(package(version="1.0.0", files=FILES), uploaded=True)
        await running.version("web", "1.0.0", POOL, phase="Active", digest=digest, uploaded=True)
        yield running


def spec(**more: Any) -> Document:
    return {"app": f"{POOL}/web", "version": "1.0.0", "clusters": {"names": ["m1", "m9"]}, **more}


async def diff(store: World, body: Document, caller: Caller = ADMIN) -> list[Document]:
    answer = await store.act(APP_RELEASE, "web", "diff", body, namespace="default", caller=caller)
    clusters: list[Document] = answer["clusters"]
    return clusters


async def test_what_is_not_there_yet_is_rendered_for_the_cluster_without_its_secrets(store: World) -> None:
    (on,) = await diff(store, {"spec": spec(values={"color": "red"}), "secretValues": {"word": "hunter2"}})
    assert (on["cluster"], on["error"], on["manifest"]) == ("m1", "", "")
    assert "color: red" in on["rendered"]
    assert "v1.36.3" in on["rendered"]
    assert "hunter" not in on["rendered"]
    assert "word: <secret>" in on["rendered"]
    assert "password: <masked>" in on["rendered"]


async def test_values_that_the_chart_does_not_take_are_said_with_their_place(store: World) -> None:
    (on,) = await diff(store, {"spec": spec(values={"color": 3})})
    assert "/color" in on["error"]
    assert "want string" in on["error"]


async def test_such_values_are_refused_before_anything_is_sent(store: World) -> None:
    metadata = {"metadata": {"name": "web", "namespace": "default"}}
    with pytest.raises(Invalid, match=r"spec\.values: Invalid value: .*/color.*want string"):
        await store.create(APP_RELEASE, {**metadata, "spec": spec(values={"color": 3})})
    override = {"clusters": {"names": ["m1"]}, "values": {"color": [1]}}
    with pytest.raises(Invalid, match=r"/color.*want string"):
        await store.create(APP_RELEASE, {**metadata, "spec": spec(overrides=[override])})
    await store.create(APP_RELEASE, {**metadata, "spec": spec(clusters={"names": ["m9"]})})
    for change in ({"values": {"color": 3}}, {"values": {"color": True}}):
        with pytest.raises(Invalid, match=r"/color"):
            await store.patch(APP_RELEASE, "web", {"spec": change}, namespace="default")
    await store.patch(APP_RELEASE, "web", {"spec": {"values": {"color": "red"}}}, namespace="default")


async def test_what_it_is_not_about(store: World) -> None:
    with pytest.raises(NotFound, match='"web" not found'):
        await diff(store, {})
    with pytest.raises(NotFound, match="not wanted on cluster 'm2'"):
        await diff(store, {"spec": spec(), "cluster": "m2"})
    with pytest.raises(Invalid, match=r"spec\.timeout"):
        await diff(store, {"spec": spec(timeout="x")})
    with pytest.raises(Invalid, match=r"no such version"):
        await diff(store, {"spec": spec(version="3.0.0")})
    with pytest.raises(BadRequest, match="spec"):
        await diff(store, {"spec": {"app": 3}})
    with pytest.raises(BadRequest, match="is no path"):
        await diff(store, {"spec": spec(), "secretValues": {"[": "hunter2"}})


async def test_values_of_the_cluster_are_read_as_the_actor_and_shown_to_nobody_else(store: World) -> None:
    sources = [{"kind": "Secret", "name": "db"}]
    (on,) = await diff(store, {"spec": spec(valuesFrom=sources)})
    assert "are read as the release's actor alone" in on["error"]


async def test_who_is_away_is_said(store: World) -> None:
    away = {**READY, "status": "False", "message": "no agent"}
    await store.member("m2", conditions=[away])
    await store.create(
        APP_RELEASE, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec(clusters={"names": ["m2"]})}
    )
    await store.until(APP_INSTANCE, "web.m2", "default", lambda each: each["status"].get("phase") == "Waiting")
    (on,) = await diff(store, {})
    assert on["error"] == "m2 is away since 2026-01-01T00:00:00Z: no agent"
    with pytest.raises(Conflict, match="m2 is away"):
        await store.act(APP_INSTANCE, "web.m2", "resources", {}, namespace="default", verb="get")


async def test_while_the_store_is_off_nothing_is_compared(store: World) -> None:
    await store.patch(APP_STORE, STORE, {"spec": {"enabled": False}})
    with pytest.raises(Forbidden):
        await diff(store, {"spec": spec()})


def test_a_secret_that_stays_is_no_difference_as_it_is_and_as_secrets_have_it() -> None:
    manifest = "stringData: {a: s3cret-one}\ndata: {a: czNjcmV0LW9uZQ==, b: b3RoZXI=}\n"
    assert worded(manifest, {"s3cret-one", "s3cret"}) == (
        "stringData: {a: <secret>}\ndata: {a: PHNlY3JldD4=, b: b3RoZXI=}\n"
    )
    assert worded(manifest, ()) == manifest
