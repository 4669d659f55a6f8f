"""A host API that is told what is stored, without a bus or a server: tenants ask it what they like, and the real decision answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.proxy.authorize import HostAccess, HostRequest, decide_host, rules
from services.proxy.hostapi import Attributes, HostApi, Rule
from services.proxy.hostapi.forward import Forwarder
from services.proxy.hostapi.shifts import Shifts
from services.proxy.hostapi.visible import Viewer
from skerry.access import Access, Denied, Touched
from skerry.api.kinds import ACCESS_GRANT, CLUSTER, CREDENTIAL, EVENT, KINDS, SERVED, WORKSPACE, Kind, Tie
from skerry.api.messages import Caller
from skerry.bus import Entry, Filled
from skerry.http import Raw
from skerry.httpwire.head import Headers, RequestHead, ResponseHead
from skerry.informer import Change, Informer
from skerry.informer.granted import follow
from skerry.storage.documents import Item, seal
from skerry.subjects import key

API = "/apis/skerry.dev/v1alpha1"
ALICE, BOB, NOBODY = Caller(user="alice", groups=("org:shop",)), Caller(user="bob"), Caller(user="nobody")
VIEWER, ADMIN = Caller(user="v", groups=("skerry:view",)), Caller(user="a", groups=("skerry:cluster-admin",))
ON_HOST = Caller(user="reader")


class Asked:
    """An exchange that keeps its answer."""

    def __init__(self, method: str, target: str, body: bytes, headers: Headers) -> None:
        self.head = RequestHead(
            method=method.encode(), target=target.encode(), headers=headers, content_length=len(body)
        )
        self.gone, self.begun = asyncio.Event(), asyncio.Event()
        self.status, self.started = 0, False
        self.body = b""
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self._sent = [body] if body else []

    async def read(self) -> bytes:
        return self._sent.pop() if self._sent else b""

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.body = status, body

    async def start(self, head: ResponseHead, *, length: int | None) -> None:
        self.status = head.status
        self.begun.set()

    async def write(self, data: bytes) -> None:
        for line in data.splitlines():
            self.events.put_nowait(msgspec.json.decode(line))

    async def finish(self) -> None:
        self.events.put_nowait(None)

    async def upgrade(self, head: ResponseHead) -> Raw:
        raise NotImplementedError

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    async def told(self) -> Any:
        """The next event of a watch; None at its end."""
        async with asyncio.timeout(10):
            return await self.events.get()


class Forwarding(Forwarder):
    """In front of no owner: says what would have gone to one."""

    def __init__(self) -> None:
        self.forwarded: list[str] = []

    def of(self, audit_id: str) -> Forwarder:
        """Itself: what it says has no Audit-ID."""
        return self

    async def ask(self, target: Any, caller: Caller, verb: str, *more: Any) -> bytes:
        self.forwarded.append(f"{verb} {target.kind.plural}/{target.name}")
        return msgspec.json.encode({"object": {"metadata": {}}, "gone": True})

    async def act(self, target: Any, action: Any, *more: Any) -> bytes:
        self.forwarded.append(f"{action.verb} {target.kind.plural}/{target.name}/{action.subresource}")
        return b"{}"


class Leader:
    """Who knows the last revision. What is `late` was stored before it was asked, and is told then."""

    def __init__(self, informer: Informer, late: list[Callable[[], object]]) -> None:
        self._informer = informer
        self._late = late

    async def last_revision(self) -> int:
        while self._late:
            self._late.pop()()
        return self._informer.revision


class Tenants:
    """The host API of one proxy, and what is stored."""

    def __init__(self, ring: int = 1024, kinds: tuple[Kind, ...] = ()) -> None:
        self.now = 0.0
        self.late: list[Callable[[], object]] = []
        self.informer, self.events = Informer((*KINDS, *kinds), ring=ring), Informer((EVENT,), ring=ring)
        self.access, self.declared = Access(), HostAccess((*SERVED, *kinds))
        for each in (self.informer, self.events):
            each.take(Filled(0))
            each._progress.leader = Leader(each, self.late)
        self.forwarding = Forwarding()
        self.shifts = Shifts(lambda: self.now, lambda: self.events.revision)
        self.api = HostApi(
            self.informer,
            self.forwarding,
            (*SERVED, *kinds),
            now=lambda: datetime.fromtimestamp(self.now, UTC),
            events=self.events,
            granted=self.access,
            shifts=self.shifts,
        )
        follow(self.informer, self.access, self._touched)

    def _touched(self, touched: Touched, change: Change) -> None:
        self.shifts.note(touched, change.revision, known=change.old is not None)

    # What is stored

    def store(self, kind: Kind, name: str, *, deleted: bool = False, uid: str = "", **document: Any) -> int:
        """An object as it is now; its revision."""
        informer = self.events if kind is EVENT else self.informer
        metadata = {"name": name, "uid": uid or f"uid-{name}", **document.pop("metadata", {})}
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **document}
        namespace = metadata.get("namespace", "")
        entry = Entry(
            key=key(kind.group, kind.kind, namespace, name),
            value=seal(whole, writes=(), deleted=deleted),
            revision=informer.revision + 1,
            created=0.0,
        )
        informer.take(entry)
        return informer.revision

    def cluster(self, name: str, **labels: str) -> int:
        spec = {"role": "member", "connection": {"mode": "agent"}}
        return self.store(CLUSTER, name, metadata={"labels": labels}, spec=spec)

    def grant(self, name: str, *users: str, clusters: Any = ("m1",), group: str = "", **spec: Any) -> int:
        subjects = [{"kind": "User", "name": user} for user in users]
        subjects += [{"kind": "Group", "name": group}] if group else []
        selection = (
            {"names": list(clusters)} if isinstance(clusters, tuple) else {"selector": {"matchLabels": clusters}}
        )
        bound = [{"name": each, "uid": f"uid-{each}"} for each in clusters] if isinstance(clusters, tuple) else []
        whole = {"subjects": subjects, "clusters": selection, "role": "view", **spec}
        return self.store(ACCESS_GRANT, name, spec=whole, status={"clusters": bound})

    def workspace(self, name: str, **members: str) -> int:
        listed = [{"kind": "User", "name": user, "role": role} for user, role in members.items()]
        return self.store(WORKSPACE, name, spec={"members": listed})

    def credential(self, name: str, user: str) -> int:
        return self.store(CREDENTIAL, name, spec={"user": user}, status={"expires": "2099-01-01T00:00:00Z"})

    def event(self, name: str, kind: Kind, about: str) -> int:
        reference = {"apiVersion": kind.api_version, "kind": kind.kind, "name": about}
        return self.store(EVENT, name, metadata={"namespace": "default"}, involvedObject=reference, reason="R")

    def delete(self, kind: Kind, name: str) -> int:
        metadata = {"namespace": "default"} if kind is EVENT else {}
        return self.store(kind, name, deleted=True, metadata=metadata)

    # What is asked

    def _authorize(self, caller: Caller) -> Any:
        def authorize(asked: Attributes) -> tuple[Tie, ...]:
            request = HostRequest(*asked[:6])
            decision = decide_host(caller, request, self.access, self.now, self.declared)
            if isinstance(decision, Denied):
                raise decision.error
            return decision.ties

        return authorize

    async def _handle(self, asked: Asked, caller: Caller) -> None:
        def told(namespace: str) -> tuple[Rule, ...]:
            return tuple(Rule(*rule) for rule in rules(caller, namespace, self.access, self.now, self.declared))

        asked.status = await self.api.handle(asked, caller, self._authorize(caller), rules=told)

    async def ask(
        self,
        caller: Caller,
        target: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Asked:
        """A whole answer."""
        data = b"" if body is None else msgspec.json.encode(body)
        pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        asked = Asked(method, target, data, pairs)
        await self._handle(asked, caller)
        return asked

    async def names(self, caller: Caller, path: str) -> list[str]:
        """Of what a list has."""
        answer = await self.ask(caller, path)
        assert answer.status == 200, answer.body
        return [item["metadata"]["name"] for item in answer.json()["items"]]

    def shows(self, caller: Caller, kind: Kind, item: Item) -> bool:
        """Whether a caller who may read a kind is shown an object of it."""
        authorize = self._authorize(caller)
        ties = authorize(Attributes("list", kind.group, kind.plural))
        return self.api._visibility.sight(kind, Viewer(caller, authorize), ties).match(item)

    @contextlib.asynccontextmanager
    async def watching(
        self, caller: Caller, target: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Asked]:
        """A watch that runs: what was stored before is what it begins with."""
        asked = Asked("GET", target, b"", [(k.encode(), v.encode()) for k, v in (headers or {}).items()])
        running = asyncio.ensure_future(self._handle(asked, caller))
        try:
            async with asyncio.timeout(10):
                await asked.begun.wait()
            yield asked
        finally:
            running.cancel()
            await asyncio.wait([running])
