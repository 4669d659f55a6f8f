"""The little of protobuf's wire format that Kubernetes clients insist on: two field types, written and read. Pure.

kubectl posts its self reviews as Kubernetes protobuf and reads `/openapi/v2` as nothing else. A library and its generated
code would cost more than these lines. Reference: protobuf.dev, "Encoding". Field numbers of reviews are those of
k8s.io/api/authorization/v1/generated.proto, which never change.
"""

from __future__ import annotations

from typing import Any

from skerry.errors import BadRequest

MAGIC = b"k8s\x00"
"""Begins Kubernetes' envelope, runtime.Unknown (k8s.io/apimachinery/pkg/runtime/generated.proto)."""
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_RAW = 2
_SPEC, _RESOURCE_ATTRIBUTES, _PATH_ATTRIBUTES = 2, 1, 2
_RESOURCE = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_PATH = {1: "path", 2: "verb"}

Fields = dict[int, bytes]


def varint(value: int) -> bytes:
    """A non-negative integer."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def field(number: int, value: str | bytes | bool) -> bytes:
    """One field: text, bytes or an embedded message, or a bool. Empty for an empty value, as proto3 has it."""
    if isinstance(value, bool):
        return varint(number << 3) + b"\x01" if value else b""
    data = value.encode() if isinstance(value, str) else value
    return message(number, data) if data else b""


def message(number: int, data: bytes) -> bytes:
    """An embedded message, also if it is empty: it is there."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def unwrapped(body: bytes) -> bytes:
    """The message inside Kubernetes' envelope. BadRequest."""
    if not body.startswith(MAGIC):
        raise BadRequest("the body is not Kubernetes protobuf")
    return fields(body[len(MAGIC) :]).get(_RAW, b"")


def texts(data: bytes, names: dict[int, str]) -> dict[str, str]:
    """The text fields of a message by name. BadRequest."""
    try:
        return {names[number]: value.decode() for number, value in fields(data).items() if number in names}
    except UnicodeDecodeError as error:
        raise BadRequest("the body holds text that is not UTF-8") from error


def fields(data: bytes) -> Fields:
    """The length-delimited fields of a message, the last of each number; others are skipped. BadRequest."""
    values: Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind, number = key & 7, key >> 3
        if kind == 0:
            _, at = _varint(data, at)
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data):
            raise BadRequest("the body is garbled protobuf")
        if kind == 2:
            values[number] = data[at : at + size]
        at += size
    return values


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise BadRequest("the body is garbled protobuf")


def review_spec(body: bytes) -> bytes:
    """The spec of a review in Kubernetes' envelope; empty for one that has none. BadRequest."""
    return fields(unwrapped(body)).get(_SPEC, b"")


def access_attributes(spec: bytes) -> dict[str, Any]:
    """The spec of a SelfSubjectAccessReview in the shape of its JSON. BadRequest."""
    parts = fields(spec)
    attributes: dict[str, Any] = {}
    if _RESOURCE_ATTRIBUTES in parts:
        attributes["resourceAttributes"] = texts(parts[_RESOURCE_ATTRIBUTES], _RESOURCE)
    if _PATH_ATTRIBUTES in parts:
        attributes["nonResourceAttributes"] = texts(parts[_PATH_ATTRIBUTES], _PATH)
    return attributes
