"""Schemas of the kinds as OpenAPI has them: the structural schema of each, with Kubernetes' own names around it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skerry.api import meta
from skerry.api.kinds import Action, Kind
from skerry.api.structural import structural

Json = dict[str, Any]

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS, DELETE_OPTIONS, PATCH = f"{META}Status", f"{META}DeleteOptions", f"{META}Patch"
_OBJECT_META, _LIST_META = f"{META}ObjectMeta", f"{META}ListMeta"
_GVK = "x-kubernetes-group-version-kind"
_HEAD = {
    "apiVersion": "The version of the schema of this object: group/version.",
    "kind": "The kind of this object, in CamelCase.",
    "metadata": "Standard object's metadata.",
}
_LABELLED = " The name is a DNS label: a-z, 0-9 and -, at most 63 characters."
_META_FIELDS = {
    "name": "Unique among the objects of its kind and namespace. Cannot be changed.",
    "generateName": "Without a name: the beginning of the name that the server makes.",
    "namespace": "The workspace of the object, if its kind is namespaced. Cannot be changed.",
    "selfLink": "Is taken and never kept: Kubernetes has given it up.",
    "uid": "Unique in time and space: an object that was deleted and made again has another one. Set by the server.",
    "resourceVersion": "Moves with every change. A write that sends it back is refused if the object changed meanwhile.",
    "generation": "Moves with every change of what is wanted (spec). Set by the server.",
    "creationTimestamp": "When the object was made. Set by the server.",
    "deletionTimestamp": "When deletion was asked for; the object goes when its finalizers are done.",
    "deletionGracePeriodSeconds": "Always 0 here.",
    "labels": "Names and values by which objects are selected.",
    "annotations": "Names and values that tools keep with an object.",
    "finalizers": "Who has work to do before a deleted object goes.",
    "ownerReferences": "Objects that this one belongs to: when all are gone, it goes too.",
    "managedFields": "Which manager has set which fields. Kept by the server.",
}


def name_of(kind: Kind, shape: type[meta.Struct] | None = None) -> str:
    """The name of a kind's schema, as Kubernetes names them: `dev.skerry.v1alpha1.Cluster`; or of what its actions take."""
    name = _named(kind, shape)
    if kind.group in ("", "events.k8s.io", "authorization.k8s.io", "authentication.k8s.io"):
        return f"io.k8s.api.{kind.group.partition('.')[0] or 'core'}.{kind.version}.{name}"
    return ".".join((*reversed(kind.group.split(".")), kind.version, name))


def _named(kind: Kind, shape: type[meta.Struct] | None) -> str:
    return kind.kind if shape is None else shape.__name__


def ref(name: str) -> Json:
    """A reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def gvk(kind: Kind, shape: type[meta.Struct] | None = None) -> Json:
    """Group, version and kind, of objects or of what an action takes."""
    return {"group": kind.group, "version": kind.version, "kind": _named(kind, shape)}


def components(kinds: Iterable[Kind]) -> Json:
    """Every schema that the documents of `kinds` refer to."""
    kinds, schemas = tuple(kinds), _metadata()
    for kind in kinds:
        schemas[name_of(kind)] = _object(kind)
        if "list" in kind.verbs:
            schemas[f"{name_of(kind)}List"] = _list(kind)
    for kind in kinds:
        for shape in (each for action in kind.actions for each in _shapes(action) if each):
            schemas.setdefault(name_of(kind, shape), {**_plain(shape), _GVK: [gvk(kind, shape)]})
    return schemas


def _shapes(action: Action) -> tuple[type[meta.Struct] | None, ...]:
    """What is sent and answered as a document; parameters of a query are none."""
    return (action.request if action.takes_body else None, action.answer)


def _object(kind: Kind) -> Json:
    schema = structural(kind.type)
    schema["properties"] |= _head(_OBJECT_META, _LABELLED if kind.labelled else "")
    selectable = [{"fieldPath": path} for path in kind.selectable]
    if selectable:
        schema["x-kubernetes-selectable-fields"] = selectable
    return {**schema, _GVK: [gvk(kind)]}


def _list(kind: Kind) -> Json:
    items = {"description": f"List of {kind.plural}.", "type": "array", "items": ref(name_of(kind))}
    return {
        "description": f"{kind.kind}List is a list of {kind.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_head(_LIST_META), "items": items},
        _GVK: [{**gvk(kind), "kind": f"{kind.kind}List"}],
    }


def _head(metadata: str, more: str = "") -> Json:
    return {
        "apiVersion": {"type": "string", "description": _HEAD["apiVersion"]},
        "kind": {"type": "string", "description": _HEAD["kind"]},
        "metadata": {"description": _HEAD["metadata"] + more, "allOf": [ref(metadata)]},
    }


def _metadata() -> Json:
    """meta/v1, as far as it is served."""
    return {
        _OBJECT_META: _described(_plain(meta.ObjectMeta), _META_FIELDS),
        _LIST_META: _plain(meta.ListMeta),
        STATUS: _plain(meta.Status),
        PATCH: {"type": "object", "description": "A patch, in the format that the content type says."},
        DELETE_OPTIONS: {
            "type": "object",
            "description": "How to delete.",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "dryRun": {"type": "array", "items": {"type": "string"}},
                "gracePeriodSeconds": {"type": "integer"},
                "propagationPolicy": {"type": "string"},
                "preconditions": {
                    "type": "object",
                    "properties": {"uid": {"type": "string"}, "resourceVersion": {"type": "string"}},
                },
            },
        },
    }


def _plain(struct: type[meta.Struct]) -> Json:
    """The schema of a Struct that is not a kind."""
    schema = structural(struct)
    for name in ("apiVersion", "kind", "metadata"):
        if name not in struct.__struct_encode_fields__:
            del schema["properties"][name]
    return schema


def _described(schema: Json, texts: dict[str, str]) -> Json:
    properties = {name: {**one, "description": texts[name]} for name, one in schema["properties"].items()}
    for name in ("creationTimestamp", "deletionTimestamp"):
        properties[name] |= {"type": "string", "format": "date-time"}
    return {**schema, "properties": properties}


# Version 2


def version_2(document: Json, schemas: Json) -> Json:
    """The same in OpenAPI 2: parameters without schemas, bodies as parameters, references to definitions."""
    paths = {
        path: {key: _item_2(key, value) for key, value in item.items()} for path, item in document["paths"].items()
    }
    definitions = {name: _schema_2(schema) for name, schema in schemas.items()}
    return {**document, "paths": paths, "definitions": definitions}


def _item_2(key: str, value: Any) -> Any:
    return [_parameter_2(one) for one in value] if key == "parameters" else _operation_2(value)


def _operation_2(operation: Json) -> Json:
    rest = {key: value for key, value in operation.items() if key not in ("requestBody", "responses", "parameters")}
    parameters = [_parameter_2(one) for one in operation["parameters"]]
    body = operation.get("requestBody")
    if body:
        rest["consumes"] = list(body["content"])
        schema = _schema_2(next(iter(body["content"].values()))["schema"])
        parameters.append({"name": "body", "in": "body", "required": body.get("required", False), "schema": schema})
    responses = {code: _response_2(value) for code, value in operation["responses"].items()}
    produced = {media: None for value in operation["responses"].values() for media in value.get("content", ())}
    return {
        **rest,
        "produces": list(produced) or ["application/json"],
        "parameters": parameters,
        "responses": responses,
    }


def _parameter_2(parameter: Json) -> Json:
    rest = {key: value for key, value in parameter.items() if key != "schema"}
    return {**rest, **parameter["schema"]}


def _response_2(response: Json) -> Json:
    if "content" not in response:
        return response
    (content,) = response["content"].values()
    schema = _schema_2(content["schema"])
    return {"description": response["description"], "schema": schema}


def _schema_2(value: Any) -> Any:
    if isinstance(value, list):
        return [_schema_2(one) for one in value]
    if not isinstance(value, dict):
        return value.replace("#/components/schemas/", "#/definitions/") if isinstance(value, str) else value
    rest = {key: _schema_2(one) for key, one in value.items() if key not in ("nullable", "allOf")}
    return {**rest, **_schema_2(value["allOf"][0])} if "allOf" in value else rest
