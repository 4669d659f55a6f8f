"""Writes: what a client sends becomes a request to the owning service, and its answer the client's.

The proxy checks options and formats, and hands everything else on: merging, defaults and validation are the owner's.
Bodies travel as JSON; YAML is turned into it here.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.proxy.hostapi import reads, writeoptions, yamltext
from services.proxy.hostapi.discovery import has_status
from services.proxy.hostapi.forward import Forwarder
from services.proxy.hostapi.options import check_list
from services.proxy.hostapi.request import Query, Target, known
from services.proxy.hostapi.sight import WHOLE, Sight
from services.proxy.hostapi.sources import ObjectSource
from services.proxy.hostapi.table import Plain
from skerry.api.decode import decoded, decoder
from skerry.api.messages import Caller, WriteAnswer, WriteOptions
from skerry.errors import BadRequest, Forbidden, NotFound, UnsupportedMediaType
from skerry.httpwire.answer import warning
from skerry.httpwire.head import Headers

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_encode = msgspec.json.Encoder().encode
_decode = decoder(WriteAnswer)


class WriteContent(NamedTuple):
    """What a client sent, beside path and query."""

    body: bytes
    media: str
    """Content-Type, as sent."""
    agent: str
    """User-Agent."""

    @property
    def type(self) -> str:
        """The media type without parameters; what nobody takes if those cannot be read."""
        kind, *parameters = self.media.split(";")
        readable = all("=" in each or not each.strip() for each in parameters)
        return kind.strip().lower() if readable else self.media


class WriteReply(NamedTuple):
    """An answer to a write."""

    status: int
    body: bytes
    warnings: tuple[str, ...] = ()
    held: bool = False
    """What was deleted is still there: its finalizers hold it."""

    def headers(self) -> Headers:
        """One Warning header per warning, as RFC 7234 and the API server write them."""
        return [(b"warning", warning(text, b"-")) for text in self.warnings]


async def answer(
    forwarder: Forwarder,
    source: ObjectSource,
    target: Target,
    caller: Caller,
    query: Query,
    verb: str,
    content: WriteContent,
    sight: Sight = WHOLE,
) -> WriteReply:
    """The answer to a create, update, patch, delete, or a deletecollection of what is in `sight`. Any StatusError."""
    if verb == "delete":
        options = writeoptions.given(query, await _options_body(content))
        reply = await _delete(forwarder, target, caller, writeoptions.of_delete(options))
        return reply._replace(status=202) if reply.held and options.orphan_dependents is False else reply
    if verb == "deletecollection":
        return await _delete_all(forwarder, source, target, caller, query, content, sight)
    if verb == "patch":
        return await _patch(forwarder, target, caller, query, content)
    return await _whole(forwarder, target, caller, query, verb, content)


def is_status(target: Target) -> bool:
    """True if this is the status subresource of a kind that a service owns and that has one."""
    kind = target.kind
    return kind is not None and bool(kind.owner) and has_status(kind) and target.subresource == "status"


def status_read(target: Target, verb: str) -> Target:
    """The object itself, which a get of its status answers with. Forbidden for writes: its owner alone writes status."""
    kind = known(target)
    if verb not in ("update", "patch"):
        return target._replace(subresource="") if verb == "get" else target
    raise Forbidden(
        f'{kind.plural}.{kind.group} "{target.name}" is forbidden: status is written by the service {kind.owner} alone; '
        "change spec instead",
        kind=kind.plural,
        group=kind.group,
        name=target.name,
    )


def _reply(result: WriteAnswer) -> WriteReply:
    return WriteReply(201 if result.created else 200, bytes(result.object), result.warnings)


async def _whole(
    forwarder: Forwarder, target: Target, caller: Caller, query: Query, verb: str, content: WriteContent
) -> WriteReply:
    """A create, whose format is looked at before its options, or an update, where it is the other way round."""
    if verb == "create":
        _check_format(content)
        options = writeoptions.of_write("CreateOptions", query, content.agent)
    else:
        _check_named(target)
        options = writeoptions.of_write("UpdateOptions", query, content.agent)
    body = await json_body(content)
    return _reply(_decode(await forwarder.ask(target, caller, verb, body, options)))


async def _patch(
    forwarder: Forwarder, target: Target, caller: Caller, query: Query, content: WriteContent
) -> WriteReply:
    accepted = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
    if content.type not in accepted:
        raise _unknown_format(accepted)
    _check_named(target)
    applies = content.type == APPLY_PATCH
    options = writeoptions.of_write("PatchOptions", query, content.agent, applies=applies)
    body = await yamltext.read(content.body) if applies else content.body
    return _reply(_decode(await forwarder.ask(target, caller, "patch", body, options, content.type)))


async def _delete(forwarder: Forwarder, target: Target, caller: Caller, options: WriteOptions) -> WriteReply:
    """A Status with the name and uid of what is gone; the object itself while finalizers hold it."""
    result = _decode(await forwarder.ask(target, caller, "delete", b"null", options))
    if not result.gone:
        return _reply(result)._replace(held=True)
    kind, metadata = known(target), decoded(result.object)["metadata"]
    details = {"name": target.name, "group": kind.group, "kind": kind.plural, "uid": metadata.get("uid", "")}
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return WriteReply(200, _encode(status), result.warnings)


async def _delete_all(
    forwarder: Forwarder,
    source: ObjectSource,
    target: Target,
    caller: Caller,
    query: Query,
    content: WriteContent,
    sight: Sight,
) -> WriteReply:
    """Delete what a list with these options has, one by one; that list. What others delete meanwhile is fine.

    Both kinds of options are checked before a store is asked, which is who knows revisions and tokens.
    """
    kind = known(target)
    match = reads.selector(query, kind, check_list)
    options = writeoptions.of_delete(writeoptions.given(query, await _options_body(content)))
    page = await reads.page(source, kind, target.namespace, query, match, sight)
    for item in page.items:
        try:
            await _delete(forwarder, target._replace(name=item.name, namespace=item.namespace), caller, options)
        except NotFound:
            continue
    return WriteReply(200, Plain(kind).many(page.items, page.revision, page.more))


def _check_named(target: Target) -> None:
    if not target.name:
        raise BadRequest("name must be provided")


# Bodies


def _unknown_format(accepted: tuple[str, ...]) -> UnsupportedMediaType:
    named = ", ".join(accepted)
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {named}"
    )


def _check_format(content: WriteContent) -> None:
    """UnsupportedMediaType unless the body is JSON or YAML; the media type may be left out."""
    if content.type not in ("", JSON, yamltext.YAML):
        raise _unknown_format((JSON, yamltext.YAML))


async def json_body(content: WriteContent) -> bytes:
    """The body as JSON. UnsupportedMediaType, BadRequest."""
    _check_format(content)
    return await yamltext.read(content.body) if content.type == yamltext.YAML else content.body


async def _options_body(content: WriteContent) -> bytes:
    return await json_body(content) if content.body else b""
