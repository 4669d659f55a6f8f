"""Self reviews (authorization.k8s.io/v1) as clients post them: JSON or Kubernetes protobuf, and what they ask about. Pure.

A proxy prepares a review as the request that it asks about, and an agent judges it by its ceiling: both read it here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from skerry import protobuf
from skerry.api.decode import decoded
from skerry.errors import BadRequest, UnsupportedMediaType
from skerry.httpwire.requestinfo import RequestInfo

ACCESS, RULES = "selfsubjectaccessreviews", "selfsubjectrulesreviews"
GROUP = "authorization.k8s.io"
_JSON = b"application/json"
_PROTOBUF = protobuf.CONTENT_TYPE.encode()


class ReviewAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """The question of a self review."""

    verb: str = ""
    group: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    is_resource: bool = True
    path: str = ""


def asks(info: RequestInfo) -> bool:
    """True if a request is a review that asks what its caller may do, somewhere or in a namespace."""
    return info.group == GROUP and info.verb == "create" and info.resource in (ACCESS, RULES) and not info.subresource


def document(content_type: bytes | None, body: bytes, resource: str = ACCESS) -> dict[str, Any]:
    """A review in the shape of its JSON; of one in protobuf its spec. BadRequest, UnsupportedMediaType."""
    media = (content_type or _JSON).split(b";")[0].strip().lower()
    if media == _PROTOBUF:
        spec = protobuf.review_spec(body)
        return {
            "spec": protobuf.texts(spec, {1: "namespace"}) if resource == RULES else protobuf.access_attributes(spec)
        }
    if media != _JSON:
        name = media[:60].decode("ascii", "replace")
        raise UnsupportedMediaType(f"access reviews are read as JSON or protobuf here, not {name}")
    try:
        review = decoded(body)
    except msgspec.DecodeError as error:
        raise BadRequest("the review is not JSON") from error
    if not isinstance(review, dict):
        raise BadRequest("the review is not an object")
    return review


def question(review: dict[str, Any]) -> ReviewAttributes | None:
    """The question of a SelfSubjectAccessReview; None if it asks nothing that can be judged here.

    `*` as verb, resource or group asks for everything.
    """
    spec = review.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    resource, plain = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(resource, dict):
        return ReviewAttributes(
            verb=str(resource.get("verb") or "*"),
            group=str(resource.get("group") or ""),
            namespace=str(resource.get("namespace") or ""),
            resource=str(resource.get("resource") or "*"),
            subresource=str(resource.get("subresource") or ""),
        )
    if isinstance(plain, dict):
        path = str(plain.get("path") or "")
        return ReviewAttributes(verb=str(plain.get("verb") or "").lower(), is_resource=False, path=path)
    return None


def namespace(review: dict[str, Any]) -> str:
    """The namespace that a SelfSubjectRulesReview asks about."""
    spec = review.get("spec")
    return str(spec.get("namespace") or "") if isinstance(spec, dict) else ""


def refusal(review: dict[str, Any], why: str) -> bytes:
    """The answer to a SelfSubjectAccessReview: no, because."""
    review.setdefault("apiVersion", f"{GROUP}/v1")
    review.setdefault("kind", "SelfSubjectAccessReview")
    return msgspec.json.encode({**review, "status": {"allowed": False, "reason": why}})
