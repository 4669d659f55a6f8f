"""A member for tests of its applier: a real API server, and what its own people do there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from skerry.api.desired import State
from skerry.desired.applier import Applier
from skerry.desired.objects import Objects
from skerry.member.upstream import Upstream
from tests.desired.bucket import HOST, NAME, Bucket

RBAC = "rbac.authorization.k8s.io"
BINDINGS = f"/apis/{RBAC}/v1/namespaces/{{}}/rolebindings"


class Cluster:
    """A member's API server, an applier for it, and the bucket that it follows."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.bucket = Bucket()
        self.namespace = f"desired-{uuid.uuid4().hex[:8]}"
        self.applier = self.made()

    def made(self, **more: Any) -> Applier:
        """Another applier of the same member."""
        applier = Applier(NAME, Objects(self.upstream, HOST), self.bucket, self.bucket.verify, **more)
        self.bucket.appliers.append(applier)
        return applier

    async def ask(self, method: str, path: str, document: Any = None, content_type: str = "application/json") -> Any:
        """A request of the member's own people."""
        body = b"" if document is None else msgspec.json.encode(document)
        answer = await self.upstream.call(method, path, body=body, content_type=content_type.encode())
        return answer.document() if answer.status < 400 else answer.status

    async def there(self, path: str) -> bool:
        """Whether an object exists and is not on its way out."""
        found = await self.ask("GET", path)
        return isinstance(found, dict) and "deletionTimestamp" not in found["metadata"]

    def state(self, key: str) -> State | None:
        """Of an entry; None if it is not known."""
        known = self.applier.state.entries.get(key)
        return known.state if known is not None else None

    def message(self, key: str) -> str:
        """Of an entry."""
        return self.applier.state.entries[key].message

    async def until(self, test: Callable[[], object]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(60):
            while not test():
                await asyncio.sleep(0.02)

    async def settled(self, key: str, state: State | None) -> None:
        """Wait until an entry is in a state (None: it is not known any more), and was not just about to leave it."""
        await self.until(lambda: self.state(key) is state)

    def binding(self, name: str = "skerry:edit", group: str = "skerry:a", **metadata: Any) -> dict[str, Any]:
        """A RoleBinding in the test's namespace."""
        return {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
        }

    def space(self, name: str = "", **metadata: Any) -> dict[str, Any]:
        """The test's Namespace."""
        return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name or self.namespace, **metadata}}

    def path(self, name: str = "skerry:edit") -> str:
        """Of a RoleBinding in the test's namespace."""
        return f"{BINDINGS.format(self.namespace)}/{name.replace(':', '%3A')}"
