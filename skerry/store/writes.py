"""The owning service's answers to writes of the host API: decode, let the service's rules decide, store, reply.

Generic over kinds: a service gives `Rules` per kind (admission, and what else has to happen), this module does the
protocol. The request id is the write id, so a request that arrives twice is one write.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from skerry import subjects
from skerry.api.kinds import Kind
from skerry.api.messages import WriteOptions, WriteRequest
from skerry.bus import Message
from skerry.errors import BadRequest, Invalid, cause
from skerry.store import fields
from skerry.store.documents import Document, Item, decode_document, encode_document
from skerry.store.store import Store

_decode = msgspec.json.Decoder(WriteRequest).decode


class Admitted(NamedTuple):
    """What a create leads to."""

    document: Document
    """To store: defaulted, with the status that the owner gives it."""
    revealed: Document = {}
    """Status fields for the answer to this create alone: the place for a secret. Absent on dry run, never stored."""


class Rules:
    """A service's rules for one kind. The defaults admit everything and have no effects."""

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """Whether and how `document` is stored. Invalid, Forbidden, Conflict."""
        return Admitted(document)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Forbidden if this object may not be deleted."""

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """An object was marked for deletion and waits for its finalizers: the place to finish at once what can be."""


class Writes:
    """Endpoints of one kind, for `Bus.serve`."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self.kind: Kind = store.kind
        self._store = store
        self._rules = rules

    def endpoints(self) -> Mapping[str, Callable[[Message], Awaitable[bytes]]]:
        """Subject -> handler, for the verbs that the kind has."""
        handlers = {"create": self._create, "delete": self._delete}
        return {
            subjects.write(self.kind.owner, self.kind.plural, verb): _answering(handler)
            for verb, handler in handlers.items()
            if verb in self.kind.verbs
        }

    async def _create(self, request: WriteRequest) -> Document:
        document = self._checked(decode_document(bytes(request.body)), request)
        admitted = await self._rules.admit(document, request)
        _check_name(self.kind, admitted.document["metadata"].get("name", ""))
        if request.options.dry_run:
            return self._store.stamped(admitted.document)
        stored = (await self._store.create(admitted.document, write_id=request.request_id)).document()
        if admitted.revealed:
            stored["status"] = {**stored.get("status", {}), **admitted.revealed}
        return stored

    def _checked(self, document: Document, request: WriteRequest) -> Document:
        """The document as a create may send it: kind and names agree with the path; what the server sets is dropped."""
        for field, expected in (("apiVersion", self.kind.api_version), ("kind", self.kind.kind)):
            if document.get(field, expected) != expected:
                raise BadRequest(f"{field} is {document[field]!r}, but this resource takes {expected!r}")
        metadata = document.get("metadata") or {}
        self._view(document)
        self._strict(document, request.options.field_validation)
        if metadata.get("namespace", "") not in ("", request.namespace):
            raise BadRequest("the namespace of the object does not match the namespace on the request")
        kept = {k: v for k, v in metadata.items() if k not in _SERVER_SET}
        if request.namespace:
            kept["namespace"] = request.namespace
        if kept.get("generateName") and not kept.get("name"):
            kept["name"] = kept["generateName"] + "".join(secrets.choice(_SUFFIX) for _ in range(5))
        return {**{k: v for k, v in document.items() if k != "status"}, "metadata": kept}

    def _strict(self, document: Document, validation: str) -> None:
        """BadRequest naming unknown fields, if the caller wants it so."""
        unknown = fields.unknown(self.kind.type, document) if validation == "Strict" else []
        if unknown:
            named = ", ".join(f'unknown field "{path}"' for path in unknown[:20])
            raise BadRequest(
                f'{self.kind.kind} in version "{self.kind.version}" cannot be handled as a {self.kind.kind}: strict '
                f"decoding error: {named}"
            )

    def _view(self, document: Document) -> None:
        """Invalid, with the path, unless the document fits the kind's type."""
        shaped = {"metadata": {}, **{k: v for k, v in document.items() if k != "status"}}
        try:
            msgspec.convert(shaped, self.kind.type)
        except msgspec.ValidationError as error:
            raise invalid(self.kind, str((document.get("metadata") or {}).get("name", "")), *_place(error)) from error

    async def _delete(self, request: WriteRequest) -> Document:
        current = await self._store.get(request.name, request.namespace)
        await self._rules.before_delete(current, request)
        options: WriteOptions = request.options
        if options.dry_run:
            return current.document()
        after = await self._store.delete(
            request.name,
            request.namespace,
            uid=options.uid,
            resource_version=options.resource_version,
            write_id=request.request_id,
        )
        if not after.deleted:
            await self._rules.after_delete(after, request)
            left = await self._store.find(request.name, request.namespace)
            if left is None or left.uid != after.uid:
                return _without_finalizers(after.document())
        return after.document()


def _without_finalizers(document: Document) -> Document:
    return {**document, "metadata": {k: v for k, v in document["metadata"].items() if k != "finalizers"}}


_SERVER_SET = frozenset(
    ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "selfLink", "managedFields")
)


_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
"""The API server's alphabet for generated names: no vowels, hence no words."""
_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")


def _check_name(kind: Kind, name: str) -> None:
    if not name:
        text = "Required value: name or generateName is required"
        causes = (cause("metadata.name", text, "FieldValueRequired"),)
        raise Invalid(f'{kind.kind}.{kind.group} "" is invalid: metadata.name: {text}', kind=kind.kind, causes=causes)
    if _SUBDOMAIN.match(name) is None:
        rule = "a lowercase RFC 1123 subdomain: a-z, 0-9, - and ., beginning and ending with a letter or digit"
        raise invalid(kind, name, "metadata.name", rule, name)


def _answering(handler: Callable[[WriteRequest], Awaitable[Document]]) -> Callable[[Message], Awaitable[bytes]]:
    async def answer(message: Message) -> bytes:
        try:
            request = _decode(message.data)
        except msgspec.DecodeError as error:
            raise BadRequest(f"this is not a write request: {error}") from error
        return encode_document(await handler(request))

    return answer


def _place(error: Exception) -> tuple[str, str]:
    text, _, path = str(error).partition(" - at `$.")
    return path.rstrip("`"), text


def invalid(kind: Kind, name: str, field: str, message: str, value: Any = msgspec.UNSET) -> Invalid:
    """422 as the API server words it, for one field."""
    shown = "" if value is msgspec.UNSET else f"{msgspec.json.encode(value).decode()}: "
    text = f"Invalid value: {shown}{message}"
    return Invalid(
        f'{kind.kind}.{kind.group} "{name}" is invalid: {field}: {text}',
        kind=kind.kind,
        group=kind.group,
        name=name,
        causes=(cause(field, text),),
    )
