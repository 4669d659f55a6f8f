"""What happens to our objects on a member, and what entries wait for: metadata watches, kept up for ever.

One watch per kind that our owners may want, of what carries a host's label: what another one has left, from which the cluster
was taken over, is to go unless it is wanted. Namespaces and CustomResourceDefinitions are watched besides while an entry waits
for one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from skerry.api.meta import ObjectMeta
from skerry.api.names import HOST_LABEL
from skerry.backoff import Backoff
from skerry.desired.answers import Unsettled
from skerry.desired.objects import Objects, Placed, owner_of, placed
from skerry.desired.owners import OWNERS
from skerry.errors import StatusError
from skerry.http.errors import HttpError
from skerry.member.credentials import CredentialError
from skerry.member.upstream import CALL_S
from skerry.member.watch import IDLE_S, MetadataWatch, ObjectEvent

log = logging.getLogger("skerry.desired")

CRD = "CustomResourceDefinition"
_COLLECTIONS = {"Namespace": "/api/v1/namespaces", CRD: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"}

_OF_ANOTHER = Placed("", "")
"""An object that carries another host's label: not as this one applied it, whatever it holds."""

ObjectParts = tuple[str, str, str, str]
"""Group, kind in lower case, namespace, name."""
Drifted = Callable[[str, ObjectParts, "Placed | None", str], None]
"""Owner, which object, how it lies there now (None: gone), and the manager that wrote it last; empty for one that is gone: its
last writer is not who deleted it, and no API server tells who did."""
Came = Callable[[str, str], None]
"""Namespace or CustomResourceDefinition, and the name of one that is there."""


class Drift:
    """See the module. `run` must run; what is to be watched can be said before."""

    def __init__(self, objects: Objects, drifted: Drifted, came: Came) -> None:
        self._objects, self._drifted, self._came = objects, drifted, came
        self._wanted: dict[tuple[str, str], bool] = {}
        """(group, kind) of ours, or ("", kind) of what is waited for -> whether a task watches it."""
        self._news = asyncio.Event()

    def watch_ours(self, group: str, kind: str) -> None:
        """Have our objects of a kind watched."""
        self._want((group, kind))

    def watch_for(self, kind: str) -> None:
        """Have Namespaces, or CustomResourceDefinitions, watched since something waits for one."""
        self._want(("?", kind))

    def _want(self, what: tuple[str, str]) -> None:
        if what not in self._wanted:
            self._wanted[what] = False
            self._news.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        self._wanted = dict.fromkeys(self._wanted, False)
        async with asyncio.TaskGroup() as group:
            while True:
                for what, watched in list(self._wanted.items()):
                    if not watched:
                        self._wanted[what] = True
                        group.create_task(self._keep(*what), name=f"watch of {what[1]}")
                await self._news.wait()
                self._news.clear()

    async def _keep(self, group: str, kind: str) -> None:
        """One watch after the other. A kind that is not there, or may not be watched, is tried again with pauses."""
        backoff, watch, reported = Backoff(1.0, 300.0), None, ""
        while True:
            try:
                if watch is None:
                    watch = MetadataWatch(self._objects.upstream, *await self._collection(group, kind))
                # a connection that died in silence is no watch
                async with asyncio.timeout(IDLE_S + CALL_S), contextlib.aclosing(watch.run()) as changes:
                    async for seen in changes:
                        backoff.reset()
                        self._seen(group, kind, seen)
                continue
            except TimeoutError:
                log.info("a watch on the member fell silent", extra={"kind": kind})
            except (StatusError, Unsettled, CredentialError, HttpError) as error:
                if str(error) != reported:
                    log.info("a watch on the member ended", extra={"kind": kind, "reason": str(error)[:300]})
                    reported = str(error)
            await asyncio.sleep(backoff.next())

    async def _collection(self, group: str, kind: str) -> tuple[str, str]:
        if group == "?":
            return _COLLECTIONS[kind], ""
        which = await self._objects.named(group, kind.lower(), "", "")
        served = await self._objects.served(which.api_version, which.kind)
        return served.collection(), HOST_LABEL

    def _seen(self, group: str, kind: str, seen: ObjectEvent[ObjectMeta]) -> None:
        metadata = seen.object
        if group == "?":
            if not seen.gone:
                self._came(kind, metadata.name)
            return
        owner, host = owner_of(metadata)
        if owner not in OWNERS:
            return
        is_ours = host == self._objects.host
        lies = None if seen.gone else placed(metadata, OWNERS[owner].manager) if is_ours else _OF_ANOTHER
        last = max(metadata.managed_fields, key=lambda each: str(each.get("time") or ""), default={})
        by = "" if seen.gone else str(last.get("manager") or "")
        self._drifted(owner, (group, kind.lower(), metadata.namespace, metadata.name), lies, by)
