"""OpenAPI of the host API, v3 and v2, made from the declarations: what `kubectl explain` and kubectl's validation read.

kubectl lets the server validate (fieldValidation) only if PATCH is described with that parameter; where objects do not
change, PATCH is described as what it is: 405. v2 is read as gnostic protobuf by kubectl, as JSON by everybody else, and
it is there for clients that know no v3. All documents are made when first asked for, because most proxies never are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property

import msgspec

from services.proxy.hostapi import gnostic, schemas
from services.proxy.hostapi.discovery import DiscoveryDocument, tagged
from services.proxy.hostapi.schemas import Json
from skerry.api.kinds import METHODS, Action, Kind
from skerry.api.meta import Struct
from skerry.api.structural import structural
from skerry.errors import NotAcceptable

PROTOBUF_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PROTOBUF_V2_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What kubectl asks for; a media type may hold no @, so it cannot be what is answered."""
_JSON = ("application/json", "application/*", "*/*")

_TEXT, _YES_NO, _WHOLE = "string", "boolean", "integer"
_PARAMETERS = {
    "allowWatchBookmarks": (_YES_NO, "Whether a watch may send BOOKMARK events."),
    "continue": (_TEXT, "Where a list goes on: the token of the page before."),
    "dryRun": (_TEXT, "All: everything is checked and nothing is stored."),
    "fieldManager": (_TEXT, "Who changes, for field ownership: at most 128 printable characters."),
    "fieldSelector": (_TEXT, "Only objects with such fields, for example metadata.name=m1."),
    "fieldValidation": (_TEXT, "What becomes of unknown and duplicate fields: Ignore, Warn or Strict."),
    "force": (_YES_NO, "Whether server-side apply takes fields away from other managers."),
    "gracePeriodSeconds": (_WHOLE, "Accepted, and without effect: objects of the host have no grace."),
    "labelSelector": (_TEXT, "Only objects with such labels, for example env=prod."),
    "limit": (_WHOLE, "At most so many objects; the answer's continue says how to get the rest."),
    "propagationPolicy": (_TEXT, "What becomes of dependents: Orphan, Background or Foreground."),
    "resourceVersion": (_TEXT, "How old the answer may be: unset is current, 0 is any."),
    "resourceVersionMatch": (_TEXT, "What resourceVersion means: Exact or NotOlderThan."),
    "search": (_TEXT, "Only objects that match this text, the best first, in one page."),
    "sendInitialEvents": (_YES_NO, "Whether a watch begins with what is there, and says where that ends."),
    "timeoutSeconds": (_WHOLE, "When a watch ends."),
    "watch": (_YES_NO, "Whether to follow changes instead of listing."),
}
_LIST = ("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
         "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch")  # fmt: skip
_WRITE = ("dryRun", "fieldManager", "fieldValidation")
_DELETE = ("dryRun", "gracePeriodSeconds", "propagationPolicy")
_PATCHES = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")


class OpenApi:
    """Documents by path."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)

    def find(self, parts: tuple[str, ...], accept: str = "") -> DiscoveryDocument | None:
        """The document at `/openapi/` + parts; None if there is none. NotAcceptable."""
        if parts == ("v2",):
            return self._v2(accept)
        if parts == ("v3",):
            return self._index
        return self._documents.get("/".join(parts[1:])) if parts[:1] == ("v3",) else None

    def location(self, parts: tuple[str, ...]) -> str:
        """Where a v3 document is for ever: its path with the hash of its content."""
        document = self._documents["/".join(parts[1:])]
        return f"/openapi/{'/'.join(parts)}?hash={_hash(document.body)}"

    @cached_property
    def _index(self) -> DiscoveryDocument:
        paths = {path: {"serverRelativeURL": self.location(("v3", path))} for path in self._documents}
        return tagged(msgspec.json.encode({"paths": paths}))

    @cached_property
    def _documents(self) -> dict[str, DiscoveryDocument]:
        versions = sorted({(kind.group, kind.version) for kind in self._kinds})
        return {_path(*version): tagged(msgspec.json.encode(self._document(*version))) for version in versions}

    def _document(self, group: str, version: str) -> Json:
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        return {
            "openapi": "3.0.0",
            "info": _INFO,
            "paths": {path: item for kind in kinds for path, item in _paths(kind).items()},
            "components": {"schemas": schemas.components(kinds)},
        }

    def _v2(self, accept: str) -> DiscoveryDocument:
        for clause in accept.split(",") if accept.strip() else _JSON[:1]:
            media = clause.partition(";")[0].strip().lower()
            if media in (PROTOBUF_V2, _PROTOBUF_V2_ASKED):
                return self._v2_protobuf
            if media in _JSON:
                return self._v2_json
        raise NotAcceptable(f"only the following media types are accepted: application/json, {PROTOBUF_V2}")

    @cached_property
    def _swagger(self) -> Json:
        paths = {path: item for kind in self._kinds for path, item in _paths(kind).items()}
        return schemas.version_2({"swagger": "2.0", "info": _INFO, "paths": paths}, schemas.components(self._kinds))

    @cached_property
    def _v2_json(self) -> DiscoveryDocument:
        return tagged(msgspec.json.encode(self._swagger))

    @cached_property
    def _v2_protobuf(self) -> DiscoveryDocument:
        return tagged(gnostic.document(self._swagger), PROTOBUF_V2.encode())


_INFO = {"title": "Skerry", "version": "v1"}


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32].upper()


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _paths(kind: Kind) -> Json:
    root = f"/{_path(kind.group, kind.version)}/"
    if not kind.namespaced:
        return _collection(kind, root + kind.plural, [])
    namespace = _in_path("namespace", "The namespace.")
    everywhere = {f"{root}{kind.plural}": {"get": _operation(kind, "list", _listing(kind), "ForAllNamespaces")}}
    return everywhere | _collection(kind, f"{root}namespaces/{{namespace}}/{kind.plural}", [namespace])


def _listing(kind: Kind) -> tuple[str, ...]:
    return tuple(sorted((*_LIST, "search"))) if kind.searchable else _LIST


def _collection(kind: Kind, root: str, parameters: list[Json]) -> Json:
    """The path of a collection and that of one object."""
    name = _in_path("name", f"Name of the {kind.kind}.")
    whole: Json = {"parameters": parameters} if parameters else {}
    one: Json = {"parameters": [*parameters, name]}
    if "list" in kind.verbs:
        whole["get"] = _operation(kind, "list", _listing(kind))
        one["get"] = _operation(kind, "get", ("resourceVersion",))
        one["patch"] = _operation(kind, "patch", (*_WRITE, "force"))
    if "create" in kind.verbs:
        whole["post"] = _operation(kind, "create", _WRITE)
    if "deletecollection" in kind.verbs:
        whole["delete"] = _operation(kind, "deletecollection", (*_DELETE, *_LIST))
    if "update" in kind.verbs:
        one["put"] = _operation(kind, "update", _WRITE)
    if "delete" in kind.verbs:
        one["delete"] = _operation(kind, "delete", _DELETE)
    if not kind.verbs or kind.verbs == ("create",):
        return {root: whole}
    below: Json = {}
    for action in kind.actions:
        path = below.setdefault(f"{root}/{{name}}/{action.subresource}", {"parameters": one["parameters"]})
        path[_METHODS[action.verb]] = _act(kind, action)
    return {root: whole, f"{root}/{{name}}": one, **below}


_METHODS = {verb: method.lower() for verb, method in METHODS.items()}
_CODES = {"create": "201"}


def _operation(kind: Kind, verb: str, query: tuple[str, ...], suffix: str = "") -> Json:
    operation: Json = {
        "operationId": _id(kind, verb, suffix),
        "description": _DESCRIPTIONS[verb].format(kind.kind),
        "parameters": [_in_query(name) for name in query],
        "responses": _responses(kind, verb),
        "x-kubernetes-action": _METHODS.get(verb, verb),
        "x-kubernetes-group-version-kind": schemas.gvk(kind),
    }
    body = _body(kind, verb)
    return {**operation, "requestBody": body} if body else operation


def _id(kind: Kind, verb: str, suffix: str) -> str:
    group = "".join(part.capitalize() for part in kind.group.split(".")) or "Core"
    return f"{verb}{group}{kind.version.capitalize()}{kind.kind}{suffix}"


def _act(kind: Kind, action: Action) -> Json:
    operation: Json = {
        "operationId": _id(kind, action.verb, action.subresource.capitalize()),
        "description": action.description + (f" At most {action.max_bytes} bytes." if action.max_bytes else ""),
        "parameters": _parameters(action),
        "responses": _answers(action.verb, _content(kind, action.answer)),
        "x-kubernetes-action": _METHODS[action.verb],
        "x-kubernetes-group-version-kind": schemas.gvk(kind, action.request if action.takes_body else action.answer),
    }
    if action.takes_body:
        operation["requestBody"] = {"required": True, "content": _content(kind, action.request)}
    elif action.verb == "delete":
        operation["requestBody"] = _body(kind, "delete")
    return operation


def _content(kind: Kind, shape: type[Struct] | None) -> Json:
    """A body or an answer of an action: what has no type is a stream of bytes."""
    if shape is None:
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"application/json": {"schema": schemas.ref(schemas.name_of(kind, shape))}}


def _parameters(action: Action) -> list[Json]:
    if action.verb != "get":
        return [_in_query(name) for name in (_DELETE if action.verb == "delete" else _WRITE)]
    if action.request is None:
        return []
    described = structural(action.request)
    fields = [(name, described["properties"][name]) for name in action.request.__struct_encode_fields__]
    return [
        {
            "name": name,
            "in": "query",
            "description": field.get("description", ""),
            "required": name in described.get("required", ()),
            "schema": {"type": field["type"], "uniqueItems": True},
        }
        for name, field in fields
    ]


_DESCRIPTIONS = {
    "list": "list or watch objects of kind {}",
    "get": "read the specified {}",
    "create": "create a {}",
    "update": "replace the specified {}",
    "patch": "partially update the specified {}",
    "delete": "delete a {}",
    "deletecollection": "delete a collection of {}",
}


def _responses(kind: Kind, verb: str) -> Json:
    if verb not in kind.verbs:
        return {"405": {"description": f"Not served: {kind.plural} do not take this."}}
    shape = {
        "list": schemas.name_of(kind) + "List",
        "delete": schemas.STATUS,
        "deletecollection": schemas.STATUS,
    }.get(verb, schemas.name_of(kind))
    return _answers(verb, {"application/json": {"schema": schemas.ref(shape)}})


def _answers(verb: str, content: Json) -> Json:
    return {
        _CODES.get(verb, "200"): {"description": "OK", "content": content},
        "401": {"description": "Unauthorized"},
    }


def _body(kind: Kind, verb: str) -> Json | None:
    if verb in ("create", "update"):
        return {"required": True, "content": {"application/json": {"schema": schemas.ref(schemas.name_of(kind))}}}
    if verb == "patch":
        return {"required": True, "content": {media: {"schema": schemas.ref(schemas.PATCH)} for media in _PATCHES}}
    if verb in ("delete", "deletecollection"):
        return {"content": {"application/json": {"schema": schemas.ref(schemas.DELETE_OPTIONS)}}}
    return None


def _in_query(name: str) -> Json:
    kind, text = _PARAMETERS[name]
    return {"name": name, "in": "query", "description": text, "schema": {"type": kind, "uniqueItems": True}}


def _in_path(name: str, text: str) -> Json:
    return {"name": name, "in": "path", "description": text, "required": True, "schema": {"type": "string"}}
