"""Discovery and OpenAPI, as clients ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skerry import protobuf
from tests.hostapi.conftest import World

pytestmark = pytest.mark.integration

OWN = "/apis/skerry.dev/v1alpha1"
KINDS = {
    "clusters",
    "inspectioncredentials",
    "jointokens",
    "credentials",
    "workspaces",
    "accessgrants",
    "accessrequests",
    "settings",
    "identityproviders",
    "revocations",
    "accessexplanations",
    "selfaccessreviews",
    "appstores",
    "apprepositories",
    "apps",
    "appversions",
    "appcategories",
    "appreviews",
    "appreleases",
    "appinstances",
    "auditpolicies",
    "eventsinks",
}


def aggregated(version: str) -> dict[str, str]:
    return {"accept": f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json"}


async def test_legacy_discovery(world: World) -> None:
    assert (await world.ask("/api")).json()["versions"] == ["v1"]
    groups = (await world.ask("/apis")).json()["groups"]
    assert {"skerry.dev", "authorization.k8s.io"} <= {group["name"] for group in groups}
    assert (await world.ask("/apis/skerry.dev")).json()["preferredVersion"]["version"] == "v1alpha1"
    resources = (await world.ask(OWN)).json()["resources"]
    assert {resource["name"].partition("/")[0] for resource in resources} == KINDS
    core = (await world.ask("/api/v1")).json()
    assert core["groupVersion"] == "v1"
    assert "namespaces" in {resource["name"] for resource in core["resources"]}


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_aggregated_discovery_has_an_etag(world: World, version: str) -> None:
    first = await world.ask("/apis", headers=aggregated(version))
    assert first.json()["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    assert f"v={version}".encode() in (first.header(b"content-type") or b"")
    etag = (first.header(b"etag") or b"").decode()
    assert (await world.ask("/apis", headers=aggregated(version) | {"if-none-match": etag})).status == 304


@pytest.mark.parametrize("path", ["/api", "/apis"])
async def test_both_forms_of_discovery_say_the_same(world: World, path: str) -> None:
    legacy = set()
    for group in (await world.ask(path, headers=aggregated("v2"))).json()["items"]:
        name, version = group["metadata"].get("name", ""), group["versions"][0]
        found = {resource["resource"] for resource in version["resources"]}
        listed = (await world.ask(f"{path}/{name}/v1" if version["version"] == "v1" and name else f"{path}/v1")).json()
        legacy |= found
        if version["version"] == "v1":
            assert found == {resource["name"] for resource in listed["resources"]}
    assert legacy


async def test_openapi_describes_every_kind(world: World) -> None:
    document = await openapi(world)
    described = {
        gvk["kind"]
        for schema in document["components"]["schemas"].values()
        for gvk in schema.get("x-kubernetes-group-version-kind", [])
    }
    assert {"Cluster", "JoinToken", "Credential", "Workspace", "AccessGrant", "ClusterList"} <= described


async def openapi(world: World) -> Any:
    index = (await world.ask("/openapi/v3")).json()
    return (await world.ask(index["paths"]["apis/skerry.dev/v1alpha1"]["serverRelativeURL"])).json()


async def test_every_reference_of_openapi_leads_somewhere(world: World) -> None:
    index = (await world.ask("/openapi/v3")).json()
    for entry in index["paths"].values():
        document = (await world.ask(entry["serverRelativeURL"])).json()
        names = {reference.rpartition("/")[2] for reference in references(document)}
        assert names <= set(document["components"]["schemas"])


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
        return own.union(*(references(one) for one in value.values()))
    return set[str]().union(*(references(one) for one in value)) if isinstance(value, list) else set()


async def test_every_field_of_our_kinds_has_a_description(world: World) -> None:
    schemas = (await openapi(world))["components"]["schemas"]
    missing = [
        f"{name}.{path}"
        for name, schema in schemas.items()
        if name.startswith("dev.skerry.") and not name.endswith("List")
        for path in undescribed(schema, "")
        if not path.startswith((".apiVersion", ".kind"))
    ]
    assert [path for path in missing if "conditions" not in path] == []


def undescribed(schema: Any, path: str) -> list[str]:
    found = [] if schema.get("description") or not path else [path]
    for name, one in schema.get("properties", {}).items():
        found += undescribed(one, f"{path}.{name}")
    return found


async def test_patch_is_described_with_what_kubectl_looks_for(world: World) -> None:
    patch = (await openapi(world))["paths"][f"{OWN}/workspaces/{{name}}"]["patch"]
    assert {"dryRun", "fieldManager", "fieldValidation", "force"} == {one["name"] for one in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Workspace"
    assert "200" in patch["responses"]


async def test_a_document_with_its_hash_is_for_ever_and_another_hash_leads_to_it(world: World) -> None:
    location = (await world.ask("/openapi/v3")).json()["paths"]["apis/skerry.dev/v1alpha1"]["serverRelativeURL"]
    answer = await world.ask(location)
    assert (answer.status, b"immutable" in (answer.header(b"cache-control") or b"")) == (200, True)
    wrong = await world.ask("/openapi/v3/apis/skerry.dev/v1alpha1?hash=0")
    assert (wrong.status, wrong.header(b"location")) == (301, location.encode())
    plain = await world.ask("/openapi/v3/apis/skerry.dev/v1alpha1")
    assert b"no-cache" in (plain.header(b"cache-control") or b"")


async def test_openapi_v2_is_json_or_protobuf(world: World) -> None:
    document = (await world.ask("/openapi/v2")).json()
    assert document["swagger"] == "2.0"
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(document["definitions"])
    media = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = await world.ask("/openapi/v2", headers={"accept": media})
    assert answer.header(b"content-type") == media.replace("@", ".").encode()
    assert protobuf.fields(answer.body)[1] == b"2.0"
    assert (await world.ask("/openapi/v2", headers={"accept": "text/plain"})).status == 406


@pytest.mark.parametrize("output", ["plaintext", "plaintext-openapiv2"])
async def test_kubectl_explains(world: World, tmp_path: Path, output: str) -> None:
    code, out, err = await world.kubectl("explain", "cluster.spec.connection", f"--output={output}", home=tmp_path)
    assert (code, err) == (0, "")
    assert "How the host reaches the cluster." in out
    assert "mode\t<string> -required-" in out
    assert "agent: its agent dials out" in out


@pytest.mark.parametrize("path", ["cluster", "cluster.metadata.labels", "events.involvedObject", "ws.spec.members"])
async def test_kubectl_explains_more(world: World, tmp_path: Path, path: str) -> None:
    code, out, err = await world.kubectl("explain", path, "--recursive", home=tmp_path)
    assert (code, err) == (0, "")
    assert "DESCRIPTION" in out
