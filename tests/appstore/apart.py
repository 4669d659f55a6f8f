"""The App Store as processes of its own, to be killed; what lies in the store is read from its buckets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from skerry import subjects
from skerry.api.appstore import STORE
from skerry.api.kinds import APP_STORE, APP_VERSION, CLUSTER, WORKSPACE, Kind
from skerry.api.meta import Document
from skerry.bus import Bus
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.storage import Store, make_all
from tests.appstore.world import World
from tests.faults.fleet import Process
from tests.fixtures.nats import NatsHost

DEADLINE_S = 60.0


class Apart(World):
    """As a World without a service inside."""

    def __init__(self, host: NatsHost, proxy: Bus, reader: Bus, resources: Any, directory: Path) -> None:
        clusters, workspaces = Store(resources, CLUSTER), Store(resources, WORKSPACE)
        super().__init__(host, proxy, cast(Any, None), clusters, workspaces, cast(Any, None))
        self.reader, self._resources, self._directory = reader, resources, directory
        self.processes: list[Process] = []

    async def start(self, **more: str) -> Process:
        """One more replica, ready; `more` of its environment."""
        credentials = self._directory / "appstore.creds"
        if not credentials.exists():
            self.host.service("appstore").save(credentials)
        environment = {
            "SKERRY_BUS_SERVERS": ",".join(self.host.servers),
            "SKERRY_BUS_CA_FILE": str(self.host.directory / "ca.crt"),
            "SKERRY_BUS_CREDENTIALS_FILE": str(credentials),
            "SKERRY_TRUST_ROOT": self.host.trust_root,
            "SKERRY_APP_STORE_SECRETS_KEY_FILE": str(self.host.keys_dir / SECRETS_KEY),
            **more,
        }
        log = self._directory / f"appstore-{len(self.processes)}.log"
        process = Process("services.appstore", log, environment)
        self.processes.append(process)
        await process.logged("ready")
        return process

    async def stored(self, kind: Kind, name: str, namespace: str = "") -> Document | None:
        """An object as it lies in the bucket."""
        item = await Store(self._resources, kind).find(name, namespace)
        return None if item is None else item.document()

    async def when(self, kind: Kind, name: str, namespace: str, holds: Callable[[Document], Any]) -> Document:
        """The object as soon as `holds` of it is true."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            document = await self.stored(kind, name, namespace)
            if document is not None and holds(document):
                return document
            await asyncio.sleep(0.02)
        raise AssertionError(f"{kind.kind} {name} is not so within {DEADLINE_S:.0f} s: {document}")

    async def versions(self) -> list[str]:
        """Names of all AppVersions that are there."""
        filter_ = subjects.key(APP_VERSION.group, APP_VERSION.kind, "x", "x").rpartition(".x.")[0] + ".>"
        names, after, more = {}, 0, True
        while more:
            page = await self._resources.changes(filter_, after)
            more = page.more
            for entry in page.entries:
                after = entry.revision
                names[entry.key] = b'"deleted":true' not in (entry.value or b'"deleted":true')
        return sorted(key for key, there in names.items() if there)


@asynccontextmanager
async def apart(host: NatsHost, directory: Path) -> AsyncIterator[Apart]:
    """No replica yet; those that were started end with it."""
    async with host.bus("proxy") as proxy, host.open_bus("reader") as reader:
        await make_all(reader)
        resources = await reader.bucket(subjects.RESOURCES)
        running = Apart(host, proxy, reader, resources, directory)
        try:
            yield running
        finally:
            for each in running.processes:
                each.end()


async def enabled(store: Apart) -> None:
    """Turn the switch, and let it reach this machine."""
    await store.when(APP_STORE, STORE, "", bool)
    await store.patch(APP_STORE, STORE, {"spec": {"enabled": True, "network": {"allow": ["127.0.0.0/8"]}}})
