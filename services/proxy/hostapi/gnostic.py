"""An OpenAPI 2 document as gnostic protobuf, the only form in which kubectl reads `/openapi/v2`. Pure.

Only what such a document of ours holds is encoded. Field numbers: openapiv2/OpenAPIv2.proto of github.com/google/gnostic-models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from skerry.protobuf import field, message

OpenApiNode = Mapping[str, Any]

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}
_PATH_PARAMETERS = 9
_TEXTS = {"$ref": 1, "format": 2, "description": 4}


def document(value: OpenApiNode) -> bytes:
    """The whole document."""
    info = field(1, value["info"]["title"]) + field(2, value["info"]["version"])
    paths = b"".join(message(2, _named(path, _path_item(item))) for path, item in value["paths"].items())
    definitions = b"".join(message(1, _named(name, _schema(one))) for name, one in value["definitions"].items())
    return field(1, value["swagger"]) + message(2, info) + message(8, paths) + message(9, definitions)


def _named(name: str, value: bytes) -> bytes:
    return field(1, name) + message(2, value)


def _extensions(value: OpenApiNode, number: int) -> bytes:
    """`x-…` members, as YAML text: JSON is that too."""
    extensions = [(key, one) for key, one in value.items() if key.startswith("x-")]
    return b"".join(message(number, _named(key, field(2, msgspec.json.encode(one)))) for key, one in extensions)


def _path_item(item: OpenApiNode) -> bytes:
    parts = [message(number, _operation(item[method])) for method, number in _METHODS.items() if method in item]
    parts += [message(_PATH_PARAMETERS, _parameter(one)) for one in item.get("parameters", ())]
    return b"".join(parts)


def _operation(value: OpenApiNode) -> bytes:
    responses = b"".join(
        message(1, _named(code, message(1, _response(one)))) for code, one in value["responses"].items()
    )
    return b"".join(
        (
            field(3, value["description"]),
            field(5, value["operationId"]),
            *(field(6, media) for media in value["produces"]),
            *(field(7, media) for media in value.get("consumes", ())),
            *(message(8, _parameter(one)) for one in value["parameters"]),
            message(9, responses),
            _extensions(value, 13),
        )
    )


def _response(value: OpenApiNode) -> bytes:
    schema = message(2, message(1, _schema(value["schema"]))) if "schema" in value else b""
    return field(1, value["description"]) + schema


def _parameter(value: OpenApiNode) -> bytes:
    """ParametersItem{Parameter{BodyParameter | NonBodyParameter{query | path}}}"""
    if value["in"] == "body":
        body = b"".join((field(2, "body"), field(3, value["name"]), field(4, bool(value["required"])),
                         message(5, _schema(value["schema"]))))  # fmt: skip
        return message(1, message(1, body))
    common = b"".join((field(1, bool(value.get("required"))), field(2, value["in"]), field(3, value["description"]),
                       field(4, value["name"])))  # fmt: skip
    if value["in"] == "query":
        query = common + field(6, value["type"]) + field(20, bool(value.get("uniqueItems")))
        return message(1, message(2, message(3, query)))
    return message(1, message(2, message(4, common + field(5, value["type"]))))


def _schema(value: OpenApiNode) -> bytes:
    parts = [field(number, value[key]) for key, number in _TEXTS.items() if key in value]
    if "default" in value:
        parts.append(message(5, field(2, msgspec.json.encode(value["default"]))))
    parts += [field(19, name) for name in value.get("required", ())]
    parts += [message(20, field(2, msgspec.json.encode(one))) for one in value.get("enum", ())]
    if "additionalProperties" in value:
        parts.append(message(21, message(1, _schema(value["additionalProperties"]))))
    if "type" in value:
        parts.append(message(22, field(1, value["type"])))
    if "items" in value:
        parts.append(message(23, message(1, _schema(value["items"]))))
    parts += [message(24, _schema(one)) for one in value.get("allOf", ())]
    if "properties" in value:
        properties = [message(1, _named(name, _schema(one))) for name, one in value["properties"].items()]
        parts.append(message(25, b"".join(properties)))
    return b"".join((*parts, _extensions(value, 31)))
