"""Packages of listed versions come from where their repository says, and a credential goes no further than to it."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest

from services.appstore.metadata import ChartError
from skerry.api.appstore import STORE
from skerry.api.kinds import APP_REPOSITORY, APP_STORE, APP_VERSION
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import Conflict, ServiceUnavailable
from tests.appstore.charts import package
from tests.appstore.repositories.server import Answer, Asked, ChartServer, chart_server, index
from tests.appstore.repositories.test_syncing import repository, synced
from tests.appstore.world import World

pytestmark = pytest.mark.integration
PACKAGE = package("nginx", "1.0.0")
DIGEST = sha256(PACKAGE).hexdigest()


async def listed(store: World, charts: ChartServer) -> Document:
    """The one version of a repository with a password."""
    await store.create(APP_REPOSITORY, repository(charts, syncPeriod="0s"))
    body = {"username": "me", "password": "secret"}
    await store.act(APP_REPOSITORY, "stable", "credential", body, namespace=POOL, verb="update")
    await synced(store)
    return await store.get(APP_VERSION, "stable.nginx-1.0.0", POOL)


def serving(charts: ChartServer, answer: Answer) -> None:
    async def talk(asked: Asked, writer: asyncio.StreamWriter) -> Answer:
        return answer if asked.target.endswith(".tgz") else charts.usual(asked)

    charts.answering = talk


async def test_a_package_is_fetched_with_the_password_of_its_repository(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]}, {"nginx-1.0.0": DIGEST})
    serving(charts, Answer(200, PACKAGE))
    version = await listed(store, charts)
    assert await store.state.packages.get(version) == PACKAGE
    (asked,) = (each for each in charts.asked if each.target == "/charts/nginx-1.0.0.tgz")
    assert asked.headers["authorization"].startswith("Basic ")


async def test_another_host_that_an_index_names_sees_no_password(
    store: World, charts: ChartServer, tmp_path: Path
) -> None:
    async with chart_server(tmp_path / "other") as other:
        serving(other, Answer(200, PACKAGE))
        text = index({"nginx": ["1.0.0"]}, {"nginx-1.0.0": DIGEST})
        charts.index = text.replace(b"- nginx-1.0.0.tgz", f"- https://localhost:{other.port}/nginx.tgz".encode())
        version = await listed(store, charts)
        tls = {"caBundle": charts.ca_pem + other.ca_pem}
        await store.patch(APP_REPOSITORY, "stable", {"spec": {"tls": tls}}, namespace=POOL)
        assert await store.state.packages.get(version) == PACKAGE
        assert "authorization" not in other.asked[-1].headers


async def test_what_cannot_be_fetched_says_why(store: World, charts: ChartServer) -> None:
    charts.index = index({"nginx": ["1.0.0"]}, {"nginx-1.0.0": DIGEST})
    version = await listed(store, charts)
    serving(charts, Answer(404))
    with pytest.raises(Conflict, match="is not there any more"):
        await store.state.packages.get(version)
    serving(charts, Answer(500))
    with pytest.raises(ServiceUnavailable, match="answered with 500"):
        await store.state.packages.get(version)
    serving(charts, Answer(200, package("nginx", "6.6.6")))
    with pytest.raises(ChartError, match="was listed"):
        await store.state.packages.get(version)
    await store.patch(APP_STORE, STORE, {"spec": {"limits": {"packageMiB": 1}}})
    serving(charts, Answer(200, b"x" * (1 << 20) + b"x"))
    with pytest.raises(ChartError, match="larger than 1048576 bytes"):
        await store.state.packages.get(version)
    with pytest.raises(Conflict, match="does not say where"):
        await store.state.packages.get({**version, "status": {}})
    with pytest.raises(Conflict, match="is gone"):
        await store.state.packages.get({**version, "spec": {**version["spec"], "repository": "other"}})
