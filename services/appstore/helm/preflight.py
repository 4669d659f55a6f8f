"""Renders of what would be sent, before anything is: what is too much, or does not meet the schema, reaches no cluster.

The same request is rendered once: a release whose values were looked at when it was admitted is not rendered again by its
operations, nor for each of many clusters. What is remembered is a digest; a failure is not, for it may be the machine's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from weakref import WeakValueDictionary

import msgspec

from services.appstore.helm.engine import HelmError, RenderRequest
from services.appstore.helm.rooms import directory

REMEMBERED = 1000
DECIDES = ("ResourceLimit", "Deadline", "SchemaInvalid")
"""Reasons that say no. What cannot be rendered without a cluster (`lookup`), the cluster judges."""


class Preflight:
    """See the module. `template` renders into a file, HelmError."""

    def __init__(self, template: Callable[[RenderRequest, Path], Awaitable[None]]) -> None:
        self._template = template
        self._well: OrderedDict[bytes, None] = OrderedDict()
        """Digests of requests that were rendered well, the last used last."""
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def check(self, request: RenderRequest) -> None:
        """Nothing if what is asked for may be sent. HelmError, of DECIDES."""
        key = await asyncio.to_thread(digest, request)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            if key not in self._well:
                try:
                    with directory() as own:
                        await self._template(request, own / "manifest.yaml")
                except HelmError as error:
                    if error.reason in DECIDES:
                        raise
                    return
            self._well[key] = None
            self._well.move_to_end(key)
            while len(self._well) > REMEMBERED:
                self._well.popitem(last=False)


def digest(request: RenderRequest) -> bytes:
    """Of all that decides what is rendered. Secrets among the values cannot be told from it."""
    said = (
        sha256(request.chart.read_bytes()).digest(),
        request.release,
        request.namespace,
        request.values,
        request.kube_version,
        request.api_versions,
        request.crds,
        request.hooks,
        request.upgrade,
    )
    return sha256(msgspec.json.encode(said, order="sorted")).digest()
