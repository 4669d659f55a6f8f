"""Self reviews: what the caller may do, answered by the same `decide` that answers real requests.

kubectl posts them as Kubernetes protobuf and does not fall back; answers are JSON, which every client reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from services.proxy.hostapi.attributes import Attributes, Authorize, Explain, Rule
from skerry import protobuf
from skerry.admission.reading import read_json, without_nulls
from skerry.api.corev1 import (
    AccessReviewStatus,
    NonResourceRule,
    ResourceRule,
    RulesReviewStatus,
    SelfSubjectAccessReview,
    SelfSubjectReviewStatus,
    SelfSubjectRulesReview,
    UserInfo,
)
from skerry.api.explanations import AccessExplanation
from skerry.api.kinds import (
    ACCESS_EXPLANATION,
    ACCESS_REVIEW,
    EVERYBODY,
    RULES_REVIEW,
    SELF_ACCESS_REVIEW,
    SUBJECT_REVIEW,
    Kind,
)
from skerry.api.messages import Caller
from skerry.api.meta import Document
from skerry.api.selfaccess import SelfAccessReviewStatus
from skerry.api.times import rfc3339
from skerry.errors import BadRequest, Invalid, StatusError, UnsupportedMediaType, cause
from skerry.storage import utc_now

_JSON = ("", "application/json")


class ReviewCaller(NamedTuple):
    """Who asks, and what they may do."""

    caller: Caller
    authorize: Authorize
    rules: Callable[[str], tuple[Rule, ...]]
    """In a namespace."""
    access: Callable[[], SelfAccessReviewStatus]
    explain: Explain


async def answer(kind: Kind, content_type: str, body: bytes, asking: ReviewCaller) -> bytes:
    """The review with its status. BadRequest, Invalid, UnsupportedMediaType, and what explaining raises."""
    result = await _ANSWERS[kind](_read(kind, content_type, body), asking)
    return msgspec.json.encode({"kind": kind.kind, "apiVersion": kind.api_version, **result})


async def _may(document: Document, asking: ReviewCaller) -> Document:
    review = _converted(document, SelfSubjectAccessReview)
    return _with_spec(document, _access(review, asking.authorize))


async def _everything(document: Document, asking: ReviewCaller) -> Document:
    review = _converted(document, SelfSubjectRulesReview)
    return _with_spec(document, _rules(asking.rules(review.spec.namespace)))


def _with_spec(document: Document, status: msgspec.Struct) -> Document:
    return {"metadata": {"creationTimestamp": None}, "spec": document.get("spec", {}), "status": status}


async def _whoami(document: Document, asking: ReviewCaller) -> Document:
    user = UserInfo(username=asking.caller.user, groups=[*asking.caller.groups, *EVERYBODY])
    return {
        "metadata": {"creationTimestamp": rfc3339(utc_now())},
        "status": SelfSubjectReviewStatus(user_info=user),
    }


async def _own_access(document: Document, asking: ReviewCaller) -> Document:
    return {"metadata": {"creationTimestamp": rfc3339(utc_now())}, "status": asking.access()}


async def _explained(document: Document, asking: ReviewCaller) -> Document:
    question = _converted(document, AccessExplanation)
    return _with_spec(document, await asking.explain(question.spec))


_ANSWERS: dict[Kind, Callable[[Document, ReviewCaller], Awaitable[Document]]] = {
    ACCESS_REVIEW: _may,
    RULES_REVIEW: _everything,
    SUBJECT_REVIEW: _whoami,
    SELF_ACCESS_REVIEW: _own_access,
    ACCESS_EXPLANATION: _explained,
}


def _read(kind: Kind, content_type: str, body: bytes) -> Document:
    media = content_type.partition(";")[0].strip().lower()
    if media == protobuf.CONTENT_TYPE and kind in _SPECS:
        return {"spec": _SPECS[kind](protobuf.review_spec(body))}
    if media not in _JSON:
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: application/json, "
            f"{protobuf.CONTENT_TYPE}"
        )
    document = without_nulls(read_json(msgspec.Raw(body or b"{}"), "the review is not a JSON object"))
    if not isinstance(document, dict):
        raise BadRequest("the review is not a JSON object")
    named = (document.get("kind") or kind.kind, document.get("apiVersion") or kind.api_version)
    if named != (kind.kind, kind.api_version):
        raise BadRequest(f"the object provided is unrecognized (must be of type {kind.kind})")
    return document


_SPECS: dict[Kind, Callable[[bytes], Document]] = {
    ACCESS_REVIEW: protobuf.access_attributes,
    RULES_REVIEW: lambda spec: dict(protobuf.texts(spec, {1: "namespace"})),
    SUBJECT_REVIEW: lambda spec: {},
}
"""A review's spec from Kubernetes protobuf, of the kinds that Kubernetes has."""


def _converted(document: Document, kind: Any) -> Any:
    try:
        return msgspec.convert({"metadata": {}, "spec": {}, **document}, kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"the review does not fit its kind: {error}") from error


def _access(review: SelfSubjectAccessReview, authorize: Authorize) -> AccessReviewStatus:
    resource, path = review.spec.resource_attributes, review.spec.non_resource_attributes
    if (resource is msgspec.UNSET) == (path is msgspec.UNSET):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        field = "spec.resourceAttributes"
        raise Invalid(
            f'{ACCESS_REVIEW.kind}.{ACCESS_REVIEW.group} "" is invalid: {field}: Invalid value: null: {text}',
            group=ACCESS_REVIEW.group,
            causes=(cause(field, f"Invalid value: null: {text}"),),
        )
    if path is not msgspec.UNSET:
        question = Attributes(path.verb, path=path.path)
    elif resource is not msgspec.UNSET:
        question = Attributes(
            resource.verb or "*",
            resource.group,
            resource.resource or "*",
            resource.subresource,
            resource.namespace,
            resource.name,
        )
    try:
        authorize(question)
    except StatusError as error:
        return AccessReviewStatus(allowed=False, reason=error.message)
    return AccessReviewStatus(allowed=True)


def _rules(rules: tuple[Rule, ...]) -> RulesReviewStatus:
    resources = [
        ResourceRule(verbs=list(rule.verbs), api_groups=list(rule.groups), resources=list(rule.resources))
        for rule in rules
        if rule.resources
    ]
    paths = [
        NonResourceRule(verbs=list(rule.verbs), non_resource_urls=list(rule.paths)) for rule in rules if rule.paths
    ]
    return RulesReviewStatus(resource_rules=resources, non_resource_rules=paths)
