"""Collecting an inventory from an API server: what is asked, what is told and when. (A real one: tests/e2e/test_inventory.py.)"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from skerry.errors import Forbidden, InternalError, NotFound, ServiceUnavailable, StatusError
from skerry.http.exchange import Exchange
from skerry.httpwire.head import ResponseHead
from skerry.member import inventory
from skerry.member.inventory import GROUPS, METRICS, NODES, PODS, SMALLEST_PAGE, InventoryCollector
from skerry.member.upstream import Upstream
from tests.fixtures.nats import eventually
from tests.member.apiserver import JSON, ApiServer

pytestmark = pytest.mark.integration


def node(name: str, *, ready: bool = True) -> dict[str, Any]:
    room = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    conditions = [{"type": "Ready", "status": str(ready)}]
    metadata = {"name": name, "resourceVersion": "7"}
    return {"metadata": metadata, "status": {"capacity": room, "allocatable": room, "conditions": conditions}}


def pod(cpu: str = "100m", padding: int = 0) -> dict[str, Any]:
    metadata = {"annotations": {"x": "y" * padding}}
    return {"metadata": metadata, "spec": {"nodeName": "a", "containers": [{"resources": {"requests": {"cpu": cpu}}}]}}


class Cluster:
    """An API server with nodes that a test changes, pods in pages, metrics and groups; each may be refused."""

    def __init__(self, api: ApiServer) -> None:
        self.nodes = {"a": node("a"), "b": node("b")}
        self.pods = [pod() for _ in range(250)]
        self.errors: dict[str, StatusError] = {}
        self.unwatchable = False
        self.limits: list[int] = []
        """Of the pages of pods that were asked for."""
        self.looks = 0
        self._changes: list[asyncio.Queue[bytes]] = []
        for path, answer in (
            (NODES, self._nodes),
            (PODS, self._pods),
            (METRICS, self._metrics),
            (GROUPS, self._groups),
        ):
            api.routes[path] = self._guarded(path, answer)

    def _guarded(self, path: str, answer: Any) -> Any:
        async def guarded(exchange: Exchange) -> None:
            if path in self.errors:
                raise self.errors[path]
            await answer(exchange, parse_qs(exchange.head.target.partition(b"?")[2].decode()))

        return guarded

    def change(self, kind: str, item: dict[str, Any]) -> None:
        """Tell those who watch."""
        self.nodes[item["metadata"]["name"]] = item
        if kind == "DELETED":
            del self.nodes[item["metadata"]["name"]]
        for queue in self._changes:
            queue.put_nowait(msgspec.json.encode({"type": kind, "object": item}) + b"\n")

    async def _nodes(self, exchange: Exchange, query: dict[str, list[str]]) -> None:
        if "watch" not in query:
            await self._answer(exchange, {"metadata": {"resourceVersion": "7"}, "items": list(self.nodes.values())})
            return
        if self.unwatchable:
            raise Forbidden("nodes is forbidden: cannot watch")
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._changes.append(queue)
        await exchange.start(ResponseHead(status=200, reason=b"OK", headers=JSON), length=None)
        while True:
            await exchange.write(await queue.get())

    async def _pods(self, exchange: Exchange, query: dict[str, list[str]]) -> None:
        self.looks += "continue" not in query
        assert query["fieldSelector"] == ["spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"]
        start, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
        self.limits.append(limit)
        metadata = {"continue": str(start + limit)} if start + limit < len(self.pods) else {}
        await self._answer(exchange, {"metadata": metadata, "items": self.pods[start : start + limit]})

    async def _metrics(self, exchange: Exchange, query: dict[str, list[str]]) -> None:
        await self._answer(exchange, {"items": [{"usage": {"cpu": "1500m", "memory": "1Gi"}}]})

    async def _groups(self, exchange: Exchange, query: dict[str, list[str]]) -> None:
        groups = [{"versions": [{"groupVersion": name}]} for name in ("apps/v1", "example.com/v1")]
        await self._answer(exchange, {"groups": groups})

    async def _answer(self, exchange: Exchange, document: dict[str, Any]) -> None:
        await exchange.respond(200, JSON, msgspec.json.encode(document))


@pytest.fixture
def cluster(api: ApiServer) -> Cluster:
    return Cluster(api)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much time as the steps of these tests need."""
    for name, seconds in (("AGAIN_S", 0.5), ("SETTLE_S", 0.05), ("PAUSE_S", 0.05)):
        monkeypatch.setattr(inventory, name, seconds)


class Collecting:
    """A collector that runs, and how often it told."""

    def __init__(self, upstream: Upstream) -> None:
        self.told = 0
        self.collector = InventoryCollector(upstream, self._changed)

    def _changed(self) -> None:
        self.told += 1

    async def until(self, **fields: Any) -> None:
        """Wait until the inventory has these values."""
        await eventually(lambda: self.has(fields))

    def has(self, fields: dict[str, Any]) -> bool:
        found = self.collector.inventory
        return found is not None and all(getattr(found, field) == value for field, value in fields.items())


@asynccontextmanager
async def collecting(upstream: Upstream) -> AsyncIterator[Collecting]:
    made = Collecting(upstream)
    task = asyncio.create_task(made.collector.run())
    try:
        yield made
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_all_of_it_is_told_once(upstream: Upstream, cluster: Cluster) -> None:
    async with collecting(upstream) as made:
        await made.until(nodes=2)
        found = made.collector.inventory
        assert found is not None
        assert (found.nodes_ready, found.allocatable) == (2, {"cpu": "8", "memory": "16384Mi", "pods": "220"})
        assert (found.requested, found.used) == (
            {"cpu": "25", "pods": "250"},
            {"cpu": "1500m", "memory": "1024Mi"},
        )
        assert found.api_versions is not None
        assert (found.api_versions.count, found.api_versions.extra) == (3, ["example.com/v1"])
        assert made.told == 1


async def test_a_node_that_comes_fails_or_goes_is_told_at_once(upstream: Upstream, cluster: Cluster) -> None:
    async with collecting(upstream) as made:
        await made.until(nodes=2)
        cluster.change("ADDED", node("c"))
        await made.until(nodes=3, nodes_ready=3)
        cluster.change("MODIFIED", node("c", ready=False))
        await made.until(nodes=3, nodes_ready=2)
        cluster.change("DELETED", node("c"))
        await made.until(nodes=2, nodes_ready=2)
        assert cluster.looks == 1


async def test_a_node_that_says_the_same_again_is_no_news(upstream: Upstream, cluster: Cluster) -> None:
    async with collecting(upstream) as made:
        await made.until(nodes=2)
        for _ in range(20):
            cluster.change("MODIFIED", node("a"))
        cluster.change("ADDED", node("c"))
        await made.until(nodes=3)
        assert made.told == 2


@pytest.mark.parametrize("error", [Forbidden("no"), NotFound("not served")])
async def test_what_may_not_be_read_is_not_there(upstream: Upstream, cluster: Cluster, error: StatusError) -> None:
    cluster.errors = {NODES: error, PODS: error, METRICS: error, GROUPS: error}
    async with collecting(upstream) as made:
        await eventually(lambda: made.collector.inventory is not None)
        found = made.collector.inventory
        assert found is not None
        assert {getattr(found, field) for field in ("nodes", "nodes_ready", "requested", "used", "api_versions")} == {
            None
        }


async def test_nodes_that_may_be_listed_and_not_watched_are_there(upstream: Upstream, cluster: Cluster) -> None:
    cluster.unwatchable = True
    async with collecting(upstream) as made:
        await made.until(nodes=2, nodes_ready=2)


async def test_metrics_that_are_broken_are_absent_and_hold_up_nothing(upstream: Upstream, cluster: Cluster) -> None:
    cluster.errors[METRICS] = ServiceUnavailable("the server is currently unable to handle the request")
    async with collecting(upstream) as made:
        await made.until(nodes=2, used=None, requested={"cpu": "25", "pods": "250"})


async def test_what_could_not_be_asked_this_time_stays(
    upstream: Upstream, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "EVERY_S", 0.2)
    async with collecting(upstream) as made:
        await made.until(requested={"cpu": "25", "pods": "250"})
        cluster.errors[PODS] = InternalError("etcd")
        looks = cluster.looks
        cluster.change("ADDED", node("c"))
        await made.until(nodes=3, requested={"cpu": "25", "pods": "250"})
        cluster.pods = cluster.pods[:100]
        del cluster.errors[PODS]
        await made.until(requested={"cpu": "10", "pods": "100"})
        assert cluster.looks > looks


async def test_what_an_agent_could_not_ask_at_its_start_is_not_told_as_absent(
    upstream: Upstream, cluster: Cluster
) -> None:
    cluster.errors[PODS] = InternalError("not yet")
    async with collecting(upstream) as made:
        await eventually(lambda: made.collector._served is not None)
        assert made.collector.inventory is None
        del cluster.errors[PODS]
        await made.until(requested={"cpu": "25", "pods": "250"})
        assert made.told == 1


async def test_what_can_never_be_asked_holds_up_the_rest_once(upstream: Upstream, cluster: Cluster) -> None:
    cluster.errors[PODS] = InternalError("never")
    async with collecting(upstream) as made:
        await made.until(nodes=2, requested=None)


async def test_pages_grow_with_small_pods_and_shrink_with_large_ones(upstream: Upstream, cluster: Cluster) -> None:
    cluster.pods = [pod() for _ in range(100)] + [pod(padding=10_000) for _ in range(900)]
    async with collecting(upstream) as made:
        await made.until(requested={"cpu": "100", "pods": "1000"})
    assert cluster.limits[:3] == [100, 500, SMALLEST_PAGE]
    assert 180 < cluster.limits[3] < 220


async def test_a_page_that_is_too_large_is_asked_again_as_a_small_one(upstream: Upstream, cluster: Cluster) -> None:
    cluster.pods = [pod(padding=100_000) for _ in range(60)]
    async with collecting(upstream) as made:
        await made.until(requested={"cpu": "6", "pods": "60"})
    assert cluster.limits == [100, SMALLEST_PAGE, SMALLEST_PAGE, SMALLEST_PAGE]


async def test_an_answer_that_is_nonsense_is_no_end(upstream: Upstream, api: ApiServer, cluster: Cluster) -> None:
    async def nonsense(exchange: Exchange) -> None:
        await exchange.respond(200, JSON, b'{"items": [3]}')

    right = api.routes[NODES]
    api.routes[NODES] = api.routes[PODS] = nonsense
    async with collecting(upstream) as made:
        await eventually(lambda: len(api.seen) > 6)
        api.routes[NODES] = right
        await made.until(nodes=2)
