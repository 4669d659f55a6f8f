"""Admission of AppReleases on a real bus: which version they get, on which clusters, and as whom they are worked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from skerry.api.appstore import STORE
from skerry.api.kinds import APP_INSTANCE, APP_RELEASE, APP_STORE, APP_VERSION, WORKSPACE
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound
from tests.appstore.world import ADMIN, World, world
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration
ANN, BOB = Caller(user="ann", groups=("shop",)), Caller(user="bob")


@pytest.fixture
async def store(fresh_nats_host: NatsHost) -> AsyncIterator[World]:
    async with world(fresh_nats_host) as running:
        await running.enable()
        spec = {"clusters": {"names": ["m1", "m2"]}, "members": [{"kind": "User", "name": "ann", "role": "edit"}]}
        await running.workspaces.create({"metadata": {"name": "shop"}, "spec": spec})
        for name in ("m1", "m2", "m3"):
            await running.member(name)
        for version in ("1.0.0", "1.1.0", "2.0.0-rc.1"):
            await running.version("web", version, POOL, phase="Active")
        yield running


def release(name: str = "web", **spec: Any) -> Document:
    whole = {"app": f"{POOL}/web", "version": "1.0.0", "clusters": {"names": ["m1"]}, **spec}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": whole}


async def made(store: World, name: str = "web", caller: Caller = ANN, **spec: Any) -> Document:
    return await store.create(APP_RELEASE, release(name, **spec), caller=caller)


async def changed(store: World, caller: Caller = ANN, **spec: Any) -> Document:
    return await store.patch(APP_RELEASE, "web", {"spec": spec}, namespace="shop", caller=caller)


async def act(store: World, action: str, body: Document | None = None, caller: Caller = ANN, **more: Any) -> Document:
    return await store.act(APP_RELEASE, "web", action, body or {}, namespace="shop", caller=caller, **more)


async def test_a_new_one_is_of_who_made_it(store: World) -> None:
    status = (await made(store))["status"]
    assert (status["actor"]["user"], status["actor"]["groups"]) == ("ann", ["shop"])
    assert status["revision"] == 1
    assert [(each["app"], each["version"], each["by"]) for each in status["history"]] == [
        (f"{POOL}/web", "1.0.0", "ann")
    ]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"app": "web"}, r"spec.app: .*there is no app shop/web; the pool has one: skerry-apps/web"),
        ({"app": f"{POOL}/nothing"}, r"spec.app: .*there is no app skerry-apps/nothing: skerry app search"),
        ({"app": "default/web"}, r"spec.app: .*an App of the workspace itself"),
        ({"version": "9.9.9"}, r"spec.version: .*no such version; it has 2.0.0-rc.1, 1.1.0, 1.0.0"),
        (
            {"clusters": {"names": ["m1", "m3"]}},
            r"spec.clusters.names: Forbidden: m3: not among the clusters of workspace shop",
        ),
        ({"timeout": "x"}, r"spec.timeout"),
    ],
)
async def test_what_is_refused_says_why(store: World, spec: Document, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        await made(store, **spec)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"phase": "Suspended"}, "it is Suspended, and a version that is Active is needed"),
        ({"phase": "Draft"}, "it is Draft"),
        (
            {"phase": "Active", "problem": {"reason": "BadSchema", "message": "m"}},
            "it cannot be installed: BadSchema: m",
        ),
        ({"phase": "Active", "chart": {"name": "lib", "version": "1.0.0", "type": "library"}}, "it is a library"),
    ],
)
async def test_versions_that_may_not_be_installed(store: World, status: Document, why: str) -> None:
    await store.version("lib", "1.0.0", POOL, **status)
    with pytest.raises(Invalid, match=why):
        await made(store, app=f"{POOL}/lib")


async def test_a_draft_is_tried_at_home(store: World) -> None:
    await store.version("own", "1.0.0", "shop", phase="Draft")
    assert (await made(store, app="own"))["status"]["history"][0]["app"] == "shop/own"


async def test_who_changes_it_is_its_actor_and_only_what_is_installed_is_a_revision(store: World) -> None:
    await made(store)
    second = await changed(store, BOB, timeout="1m")
    assert (second["status"]["actor"]["user"], second["status"]["revision"]) == ("bob", 1)
    third = await changed(store, version="1.1.0", values={"replicas": 2})
    assert (third["status"]["actor"]["user"], third["status"]["revision"]) == ("ann", 2)
    labelled = await store.patch(APP_RELEASE, "web", {"metadata": {"labels": {"a": "b"}}}, namespace="shop", caller=BOB)
    assert labelled["status"]["actor"]["user"] == "ann"


async def test_its_place_stays_and_no_other_release_gets_it(store: World) -> None:
    await made(store)
    with pytest.raises(Invalid, match=r"spec.releaseName.*cannot be changed"):
        await changed(store, releaseName="other")
    with pytest.raises(Conflict, match="AppRelease shop/web has the Helm release web in namespace shop on m1 already"):
        await made(store, "second", releaseName="web", clusters={"names": ["m1", "m2"]})
    await made(store, "third", releaseName="web", clusters={"names": ["m2"]})
    await made(store, "fourth", releaseName="web", targetNamespace="elsewhere")


async def test_suspending_a_version_ends_nothing_that_runs(store: World) -> None:
    await made(store, version="1.1.0")
    await store.modify(APP_VERSION, "web-1.1.0", POOL, lambda each: each["status"].update(phase="Suspended"))
    assert (await changed(store, timeout="1m"))["spec"]["timeout"] == "1m"
    with pytest.raises(Invalid, match="it is Suspended"):
        await changed(store, values={"a": 1})


async def test_a_plain_secret_is_warned_of(store: World) -> None:
    answer = await store.write("create", APP_RELEASE, release(values={"auth": {"password": "hunter2"}}), caller=ANN)
    assert "spec.values.auth.password looks like a secret" in answer.warnings[0]
    assert "hunter2" not in answer.warnings[0]


async def test_back_to_an_earlier_revision_with_its_values_and_secrets(store: World) -> None:
    await made(store, values={"color": "red"})
    await act(store, "secretvalues", {"set": {"auth.password": "hunter2"}}, verb="update")
    await changed(store, version="1.1.0", values={"color": None, "size": 3})
    await act(store, "secretvalues", verb="delete")
    back = await act(store, "rollback", {"revision": 2}, caller=BOB)
    assert (back["spec"]["version"], back["spec"]["values"]) == ("1.0.0", {"color": "red"})
    assert (back["status"]["revision"], back["status"]["actor"]["user"]) == (5, "bob")
    assert back["status"]["secretValues"]["keys"] == 1
    assert "hunter2" not in str(back)
    history = store.state.releases.history
    uid, secrets = back["metadata"]["uid"], back["status"]["secretValues"]["set"]
    assert await history.secrets(uid, secrets) == {"auth.password": "hunter2"}
    again = await act(store, "rollback")
    assert (again["spec"]["version"], again["spec"]["values"]) == ("1.1.0", {"size": 3})


async def test_secret_values_and_another_spec_are_one_revision(store: World) -> None:
    before = await made(store, values={"color": "red"})
    body = {"set": {"a": "hunter2"}, "spec": {**before["spec"], "version": "1.1.0", "values": {"color": None}}}
    with pytest.raises(Conflict, match="the object has been modified"):
        await act(store, "secretvalues", {**body, "resourceVersion": "1"}, verb="update")
    after = await act(store, "secretvalues", body, verb="update", caller=BOB)
    assert (after["spec"]["version"], after["status"]["revision"], after["status"]["secretValues"]["keys"]) == (
        "1.1.0",
        2,
        1,
    )
    assert (after["spec"]["values"], after["status"]["actor"]["user"]) == ({"color": None}, "bob")
    again = await act(store, "secretvalues", {"set": {"b": "x"}}, verb="update")
    assert (again["spec"], again["status"]["secretValues"]["keys"]) == (after["spec"], 2)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"version": "9.9.9"}, "no such version"),
        ({"releaseName": "other"}, "cannot be changed"),
        ({"timeout": 7}, "timeout"),
        ({"clusters": {"names": ["m3"]}}, "not among the clusters"),
    ],
)
async def test_a_spec_beside_secret_values_is_judged_as_any(store: World, spec: Document, why: str) -> None:
    before = await made(store)
    with pytest.raises((Invalid, BadRequest), match=why):
        await act(store, "secretvalues", {"set": {"a": "x"}, "spec": {**before["spec"], **spec}}, verb="update")


async def test_back_to_nowhere(store: World) -> None:
    await made(store)
    with pytest.raises(BadRequest, match="no revision before this one to go back to: there is none yet"):
        await act(store, "rollback")
    await changed(store, version="1.1.0")
    with pytest.raises(BadRequest, match="no revision 7 to go back to: there are 1"):
        await act(store, "rollback", {"revision": 7})


async def test_secret_values_are_refused_without_being_shown(store: World) -> None:
    await made(store)
    with pytest.raises(BadRequest) as refused:
        await act(store, "secretvalues", {"set": {"a": "hunter2", "a.b": "hunter2"}}, verb="update")
    assert "hunter2" not in str(refused.value)


async def test_it_is_taken_over(store: World) -> None:
    await made(store)
    taken = await act(store, "own", caller=BOB)
    assert (taken["status"]["actor"]["user"], taken["status"]["revision"]) == ("bob", 1)


async def test_again_is_of_clusters_that_it_is_on(store: World) -> None:
    await made(store)
    await store.until(APP_INSTANCE, "web.m1", "shop", lambda document: True)
    await act(store, "retry", {"cluster": "m1"})
    with pytest.raises(NotFound, match="not wanted on cluster 'm3'"):
        await act(store, "retry", {"cluster": "m3"})


async def test_two_who_change_it_at_once_both_have_it_and_each_revision_is_kept(store: World) -> None:
    uid = (await made(store))["metadata"]["uid"]
    await asyncio.gather(*(changed(store, values={f"v{number}": number}) for number in range(4)))
    document = await store.get(APP_RELEASE, "web", "shop")
    assert document["status"]["revision"] == 5
    assert document["spec"]["values"] == {f"v{number}": number for number in range(4)}
    history = store.state.releases.history
    for revision in range(1, 5):
        content = await history.content(uid, revision)
        assert content is not None
        assert len(content.spec.get("values", {})) == revision - 1


async def test_nobody_writes_instances_and_while_the_store_is_off_nothing_is_done(store: World) -> None:
    await made(store)
    await store.patch(APP_STORE, STORE, {"spec": {"enabled": False}})
    for action, verb in (("rollback", "create"), ("own", "create"), ("retry", "create"), ("secretvalues", "update")):
        with pytest.raises(Forbidden) as refused:
            await act(store, action, verb=verb)
        assert [cause.reason for cause in refused.value.details.causes] == ["HostDisabled"]
    assert (await store.write("delete", APP_RELEASE, {"metadata": {"name": "web", "namespace": "shop"}})).object


async def test_a_workspace_that_is_given_another_cluster_may_use_it(store: World) -> None:
    item = await store.workspaces.get("shop")
    document = item.document()
    document["spec"]["clusters"] = {"selector": {}}
    await store.workspaces.update(item, document)
    await store.until(WORKSPACE, "shop", "", lambda each: "selector" in each["spec"]["clusters"])
    await made(store, clusters={"names": ["m3"]})


async def test_administrators_install_on_any_cluster(store: World) -> None:
    document = {**release(clusters={"names": ["m3"]}), "metadata": {"name": "web", "namespace": "default"}}
    assert (await store.create(APP_RELEASE, document, caller=ADMIN))["status"]["revision"] == 1
