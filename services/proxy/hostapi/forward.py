"""Writes and actions: signed, handed over the bus to the service that answers them, and its answer handed back."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import msgspec

from services.proxy.hostapi import writeoptions
from services.proxy.hostapi.request import Query, Target
from skerry import subjects
from skerry.api.decode import decoded
from skerry.api.kinds import Action, Kind
from skerry.api.messages import SIGNATURE, Caller, Write, WriteOptions
from skerry.bus import Bus, ConnectionLost, NoResponders
from skerry.errors import BadRequest, GatewayTimeout, MethodNotAllowed, ServiceUnavailable, UnsupportedMediaType

TIMEOUT_S = 10.0
"""For a write of an object; an action says its own."""
JSON = "application/json"

_encode = msgspec.json.Encoder().encode


class Forwarder:
    """Asks services. `sign(caller, subject, payload)` makes the signature that they verify; it may raise ServiceUnavailable."""

    def __init__(self, bus: Bus, sign: Callable[[Caller, str, bytes], str]) -> None:
        self._bus, self._sign = bus, sign

    async def act(
        self, target: Target, action: Action, caller: Caller, query: Query, content_type: str, body: bytes
    ) -> bytes:
        """The answer to an action, of whoever gives it. `body` counts where the action takes one, and for a delete."""
        if action.streaming:
            raise MethodNotAllowed(
                f"{_kind(target).plural}/{action.subresource} is streamed, which this host cannot do yet: "
                f"there is nothing to try again until the host is a newer version"
            )
        if action.verb == "get":
            sent, options = _parameters(action, query), WriteOptions()
        elif action.verb == "delete":
            if body:
                _check_json(content_type)
            sent, options = b"null", writeoptions.of_delete(writeoptions.given(query, body))
        else:
            _check_json(content_type)
            sent = body
            options = writeoptions.of_write("CreateOptions" if action.verb == "create" else "UpdateOptions", query, "")
        kind, write = _kind(target), _write(target, sent, options)
        service, verb = kind.answers(action), f"{action.subresource}-{action.verb}"
        return await self._send(kind, service, verb, write, caller, action.timeout_s, reads=action.verb == "get")

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
        kind, write = _kind(target), _write(target, body, options, content_type)
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
    ) -> bytes:
        subject, payload = subjects.write(service, kind.plural, verb), _encode(write)
        headers = {SIGNATURE: self._sign(caller, subject, payload)}
        try:
            return bytes((await self._bus.request(subject, payload, timeout_s=timeout_s, headers=headers)).data)
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


def _kind(target: Target) -> Kind:
    if target.kind is None:
        raise AssertionError("a write has a kind")
    return target.kind
