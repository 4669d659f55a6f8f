"""Discovery, get and list, as clients ask for them."""

from __future__ import annotations

import pytest

from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

CLUSTERS = "/apis/skerry.dev/v1alpha1/clusters"
CREDENTIALS = "/apis/skerry.dev/v1alpha1/credentials"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@pytest.mark.parametrize(
    "path",
    [
        "/apis/nope.dev",
        "/apis/skerry.dev/v1",
        "/apis/skerry.dev/v1alpha1/nopes",
        "/apis/skerry.dev/v1alpha1/clusters/a/scale",
        "/apis/skerry.dev/v1alpha1/namespaces/x/clusters",
        "/apis/skerry.dev/v1alpha1/clusters//",
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods",
        "/openapi/v4",
        "/openapi/v3/apis/nope/v1",
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
        ("PUT", f"{CREDENTIALS}/a", b"DELETE, GET"),
        ("PATCH", f"{CREDENTIALS}/a", b"DELETE, GET"),
        ("DELETE", CLUSTERS, b"GET"),
        ("DELETE", "/api/v1/namespaces/default", b"GET"),
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
        "limit=x",
        "watch=1&timeoutSeconds=x",
    ],
)
async def test_bad_parameters_are_400(world: World, query: str) -> None:
    assert (await world.ask(f"{CLUSTERS}?{query}")).status == 400


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Odd&resourceVersion=1", 'supported values: "Exact", "NotOlderThan", ""'),
        ("resourceVersionMatch=Exact&resourceVersion=0", 'is forbidden for resourceVersion "0"'),
        ("sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
        ("watch=1&sendInitialEvents=true", "requires setting resourceVersionMatch to NotOlderThan"),
        ("watch=1&resourceVersionMatch=NotOlderThan", "forbidden for watch unless sendInitialEvents is provided"),
    ],
)
async def test_options_that_contradict_each_other_are_422(world: World, query: str, told: str) -> None:
    answer = await world.ask(f"{CLUSTERS}?{query}")
    assert (answer.status, answer.json()["reason"]) == (422, "Invalid")
    assert told in answer.json()["message"]
    assert answer.json()["details"]["causes"][0]["reason"].startswith("FieldValue")


async def test_resource_versions(world: World) -> None:
    revision = await world.made("m1")
    assert (await world.ask(f"{CLUSTERS}?resourceVersion=0")).status == 200
    assert (await world.ask(f"{CLUSTERS}?resourceVersion={revision}")).status == 200
    await world.made("m2")
    exactly = (await world.ask(f"{CLUSTERS}?resourceVersion={revision}&resourceVersionMatch=Exact")).json()
    assert [item["metadata"]["name"] for item in exactly["items"]] == ["m1"]
    assert exactly["metadata"]["resourceVersion"] == str(revision)
    assert (await world.ask(f"{CLUSTERS}?resourceVersion=1&resourceVersionMatch=Exact")).status == 410
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


@pytest.mark.parametrize(("include", "kind"), [("None", None), ("Object", "Cluster"), ("", "PartialObjectMetadata")])
async def test_the_object_of_a_row_is_what_was_asked_for(world: World, include: str, kind: str | None) -> None:
    await world.made("m1")
    row = (await world.ask(f"{CLUSTERS}?includeObject={include}", headers=TABLE)).json()["rows"][0]
    assert (row["object"] and row["object"]["kind"]) == kind


async def test_an_unknown_include_is_400(world: World) -> None:
    assert (await world.ask(f"{CLUSTERS}?includeObject=Odd", headers=TABLE)).status == 400


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


async def test_a_selector_of_100_kb_is_read(world: World) -> None:
    await world.made("m1", labels={"env": "prod"})
    names = ",".join(f"name-{number:06}" for number in range(8000))
    answer = await world.ask(f"{CLUSTERS}?labelSelector=env+in+(prod,{names})")
    assert [item["metadata"]["name"] for item in answer.json()["items"]] == ["m1"]
