"""Writes: handed to the service that owns the kind, over the bus, and its answer handed back."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from services.proxy.hostapi.request import Query, Target
from skerry import subjects
from skerry.api.connection import SUBRESOURCE
from skerry.api.kinds import Kind
from skerry.api.messages import Caller, WriteOptions, WriteRequest
from skerry.api.meta import Status, StatusDetails
from skerry.bus import Bus, ConnectionLost, NoResponders
from skerry.errors import BadRequest, GatewayTimeout, ServiceUnavailable, UnsupportedMediaType

TIMEOUT_S = 10.0

_encode = msgspec.json.Encoder().encode


class _Preconditions(msgspec.Struct, rename="camel"):
    uid: str | None = None
    resource_version: str | None = None


class _DeleteOptions(msgspec.Struct, rename="camel"):
    kind: str = "DeleteOptions"
    preconditions: _Preconditions | None = None
    propagation_policy: str | None = None
    grace_period_seconds: int | None = None
    dry_run: list[str] | None = None


async def create(bus: Bus, target: Target, caller: Caller, query: Query, content_type: str, body: bytes) -> bytes:
    """The created object."""
    _json_only(content_type)
    if not body.strip():
        raise BadRequest("the request has no body: send the object to create")
    return await _ask(bus, target, caller, "create", body, _options(query))


ACTIONS = {("clusters", SUBRESOURCE): ("create", "update")}
"""(plural, subresource) -> verbs of what is written below an object without being a part of it."""


def is_action(target: Target, verb: str) -> bool:
    """Whether this is a write to a subresource that the owning service answers by itself."""
    return target.kind is not None and verb in ACTIONS.get((target.kind.plural, target.subresource), ())


async def act(
    bus: Bus, target: Target, caller: Caller, query: Query, verb: str, content_type: str, body: bytes
) -> bytes:
    """The owner's answer to a write to a subresource."""
    _json_only(content_type)
    return await _ask(bus, target, caller, f"{target.subresource}-{verb}", body, _options(query))


async def delete(bus: Bus, target: Target, caller: Caller, query: Query, content_type: str, body: bytes) -> bytes:
    """A Status with the name and uid of what is gone; the object itself while finalizers hold it."""
    options = _delete_options(query, content_type, body)
    kind = _kind(target)
    answer = msgspec.json.decode(await _ask(bus, target, caller, "delete", b"null", options))
    metadata: dict[str, Any] = answer["metadata"]
    if metadata.get("finalizers") or options.dry_run:
        return _encode(answer)
    details = StatusDetails(name=target.name, group=kind.group, kind=kind.plural, uid=metadata.get("uid", ""))
    return _encode(Status(status="Success", details=details, code=200))


async def _ask(bus: Bus, target: Target, caller: Caller, verb: str, body: bytes, options: WriteOptions) -> bytes:
    kind = _kind(target)
    request = WriteRequest(
        request_id=uuid.uuid4().hex,
        caller=caller,
        namespace=target.namespace,
        name=target.name,
        subresource=target.subresource,
        body=_raw(body),
        options=options,
    )
    subject = subjects.write(kind.owner, kind.plural, verb)
    try:
        return bytes((await bus.request(subject, _encode(request), timeout_s=TIMEOUT_S)).data)
    except (NoResponders, ConnectionLost) as error:
        raise ServiceUnavailable(
            f"the service {kind.owner}, which owns {kind.plural}, is away: nothing was changed, try again in a moment"
        ) from error
    except GatewayTimeout as error:
        what = f"{kind.singular} {target.name!r}" if target.name else f"the {kind.singular}"
        raise GatewayTimeout(
            f"the service {kind.owner} did not answer within {TIMEOUT_S:.0f} s, so whether the {verb} of {what} happened "
            f"is unknown: look with get before you repeat it"
        ) from error


def _raw(body: bytes) -> msgspec.Raw:
    """`body` if it is JSON; BadRequest, because a broken one would break the message that carries it."""
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    return msgspec.Raw(body)


def _kind(target: Target) -> Kind:
    if target.kind is None:
        raise AssertionError("a write has a kind")
    return target.kind


def _json_only(content_type: str) -> None:
    media = content_type.partition(";")[0].strip().lower()
    if media not in ("", "application/json"):
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: application/json "
            f"(got {media[:80]!r})"
        )


def _options(query: Query) -> WriteOptions:
    return WriteOptions(
        dry_run=_dry_run([query.text("dryRun")] if query.text("dryRun") else []),
        field_manager=query.text("fieldManager")[:128],
        field_validation=query.text("fieldValidation") or "Warn",
    )


def _delete_options(query: Query, content_type: str, body: bytes) -> WriteOptions:
    given = _DeleteOptions()
    if body.strip():
        _json_only(content_type)
        try:
            given = msgspec.json.decode(body, type=_DeleteOptions)
        except msgspec.DecodeError as error:
            raise BadRequest(f"the body is not DeleteOptions: {error}") from error
    preconditions = given.preconditions or _Preconditions()
    dry_run = given.dry_run or ([query.text("dryRun")] if query.text("dryRun") else [])
    return WriteOptions(
        dry_run=_dry_run(dry_run),
        propagation_policy=given.propagation_policy or query.text("propagationPolicy"),
        grace_period_seconds=given.grace_period_seconds,
        uid=preconditions.uid or "",
        resource_version=preconditions.resource_version or "",
    )


def _dry_run(values: list[str]) -> bool:
    if values and values != ["All"]:
        raise BadRequest(f"dryRun is {values!r}: the only value is All")
    return bool(values)
