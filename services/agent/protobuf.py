"""Reads self reviews that come as Kubernetes protobuf, which is what kubectl's typed clients send. Reads nothing else.

The envelope is `k8s\\0` and a runtime.Unknown (k8s.io/apimachinery/pkg/runtime/generated.proto); field numbers are those
of k8s.io/api/authorization/v1/generated.proto, which never change. Answers are JSON: clients accept both.
"""

from __future__ import annotations

from typing import Any

from skerry.errors import BadRequest

MAGIC = b"k8s\x00"
CONTENT_TYPE = b"application/vnd.kubernetes.protobuf"
_RESOURCE = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_PATH = {1: "path", 2: "verb"}
_RAW, _SPEC, _RESOURCE_ATTRIBUTES, _PATH_ATTRIBUTES = 2, 2, 1, 2

Fields = dict[int, bytes]


def access_review(body: bytes) -> dict[str, Any]:
    """The spec of a SelfSubjectAccessReview, in the shape of its JSON. Raises BadRequest."""
    if not body.startswith(MAGIC):
        raise BadRequest("the review is not Kubernetes protobuf")
    spec = fields(fields(fields(body[4:]).get(_RAW, b"")).get(_SPEC, b""))
    found: dict[str, Any] = {}
    if _RESOURCE_ATTRIBUTES in spec:
        found["resourceAttributes"] = _texts(spec[_RESOURCE_ATTRIBUTES], _RESOURCE)
    if _PATH_ATTRIBUTES in spec:
        found["nonResourceAttributes"] = _texts(spec[_PATH_ATTRIBUTES], _PATH)
    return {"spec": found}


def _texts(message: bytes, names: dict[int, str]) -> dict[str, str]:
    try:
        return {names[n]: value.decode() for n, value in fields(message).items() if n in names}
    except UnicodeDecodeError as e:
        raise BadRequest("the review holds text that is not UTF-8") from e


def fields(message: bytes) -> Fields:
    """The length-delimited fields of a message, the last of each number; others are skipped. Raises BadRequest."""
    found: Fields = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, number = key & 7, key >> 3
        if kind == 0:
            _, at = _varint(message, at)
            continue
        size, at = _varint(message, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(message):
            raise BadRequest("the review is garbled protobuf")
        if kind == 2:
            found[number] = message[at : at + size]
        at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise BadRequest("the review is garbled protobuf")
