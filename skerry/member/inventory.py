"""What a cluster has, kept up to date from its API server: by an agent for its heartbeats, by the host's prober.

Nodes are watched: that one came, went or changed is known at once. What pods ask for, what nodes use and which API is
served is asked every five minutes, pods in pages of a size that fits, counted as they come. What the account may not
read is not there; what could not be asked this time stays as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar
from urllib.parse import urlencode

import msgspec

from skerry.api.decode import decoded
from skerry.api.messages import Inventory
from skerry.api.v1alpha1 import APIVersions
from skerry.backoff import Backoff
from skerry.demand import Amounts
from skerry.errors import BadGateway, Forbidden, NotFound, SkerryError
from skerry.inventory.counting import NodeFacts, Nodes, ResourceRequests, facts, served, texts, used
from skerry.inventory.objects import GroupList, Node, NodeMetricsList, PodList
from skerry.member import probe
from skerry.member.upstream import CALL_S, Upstream, WholeAnswer
from skerry.member.watch import IDLE_S, CollectionWatch, ObjectEvent

log = logging.getLogger("skerry.member")

EVERY_S = 300.0
"""Between two looks at what has no watch."""
AGAIN_S = 30.0
"""After a look that failed."""
NODES_S = 60.0
"""After nodes changed, pods are counted within this time: those of a node that went are gone too."""
SETTLE_S = 1.0
"""Changes of nodes that come together are told together."""
PAUSE_S = 1.0
"""Between two watches, whatever ends them."""
NODE_PAGE = 100
"""A node's images and conditions are 10 to 30 KB."""
POD_PAGES = (100, 500)
"""Pods of the first page, and of the largest."""
SMALLEST_PAGE = 20
PAGE_BYTES = 2 << 20
MOST_PAGES = 20_000
NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"
METRICS = "/apis/metrics.k8s.io/v1beta1/nodes"
GROUPS = "/apis"
_PLACED = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
_REFUSED = (403, 404)
T = TypeVar("T")
V = TypeVar("V")


class InventoryCollector:
    """Keeps `inventory`, and calls `changed` whenever it is another one. A task must run `run`."""

    def __init__(self, upstream: Upstream, changed: Callable[[], None]) -> None:
        self._upstream, self._changed = upstream, changed
        self.inventory: Inventory | None = None
        """None until it is known."""
        self._watch = CollectionWatch(upstream, NODES, Node, facts, page=NODE_PAGE)
        self._nodes: Nodes | None = Nodes()
        """None if they may not be listed."""
        self._listed, self._moved = asyncio.Event(), asyncio.Event()
        self._version = ""
        self._requested: Amounts | None = None
        self._used: Amounts | None = None
        self._served: APIVersions | None = None

    async def run(self) -> None:
        """For ever; whatever the API server does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="watch of nodes")
            await self._looks()

    # Nodes

    async def _follow(self) -> None:
        backoff, whole = Backoff(PAUSE_S, 60.0), True
        while True:
            try:
                if whole:
                    self._nodes = self._nodes or Nodes()
                    await self._take(self._watch.listed())
                    whole = False
                    self._listed.set()
                async with asyncio.timeout(IDLE_S + CALL_S):  # a connection that died in silence is no watch
                    await self._take(self._watch.run())
                backoff.reset()
                pause_s = PAUSE_S
            except (Forbidden, NotFound) as error:
                if whole:
                    self._nodes = None
                whole, pause_s = True, EVERY_S
                self._listed.set()
                self._moved.set()
                log.info("nodes cannot be followed", extra={"reason": error.message[:300]})
            except (SkerryError, TimeoutError) as error:
                pause_s = backoff.next()
                log.debug("a watch of nodes ended", extra={"reason": str(error)[:300]})
            except Exception:
                pause_s = EVERY_S
                log.exception("nodes cannot be followed")
            await asyncio.sleep(pause_s)

    async def _take(self, changes: AsyncGenerator[ObjectEvent[NodeFacts]]) -> None:
        async with contextlib.aclosing(changes):
            async for seen in changes:
                nodes = self._nodes
                if nodes is not None and (nodes.drop(seen.name) if seen.gone else nodes.put(seen.name, seen.object)):
                    self._moved.set()

    # All else

    async def _looks(self) -> None:
        """The first time nothing is told before all is known, or was tried twice: what was not asked is not absent."""
        tried = 0
        while True:
            complete = await self._look()
            tried += 1
            if complete or tried > 1:
                self._tell()
            await self._rest(EVERY_S * random.uniform(0.9, 1.1) if complete else AGAIN_S)  # noqa: S311 - jitter

    async def _rest(self, rest_s: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + rest_s
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout_at(due):
                    await self._moved.wait()
                await asyncio.sleep(SETTLE_S)
                self._moved.clear()
                if self.inventory is not None:
                    self._tell()
                due = min(due, loop.time() + NODES_S)

    async def _look(self) -> bool:
        """True if all could be asked."""
        try:
            return await self._looked()
        except SkerryError as error:
            log.info("the inventory could not be taken", extra={"reason": str(error)[:300]})
        except Exception:
            log.exception("the inventory could not be taken")
        return False

    async def _looked(self) -> bool:
        self._version = (await probe.facts(self._upstream)).version or self._version
        self._served = await self._asked(GROUPS, GroupList, served)
        self._requested = await self.count()
        try:
            self._used = await self._asked(METRICS, NodeMetricsList, lambda metrics: used(metrics.items))
        except SkerryError:
            self._used = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_S):
                await self._listed.wait()
        return self._listed.is_set()

    async def _asked(self, path: str, kind: type[T], make: Callable[[T], V]) -> V | None:
        """None for what may not be read, or is not served. BadGateway and what the API server tells."""
        answer = await self._upstream.call("GET", path)
        if answer.status in _REFUSED:
            return None
        return make(_read(answer, path, kind))

    async def count(self) -> Amounts | None:
        """What pods ask for, page by page; None if they may not be listed. BadGateway and what the API server tells."""
        requests = ResourceRequests()
        try:
            async for page in pod_pages(self._upstream):
                requests.add(page.items)
        except (Forbidden, NotFound):
            return None
        return requests.total

    def _tell(self) -> None:
        new = self._taken()
        if new != self.inventory:
            self.inventory = new
            self._changed()

    def _taken(self) -> Inventory:
        common = Inventory(
            requested=None if self._requested is None else texts(self._requested, up=True),
            used=None if self._used is None else texts(self._used, up=True),
            api_versions=self._served,
        )
        if self._nodes is None or not self._listed.is_set():
            platform = Nodes().totals().platform(self._version)
            return msgspec.structs.replace(common, platform=platform)
        totals = self._nodes.totals()
        return msgspec.structs.replace(
            common,
            platform=totals.platform(self._version),
            nodes=totals.count,
            nodes_ready=totals.ready,
            capacity=texts(totals.capacity),
            allocatable=texts(totals.allocatable),
        )


async def pod_pages(upstream: Upstream) -> AsyncGenerator[PodList]:
    """The pods that take room, in pages of a size that fits.

    Forbidden, NotFound if they may not be listed; BadGateway and what else the API server tells.
    """
    after, limit = "", POD_PAGES[0]
    for _ in range(MOST_PAGES):
        query = {"fieldSelector": _PLACED, "limit": str(limit), **({"continue": after} if after else {})}
        try:
            answer = await upstream.call("GET", f"{PODS}?{urlencode(query)}")
        except BadGateway:
            if limit == SMALLEST_PAGE:
                raise
            limit = SMALLEST_PAGE  # the page may have been too large
            continue
        if answer.status in _REFUSED:
            raise (Forbidden if answer.status == 403 else NotFound)(f"pods may not be listed ({answer.message()})")
        page = _read(answer, PODS, PodList)
        yield page
        after = page.metadata.continue_
        if not after:
            return
        limit = _fitting(len(answer.body), len(page.items))
        await asyncio.sleep(0)
    raise BadGateway(f"the API server {upstream.url} lists pods without an end")


def _fitting(size: int, items: int) -> int:
    """How many of them are PAGE_BYTES."""
    return max(SMALLEST_PAGE, min(POD_PAGES[1], PAGE_BYTES * max(items, 1) // max(size, 1)))


def _read(answer: WholeAnswer, path: str, kind: type[T]) -> T:
    if answer.status != 200:
        raise answer.error()
    try:
        return decoded(answer.body, kind)
    except msgspec.DecodeError as error:
        raise BadGateway(f"the API server's list of {path} cannot be read") from error
