"""Writes and actions: signed, handed over the bus to the service that answers them, and its answer handed back."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import msgspec

from services.proxy.hostapi import writeoptions
from services.proxy.hostapi.request import Query, Target, known
from skerry import subjects
from skerry.api.decode import decoded, decoder
from skerry.api.kinds import Action, Kind
from skerry.api.messages import AUDIT_ID, SIGNATURE, Caller, Write, WriteOptions
from skerry.api.searching import MOST, SearchAnswer, SearchRequest
from skerry.api.streaming import PartHead, UploadReference, decode_part
from skerry.bus import Bus, ConnectionLost, NoResponders, ObjectStore
from skerry.errors import BadRequest, GatewayTimeout, NotFound, ServiceUnavailable, UnsupportedMediaType

TIMEOUT_S = 10.0
"""For a write of an object; an action says its own."""
JSON = "application/json"

_encode = msgspec.json.Encoder().encode
_decode_search = decoder(SearchAnswer)


class Forwarder:
    """Asks services. `sign(caller, subject, payload)` makes the signature that they verify; it may raise ServiceUnavailable.

    `streaming` is another connection for bytes of any length, in front of which nothing else waits; by default `bus`.
    """

    def __init__(
        self,
        bus: Bus,
        sign: Callable[[Caller, str, bytes], str],
        streaming: Bus | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`headers` go with everything that is asked, beside the signature."""
        self._bus, self._sign, self._streaming, self._headers = bus, sign, streaming or bus, headers or {}

    def of(self, audit_id: str) -> Forwarder:
        """One that asks for the request with this Audit-ID, and tells it."""
        return Forwarder(self._bus, self._sign, self._streaming, {AUDIT_ID: audit_id})

    async def act(
        self, target: Target, action: Action, caller: Caller, query: Query, content_type: str, body: bytes
    ) -> bytes:
        """The answer to an action, of whoever gives it. `body` counts where the action takes one, and for a delete."""
        if action.verb == "get":
            sent, options = _parameters(action, query), WriteOptions()
        elif action.verb == "delete":
            if body:
                _check_json(content_type)
            sent, options = b"null", writeoptions.of_delete(writeoptions.given(query, body))
        else:
            _check_json(content_type)
            sent, options = body, options_of(action, query)
        return await self._asked(target, action, caller, _write(target, sent, options), action.timeout_s)

    async def upload(
        self, target: Target, action: Action, caller: Caller, options: WriteOptions, upload: UploadReference
    ) -> bytes:
        """The answer to an action whose body lies in the store of uploads."""
        write = msgspec.structs.replace(_write(target, b"null", options), upload=upload)
        return await self._asked(target, action, caller, write, action.timeout_s)

    async def part(
        self, target: Target, action: Action, caller: Caller, query: Query, cursor: str, timeout_s: float
    ) -> tuple[PartHead, bytes]:
        """A part of the answer to an action that streams it; `cursor` is of the one before, empty for the first."""
        write = msgspec.structs.replace(_write(target, _parameters(action, query), WriteOptions()), cursor=cursor)
        answer = await self._asked(target, action, caller, write, timeout_s)
        try:
            return decode_part(answer)
        except msgspec.DecodeError as error:
            service = known(target).answers(action)
            raise ServiceUnavailable(f"the answer of the service {service} cannot be read") from error

    async def search(self, target: Target, caller: Caller, text: str) -> list[str]:
        """Keys of the objects of a kind that match, best first, as its owner ranks them; MOST of them."""
        kind, question = known(target), SearchRequest(text=text, namespace=target.namespace)
        write = _write(target, _encode(question), WriteOptions())
        answer = await self._send(kind, kind.owner, "search", write, caller, TIMEOUT_S, reads=True)
        try:
            return _decode_search(answer).keys[:MOST]
        except msgspec.DecodeError as error:
            raise ServiceUnavailable(f"the answer of the service {kind.owner} cannot be read") from error

    async def uploads(self) -> ObjectStore:
        """The store that bodies wait in. ServiceUnavailable if it is not there."""
        try:
            return await self._streaming.objects(subjects.UPLOADS)
        except NotFound as error:
            raise ServiceUnavailable(
                "the store for what is uploaded is not there yet, nothing was changed: try again in a moment",
                retry_after_s=1,
            ) from error

    async def _asked(self, target: Target, action: Action, caller: Caller, write: Write, timeout_s: float) -> bytes:
        kind, verb = known(target), f"{action.subresource}-{action.verb}"
        reads, streamed = action.verb == "get", action.streams_answer
        return await self._send(
            kind, kind.answers(action), verb, write, caller, timeout_s, reads=reads, streamed=streamed
        )

    async def ask(
        self,
        target: Target,
        caller: Caller,
        verb: str,
        body: bytes,
        options: WriteOptions,
        content_type: str = JSON,
    ) -> bytes:
        """The owner's answer to one write of an object. ServiceUnavailable if it is away, GatewayTimeout if it is silent."""
        kind, write = known(target), _write(target, body, options, content_type)
        return await self._send(kind, kind.owner, verb, write, caller, TIMEOUT_S)

    async def _send(
        self,
        kind: Kind,
        service: str,
        verb: str,
        write: Write,
        caller: Caller,
        timeout_s: float,
        *,
        reads: bool = False,
        streamed: bool = False,
    ) -> bytes:
        subject, payload = subjects.write(service, kind.plural, verb), _encode(write)
        headers = {**self._headers, SIGNATURE: self._sign(caller, subject, payload)}
        try:
            bus = self._streaming if streamed else self._bus
            return bytes((await bus.request(subject, payload, timeout_s=timeout_s, headers=headers)).data)
        except (NoResponders, ConnectionLost) as error:
            role = f"owns {kind.plural}" if service == kind.owner else f"answers {kind.plural}/{write.subresource}"
            unchanged = "" if reads else "nothing was changed, "
            raise ServiceUnavailable(
                f"the service {service}, which {role}, is away: {unchanged}try again in a moment"
            ) from error
        except GatewayTimeout as error:
            silent = f"the service {service} did not answer within {timeout_s:.0f} s"
            if reads:
                raise GatewayTimeout(f"{silent}: try again in a moment") from error
            what = f"{kind.singular} {write.name!r}" if write.name else f"the {kind.singular}"
            raise GatewayTimeout(
                f"{silent}, so whether the {verb} of {what} happened is unknown: look with get before you repeat it"
            ) from error


def _write(target: Target, body: bytes, options: WriteOptions, content_type: str = JSON) -> Write:
    return Write(
        request_id=uuid.uuid4().hex,
        namespace=target.namespace,
        name=target.name,
        subresource=target.subresource,
        content_type=content_type,
        body=_raw(body),
        options=options,
    )


def options_of(action: Action, query: Query) -> WriteOptions:
    """Those of a create or update, of the query. BadRequest."""
    return writeoptions.of_write("CreateOptions" if action.verb == "create" else "UpdateOptions", query, "")


def _check_json(content_type: str) -> None:
    if content_type.partition(";")[0].strip().lower() not in ("", JSON):
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {JSON} "
            f"(got {content_type[:80]!r})"
        )


def _parameters(action: Action, query: Query) -> bytes:
    """The parameters that a get declares, as JSON; others are not looked at, as Kubernetes does. BadRequest."""
    shape = action.request
    if shape is None:
        return b"null"
    parameters = {name: value for name in shape.__struct_encode_fields__ if (value := query.find(name)) is not None}
    try:
        return _encode(msgspec.convert(parameters, shape, strict=False))
    except msgspec.ValidationError as error:
        raise BadRequest(f"the query of {action.subresource} is wrong: {error}") from error


def _raw(body: bytes) -> msgspec.Raw:
    """`body` if it is JSON; BadRequest, because a broken one would break the message that carries it."""
    try:
        decoded(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    return msgspec.Raw(body)
