"""Real registries: charts that Helm pushed are listed and fetched, by a password and by tokens, and what did not change is not pulled."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from skerry.api.kinds import APP_REPOSITORY, APP_VERSION
from skerry.api.meta import Document
from skerry.api.names import POOL
from tests.appstore.charts import package
from tests.appstore.repositories.ociregistry import PASSWORD, USER, OciRegistry, Tokens, oci_registry
from tests.appstore.repositories.server import ChartServer
from tests.appstore.repositories.test_syncing import again, names, synced
from tests.appstore.world import World

pytestmark = pytest.mark.integration


def listed(registry: OciRegistry, more_ca: str = "", **spec: Any) -> Document:
    tls = {"caBundle": registry.ca_pem + more_ca}
    return {"metadata": {"name": "oci", "namespace": POOL}, "spec": {"url": registry.url, "tls": tls, **spec}}


async def add(store: World, document: Document) -> Document:
    await store.create(APP_REPOSITORY, document)
    body = {"username": USER, "password": PASSWORD}
    await store.act(APP_REPOSITORY, "oci", "credential", body, namespace=POOL, verb="update")
    return await synced(store, "oci")


async def test_charts_that_helm_pushed(store: World, tmp_path: Path, registry_programs: Mapping[str, Path]) -> None:
    async with oci_registry(tmp_path / "registry", registry_programs) as registry:
        pushed = package("web", "1.2.3", more="appVersion: '9'\n")
        await registry.push(pushed)
        await registry.push(package("web", "1.3.0+build.5"))
        await registry.push(package("redis", "7.0.0"), "/db")
        document = await add(store, listed(registry))
        assert document["status"]["sync"]["versions"] == 3
        version = await store.get(APP_VERSION, "oci.web-1.2.3", POOL)
        assert version["status"]["digest"] == "sha256:" + sha256(pushed).hexdigest()
        assert version["status"]["chart"]["appVersion"] == "9"
        assert version["status"]["urls"] == [f"{registry.url}/web:1.2.3"]
        apps = {item.document()["spec"]["app"] for item in store.process.informer.list(APP_VERSION)}
        assert "oci.web" in apps
        assert any(app.startswith("oci.db-redis-") for app in apps)
        assert await store.state.packages.get(version) == pushed
        before = registry.log.count("/blobs/")
        after = await again(store, "oci")
        assert after["status"]["sync"]["versions"] == 3
        assert registry.log.count("/blobs/") == before
        await registry.push(package("web", "1.4.0"))
        await again(store, "oci")
        assert "oci.web-1.4.0" in names(store)


async def test_without_a_password_nothing(store: World, tmp_path: Path, registry_programs: Mapping[str, Path]) -> None:
    async with oci_registry(tmp_path / "registry", registry_programs) as registry:
        await store.create(APP_REPOSITORY, listed(registry, charts=["web"]))
        await synced(store, "oci", reason="Unauthorized")


async def test_by_tokens_of_a_server_beside(
    store: World, charts: ChartServer, tmp_path: Path, registry_programs: Mapping[str, Path]
) -> None:
    tokens = Tokens(tmp_path / "tokens", charts)
    async with oci_registry(tmp_path / "registry", registry_programs, tokens.auth) as registry:
        bundle = tmp_path / "registry" / "ca.crt"
        bundle.write_text(registry.ca_pem + charts.ca_pem)
        pushed = package("web", "1.2.3")
        await registry.push(pushed)
        await add(store, listed(registry, charts.ca_pem, charts=["web"]))
        version = await store.get(APP_VERSION, "oci.web-1.2.3", POOL)
        assert await store.state.packages.get(version) == pushed
