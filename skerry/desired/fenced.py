"""Entries with a number: what is older never comes back, whoever slept before writing it. How they are written on a member.

Server-side apply makes an object that is gone even where a resourceVersion is given. So these are read, and then made by POST or
replaced by PUT at the version that was read: a writer that slept in between is refused by the API server, and one that reads a
higher number leaves it. In place means for a ResourceQuota that its status says the same: before that nothing is refused by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET

from skerry.api.decode import decoded
from skerry.api.desired import Options, State
from skerry.api.meta import Document, ObjectMeta
from skerry.api.names import FENCE, HOST_LABEL, OWNER_LABEL
from skerry.desired.answers import Missing, Unsettled, going, unsettled
from skerry.desired.objects import Objects, Placed, placed
from skerry.desired.owners import OWNERS, ObjectReference, reference
from skerry.member.upstream import WholeAnswer

POLLS, POLL_S = 4, 0.05
"""How often and after what a quota's status is looked at: a controller needs 14 ms as a rule, and 270 at worst."""
SOON_S = 0.5
_encode = msgspec.json.Encoder().encode


class FencedObjects:
    """See the module; one member's, on behalf of one host."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def write(self, document: Document, owner: str, options: Options) -> Placed | None:
        """Bring an entry in place; None if the object is to be gone, and is. Unsettled says what is in the way."""
        which = reference(document)
        await self._check_namespace(which.namespace, options.namespace_uid)
        live = await self._read(which)
        if live is None:
            return None if options.absent else await self._make(document, which, owner, options)
        metadata = _metadata(live)
        if metadata.deletion_timestamp is not UNSET:
            raise going(str(which))
        if not await self._objects.is_mine(metadata, owner, which) and options.adopt == "Never":
            raise Unsettled(
                State.EXISTS, f"{which} is there already and is not Skerry's: delete it, or have it adopted"
            )
        fence = options.fence or 0
        if _number(metadata) > fence:
            message = f"{which} has number {_number(metadata)} already, which is newer than {fence}"
            raise Unsettled(State.CONFLICT, message, again_s=None)
        if options.absent:
            await self._delete(which, metadata)
            return None
        return await self._replace(live, document, which, owner, options)

    async def _check_namespace(self, name: str, uid: str) -> None:
        there = await self._objects.read(ObjectReference("v1", "Namespace", "", name))
        if there is None:
            raise Missing("Namespace", name, f"namespace {name} does not exist on this cluster")
        if there.uid != uid:
            raise Unsettled(State.WAITING, f"namespace {name} was made anew: its owner has not heard of that yet")

    async def _read(self, which: ObjectReference) -> Document | None:
        answer = await self._objects.call("GET", await self._objects.path(which))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise unsettled(answer, "get", str(which))
        return answer.document()

    async def _make(self, document: Document, which: ObjectReference, owner: str, options: Options) -> Placed:
        body = {**document, "metadata": self._marked(document["metadata"], owner, options)}
        path = (await self._objects.path(which)).removesuffix(f"/{quote(which.name, safe='')}")
        answer = await self._objects.call("POST", f"{path}?{_query(owner)}", body=_encode(body))
        if answer.status == 409:
            raise _changed(which)
        if answer.status != 201:
            raise self._objects.refused(answer, which, None)
        return await self._in_place(answer, which, owner, options)

    async def _replace(
        self, live: Document, document: Document, which: ObjectReference, owner: str, options: Options
    ) -> Placed:
        wanted = {} if options.keep else {key: value for key, value in document.items() if key != "metadata"}
        added = {} if options.keep else document["metadata"]
        body = {**live, **wanted, "metadata": self._marked(live["metadata"], owner, options, added)}
        answer = WholeAnswer(status=200, body=_encode(live))
        if body != live:
            path = f"{await self._objects.path(which)}?{_query(owner)}"
            answer = await self._objects.call("PUT", path, body=_encode(body))
        if answer.status in (404, 409):
            raise _changed(which)
        if answer.status != 200:
            raise self._objects.refused(answer, which, _metadata(live))
        return await self._in_place(answer, which, owner, options)

    def _marked(
        self, metadata: Mapping[str, Any], owner: str, options: Options, added: Mapping[str, Any] | None = None
    ) -> Document:
        """Metadata as they are, with what the entry says of them, our labels and the number."""
        marks = {
            "labels": {OWNER_LABEL: owner, HOST_LABEL: self._objects.host},
            "annotations": {FENCE: str(options.fence)},
        }
        more = added or {}
        merged = {name: {**(metadata.get(name) or {}), **(more.get(name) or {}), **marks[name]} for name in marks}
        return {**metadata, **merged}

    async def _delete(self, which: ObjectReference, metadata: ObjectMeta) -> None:
        preconditions = {"uid": metadata.uid, "resourceVersion": metadata.resource_version}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        answer = await self._objects.call("DELETE", await self._objects.path(which), body=_encode(body))
        if answer.status == 409:
            raise _changed(which)
        if answer.status not in (200, 202, 404):
            raise unsettled(answer, "delete", str(which))

    async def _in_place(self, answer: WholeAnswer, which: ObjectReference, owner: str, options: Options) -> Placed:
        document = answer.document()
        for _ in range(POLLS):
            if options.keep or is_effective(document):
                return placed(_metadata(document), OWNERS[owner].manager)
            await asyncio.sleep(POLL_S)
            document = await self._read(which) or document
        raise Unsettled(
            State.WAITING,
            f"{which} limits nothing yet: the cluster's quota controller has not taken it in; does it run?",
        )


def is_effective(document: Document) -> bool:
    """True unless a ResourceQuota, or a change of it, is still to be taken in by the controller of quotas."""
    if document.get("kind") != "ResourceQuota":
        return True
    spec, status = document.get("spec") or {}, document.get("status") or {}
    return (spec.get("hard") or {}) == (status.get("hard") or {})


def _query(owner: str) -> str:
    return urlencode({"fieldManager": OWNERS[owner].manager})


def _number(metadata: ObjectMeta) -> int:
    """0 if there is none that can be read: nobody but its own people write there what is none."""
    text = metadata.annotations.get(FENCE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _metadata(document: Document) -> ObjectMeta:
    try:
        return decoded(_encode(document.get("metadata")), ObjectMeta)
    except msgspec.DecodeError as error:
        raise Unsettled(State.FAILED, "the API server's answer cannot be read") from error


def _changed(which: ObjectReference) -> Unsettled:
    return Unsettled(State.PENDING, f"{which} changed in this moment", again_s=SOON_S)
