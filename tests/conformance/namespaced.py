"""Cases of kinds that lie in namespaces: AppRepositories, and AppReleases, whose values are whatever their writer likes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skerry.api.meta import Document
from skerry.api.v1alpha1 import API_VERSION
from tests.conformance.cases import APPLY, JSON_PATCH, MERGE, ROOT, Case, Step

PLACE = f"{ROOT}/namespaces/default"
REPOSITORIES, RELEASES = f"{PLACE}/apprepositories", f"{PLACE}/appreleases"
NO_PAGE = "what is no path is a Status here, and says what would be one"
NO_WARNING = "a refusal says all that is wrong, and is warned of nothing besides"
UNVERSIONED = "that a version is missing is seen before the namespace is"
ELSEWHERE = f"{ROOT}/namespaces/no-such/apprepositories"


def _object(kind: str, spec: Document, **metadata: Any) -> Document:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "NAME", **metadata}, "spec": spec}


def repository(spec: Document | None = None, **metadata: Any) -> Document:
    """An AppRepository called NAME."""
    return _object("AppRepository", {"url": "https://charts.example.org"} if spec is None else spec, **metadata)


def release(values: Any, **spec: Any) -> Document:
    """An AppRelease called NAME."""
    base = {"app": "skerry-apps/stable.nginx", "version": "1.2.3", "clusters": {"names": ["m1"]}}
    return _object("AppRelease", {**base, "values": values, **spec})


def _repositories() -> Iterator[Case]:
    post, one = f"{REPOSITORIES}?fieldManager=creator", f"{REPOSITORIES}/NAME"
    yield Case("namespaced: made, read, listed, changed, deleted", (
        Step("POST", post, repository()),
        Step("GET", one),
        Step("GET", f"{REPOSITORIES}?fieldSelector=metadata.name%3DNAME"),
        Step("GET", f"{ROOT}/apprepositories?fieldSelector=metadata.name%3DNAME,metadata.namespace%3Ddefault"),
        Step("GET", f"{ROOT}/apprepositories?fieldSelector=metadata.name%3DNAME,metadata.namespace%3Dother"),
        Step("PATCH", one, {"spec": {"charts": ["nginx"], "keepVersions": 3}}, MERGE),
        Step("PUT", one, lambda last: {**last, "spec": {**last["spec"], "review": "Required"}}),
        Step("DELETE", one),
        Step("GET", one),
    ))  # fmt: skip
    yield Case("namespaced: the namespace of a body", (
        Step("POST", post, repository(namespace="default")),
        Step("POST", post, repository(namespace="other")),
        Step("PUT", one, lambda last: repository(namespace="other"), differs=UNVERSIONED, instead=422),
        Step("PATCH", f"{one}?fieldManager=m1", repository(namespace="other"), APPLY),
        Step("PATCH", one, {"metadata": {"namespace": "other"}}, MERGE),
    ))  # fmt: skip
    yield Case("namespaced: where no namespace is named", (
        Step("POST", f"{ROOT}/apprepositories", repository(), differs=NO_PAGE, instead=405),
        Step("GET", f"{ROOT}/apprepositories/NAME", differs=NO_PAGE),
        Step("DELETE", f"{ROOT}/apprepositories/NAME", differs=NO_PAGE),
        Step("PUT", f"{ROOT}/apprepositories/NAME", repository(), differs=NO_PAGE),
    ))  # fmt: skip
    yield Case("namespaced: a namespace that is not there", (
        Step("GET", f"{ELSEWHERE}?fieldSelector=metadata.name%3DNAME"),
        Step("GET", f"{ELSEWHERE}/NAME"),
        Step("DELETE", f"{ELSEWHERE}/NAME"),
        Step("POST", ELSEWHERE, repository()),
    ))  # fmt: skip
    yield Case("namespaced: values that may not be", (
        Step("POST", post, repository({})),
        Step("POST", post, repository({"url": 1, "charts": ["a", "a"], "review": "Never", "keepVersions": "5"})),
        Step("POST", post, repository({"url": "u", "tls": {"caBundle": True}, "unknown": 1}), differs=NO_WARNING),
        Step("POST", f"{post}&fieldValidation=Strict", repository({"url": "u", "unknown": 1})),
    ))  # fmt: skip
    yield Case("namespaced: selected by a field", (
        Step("POST", post, repository({"url": "https://NAME.example.org"})),
        Step("GET", f"{REPOSITORIES}?fieldSelector=spec.url%3Dhttps://NAME.example.org"),
        Step("GET", f"{REPOSITORIES}?fieldSelector=spec.url%3Dhttps://other.example.org,metadata.name%3DNAME"),
        Step("DELETE", f"{REPOSITORIES}?fieldSelector=metadata.name%3DNAME"),
        Step("GET", one),
    ))  # fmt: skip


def _releases() -> Iterator[Case]:
    post, one = f"{RELEASES}?fieldManager=creator", f"{RELEASES}/NAME"
    odd = {"a": None, "b": {"c": None, "d": [None, 1, "x", {"e": None}]}, "f": True, "g": 1.5, "h.i/j": "", "k": {}}
    yield Case("values of any shape, with nulls", (
        Step("POST", post, release(odd)),
        Step("GET", one),
        Step("PUT", one, lambda last: {**last, "spec": {**last["spec"], "values": {"a": None, "n": {"o": None}}}}),
        Step("PATCH", one, {"spec": {"values": {"a": None, "p": {"q": None}}}}, MERGE),
        Step("PATCH", one, [{"op": "add", "path": "/spec/values/r", "value": None}], JSON_PATCH),
        Step("GET", one),
        Step("DELETE", one),
    ))  # fmt: skip
    yield Case("values that two apply", (
        Step("PATCH", f"{one}?fieldManager=m1", release({"a": 1, "b": {"c": 1}}), APPLY),
        Step("PATCH", f"{one}?fieldManager=m2", release({"b": {"d": 2}}), APPLY),
        Step("PATCH", f"{one}?fieldManager=m2", release({"b": {"c": 2}}), APPLY),
        Step("PATCH", f"{one}?fieldManager=m2&force=true", release({"b": {"c": 2}}), APPLY),
        Step("PATCH", f"{one}?fieldManager=m1", release({"a": 1}), APPLY),
    ))  # fmt: skip
    yield Case("values that are none", (
        Step("POST", post, release([1])),
        Step("POST", post, release("a: 1")),
        Step("POST", post, release(None)),
        Step("GET", one),
    ))  # fmt: skip
    yield Case("overrides and their defaults", (
        Step("POST", post, release({}, overrides=[{"clusters": {"names": ["m2"]}, "values": {"x": None}}], hooks={})),
        Step("POST", post, release({}, valuesFrom=[{"kind": "Secret", "name": "db"}], timeout="1m")),
        Step("PATCH", one, {"spec": {"overrides": None}}, MERGE),
    ))  # fmt: skip


CASES = (*_repositories(), *_releases())
