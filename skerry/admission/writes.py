"""The owning service's answers to writes of the host API: decode, let the service's rules decide, store, reply.

Generic over kinds: a service gives `Rules` per kind (admission, and what else has to happen), this module does the
protocol. The request id is the write id, so a request that arrives twice is one write. What is written is merged here,
under compare-and-set, never at the proxy: a patch without a resourceVersion is tried again on what somebody else wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from itertools import accumulate
from typing import Any, NamedTuple, ParamSpec

import msgspec

from skerry import subjects
from skerry.admission.callers import Callers, origin_of_request
from skerry.admission.lifecycle import CheckNamespace
from skerry.admission.prepare import APPLY_PATCH, Preparation, Prepared
from skerry.api.kinds import Kind
from skerry.api.messages import WriteAnswer, WriteOptions, WriteRequest
from skerry.api.meta import Document
from skerry.bus import Message
from skerry.errors import AlreadyExists, Conflict, Invalid, cause
from skerry.storage.documents import Item, encode_document, utc_now
from skerry.storage.origin import on_behalf_of
from skerry.storage.store import Store, is_over, replaced

_encode = msgspec.json.Encoder().encode

ATTEMPTS = 5
"""A patch that loses the race so often is a conflict, as in the API server."""
WARNINGS, WARNING = 4096, 256
"""Characters of all warnings of one answer, and of each if there are more."""
LARGE_BYTES = 64 * 1024
"""Documents beyond this are prepared beside the event loop."""

P = ParamSpec("P")


class Admitted(NamedTuple):
    """The result of a write that was admitted."""

    document: Document
    """To store: defaulted; on create with the status that the owner gives it."""
    revealed: Document = {}
    """Status fields for the answer to this create alone: the place for a secret. Absent on dry run, never stored."""
    warnings: tuple[str, ...] = ()
    """For the caller: allowed, but worth knowing."""
    instead: bool = False
    """Of a create: `document` is one that is there already and says all that was asked for: it is the answer, and nothing is stored."""


class Rules:
    """A service's rules for one kind. The defaults admit everything and have no effects."""

    def __init__(self, context: object = None) -> None:
        """`context` is what a service's parts get (skerry/service/spec.py); these rules need nothing of it."""

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """Decide whether and how `document` is stored, a new object. Invalid, Forbidden, Conflict."""
        return Admitted(document)

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """Decide whether and how `document` replaces `current`. Invalid, Forbidden, Conflict. Status cannot be changed here."""
        return Admitted(document)

    async def before_change(self, current: Item, request: WriteRequest) -> None:
        """Forbidden or NotFound for who may not change this object, whatever to: before anything is told of what it holds."""

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Forbidden if this object may not be deleted."""

    async def holds(self, current: Item, request: WriteRequest) -> tuple[str, ...]:
        """Finalizers under which this object waits from its deletion on: for what has to go before it."""
        return ()

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """An object was marked for deletion and waits for its finalizers: the place to finish at once what can be."""


WriteHandler = Callable[[WriteRequest], Awaitable[WriteAnswer]]
PrepareWrite = Callable[[WriteRequest, Document, datetime], Prepared]


class Writes:
    """Endpoints of one kind, for `Bus.serve`."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        clock: Callable[[], datetime] = utc_now,
        check_namespace: CheckNamespace | None = None,
    ) -> None:
        """`check_namespace` is asked before an object of a namespaced kind is made."""
        self._check_namespace = check_namespace if store.kind.namespaced else None
        self.kind: Kind = store.kind
        self._store = store
        self._rules = rules
        self._clock = clock
        self._prepare = Preparation(store.kind)

    def endpoints(self, callers: Callers) -> Mapping[str, Callable[[Message], Awaitable[bytes]]]:
        """Subject -> handler, for the verbs that the kind has; `callers` says whose a write is."""
        handlers: dict[str, WriteHandler] = {
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
        }
        served = {
            subjects.write(self.kind.owner, self.kind.plural, verb): handler
            for verb, handler in handlers.items()
            if verb in self.kind.verbs
        }
        return {subject: _answering(callers, subject, handler) for subject, handler in served.items()}

    # Create

    async def _create(self, request: WriteRequest) -> WriteAnswer:
        preparing = _aside(len(request.body), self._prepare.created, request, self._clock())
        return await self._created(await self._placed(preparing, request), request)

    async def _placed(self, preparing: Awaitable[Prepared], request: WriteRequest) -> Prepared:
        """A document to create. What its namespace has against it is told before what is invalid about it, as the API server does."""
        try:
            prepared = await preparing
        except Invalid as error:
            await self._check_place(request, error.details.name)
            raise
        await self._check_place(request, str(prepared.document["metadata"].get("name", "")))
        return prepared

    async def _check_place(self, request: WriteRequest, name: str) -> None:
        if self._check_namespace is not None:
            await self._check_namespace(self.kind, request.namespace, name)

    async def _created(self, prepared: Prepared, request: WriteRequest) -> WriteAnswer:
        admitted = await self._rules.admit(prepared.document, request)
        if admitted.instead:
            return _answer(admitted.document, (*prepared.warnings, *admitted.warnings))
        document = _keeping_owners(admitted.document, prepared.document)
        self._prepare.check_name(document)
        warnings = (*prepared.warnings, *admitted.warnings)
        if request.options.dry_run:
            name = document["metadata"]["name"]
            there = await self._store.find(name, request.namespace)
            if there is not None:
                raise self._store.already_exists(name, there)
            return _answer(self._store.stamped(document), warnings, created=True)
        stored = (await self._store.create(document, write_id=request.request_id)).document()
        if admitted.revealed:
            stored["status"] = {**stored.get("status", {}), **admitted.revealed}
        return _answer(stored, warnings, created=True)

    # Update

    async def _update(self, request: WriteRequest) -> WriteAnswer:
        uid, version = self._prepare.versioned(request)
        before = await self._store.get(request.name, request.namespace, write_id=request.request_id)
        if request.request_id in before.writes:
            return _answer(before.document())
        await self._rules.before_change(before, request)
        self._store.check(before, uid)
        if version in ("", "0"):
            raise self._prepare.unversioned(request.name)
        if version != str(before.revision):
            raise self._store.conflict(self._store.key(request.name, request.namespace))
        size = len(request.body) + len(before.body)
        prepared = await _aside(size, self._prepare.replaced, request, before.document(), self._clock())
        return await self._replace(before, prepared, request)

    async def _patch(self, request: WriteRequest) -> WriteAnswer:
        applies = request.content_type == APPLY_PATCH
        change: PrepareWrite = self._prepare.applied if applies else self._prepare.patched
        attempt = 0
        while True:
            attempt += 1
            before = await self._store.find(request.name, request.namespace, write_id=request.request_id)
            if before is not None and request.request_id in before.writes:
                return _answer(before.document())
            if before is None and not (applies and "create" in self.kind.verbs):
                raise self._store.not_found(request.name)
            if before is not None:
                await self._rules.before_change(before, request)
            prepared = await self._changed(change, before, request)
            try:
                if before is None:
                    return await self._created(prepared, request)
                return await self._replace(before, prepared, request)
            except (Conflict, AlreadyExists):
                if attempt == ATTEMPTS or not await self._moved(before, request):
                    raise

    async def _changed(self, change: PrepareWrite, before: Item | None, request: WriteRequest) -> Prepared:
        """The document after a patch; of what there is not, the new one."""
        if before is None:
            return await self._placed(_aside(len(request.body), change, request, {}, self._clock()), request)
        size = len(request.body) + len(before.body)
        return await _aside(size, change, request, before.document(), self._clock())

    async def _moved(self, before: Item | None, request: WriteRequest) -> bool:
        """True if a conflict came from somebody else's write: then the patch is tried again on the result."""
        now = await self._store.find(request.name, request.namespace)
        return (now and now.revision) != (before and before.revision)

    async def _replace(self, before: Item, prepared: Prepared, request: WriteRequest) -> WriteAnswer:
        current = before.document()
        admitted = await self._rules.admit_update(current, prepared.document, request)
        warnings = (*prepared.warnings, *admitted.warnings)
        if self._prepare.unchanged(admitted.document, current) and not is_over(current):
            return _answer(current, warnings)
        if request.options.dry_run:
            return _answer(replaced(before, admitted.document), warnings)
        stored = await self._store.update(before, admitted.document, write_id=request.request_id)
        return _answer(stored.document(), warnings)

    # Delete

    async def _delete(self, request: WriteRequest) -> WriteAnswer:
        current = await self._store.get(request.name, request.namespace, write_id=request.request_id)
        if current.deleted:
            return _answer(current.document(), gone=True)
        await self._rules.before_delete(current, request)
        finalizers = await self._rules.holds(current, request)
        options: WriteOptions = request.options
        if options.dry_run:
            self._store.check_deletable(current, options.uid, options.resource_version)
            document = self._store.marked(current, options.propagation_policy, finalizers)
            return _answer(document, gone=is_over(document))
        after = await self._store.delete(
            request.name,
            request.namespace,
            uid=options.uid,
            resource_version=options.resource_version,
            write_id=request.request_id,
            policy=options.propagation_policy,
            finalizers=finalizers,
        )
        if not after.deleted:
            await self._rules.after_delete(after, request)
            left = await self._store.find(request.name, request.namespace)
            if left is None or left.uid != after.uid:
                return _answer(_without_finalizers(after.document()), gone=True)
        return _answer(after.document(), gone=after.deleted)


async def _aside(size: int, work: Callable[P, Prepared], *arguments: P.args, **more: P.kwargs) -> Prepared:
    """Run pure work, in a thread if there is much of it.

    A document of a megabyte takes a second or two, and a service has heartbeats to hear meanwhile.
    """
    if size < LARGE_BYTES:
        return work(*arguments, **more)
    return await asyncio.to_thread(work, *arguments, **more)


def _answer(
    document: Document, warnings: tuple[str, ...] = (), *, created: bool = False, gone: bool = False
) -> WriteAnswer:
    raw = msgspec.Raw(encode_document(document))
    return WriteAnswer(object=raw, warnings=bounded(warnings), created=created, gone=gone)


def bounded(warnings: Iterable[str]) -> tuple[str, ...]:
    """Each warning once, and no more of them than an API server sends (k8s.io/apiserver, filters/warning.go): all of them up
    to WARNINGS characters, else so many as fit when each is cut at WARNING. They travel as header lines.
    """
    texts = tuple(dict.fromkeys(warnings))
    if sum(map(len, texts)) <= WARNINGS:
        return texts
    cut = [text[:WARNING] for text in texts[:WARNINGS]]
    ends = accumulate(map(len, cut))
    return tuple(text for text, end in zip(cut, ends, strict=True) if end <= WARNINGS)


def _keeping_owners(admitted: Document, prepared: Document) -> Document:
    """What the rules made of a document, with managedFields even if they built its metadata anew."""
    owners = prepared["metadata"].get("managedFields")
    if not owners:
        return admitted
    return {**admitted, "metadata": {**admitted["metadata"], "managedFields": owners}}


def _without_finalizers(document: Document) -> Document:
    return {**document, "metadata": {k: v for k, v in document["metadata"].items() if k != "finalizers"}}


def _answering(callers: Callers, subject: str, handler: WriteHandler) -> Callable[[Message], Awaitable[bytes]]:
    async def answer(message: Message) -> bytes:
        request = callers.read(message, subject)
        with on_behalf_of(origin_of_request(request, message)):
            return _encode(await handler(request))

    return answer


def invalid(kind: Kind, name: str, field: str, message: str, value: Any = msgspec.UNSET) -> Invalid:
    """422 as the API server words it, for one field."""
    prefix = "" if value is msgspec.UNSET else f"{msgspec.json.encode(value).decode()}: "
    text = f"Invalid value: {prefix}{message}"
    return Invalid(
        f'{kind.kind}.{kind.group} "{name}" is invalid: {field}: {text}',
        kind=kind.kind,
        group=kind.group,
        name=name,
        causes=(cause(field, text),),
    )
