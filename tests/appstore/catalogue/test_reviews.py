"""Reviews on a real bus: two people pass a version into the pool, once, and it is recorded; nobody else can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.appstore.catalogue import records
from skerry.api.appstore import STORE
from skerry.api.kinds import APP, APP_REVIEW, APP_STORE, APP_VERSION
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import BadRequest, Conflict, Forbidden, NotFound, StatusError
from skerry.storage import Store
from tests.appstore.world import World, world
from tests.fixtures.nats import NatsHost, eventually

pytestmark = pytest.mark.integration
ALICE = Caller(user="alice")
BOB = Caller(user="bob", groups=("skerry:app-reviewer",))
EVE = Caller(user="eve")


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        await running.enable()
        await running.workspace("shop", ("alice", "edit"), ("bob", "edit"), ("eve", "view"))
        yield running


async def review(store: World, action: str, by: Caller, namespace: str = "shop", **more: str) -> Document:
    """Take a step with nginx 1.0.0, or what `more` says."""
    spec = {"version": "nginx-1.0.0"} | more
    if "app" in more:
        del spec["version"]
    metadata = {"generateName": f"{action.lower()}-", "namespace": namespace}
    return await store.create(APP_REVIEW, {"metadata": metadata, "spec": {"action": action, **spec}}, caller=by)


async def released(store: World) -> None:
    await store.version("nginx", "1.0.0", "shop")
    await review(store, "Submit", ALICE)
    await review(store, "Pass", BOB)
    await review(store, "Release", ALICE)


async def test_a_version_goes_through_two_peoples_hands_into_the_pool_and_follows_its_own(store: World) -> None:
    await released(store)
    version = await store.until(APP_VERSION, "nginx-1.0.0", "shop", lambda each: each["status"]["phase"] == "Active")
    steps = [(step["action"], step["by"]) for step in version["status"]["reviews"]]
    assert steps == [("Release", "alice"), ("Pass", "bob"), ("Submit", "alice")]
    pooled = await store.until(APP_VERSION, "shop.nginx-1.0.0", POOL, lambda each: True)
    assert (pooled["spec"]["origin"], pooled["status"]["phase"]) == ("shop/nginx", "Active")
    assert "alice" not in str(pooled["status"])
    await store.until(APP, "shop.nginx", POOL, lambda each: each["status"]["installable"] == 1)
    await review(store, "Suspend", BOB, app="nginx", message="CVE")
    await store.until(APP_VERSION, "shop.nginx-1.0.0", POOL, lambda each: each["status"]["phase"] == "Suspended")
    with pytest.raises(Conflict, match="follows shop/nginx, where it is reviewed"):
        await review(store, "Recover", BOB, POOL, version="shop.nginx-1.0.0")
    await review(store, "Recover", BOB)
    await store.until(APP_VERSION, "shop.nginx-1.0.0", POOL, lambda each: each["status"]["phase"] == "Active")
    await store.write("delete", APP_VERSION, {"metadata": {"name": "nginx-1.0.0", "namespace": "shop"}})
    await eventually(lambda: store.process.informer.get(APP_VERSION, "shop.nginx-1.0.0", POOL) is None, 20)
    await eventually(lambda: store.process.informer.get(APP, "shop.nginx", POOL) is None, 20)


@pytest.mark.parametrize(
    ("action", "by", "error", "text"),
    [
        ("Pass", BOB, Conflict, "is Draft.*Submit"),
        ("Release", ALICE, Conflict, "is Draft"),
        ("Submit", EVE, Forbidden, "may write"),
        ("Suspend", ALICE, Forbidden, "takes a reviewer"),
    ],
)
async def test_steps_out_of_order_or_by_the_wrong_people(
    store: World, action: str, by: Caller, error: type[StatusError], text: str
) -> None:
    await store.version("nginx", "1.0.0", "shop")
    with pytest.raises(error, match=text):
        await review(store, action, by)
    assert (await store.get(APP_VERSION, "nginx-1.0.0", "shop"))["status"]["phase"] == "Draft"


async def test_nobody_passes_their_own_unless_the_host_says_so(store: World) -> None:
    await store.version("nginx", "1.0.0", "shop")
    await review(store, "Submit", BOB)
    with pytest.raises(Forbidden, match="bob submitted this version, and somebody else"):
        await review(store, "Pass", BOB)
    await store.patch(APP_STORE, STORE, {"spec": {"review": {"fourEyes": False}}})
    await store.until(APP_STORE, STORE, "", lambda each: each["spec"].get("review") == {"fourEyes": False})
    assert (await review(store, "Pass", BOB))["status"]["to"] == "Passed"


async def test_of_many_who_pass_at_once_one_does(store: World) -> None:
    await store.version("nginx", "1.0.0", "shop")
    await review(store, "Submit", ALICE)
    answers = await asyncio.gather(*[review(store, "Pass", BOB) for _ in range(8)], return_exceptions=True)
    assert [type(each) for each in answers if isinstance(each, BaseException)] == [Conflict] * 7
    version = await store.get(APP_VERSION, "nginx-1.0.0", "shop")
    assert [step["action"] for step in version["status"]["reviews"]] == ["Pass", "Submit"]


@pytest.mark.parametrize(
    ("spec", "error", "text"),
    [
        ({"action": "Submit"}, BadRequest, "set one of"),
        ({"action": "Submit", "version": "nginx-1.0.0", "app": "nginx"}, BadRequest, "set one of"),
        ({"action": "Submit", "version": "no-such"}, NotFound, "no-such"),
        ({"action": "Suspend", "app": "no-such"}, NotFound, "no-such"),
        ({"action": "Submit", "app": "nginx"}, BadRequest, "about one version"),
        ({"action": "Suspend", "app": "nginx"}, Conflict, "no version of app nginx is Active"),
        ({"action": "Submit", "version": "nginx-1.0.0", "message": "x" * 1025}, BadRequest, "1025 characters"),
    ],
)
async def test_what_a_review_may_not_be(store: World, spec: Document, error: type[StatusError], text: str) -> None:
    await store.version("nginx", "1.0.0", "shop")
    await store.until(APP_VERSION, "nginx-1.0.0", "shop", lambda each: True)
    with pytest.raises(error, match=text):
        await store.create(APP_REVIEW, {"metadata": {"name": "r", "namespace": "shop"}, "spec": spec})


async def test_a_version_that_cannot_be_installed_is_not_submitted(store: World) -> None:
    problem = {"reason": "TooLarge", "message": "values.yaml has 6 MiB, the limit is 5"}
    await store.version("nginx", "1.0.0", "shop", problem=problem)
    with pytest.raises(Conflict, match=r"TooLarge: values.yaml has 6 MiB"):
        await review(store, "Submit", ALICE)


async def test_a_dry_run_takes_no_step(store: World) -> None:
    await store.version("nginx", "1.0.0", "shop")
    document = {
        "metadata": {"name": "try", "namespace": "shop"},
        "spec": {"action": "Submit", "version": "nginx-1.0.0"},
    }
    await store.write("create", APP_REVIEW, document, caller=ALICE, dry_run=True)
    assert (await store.get(APP_VERSION, "nginx-1.0.0", "shop"))["status"]["phase"] == "Draft"
    assert await store.find(APP_REVIEW, "try", "shop") is None


async def test_a_record_that_was_lost_is_written_again(store: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "GRACE_S", 0.0)
    await store.version("nginx", "1.0.0", "shop")
    recorded = await review(store, "Submit", ALICE, message="please")
    name = recorded["metadata"]["name"]
    await store.until(APP_REVIEW, name, "shop", lambda each: True)
    await Store(await store.process.bus.bucket("resources"), APP_REVIEW).delete(name, "shop")
    await eventually(lambda: store.process.informer.get(APP_REVIEW, name, "shop") is None, 20)
    await store.patch(APP_VERSION, "nginx-1.0.0", {"metadata": {"labels": {"look": "again"}}}, namespace="shop")
    again = await store.until(APP_REVIEW, name, "shop", lambda each: True)
    assert (again["spec"], again["status"]) == (recorded["spec"], recorded["status"])
