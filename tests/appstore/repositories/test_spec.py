"""What an AppRepository may say, and what it comes to."""

from __future__ import annotations

import pytest

from services.appstore.credentials import KeptCredential
from services.appstore.repositories.access import access_to
from services.appstore.repositories.spec import problems, spec_of
from skerry.api.appstore import RepositoryCredential
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.http.outbound import OutboundError
from skerry.identity.x509 import create_ca


def document(namespace: str = POOL, **spec: object) -> Document:
    return {"metadata": {"namespace": namespace}, "spec": {"url": "https://charts.example", **spec}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"url": "ftp://charts.example/"}, "spec.url"),
        ({"url": "charts.example"}, "spec.url"),
        ({"url": "https://me:pw@charts.example/"}, "spec.url"),
        ({"url": "https://charts.example/?token=x"}, "spec.url"),
        ({"url": "https://charts.example/#x"}, "spec.url"),
        ({"url": "https:///x"}, "spec.url"),
        ({"url": "oci://r.example/Team"}, "spec.url"),
        ({"url": "oci://r.example/a/../b"}, "spec.url"),
        ({"url": "http://charts.example/"}, "spec.url"),
        ({"url": "oci+http://r.example/team"}, "spec.url"),
        ({"charts": ["UPPER"]}, "spec.charts[0]"),
        ({"charts": [f"c{number}" for number in range(501)]}, "spec.charts"),
        ({"syncPeriod": "59s"}, "spec.syncPeriod"),
        ({"syncPeriod": "never"}, "spec.syncPeriod"),
        ({"syncPeriod": "366d"}, "spec.syncPeriod"),
        ({"keepVersions": 0}, "spec.keepVersions"),
        ({"keepVersions": 51}, "spec.keepVersions"),
        ({"tls": {"caBundle": "no"}}, "spec.tls.caBundle"),
        ({"tls": {"caBundle": "x" * 300_000}}, "spec.tls.caBundle"),
        ({"tls": {"caBundle": "no", "insecureSkipVerify": True}}, "spec.tls.caBundle"),
    ],
)
def test_what_it_may_not_be(spec: Document, field: str) -> None:
    assert field in {problem.field for problem in problems(document(**spec), plain_http=False)}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"url": "https://charts.example:8443/a/b/"},
        {"url": "oci://r.example"},
        {"url": "oci://r.example:5000/team/charts", "charts": ["db/redis", "a_b"]},
        {"syncPeriod": "0s"},
        {"syncPeriod": "1h30m", "keepVersions": 50, "review": "Required"},
        {"tls": {"insecureSkipVerify": True}},
        {"tls": {"caBundle": create_ca("x").certificate.decode()}},
    ],
    ids=["plain", "port", "registry", "charts", "by hand", "all", "insecure", "authority"],
)
def test_what_it_may_be(spec: Document) -> None:
    assert list(problems(document(**spec), plain_http=False)) == []


@pytest.mark.parametrize("url", ["http://charts.example", "oci+http://r.example/team"])
def test_without_tls_only_where_the_host_says_so(url: str) -> None:
    assert list(problems(document(url=url), plain_http=True)) == []
    assert [problem.field for problem in problems(document(url=url), plain_http=False)] == ["spec.url"]


def test_only_what_is_in_the_pool_is_reviewed() -> None:
    assert [each.field for each in problems(document("shop", review="Required"), plain_http=False)] == ["spec.review"]


def test_what_nobody_can_read_counts_as_the_default() -> None:
    spec = spec_of({"spec": {"url": "https://charts.example", "syncPeriod": "whenever"}})
    assert (spec.period_s, spec.keep_versions, spec.automatic) == (3600, 5, True)
    assert spec_of({}).url == ""
    assert spec_of({"spec": {"syncPeriod": "1s"}}).period_s == 60
    assert spec_of({"spec": {"syncPeriod": "0s"}}).period_s == 0


def test_a_credential_is_shown_to_its_own_place_alone() -> None:
    spec = spec_of(document())
    basic = RepositoryCredential(username="me", password="pw")
    kept = KeptCredential(place=("https", "charts.example", 443), credential=basic)
    access = access_to(spec, {}, kept)
    assert access.headers == [(b"authorization", b"Basic bWU6cHc=")]
    assert (access.registry.username, access.registry.password) == ("me", "pw")
    assert access_to(spec._replace(url="https://charts.example:8443"), {}, kept).headers == []
    assert access_to(spec, {}, None).headers == []
    token = KeptCredential(place=kept.place, credential=RepositoryCredential(token="t"))
    assert access_to(spec, {}, token).headers == [(b"authorization", b"Bearer t")]
    pair = KeptCredential(place=kept.place, credential=RepositoryCredential(certificate="c", key="k"))
    mutual = access_to(spec, {"spec": {"network": {"plainHTTP": True, "allow": ["a.example"]}}}, pair)
    assert mutual.headers == []
    assert mutual.server.certificate == ("c", "k")
    assert (mutual.policy.plain, mutual.policy.private_hosts) == (True, frozenset({"a.example"}))
    assert "pw" not in repr(kept)
    with pytest.raises(OutboundError):
        access_to(spec._replace(url="nothing"), {}, kept)
