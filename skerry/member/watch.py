"""Watching metadata of objects on a member: a list in pages, then changes, for as long as the API server sends them.

One watch is one connection and one list. Whoever keeps it alive starts it again when it ends, which API servers make it do
after some minutes in any case; after 410 the list is made anew, and what is not in it any more is told as deleted.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple
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
_LIST = b"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ONE = b"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class MetadataEvent(NamedTuple):
    """One object as it is now; `gone` if it is not there any more."""

    metadata: ObjectMeta
    gone: bool = False


class _Partial(Struct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()


class _List(Struct, frozen=True, kw_only=True):
    metadata: ListMeta = ListMeta()
    items: list[_Partial] = []


class _Event(Struct, frozen=True, kw_only=True):
    type: str = ""
    object: msgspec.Raw = msgspec.Raw(b"{}")


_event = decoder(_Event)


class MetadataWatch:
    """Objects of one collection that a label selector takes. `run` is one attempt; what is known stays for the next."""

    def __init__(self, upstream: Upstream, path: str, selector: str = "") -> None:
        self._upstream, self._path, self._selector = upstream, path, selector
        self._known: dict[tuple[str, str], ObjectMeta] = {}
        self._version = ""
        """Where the next watch goes on; empty: with a list."""

    async def run(self) -> AsyncGenerator[MetadataEvent]:
        """What changes, beginning with all that is there at the first time. It ends when the API server ends it.

        Any error of the API server: Forbidden, NotFound (no such resource); BadGateway, CredentialError.
        """
        if not self._version:
            async for seen in self._listed():
                yield seen
        async for seen in self._watched():
            yield seen

    async def _listed(self) -> AsyncGenerator[MetadataEvent]:
        there: dict[tuple[str, str], ObjectMeta] = {}
        after, version = "", ""
        while True:
            query = {"limit": str(PAGE), **({"continue": after} if after else {})}
            answer = await self._upstream.call("GET", self._target(query), headers=[(b"accept", _LIST)])
            if answer.status == 410 and after:
                after = ""
                continue
            page = _page(answer, self._path)
            for item in page.items:
                there[item.metadata.namespace, item.metadata.name] = item.metadata
            version, after = page.metadata.resource_version or version, page.metadata.continue_
            if not after:
                break
        before, self._known, self._version = self._known, there, version
        for name, metadata in before.items():
            if name not in there:
                yield MetadataEvent(metadata, gone=True)
        for metadata in there.values():
            yield MetadataEvent(metadata)

    async def _watched(self) -> AsyncGenerator[MetadataEvent]:
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(IDLE_S),
        }
        lines = self._upstream.lines(self._target(query), [(b"accept", _ONE)], limit=LINE, head_s=HEAD_S)
        try:
            async with contextlib.aclosing(lines) as coming:
                async for seen in self._events(coming):
                    yield seen
        except Gone:
            self._version = ""

    async def _events(self, lines: AsyncIterator[bytes]) -> AsyncGenerator[MetadataEvent]:
        async for line in lines:
            event = self._read(line)
            if event is None:
                return
            if event.type == "BOOKMARK":
                continue
            metadata = decoded(event.object, _Partial).metadata
            name = (metadata.namespace, metadata.name)
            if event.type == "DELETED":
                self._known.pop(name, None)
            else:
                self._known[name] = metadata
            yield MetadataEvent(metadata, gone=event.type == "DELETED")

    def _read(self, line: bytes) -> _Event | None:
        """None after an ERROR: of any kind, since a list tells everything anew."""
        try:
            event = _event(line)
            if event.type == "ERROR":
                self._version = ""
                return None
            self._version = decoded(event.object, _Partial).metadata.resource_version or self._version
        except msgspec.DecodeError as error:
            self._version = ""
            raise BadGateway(f"the API server {self._upstream.url} sent an event that cannot be read") from error
        return event

    def _target(self, query: dict[str, str]) -> str:
        if self._selector:
            query = {**query, "labelSelector": self._selector}
        return f"{self._path}?{urlencode(query)}"


def _page(answer: WholeAnswer, path: str) -> _List:
    if answer.status != 200:
        raise answer.error()
    try:
        return decoded(answer.body, _List)
    except msgspec.DecodeError as error:
        raise BadGateway(f"the API server's list of {path} cannot be read") from error
