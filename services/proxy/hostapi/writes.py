"""Writes: what a client sends becomes a request to the owning service, and its answer the client's.

The proxy checks options and formats, and hands everything else on: merging, defaults and validation are the owner's.
Bodies travel as JSON; YAML is turned into it here, without aliases (a few of them can stand for gigabytes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any, NamedTuple

import msgspec
import yaml

from services.proxy.hostapi import forward, reads, writeoptions
from services.proxy.hostapi.request import Query, Target, known
from services.proxy.hostapi.sources import Source
from skerry.api.messages import Caller, WriteAnswer, WriteOptions
from skerry.bus import Bus
from skerry.errors import BadRequest, Forbidden, NotFound, RequestEntityTooLarge, UnsupportedMediaType
from skerry.httpwire.head import Headers
from skerry.store import Item

JSON = "application/json"
YAML = "application/yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
LONGEST_YAML = 256 * 1024
"""Reading YAML is slow; whoever sends more sends JSON."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(WriteAnswer).decode


class Content(NamedTuple):
    """What a client sent, beside path and query."""

    body: bytes
    media: str
    """Content-Type, as sent."""
    agent: str
    """User-Agent."""

    @property
    def type(self) -> str:
        """The media type without parameters."""
        return self.media.partition(";")[0].strip().lower()


class Reply(NamedTuple):
    """An answer to a write."""

    status: int
    body: bytes
    warnings: tuple[str, ...] = ()

    def headers(self) -> Headers:
        """One Warning header per warning, as RFC 7234 and the API server write them."""
        return [(b"warning", f"299 - {_header_text(text)}".encode()) for text in self.warnings]


def _header_text(text: str) -> str:
    quoted = "".join(character if character.isprintable() else " " for character in text[:1024])
    return '"' + quoted.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def answer(
    bus: Bus, source: Source, target: Target, caller: Caller, query: Query, verb: str, content: Content
) -> Reply:
    """The answer to a create, update, patch, delete or deletecollection. Any StatusError."""
    if verb == "delete":
        return await _delete(bus, target, caller, writeoptions.of_delete(query, await _options_body(content)))
    if verb == "deletecollection":
        options = writeoptions.of_delete(query, await _options_body(content))
        return await _delete_all(bus, source, target, caller, query, options)
    if verb == "patch":
        return await _patch(bus, target, caller, query, content)
    body = await _json_body(content)
    named = writeoptions.of_write("CreateOptions" if verb == "create" else "UpdateOptions", query, content.agent)
    found = _decode(await forward.ask(bus, target, caller, verb, body, named))
    return _reply(found)


def is_status(target: Target) -> bool:
    """Whether this is the status subresource of a kind that a service owns."""
    return target.kind is not None and bool(target.kind.owner) and target.subresource == "status"


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


def _reply(found: WriteAnswer) -> Reply:
    return Reply(201 if found.created else 200, bytes(found.object), found.warnings)


async def _patch(bus: Bus, target: Target, caller: Caller, query: Query, content: Content) -> Reply:
    accepted = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
    if content.type not in accepted:
        raise _unknown_format(accepted)
    applies = content.type == APPLY_PATCH
    options = writeoptions.of_write("PatchOptions", query, content.agent, applies=applies)
    body = await _from_yaml(content.body) if applies else content.body
    return _reply(_decode(await forward.ask(bus, target, caller, "patch", body, options, content.type)))


async def _delete(bus: Bus, target: Target, caller: Caller, options: WriteOptions) -> Reply:
    """A Status with the name and uid of what is gone; the object itself while finalizers hold it."""
    found = _decode(await forward.ask(bus, target, caller, "delete", b"null", options))
    if not found.gone:
        return _reply(found)
    kind, metadata = known(target), msgspec.json.decode(found.object)["metadata"]
    details = {"name": target.name, "group": kind.group, "kind": kind.plural, "uid": metadata.get("uid", "")}
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return Reply(200, _encode(status), found.warnings)


async def _delete_all(
    bus: Bus, source: Source, target: Target, caller: Caller, query: Query, options: WriteOptions
) -> Reply:
    """Delete what the selectors match, one by one; the list of what was there. What others delete meanwhile is fine."""
    kind = known(target)
    match = reads.selector(query, kind)
    await reads.fresh(source, None)
    found: list[Item] = [item for item in source.list(kind, target.namespace) if match(item)]
    for item in found:
        try:
            await _delete(bus, target._replace(name=item.name, namespace=item.namespace), caller, options)
        except NotFound:
            continue
    items = b",".join(item.body for item in found)
    head = {"apiVersion": kind.api_version, "kind": f"{kind.kind}List"}
    metadata = {"resourceVersion": str(max(source.revision, 1))}
    return Reply(200, _encode({**head, "metadata": metadata})[:-1] + b',"items":[' + items + b"]}")


# Bodies


def _unknown_format(accepted: tuple[str, ...]) -> UnsupportedMediaType:
    named = ", ".join(accepted)
    return UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {named}"
    )


async def _json_body(content: Content) -> bytes:
    """The body as JSON; the media type may be left out."""
    if content.type in ("", JSON):
        return content.body
    if content.type == YAML:
        return await _from_yaml(content.body)
    raise _unknown_format((JSON, YAML))


async def _options_body(content: Content) -> bytes:
    return await _json_body(content) if content.body.strip() else b""


async def _from_yaml(body: bytes) -> bytes:
    """JSON for a document that is YAML, or JSON already (which clients send under a YAML media type). BadRequest."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        if len(body) > LONGEST_YAML:
            raise RequestEntityTooLarge(
                f"the YAML document has {len(body)} bytes, the limit is {LONGEST_YAML}: send it as JSON"
            ) from None
        return await asyncio.to_thread(_parse_yaml, body)
    return body


def _parse_yaml(body: bytes) -> bytes:
    try:
        return _encode(yaml.load(body, Loader=_Loader))  # noqa: S506 - a SafeLoader with less
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, TypeError, ValueError) as error:
        raise BadRequest(f"error decoding YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: no aliases, no dates, keys are strings, none twice."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken: write the value out")
        found: yaml.Node | None = super().compose_node(parent, index)
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [getattr(key, "value", None) for key, _ in node.value]
        if len(set(map(str, keys))) < len(keys):
            raise yaml.YAMLError("a key is there twice")
        found = super().construct_mapping(node, deep=deep)
        if not all(isinstance(key, str) for key in found):
            raise yaml.YAMLError("keys are strings: put them in quotes")
        return found


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
