"""Discovery, get and list, as clients ask for them."""

from __future__ import annotations

import pytest

from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
AGGREGATED = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}


async def test_legacy_discovery(world: World) -> None:
    assert (await world.ask("/api")).json()["versions"] == []
    groups = (await world.ask("/apis")).json()["groups"]
    assert [group["name"] for group in groups] == ["skerry.dev"]
    assert (await world.ask("/apis/skerry.dev")).json()["preferredVersion"]["version"] == "v1alpha1"
    resources = (await world.ask("/apis/skerry.dev/v1alpha1")).json()["resources"]
    assert [resource["name"] for resource in resources] == ["clusters", "jointokens", "credentials"]
    assert resources[0]["verbs"] == ["delete", "get", "list", "watch"]


async def test_aggregated_discovery_has_an_etag(world: World) -> None:
    first = await world.ask("/apis", headers=AGGREGATED)
    assert first.json()["kind"] == "APIGroupDiscoveryList"
    assert b"as=APIGroupDiscoveryList" in (first.header(b"content-type") or b"")
    etag = (first.header(b"etag") or b"").decode()
    assert (await world.ask("/apis", headers=AGGREGATED | {"if-none-match": etag})).status == 304


@pytest.mark.parametrize(
    "path",
    [
        "/apis/nope.dev",
        "/apis/skerry.dev/v1",
        "/apis/skerry.dev/v1alpha1/nopes",
        "/apis/skerry.dev/v1alpha1/clusters/a/status",
        "/apis/skerry.dev/v1alpha1/namespaces/x/clusters",
        "/apis/skerry.dev/v1alpha1/clusters//",
        "/api/v1/pods",
        "/openapi/v2",
    ],
)
async def test_what_is_not_served_is_not_found_as_in_kubernetes(world: World, path: str) -> None:
    answer = await world.ask(path)
    assert answer.status == 404
    assert answer.json()["message"] == "the server could not find the requested resource"
    assert answer.header(b"warning") is None


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", CLUSTERS, b"GET"),
        ("PUT", f"{CLUSTERS}/a", b"DELETE, GET"),
        ("PATCH", f"{CLUSTERS}/a", b"DELETE, GET"),
        ("DELETE", CLUSTERS, b"GET"),
    ],
)
async def test_a_verb_that_a_kind_lacks_is_405_with_allow(world: World, method: str, path: str, allow: bytes) -> None:
    answer = await world.ask(path, method, b"{}" if method != "DELETE" else None)
    assert (answer.status, answer.header(b"allow")) == (405, allow)


async def test_get_and_list_agree(world: World) -> None:
    revision = await world.made("m1", labels={"env": "prod"})
    one = (await world.ask(f"{CLUSTERS}/m1")).json()
    many = (await world.ask(CLUSTERS)).json()
    assert one["metadata"]["resourceVersion"] == str(revision)
    assert many["kind"] == "ClusterList"
    assert many["items"] == [one]
    assert int(many["metadata"]["resourceVersion"]) >= revision


async def test_an_unknown_object_is_named(world: World) -> None:
    answer = await world.ask(f"{CLUSTERS}/nope")
    assert answer.status == 404
    body = answer.json()
    assert body["message"] == 'clusters.skerry.dev "nope" not found'
    assert body["details"] == {"name": "nope", "group": "skerry.dev", "kind": "clusters"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("labelSelector=env%3Dprod", ["a"]),
        ("labelSelector=env%20in%20(prod,test)", ["a", "b"]),
        ("labelSelector=!env", ["c"]),
        ("labelSelector=env,env!%3Dprod", ["b"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name!%3Db", ["a", "c"]),
        ("labelSelector=env%3Dprod&fieldSelector=metadata.name%3Db", []),
        ("limit=1", ["a", "b", "c"]),
    ],
)
async def test_selectors(world: World, query: str, found: list[str]) -> None:
    await world.made("a", labels={"env": "prod"})
    await world.made("b", labels={"env": "test"})
    await world.made("c")
    items = (await world.ask(f"{CLUSTERS}?{query}")).json()["items"]
    assert [item["metadata"]["name"] for item in items] == found


@pytest.mark.parametrize(
    "query",
    [
        "labelSelector=a%20b",
        "labelSelector==",
        "fieldSelector=spec.role%3Dhost",
        "fieldSelector=nonsense",
        "resourceVersion=x",
        "continue=abc",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Odd&resourceVersion=1",
    ],
)
async def test_bad_parameters_are_400(world: World, query: str) -> None:
    assert (await world.ask(f"{CLUSTERS}?{query}")).status == 400


async def test_resource_versions(world: World) -> None:
    revision = await world.made("m1")
    assert (await world.ask(f"{CLUSTERS}?resourceVersion=0")).status == 200
    assert (await world.ask(f"{CLUSTERS}?resourceVersion={revision}")).status == 200
    await world.made("m2")
    assert (await world.ask(f"{CLUSTERS}?resourceVersion={revision}&resourceVersionMatch=Exact")).status == 410
    future = await world.ask(f"{CLUSTERS}?resourceVersion={revision + 1000}")
    assert future.status == 504
    assert future.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_a_table_has_the_kinds_columns_and_live_cells(world: World) -> None:
    await world.made("m1")
    world.live["m1"] = {"rtt": "2.5ms", "heartbeat": "3s"}
    table = (await world.ask(CLUSTERS, headers=TABLE)).json()
    names = [column["name"] for column in table["columnDefinitions"]]
    cells = dict(zip(names, table["rows"][0]["cells"], strict=True))
    assert table["kind"] == "Table"
    assert (cells["Name"], cells["RTT"], cells["Last Heartbeat"]) == ("m1", "2.5ms", "3s")
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_partial_metadata(world: World) -> None:
    await world.made("m1")
    accept = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    found = (await world.ask(CLUSTERS, headers=accept)).json()
    assert found["kind"] == "PartialObjectMetadataList"
    assert "spec" not in found["items"][0]


async def test_what_cannot_be_produced_is_406(world: World) -> None:
    assert (await world.ask(CLUSTERS, headers={"accept": "application/vnd.kubernetes.protobuf"})).status == 406


async def test_authorization_is_asked_with_the_words_of_kubernetes(world: World) -> None:
    world.denied.add("clusters")
    answer = await world.ask(f"{CLUSTERS}/m1")
    assert (answer.status, answer.json()["reason"]) == (403, "Forbidden")
    assert (await world.ask("/apis/skerry.dev/v1alpha1/credentials")).status == 200


async def test_openapi_describes_every_kind(world: World) -> None:
    index = (await world.ask("/openapi/v3")).json()
    document = (await world.ask(index["paths"]["apis/skerry.dev/v1alpha1"]["serverRelativeURL"])).json()
    described = {
        gvk["kind"]
        for schema in document["components"]["schemas"].values()
        for gvk in schema.get("x-kubernetes-group-version-kind", [])
    }
    assert described == {"Cluster", "JoinToken", "Credential"}
