"""An App Store on a real bus, and what the front door asks it: writes and actions, signed for whoever is said to ask."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from services.appstore.catalogue.names import version_name
from services.appstore.parts import AppStoreContext, AppStoreState
from services.appstore.service import SERVICE
from services.appstore.settings import AppStoreSettings
from skerry import subjects
from skerry.api.appstore import STORE
from skerry.api.kinds import APP, APP_STORE, APP_VERSION, CLUSTER, CLUSTER_ADMIN, WORKSPACE, Kind
from skerry.api.messages import SIGNATURE, Caller, Write, WriteAnswer, WriteOptions
from skerry.api.meta import Document
from skerry.api.streaming import PartHead, UploadReference, decode_part
from skerry.bus import BucketConfig, Bus
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.service import Process, Service
from skerry.storage import Store
from skerry.storage.buckets import make_store
from tests.fixtures.nats import NatsHost, eventually
from tests.fixtures.service import serving

ADMIN = Caller(user="admin", groups=(CLUSTER_ADMIN,))


class World:
    """One replica of the App Store, and the stores of the services beside it."""

    def __init__(
        self, host: NatsHost, bus: Bus, process: Process, clusters: Store, workspaces: Store, state: AppStoreState
    ) -> None:
        self.host, self.bus, self.process, self.clusters, self.workspaces = host, bus, process, clusters, workspaces
        self.state = state
        """What the service's parts share."""

    # What the front door does

    async def write(
        self, verb: str, kind: Kind, document: Document, *, caller: Caller = ADMIN, **options: Any
    ) -> WriteAnswer:
        """A create, update, patch (application/merge-patch+json) or delete of what `document` names. StatusError."""
        metadata = document.get("metadata") or {}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **document}
        if verb == "patch":
            body = document
        request = Write(
            request_id=uuid.uuid4().hex,
            namespace=str(metadata.get("namespace", "")),
            name=str(metadata.get("name", "")),
            content_type="application/merge-patch+json" if verb == "patch" else "application/json",
            body=msgspec.Raw(msgspec.json.encode(None if verb == "delete" else body)),
            options=WriteOptions(**options),
        )
        data = await self._ask(subjects.write(kind.owner, kind.plural, verb), request, caller)
        return msgspec.json.decode(data, type=WriteAnswer)

    async def create(self, kind: Kind, document: Document, *, caller: Caller = ADMIN) -> Document:
        """A new object, as it is answered. StatusError."""
        stored: Document = msgspec.json.decode((await self.write("create", kind, document, caller=caller)).object)
        return stored

    async def patch(
        self, kind: Kind, name: str, changes: Document, *, namespace: str = "", caller: Caller = ADMIN
    ) -> Document:
        """A changed object, as it is answered. StatusError."""
        place = {
            "metadata": {**changes.get("metadata", {}), "name": name, **({"namespace": namespace} if namespace else {})}
        }
        answer = await self.write("patch", kind, {**changes, **place}, caller=caller)
        stored: Document = msgspec.json.decode(answer.object)
        return stored

    async def act(
        self,
        kind: Kind,
        name: str,
        action: str,
        body: Document,
        *,
        namespace: str,
        caller: Caller = ADMIN,
        verb: str = "create",
    ) -> Document:
        """The answer to an action. StatusError."""
        request = Write(
            request_id=uuid.uuid4().hex,
            namespace=namespace,
            name=name,
            subresource=action,
            body=msgspec.Raw(msgspec.json.encode(body)),
        )
        data = await self._ask(subjects.action(kind.owner, kind.plural, action, verb), request, caller)
        answer: Document = msgspec.json.decode(data)
        return answer

    async def push(
        self, name: str, content: bytes, *, namespace: str, caller: Caller = ADMIN, **options: Any
    ) -> Document:
        """The answer to a package that is streamed to `apps/<name>/package`. StatusError."""
        uploads, key = await self.bus.objects(subjects.UPLOADS), uuid.uuid4().hex
        info = await uploads.put(key, _once(content), max_bytes=len(content) + 1, deadline_s=30)
        reference = UploadReference(name=key, size=info.size, digest=info.sha256)
        request = Write(
            request_id=key,
            namespace=namespace,
            name=name,
            subresource="package",
            upload=reference,
            options=WriteOptions(**options),
        )
        data = await self._ask(subjects.action(APP.owner, APP.plural, "package", "create"), request, caller)
        answer: Document = msgspec.json.decode(data)
        return answer

    async def pull(self, name: str, what: str, *, namespace: str, caller: Caller = ADMIN) -> tuple[PartHead, bytes]:
        """What `appversions/<name>/<what>` gives, all parts together. StatusError."""
        subject, content, cursor = subjects.action(APP_VERSION.owner, APP_VERSION.plural, what, "get"), b"", ""
        while True:
            request = Write(
                request_id=uuid.uuid4().hex, namespace=namespace, name=name, subresource=what, cursor=cursor
            )
            head, part = decode_part(await self._ask(subject, request, caller))
            content, cursor = content + part, head.next
            if not cursor:
                return head, content

    async def _ask(self, subject: str, request: Write, caller: Caller) -> bytes:
        payload = msgspec.json.encode(request)
        headers = {SIGNATURE: self.host.sign(caller, subject, payload)}
        return (await self.bus.request(subject, payload, timeout_s=30, headers=headers)).data

    # What is there

    async def enable(self) -> None:
        """Turn the switch."""
        await self.patch(APP_STORE, STORE, {"spec": {"enabled": True}})

    async def member(self, name: str, setting: str = "Unset", **status: Any) -> Document:
        """A Cluster as the registry keeps it."""
        spec = {"role": "member", "connection": {"mode": "agent"}}
        status = {"appStore": {"setting": setting}, **status}
        return (await self.clusters.create({"metadata": {"name": name}, "spec": spec, "status": status})).document()

    async def workspace(self, name: str, *members: tuple[str, str]) -> None:
        """A Workspace whose members are these (user, role)."""
        listed = [{"kind": "User", "name": user, "role": role} for user, role in members]
        await self.workspaces.create({"metadata": {"name": name}, "spec": {"members": listed}})

    async def version(self, app: str, version: str, namespace: str, *, spec: Document = {}, **status: Any) -> str:  # noqa: B006
        """An AppVersion as a sync or an upload keeps it; its name."""
        store = Store(await self.process.bus.bucket(subjects.RESOURCES), APP_VERSION)
        name = version_name(app, version)
        chart = {"name": app, "version": version, "appVersion": "9", "description": f"{app} for tests"}
        document = {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"app": app, "version": version, "chart": app, **spec},
            "status": {"phase": "Draft", "digest": "sha256:" + "0" * 64, "chart": chart, **status},
        }
        await store.create(document)
        return name

    async def modify(self, kind: Kind, name: str, namespace: str, change: Callable[[Document], object]) -> None:
        """An object of the service's as something else in it left it: `change` is given the document."""

        def changed(document: Document) -> Document:
            change(document)
            return document

        await Store(await self.process.bus.bucket(subjects.RESOURCES), kind).modify(name, changed, namespace)
        await self.process.informer.current()

    async def find(self, kind: Kind, name: str, namespace: str = "") -> Document | None:
        """An object as it is stored."""
        await self.process.informer.current()
        item = self.process.informer.get(kind, name, namespace)
        return None if item is None else item.document()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Document:
        """The same, which is there."""
        document = await self.find(kind, name, namespace)
        assert document is not None, f"{kind.kind} {namespace}/{name} is not there"
        return document

    async def until(self, kind: Kind, name: str, namespace: str, holds: Any, timeout_s: float = 20.0) -> Document:
        """The object as soon as `holds` of its document is true."""

        def true() -> bool:
            item = self.process.informer.get(kind, name, namespace)
            return item is not None and bool(holds(item.document()))

        await eventually(true, timeout_s)
        return await self.get(kind, name, namespace)


@asynccontextmanager
async def world(
    host: NatsHost, settings: AppStoreSettings | None = None, service: Service[Any, Any] = SERVICE
) -> AsyncIterator[World]:
    """One App Store that serves."""
    settings = settings or AppStoreSettings(app_store_secrets_key_file=host.keys_dir / SECRETS_KEY)
    states: list[AppStoreState] = []

    @asynccontextmanager
    async def opened(context: AppStoreContext) -> AsyncIterator[AppStoreState]:
        async with service.state(context) as state:
            states.append(state)
            yield state

    async with (
        Bus(host.settings("proxy"), lambda: host.service("proxy")) as proxy,
        Bus(host.settings("registry"), lambda: host.service("registry")) as registry,
        Bus(host.settings("tenancy"), lambda: host.service("tenancy")) as tenancy,
        serving(host, (dataclasses.replace(service, state=opened), settings)) as process,
    ):
        await make_store(registry, subjects.UPLOADS)
        clusters = Store(await registry.bucket(subjects.RESOURCES, create=BucketConfig()), CLUSTER)
        workspaces = Store(await tenancy.bucket(subjects.RESOURCES, create=BucketConfig()), WORKSPACE)
        yield World(host, proxy, process, clusters, workspaces, states[-1])


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
