"""Reads access reviews that come as Kubernetes protobuf, which is what kubectl's typed clients send. Reads nothing else.

Field numbers are those of k8s.io/api/authorization/v1/generated.proto, which never change. Answers are JSON: clients accept
both.
"""

from __future__ import annotations

from typing import Any

from skerry import protobuf

CONTENT_TYPE = protobuf.CONTENT_TYPE.encode()
_RESOURCE = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}
_PATH = {1: "path", 2: "verb"}
_SPEC, _RESOURCE_ATTRIBUTES, _PATH_ATTRIBUTES = 2, 1, 2


def access_review(body: bytes) -> dict[str, Any]:
    """The spec of a SelfSubjectAccessReview, in the shape of its JSON. Raises BadRequest."""
    spec = protobuf.fields(protobuf.fields(protobuf.unwrapped(body)).get(_SPEC, b""))
    attributes: dict[str, Any] = {}
    if _RESOURCE_ATTRIBUTES in spec:
        attributes["resourceAttributes"] = protobuf.texts(spec[_RESOURCE_ATTRIBUTES], _RESOURCE)
    if _PATH_ATTRIBUTES in spec:
        attributes["nonResourceAttributes"] = protobuf.texts(spec[_PATH_ATTRIBUTES], _PATH)
    return {"spec": attributes}
