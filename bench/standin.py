"""An API server that is a table, for what an agent applies: as many members as one process holds keep desired state in it.

All but the API server is what an agent runs: its feed, its applier, its reports (services/agent/desired.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from services.agent.desired import DesiredState, RegistryClient
from services.agent.store import Membership
from skerry.api.desired import Report, State
from skerry.api.messages import Direction, Progress
from skerry.api.v1alpha1 import Ceiling
from skerry.bus import Connection
from skerry.desired.owners import RBAC
from skerry.identity.trust import is_signed
from skerry.member.upstream import Upstream, WholeAnswer

MARK = "bench.skerry.dev/mark"
"""Annotation of an entry: which change it is."""
_KINDS = {
    "/api/v1": [("Namespace", "namespaces", False)],
    f"/apis/{RBAC}/v1": [
        ("ClusterRoleBinding", "clusterrolebindings", False),
        ("ClusterRole", "clusterroles", False),
        ("RoleBinding", "rolebindings", True),
    ],
}


class _Metadata(msgspec.Struct, frozen=True):
    annotations: dict[str, str] = {}


class _Applied(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class Table:
    """What answers an applier: objects are there once they were applied."""

    url = "a table"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.applied: dict[str, float] = {}
        """Mark -> when it was applied, seconds since the epoch."""
        self.changed = asyncio.Event()
        self._revision = 0

    async def call(self, method: str, path: str, *, body: bytes = b"", **more: Any) -> WholeAnswer:
        """One request."""
        path = urlsplit(path).path
        if path in _KINDS:
            return _answer(
                200,
                {"resources": [dict(zip(("kind", "name", "namespaced"), each, strict=True)) for each in _KINDS[path]]},
            )
        if path == f"/apis/{RBAC}":
            return _answer(200, {"preferredVersion": {"groupVersion": f"{RBAC}/v1"}})
        if path.rpartition("/")[2] in ("namespaces", "clusterrolebindings", "clusterroles", "rolebindings"):
            return _answer(200, {"metadata": {"resourceVersion": "1"}, "items": []})
        if method == "PATCH":
            self._apply(path, body)
        there = self.objects.get(path)
        return (
            WholeAnswer(status=200, body=there)
            if there is not None
            else _answer(404, {"message": "not found", "code": 404})
        )

    def _apply(self, path: str, body: bytes) -> None:
        self._revision += 1
        document = msgspec.json.decode(body)
        document["metadata"] |= {
            "uid": path, "resourceVersion": str(self._revision),
            "managedFields": [{"manager": "skerry-tenancy", "operation": "Apply", "time": "2026-01-01T00:00:00Z"}],
        }  # fmt: skip
        self.objects[path] = msgspec.json.encode(document)
        mark = msgspec.convert(document, _Applied).metadata.annotations.get(MARK)
        if mark is not None:
            self.applied[mark] = time.time()
        self.changed.set()

    async def lines(self, path: str, headers: Any, **more: Any) -> AsyncGenerator[bytes]:
        """A watch in which nothing happens."""
        await asyncio.Event().wait()
        yield b""


def _answer(status: int, document: dict[str, Any]) -> WholeAnswer:
    return WholeAnswer(status=status, body=msgspec.json.encode(document))


async def _stay() -> None:
    """No member of a benchmark is removed."""


class InPlace:
    """What an agent says that has everything in place, and holds none of it: that it applied the last change that there is."""

    def __init__(self, member: str) -> None:
        self.progress = Progress(epoch="", applied=0)
        self._registry = RegistryClient(member)

    async def attach(self, connection: Connection) -> None:
        """Report over this one."""
        self._registry.connection = connection

    def directed(self, direction: Direction | None) -> None:
        """Believe what a heartbeat was answered."""
        if direction is not None and direction.last:
            self.progress = Progress(epoch=direction.epoch, applied=direction.last)

    async def report(self, entries: int) -> None:
        """Say once that so many are in place."""
        counts = {"tenancy": {str(State.APPLIED): entries}}
        report = Report(epoch=self.progress.epoch, applied=self.progress.applied, counts=counts)
        await self._registry.report(msgspec.json.encode(report))


class Standin:
    """The desired state of one agent."""

    def __init__(self, member: str, cluster_uid: str, host_uid: str, trust_root: str) -> None:
        self.table = Table()
        membership = Membership(
            member=member, host="bench", host_uid=host_uid, servers=[], ca="", assertion_root=trust_root,
            cluster_uid=cluster_uid,
        )  # fmt: skip
        self.desired = DesiredState(
            membership, partial(is_signed, (trust_root,)), cast(Upstream, self.table), Ceiling(), time.time, _stay
        )

    async def holds(self, count: int) -> None:
        """Wait until so many objects are there."""
        while len(self.table.objects) < count:
            self.table.changed.clear()
            await self.table.changed.wait()
