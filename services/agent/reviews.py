"""Self reviews under a ceiling: `kubectl auth can-i` and the real request must agree.

An access review that the ceiling forbids is answered here with allowed=false and the reason; any other goes to the API
server unchanged, which knows the rest. The answer of a rules review is asked for as JSON and cut down to what the ceiling
leaves. Requests are read as JSON or protobuf; CBOR is refused with 415, after which client-go repeats in JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.agent import ceiling as limits
from skerry.api.v1alpha1 import Ceiling
from skerry.errors import BadGateway, RequestEntityTooLarge
from skerry.http.response import Response
from skerry.httpwire import reviews
from skerry.httpwire.head import Headers, first
from skerry.httpwire.requestinfo import EXEC_LIKE
from skerry.link import Stream
from skerry.relay import OpenRequest

JSON = b"application/json"
LIMIT = 1 << 20
"""Largest review that is read."""


async def access(stream: Stream, ceiling: Ceiling) -> bytes | None:
    """The answer to a SelfSubjectAccessReview that the ceiling forbids; None if the API server decides."""
    request = stream.request
    if not request.end:
        raise RequestEntityTooLarge("the access review is too large")
    document = _read(request)
    attributes = reviews.question(document)
    why = limits.refusal(ceiling, attributes) if attributes is not None else ""
    return reviews.refusal(document, why) if why else None


def _read(request: OpenRequest) -> dict[str, Any]:
    if len(request.body) > LIMIT:
        raise RequestEntityTooLarge("the access review is too large")
    return reviews.document(first(request.headers, b"content-type"), request.body)


async def rules(response: Response, ceiling: Ceiling) -> bytes:
    """The answer to a SelfSubjectRulesReview without what the ceiling takes away."""
    try:
        body = await response.body(LIMIT)
    except ValueError as e:
        raise BadGateway("the API server's rules review is larger than 1 MiB") from e
    kind = first(response.headers, b"content-type") or b""
    if first(response.headers, b"content-encoding") or not kind.startswith(JSON):
        raise BadGateway("the API server's rules review is not plain JSON, and the ceiling cannot be applied to it")
    return msgspec.json.encode(intersect(reviews.document(JSON, body), ceiling))


def plain(headers: Headers) -> Headers:
    """Request headers that ask for an answer that `rules` can read."""
    return [pair for pair in headers if pair[0] not in {b"accept", b"accept-encoding"}] + [(b"accept", JSON)]


def intersect(document: dict[str, Any], ceiling: Ceiling) -> dict[str, Any]:
    """A SelfSubjectRulesReview whose status says what is left under `ceiling`. Marked incomplete: wildcards hide more."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    outside = bool(ceiling.namespaces) and spec.get("namespace") not in ceiling.namespaces
    rules = [] if outside else status.get("resourceRules") or []
    left = [narrowed for rule in rules if (narrowed := _narrowed(rule, ceiling))]
    why = "this member's ceiling applies besides"
    return {
        **document,
        "status": {**status, "resourceRules": left, "incomplete": True, "evaluationError": why},
    }


def _narrowed(rule: dict[str, Any], ceiling: Ceiling) -> dict[str, Any] | None:
    verbs, resources = list(rule.get("verbs") or []), list(rule.get("resources") or [])
    if ceiling.read_only and not _is_self_review(rule):
        verbs = sorted(limits.READS) if "*" in verbs else [verb for verb in verbs if verb in limits.READS]
    if ceiling.read_only or ceiling.no_exec:
        resources = [r for r in resources if str(r).partition("/")[2] not in EXEC_LIKE]
    return {**rule, "verbs": verbs, "resources": resources} if verbs and resources else None


def _is_self_review(rule: dict[str, Any]) -> bool:
    pairs = {(group, resource) for group in rule.get("apiGroups") or [] for resource in rule.get("resources") or []}
    return bool(pairs) and pairs <= limits.SELF_REVIEWS
