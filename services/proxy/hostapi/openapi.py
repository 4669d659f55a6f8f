"""OpenAPI v3 of the host API, made from the declarations: what `kubectl explain` and kubectl's own validation read.

kubectl lets the server validate (fieldValidation) only if PATCH is described with that parameter; where objects do not
change, PATCH is described as what it is: 405.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec

from skerry.api.kinds import Kind

Json = dict[str, Any]

_OPTIONS = ("dryRun", "fieldManager", "fieldValidation")
_SELECTORS = ("labelSelector", "fieldSelector", "resourceVersion", "resourceVersionMatch", "watch", "timeoutSeconds")


class OpenApi:
    """Documents by group and version; made when first asked for, because most proxies never are."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)

    @cached_property
    def index(self) -> bytes:
        """`/openapi/v3`: where the documents are. The hash lets clients keep them."""
        paths = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(body).hexdigest()[:32].upper()}"}
            for path, body in self.documents.items()
        }
        return msgspec.json.encode({"paths": paths})

    @cached_property
    def documents(self) -> dict[str, bytes]:
        """Path of a group and version (`apis/skerry.dev/v1alpha1`) -> document."""
        versions = sorted({(kind.group, kind.version) for kind in self._kinds})
        return {_path(*version): msgspec.json.encode(self._document(*version)) for version in versions}

    def _document(self, group: str, version: str) -> Json:
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        _, found = msgspec.json.schema_components(
            [kind.type for kind in kinds], ref_template="#/components/schemas/{name}"
        )
        schemas = {name: dict(schema) for name, schema in found.items()}
        for kind in kinds:
            schemas[kind.type.__name__]["x-kubernetes-group-version-kind"] = [_gvk(kind)]
        paths = {path: item for kind in kinds for path, item in _paths(kind).items()}
        return {
            "openapi": "3.0.0",
            "info": {"title": "Skerry", "version": version},
            "paths": paths,
            "components": {"schemas": schemas},
        }


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _gvk(kind: Kind) -> Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _paths(kind: Kind) -> Json:
    root = f"/{_path(kind.group, kind.version)}/" + ("namespaces/{namespace}/" if kind.namespaced else "") + kind.plural
    return {
        root: {
            **_operation(kind, "get", "list", _SELECTORS),
            **_operation(kind, "post", "post", _OPTIONS, served="create" in kind.verbs),
        },
        f"{root}/{{name}}": {
            **_operation(kind, "get", "get", ()),
            **_operation(kind, "patch", "patch", _OPTIONS, served="patch" in kind.verbs),
            **_operation(kind, "delete", "delete", ("dryRun", "propagationPolicy"), served="delete" in kind.verbs),
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
        },
    }


def _operation(kind: Kind, method: str, action: str, query: tuple[str, ...], *, served: bool = True) -> Json:
    schema = {"$ref": f"#/components/schemas/{kind.type.__name__}"}
    done = {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}
    refused = {"405": {"description": f"Not served: {kind.plural} do not take this."}}
    return {
        method: {
            "operationId": f"{action}{kind.kind}",
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in query],
            "responses": done if served else refused,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(kind),
        }
    }
