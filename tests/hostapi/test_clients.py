"""Client libraries and the three kubectls against the host API: what people's tools do, done by those tools."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients import tools
from tests.hostapi.conftest import DEADLINE_S, World

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("default::DeprecationWarning"),  # in the libraries' own generated code
    pytest.mark.filterwarnings("default::ResourceWarning"),  # the dynamic client leaves its pool to the collector
    pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
]

GROUP, VERSION = "skerry.dev", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KUBECTLS = ("1.35", "1.36", "1.37")


def workspace(name: str, **spec: Any) -> dict[str, Any]:
    """A Workspace."""
    return {"apiVersion": API_VERSION, "kind": "Workspace", "metadata": {"name": name}, "spec": spec}


def program(name: str) -> Path:
    """A client program; skips where it cannot be had."""
    try:
        return tools.obtain((name,), print)[name]
    except tools.Unavailable as error:
        pytest.skip(str(error))


# The official client's dynamic client, which is synchronous


def with_dynamic_client(url: str) -> list[str]:
    """A whole life of a Workspace; the types of the events that a watch told of it."""
    from kubernetes import client, dynamic

    configuration = client.Configuration()
    configuration.host = url
    with client.ApiClient(configuration) as connection:
        resources = dynamic.DynamicClient(connection)
        kind = resources.resources.get(api_version=API_VERSION, kind="Workspace")
        since = kind.get().metadata.resourceVersion
        kind.create(body=workspace("shop", displayName="Shop"))
        patch = {"metadata": {"labels": {"team": "a"}}}
        kind.patch(name="shop", body=patch, content_type="application/merge-patch+json")
        applied = kind.server_side_apply(
            name="shop", body=workspace("shop", displayName="The Shop"), field_manager="gitops", force_conflicts=True
        )
        assert applied.spec.displayName == "The Shop"
        assert [item.metadata.name for item in kind.get(label_selector="team=a").items] == ["shop"]
        kind.delete(name="shop")
        told = [event["type"] for event in kind.watch(resource_version=since, timeout=1)]
        connection.rest_client.pool_manager.clear()
    return told


async def test_the_dynamic_client_does_everything(world: World) -> None:
    told = await asyncio.to_thread(with_dynamic_client, f"http://127.0.0.1:{world.port}")
    assert (told[0], told[-1]) == ("ADDED", "DELETED"), told
    assert set(told[1:-1]) == {"MODIFIED"}


# kubernetes-asyncio


async def test_a_watch_of_kubernetes_asyncio_follows(world: World) -> None:
    from kubernetes_asyncio import client, watch

    configuration = client.Configuration(host=f"http://127.0.0.1:{world.port}")
    async with client.ApiClient(configuration) as connection:
        custom = client.CustomObjectsApi(connection)
        await world.made("a")
        listed = await custom.list_cluster_custom_object(GROUP, VERSION, "clusters", limit=1)
        since = listed["metadata"]["resourceVersion"]
        told: list[tuple[str, str]] = []
        async with asyncio.timeout(DEADLINE_S), watch.Watch() as following:
            await world.made("b")
            await world.clusters.delete("b")
            stream = following.stream(
                custom.list_cluster_custom_object, GROUP, VERSION, "clusters", resource_version=since
            )
            async for event in stream:
                told.append((event["type"], event["object"]["metadata"]["name"]))
                if event["type"] == "DELETED":
                    break
    assert told == [("ADDED", "b"), ("DELETED", "b")]


# A client-go informer


@contextlib.asynccontextmanager
async def informer(world: World, directory: Path, resource: str) -> AsyncIterator[asyncio.StreamReader]:
    """The lines that an informer says."""
    file = directory / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "host", "cluster": {"server": f"http://127.0.0.1:{world.port}"}}],
        "contexts": [{"name": "host", "context": {"cluster": "host", "user": ""}}],
    }
    file.write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        program("clientgo"), "host", "informer", "", GROUP, VERSION, resource,
        env={"KUBECONFIG": str(file)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        await process.wait()


async def said(lines: asyncio.StreamReader, count: int) -> list[str]:
    """The next lines."""
    async with asyncio.timeout(DEADLINE_S):
        return [(await lines.readline()).decode().strip() for _ in range(count)]


async def test_an_informer_syncs_and_follows(world: World, tmp_path: Path) -> None:
    await world.made("a")
    async with informer(world, tmp_path, "clusters") as lines:
        assert sorted(await said(lines, 2)) == ["add a", "synced"]
        await world.made("b")
        await world.clusters.modify("b", lambda document: {**document, "status": {"uid": "u"}})
        await world.clusters.delete("b")
        assert await said(lines, 3) == ["add b", "update b", "delete b"]


async def test_an_informer_survives_a_proxy_that_forgot(world: World, tmp_path: Path) -> None:
    await world.made("a")
    async with informer(world, tmp_path, "clusters") as lines:
        assert sorted(await said(lines, 2)) == ["add a", "synced"]
        await world.made("b")
        assert await said(lines, 1) == ["add b"]
        world.forget()
        await world.made("c")
        assert await said(lines, 1) == ["add c"]


# kubectl


@pytest.fixture(params=KUBECTLS)
def kubectl(request: pytest.FixtureRequest) -> Path:
    """Each kubectl that must work."""
    return program(f"kubectl-{request.param}")


async def run(world: World, kubectl: Path, home: Path, *arguments: str, stdin: str = "") -> str:
    """What a kubectl prints; it must not fail, and not warn."""
    process = await asyncio.create_subprocess_exec(
        kubectl, f"--server=http://127.0.0.1:{world.port}", f"--cache-dir={home}", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={"HOME": str(home), "KUBECONFIG": str(home / "none")},
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate(stdin.encode())
    assert (process.returncode, err.decode()) == (0, ""), arguments
    return out.decode()


async def test_each_kubectl_reads(world: World, kubectl: Path, tmp_path: Path) -> None:
    await world.made("m1", labels={"env": "prod"})
    for arguments, expected in (
        (("get", "clusters", "-l", "env=prod"), "m1"),
        (("get", "cl", "m1", "-o", "yaml"), "kind: Cluster"),
        (("get", "clusters", "--chunk-size=1", "-o", "name"), "cluster.skerry.dev/m1"),
        (("get", "cluster.v1alpha1.skerry.dev", "--field-selector", "metadata.name=m1"), "m1"),
        (("describe", "cluster", "m1"), "Events:"),
        (("explain", "cluster.spec.connection.mode"), "agent: its agent dials out"),
        (("explain", "workspace.spec", "--recursive"), "displayName"),
        (("api-resources", "--api-group=skerry.dev", "-o", "name"), "accessgrants.skerry.dev"),
        (("api-versions",), "skerry.dev/v1alpha1"),
        (("auth", "whoami"), "admin"),
        (("auth", "can-i", "list", "clusters", "-A"), "yes"),
        (("get", "namespaces"), "default"),
    ):
        assert expected in await run(world, kubectl, tmp_path, *arguments), arguments


async def test_each_kubectl_waits_and_applies(world: World, kubectl: Path, tmp_path: Path) -> None:
    manifest = yaml.safe_dump(workspace("shop", displayName="Shop"))
    await run(world, kubectl, tmp_path, "apply", "-f", "-", stdin=manifest)
    await run(world, kubectl, tmp_path, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest)
    waiting = ("wait", "workspace/shop", "--for=jsonpath={.spec.displayName}=Shop", "--timeout=5s")
    assert "condition met" in await run(world, kubectl, tmp_path, *waiting)
    assert "deleted" in await run(world, kubectl, tmp_path, "delete", "ws", "shop")
