"""Writes: signed, handed to the service that owns the kind, over the bus, and its answer handed back."""

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
from skerry.errors import BadRequest, GatewayTimeout, ServiceUnavailable, UnsupportedMediaType

TIMEOUT_S = 10.0
"""For a write of an object; an action says its own."""

_encode = msgspec.json.Encoder().encode


class Forwarder:
    """Asks owners. `sign(caller, subject, payload)` makes the signature that they verify; it may raise ServiceUnavailable."""

    def __init__(self, bus: Bus, sign: Callable[[Caller, str, bytes], str]) -> None:
        self._bus, self._sign = bus, sign

    async def act(
        self, target: Target, action: Action, caller: Caller, query: Query, content_type: str, body: bytes
    ) -> bytes:
        """The owner's answer to an action."""
        if content_type.partition(";")[0].strip().lower() not in ("", "application/json"):
            raise UnsupportedMediaType(
                f"the body of the request was in an unknown format - accepted media types include: application/json "
                f"(got {content_type[:80]!r})"
            )
        named = writeoptions.of_write("CreateOptions" if action.verb == "create" else "UpdateOptions", query, "")
        verb = f"{action.subresource}-{action.verb}"
        return await self.ask(target, caller, verb, body, named, timeout_s=action.timeout_s)

    async def ask(
        self,
        target: Target,
        caller: Caller,
        verb: str,
        body: bytes,
        options: WriteOptions,
        content_type: str = "application/json",
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        """The owner's answer to one write request. ServiceUnavailable if it is away, GatewayTimeout if it is silent."""
        kind = _kind(target)
        write = Write(
            request_id=uuid.uuid4().hex,
            namespace=target.namespace,
            name=target.name,
            subresource=target.subresource,
            content_type=content_type,
            body=_raw(body),
            options=options,
        )
        subject, payload = subjects.write(kind.owner, kind.plural, verb), _encode(write)
        headers = {SIGNATURE: self._sign(caller, subject, payload)}
        try:
            return bytes((await self._bus.request(subject, payload, timeout_s=timeout_s, headers=headers)).data)
        except (NoResponders, ConnectionLost) as error:
            raise ServiceUnavailable(
                f"the service {kind.owner}, which owns {kind.plural}, is away: nothing was changed, try again in a moment"
            ) from error
        except GatewayTimeout as error:
            what = f"{kind.singular} {target.name!r}" if target.name else f"the {kind.singular}"
            raise GatewayTimeout(
                f"the service {kind.owner} did not answer within {timeout_s:.0f} s, so whether the {verb} of {what} "
                f"happened is unknown: look with get before you repeat it"
            ) from error


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
