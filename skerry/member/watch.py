"""Watching objects on a member: a list in pages, then changes, for as long as the API server sends them.

One watch is one connection and one list. Whoever keeps it alive starts it again when it ends, which API servers make it do
after some minutes in any case; after 410 the list is made anew, and what is not in it any more is told as deleted.
Of each object no more is kept than whoever watches needs: its metadata, or what they make of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sized
from typing import Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from skerry.api.decode import decoded, decoder
from skerry.api.meta import ListMeta, ObjectMeta, Struct
from skerry.errors import BadGateway, Gone
from skerry.member.upstream import Upstream, WholeAnswer

PAGE = 500
HEAD_S = 30.0
IDLE_S = 360
"""An API server ends the watch after so long; then it is known that the connection lives."""
LINE = 4 << 20
"""Bytes of one event."""
LARGEST = 100_000
"""Objects of one collection: a member that lists for ever does not fill this process."""
_LIST = b"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ONE = b"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

KeptT = TypeVar("KeptT")


class Named(Protocol):
    """Metadata, as far as a watch reads it."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


class WatchedObject(Protocol):
    """An object."""

    @property
    def metadata(self) -> Named: ...


ItemT = TypeVar("ItemT", bound=WatchedObject)


class ObjectEvent(NamedTuple, Generic[KeptT]):
    """One object as it is now; `gone` if it is not there any more, then as it was."""

    namespace: str
    name: str
    object: KeptT
    gone: bool = False


class _PartialObject(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()


class _CollectionPage(Struct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] = []


class _WireEvent(Struct, frozen=True, kw_only=True):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


_event = decoder(_WireEvent)


class CollectionWatch(Generic[ItemT, KeptT]):
    """Objects of one collection that a label selector takes. `run` is one attempt; what is known stays for the next."""

    def __init__(
        self,
        upstream: Upstream,
        path: str,
        kind: type[ItemT],
        keep: Callable[[ItemT], KeptT],
        *,
        selector: str = "",
        page: int = PAGE,
        accept: tuple[bytes, bytes] = (b"application/json", b"application/json"),
    ) -> None:
        """`keep` makes of an object what is known and told of it. `accept` is asked for lists, and for single objects."""
        self._upstream, self._path, self._selector, self._page = upstream, path, selector, page
        self._kind, self._keep, self._accept = kind, keep, accept
        self._known: dict[tuple[str, str], KeptT] = {}
        self._version = ""
        """Where the next watch goes on; empty: with a list."""

    async def run(self) -> AsyncGenerator[ObjectEvent[KeptT]]:
        """The changes, beginning with all that is there at the first time. It ends when the API server ends it.

        Any error of the API server: Forbidden, NotFound (no such resource); BadGateway, CredentialError.
        """
        if not self._version:
            async for seen in self.listed():
                yield seen
        async for seen in self._watched():
            yield seen

    async def listed(self) -> AsyncGenerator[ObjectEvent[KeptT]]:
        """All that is there, and what went since it was known. Errors as for `run`."""
        there: dict[tuple[str, str], KeptT] = {}
        after, version = "", ""
        while True:
            query = {"limit": str(self._page), **({"continue": after} if after else {})}
            answer = await self._upstream.call("GET", self._target(query), headers=[(b"accept", self._accept[0])])
            if answer.status == 410 and after:
                after = ""
                continue
            page, items = self._read_page(answer)
            for item in items:
                there[item.metadata.namespace, item.metadata.name] = self._keep(item)
            self._bound(there)
            version, after = page.resource_version or version, page.continue_
            if not after:
                break
        before, self._known, self._version = self._known, there, version
        for key, known in before.items():
            if key not in there:
                yield ObjectEvent(*key, known, gone=True)
        for key, known in there.items():
            yield ObjectEvent(*key, known)

    async def _watched(self) -> AsyncGenerator[ObjectEvent[KeptT]]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(IDLE_S),
        }
        lines = self._upstream.lines(self._target(query), [(b"accept", self._accept[1])], limit=LINE, head_s=HEAD_S)
        try:
            async with contextlib.aclosing(lines) as coming:
                async for seen in self._events(coming):
                    yield seen
        except Gone:
            self._version = ""

    async def _events(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[ObjectEvent[KeptT]]:
        async for line in lines:
            event = self._read(line)
            if event is None:
                return
            type_, item = event
            if type_ == "BOOKMARK":
                continue
            key, known = (item.metadata.namespace, item.metadata.name), self._keep(item)
            if type_ == "DELETED":
                self._known.pop(key, None)
            else:
                self._known[key] = known
                self._bound(self._known)
            yield ObjectEvent(*key, known, gone=type_ == "DELETED")

    def _read(self, line: bytes) -> tuple[str, ItemT] | None:
        """None after an ERROR: of any kind, since a list tells everything anew."""
        try:
            event = _event(line)
            if event.type == "ERROR":
                self._version = ""
                return None
            item = decoded(event.object, self._kind)
        except msgspec.DecodeError as error:
            self._version = ""
            raise BadGateway(f"the API server {self._upstream.url} sent an event that cannot be read") from error
        self._version = item.metadata.resource_version or self._version
        return event.type, item

    def _read_page(self, answer: WholeAnswer) -> tuple[ListMeta, list[ItemT]]:
        if answer.status != 200:
            raise answer.error()
        try:
            page = decoded(answer.body, _CollectionPage)
            return page.metadata, [decoded(item, self._kind) for item in page.items]
        except msgspec.DecodeError as error:
            raise BadGateway(f"the API server's list of {self._path} cannot be read") from error

    def _bound(self, known: Sized) -> None:
        if len(known) > LARGEST:
            raise BadGateway(f"the API server {self._upstream.url} has more than {LARGEST} objects at {self._path}")

    def _target(self, query: dict[str, str]) -> str:
        if self._selector:
            query = {**query, "labelSelector": self._selector}
        return f"{self._path}?{urlencode(query)}"


class MetadataWatch(CollectionWatch[_PartialObject, ObjectMeta]):
    """A watch of metadata alone."""

    def __init__(self, upstream: Upstream, path: str, selector: str = "") -> None:
        super().__init__(
            upstream, path, _PartialObject, lambda item: item.metadata, selector=selector, accept=(_LIST, _ONE)
        )
