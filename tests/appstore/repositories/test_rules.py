"""Who may have which repository, and their credentials: sealed, shown to one place, and gone with the repository."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from skerry import subjects
from skerry.api.appstore import STORE
from skerry.api.conditions import condition_of
from skerry.api.kinds import APP_REPOSITORY, APP_STORE
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import BadRequest, Forbidden, Invalid, NotFound
from tests.appstore.repositories.server import ChartServer, chart_server, client_certificate, index
from tests.appstore.repositories.test_syncing import again, repository, synced
from tests.appstore.world import ADMIN, World
from tests.fixtures.nats import eventually

pytestmark = pytest.mark.integration
ANA = Caller(user="ana", groups=("skerry:admin",))
SECRET = "s3cret-of-the-test"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"url": "http://charts.example/"}, "spec.url"),
        ({"charts": ["a", "a"]}, r"spec.charts\[1\]"),
        ({"review": "Sometimes"}, "spec.review"),
        ({"tls": {"caBundle": "no"}}, "spec.tls.caBundle"),
    ],
)
async def test_what_it_may_not_be(store: World, spec: Document, field: str) -> None:
    await store.patch(APP_STORE, STORE, {"spec": {"network": {"plainHTTP": False}}})
    document = {"metadata": {"name": "x", "namespace": POOL}, "spec": {"url": "https://charts.example", **spec}}
    with pytest.raises(Invalid, match=field):
        await store.create(APP_REPOSITORY, document)


async def test_only_what_is_in_the_pool_is_reviewed(store: World) -> None:
    spec = {"url": "https://charts.example", "review": "Required"}
    with pytest.raises(Invalid, match=r"spec.review: Forbidden: only what is in the pool"):
        await store.create(APP_REPOSITORY, {"metadata": {"name": "x", "namespace": "default"}, "spec": spec})


async def test_a_namespace_has_to_be_there(store: World) -> None:
    spec = {"url": "https://charts.example"}
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await store.create(APP_REPOSITORY, {"metadata": {"name": "x", "namespace": "nowhere"}, "spec": spec})


async def test_a_name_is_a_label_so_that_it_ends_where_the_charts_begins(store: World) -> None:
    with pytest.raises(Invalid, match="should match"):
        await store.create(
            APP_REPOSITORY, {"metadata": {"name": "a.b", "namespace": POOL}, "spec": {"url": "https://charts.example"}}
        )


async def test_the_pool_is_the_hosts_administrators(store: World, charts: ChartServer) -> None:
    await store.create(APP_REPOSITORY, repository(charts, syncPeriod="0s"))
    for asking in (
        store.create(APP_REPOSITORY, repository(charts, "mine"), caller=ANA),
        store.patch(APP_REPOSITORY, "stable", {"spec": {"keepVersions": 2}}, namespace=POOL, caller=ANA),
        store.write("delete", APP_REPOSITORY, repository(charts), caller=ANA),
        store.act(APP_REPOSITORY, "stable", "sync", {}, namespace=POOL, caller=ANA),
        store.act(APP_REPOSITORY, "stable", "credential", {}, namespace=POOL, caller=ANA, verb="update"),
        store.act(APP_REPOSITORY, "stable", "credential", {}, namespace=POOL, caller=ANA, verb="delete"),
    ):
        with pytest.raises(Forbidden, match="administrators of the host alone"):
            await asking


# Credentials


async def set_credential(store: World, credential: Document, name: str = "stable", caller: Caller = ADMIN) -> Document:
    return await store.act(APP_REPOSITORY, name, "credential", credential, namespace=POOL, verb="update", caller=caller)


@pytest.mark.parametrize(
    ("credential", "why"),
    [
        ({}, "it is empty"),
        ({"password": SECRET}, "without a username"),
        ({"username": "me", "token": SECRET}, "a token and a user"),
        ({"username": "m:e", "password": SECRET}, "no colon"),
        ({"username": "me", "password": SECRET + "\r\nhost: evil"}, "must print"),
        ({"token": SECRET + "\r\nhost: evil"}, "RFC 6750"),
        ({"token": SECRET * 1000}, "at most 4096"),
        ({"certificate": SECRET}, "needs its key"),
        ({"certificate": SECRET, "key": SECRET}, "cannot be loaded"),
        ({"certificate": SECRET * 20_000, "key": SECRET}, "at most 262144 bytes"),
    ],
)
async def test_one_that_no_server_can_be_shown_is_refused_without_being_said(
    store: World, charts: ChartServer, credential: Document, why: str
) -> None:
    await store.create(APP_REPOSITORY, repository(charts, syncPeriod="0s"))
    with pytest.raises(BadRequest, match=why) as refused:
        await set_credential(store, credential)
    assert SECRET not in str(refused.value)


async def test_a_repository_with_a_password_is_read_with_it(
    store: World, charts: ChartServer, caplog: pytest.LogCaptureFixture
) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    charts.authorization = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    await store.clusters.create(
        {"metadata": {"name": "host"}, "spec": {}, "status": {"uid": "u"}}
    )  # whose events they are
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store, reason="Unauthorized")
    answer = await set_credential(store, {"username": "me", "password": SECRET})
    assert answer["status"]["credential"] == {"present": True, "type": "basic"}
    document = await synced(store)
    assert document["status"]["credential"] == {"present": True, "type": "basic"}
    bus = store.process.bus
    for name in (subjects.RESOURCES, subjects.EVENTS, subjects.APP_STORE):
        bucket = await bus.bucket(name)
        async with asyncio.timeout(10):
            while not (entries := (await bucket.changes(">", 0)).entries):
                await asyncio.sleep(0.02)  # Events come behind what they tell of
        assert all(SECRET.encode() not in (entry.value or b"") for entry in entries)
    messages = (await (await bus.stream(subjects.EVENT_STREAM)).read()).messages
    assert messages
    assert all(SECRET.encode() not in message.data for message in messages)
    assert SECRET not in caplog.text
    after = await store.act(APP_REPOSITORY, "stable", "credential", {}, namespace=POOL, verb="delete")
    assert after["status"]["credential"] == {"present": False}
    await synced(store, reason="Unauthorized")


async def test_a_token_is_shown_as_one(store: World, charts: ChartServer) -> None:
    charts.authorization = f"Bearer {SECRET}"
    await store.create(APP_REPOSITORY, repository(charts))
    await synced(store, reason="Unauthorized")
    await set_credential(store, {"token": SECRET})
    await synced(store)


async def test_a_server_that_wants_a_client_certificate_gets_it(store: World, tmp_path: Path) -> None:
    authority, pair = client_certificate()
    async with chart_server(tmp_path / "mutual", client_ca=authority) as charts:
        charts.index = index({"nginx": ["1.0.0"]})
        await store.create(APP_REPOSITORY, repository(charts))
        await store.until(APP_REPOSITORY, "stable", POOL, lambda each: condition_of(each, "Ready").status == "False")
        assert not charts.asked
        await set_credential(store, {"certificate": pair.certificate.decode(), "key": pair.key.decode()})
        document = await synced(store)
        assert document["status"]["credential"] == {"present": True, "type": "certificate"}


async def test_it_is_for_the_place_that_it_was_given_for(store: World, charts: ChartServer, tmp_path: Path) -> None:
    charts.index = index({"nginx": ["1.0.0"]})
    async with chart_server(tmp_path / "thief") as thief:
        thief.index = charts.index
        await store.create(APP_REPOSITORY, repository(charts))
        await set_credential(store, {"username": "me", "password": SECRET})
        await again(store)
        assert "authorization" in charts.asked[-1].headers
        moved = {"metadata": {"name": "stable", "namespace": POOL}, "spec": repository(thief)["spec"]}
        answer = await store.write("patch", APP_REPOSITORY, moved)
        assert "is not shown to its new address" in answer.warnings[0]
        await eventually(lambda: bool(thief.asked))
        await again(store)
        assert not any("authorization" in asked.headers for asked in thief.asked)
        document = await store.get(APP_REPOSITORY, "stable", POOL)
        assert document["status"]["credential"] == {"present": False}


async def test_it_goes_with_its_repository(store: World, charts: ChartServer) -> None:
    await store.create(APP_REPOSITORY, repository(charts))
    await set_credential(store, {"username": "me", "password": SECRET})
    bucket = await store.process.bus.bucket(subjects.APP_STORE)
    uid = (await store.get(APP_REPOSITORY, "stable", POOL))["metadata"]["uid"]
    assert await bucket.get(f"repository.{uid}") is not None
    await store.write("delete", APP_REPOSITORY, repository(charts))

    async def gone() -> Any:
        entry = await bucket.get(f"repository.{uid}")
        return entry is None or entry.value is None

    for _ in range(50):
        if await gone():
            break
        await store.process.informer.current()
    assert await gone()
