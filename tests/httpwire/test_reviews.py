"""Self reviews, as JSON and as protobuf."""

from __future__ import annotations

import msgspec
import pytest

from skerry import protobuf
from skerry.errors import BadRequest, UnsupportedMediaType
from skerry.httpwire import reviews
from skerry.httpwire.requestinfo import resolve

PATH = "/apis/authorization.k8s.io/v1/"
PODS = {"verb": "get", "resource": "pods", "namespace": "shop", "subresource": "log", "group": ""}


def packed(spec: bytes) -> bytes:
    return protobuf.MAGIC + protobuf.message(2, protobuf.message(2, spec))


@pytest.mark.parametrize(
    ("method", "path", "asks"),
    [
        (b"POST", PATH + "selfsubjectaccessreviews", True),
        (b"POST", PATH + "selfsubjectrulesreviews", True),
        (b"GET", PATH + "selfsubjectaccessreviews", False),
        (b"POST", PATH + "subjectaccessreviews", False),
        (b"POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", False),
        (b"POST", PATH + "selfsubjectaccessreviews/x/y", False),
    ],
)
def test_what_a_self_review_is(method: bytes, path: str, asks: bool) -> None:
    assert reviews.asks(resolve(method, path, b"")) is asks


def test_the_question_is_the_same_in_json_and_in_protobuf() -> None:
    fields = {"namespace": 1, "verb": 2, "resource": 5, "subresource": 6}
    spec = protobuf.message(1, b"".join(protobuf.field(number, PODS[name]) for name, number in fields.items()))
    one = reviews.document(
        b"application/json; charset=utf-8", msgspec.json.encode({"spec": {"resourceAttributes": PODS}})
    )
    two = reviews.document(protobuf.CONTENT_TYPE.encode(), packed(spec))
    assert reviews.question(one) == reviews.question(two)
    assert reviews.question(one) == reviews.ReviewAttributes(
        verb="get", resource="pods", namespace="shop", subresource="log"
    )


def test_the_namespace_of_a_rules_review() -> None:
    document = reviews.document(protobuf.CONTENT_TYPE.encode(), packed(protobuf.field(1, "shop")), reviews.RULES)
    assert reviews.namespace(document) == "shop"
    assert reviews.namespace(reviews.document(None, b'{"spec": {"namespace": "shop"}}')) == "shop"
    assert reviews.namespace({"spec": 1}) == reviews.namespace({}) == ""


@pytest.mark.parametrize("review", [{}, {"spec": []}, {"spec": {}}, {"spec": {"resourceAttributes": 1}}])
def test_a_review_without_a_question(review: dict[str, object]) -> None:
    assert reviews.question(review) is None


def test_everything_and_paths_are_asked_for_too() -> None:
    everything = reviews.question({"spec": {"resourceAttributes": {}}})
    assert everything == reviews.ReviewAttributes(verb="*", resource="*")
    path = reviews.question({"spec": {"nonResourceAttributes": {"path": "/metrics", "verb": "GET"}}})
    assert path == reviews.ReviewAttributes(verb="get", is_resource=False, path="/metrics")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff"])
def test_what_is_no_review_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        reviews.document(b"application/json", body)


def test_another_format_is_415() -> None:
    with pytest.raises(UnsupportedMediaType, match="JSON or protobuf here, not application/cbor"):
        reviews.document(b"application/cbor", b"\xd9")


def test_a_refusal_is_a_review_with_an_answer() -> None:
    answer = msgspec.json.decode(reviews.refusal({"spec": {"resourceAttributes": PODS}}, "because"))
    assert (answer["kind"], answer["status"]) == ("SelfSubjectAccessReview", {"allowed": False, "reason": "because"})
