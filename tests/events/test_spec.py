"""The spec of a sink: what it comes to, and what is wrong in one. (The API refuses each by field: test_deliveries.)"""

from __future__ import annotations

import pytest

from services.events.spec import ADDRESSES, DEADLINE_S, MOST_PEM, problems, spec_of
from skerry.api.meta import Document
from skerry.identity.x509 import create_ca

URL = "https://pager.example.org/hook"
PEM = create_ca("receiver").certificate.decode()


def sink(**spec: object) -> Document:
    return {"metadata": {"name": "pager"}, "spec": {"url": URL, **spec}}


def wrong(**spec: object) -> list[str]:
    return [each.field for each in problems(sink(**spec))]


def test_a_spec_that_says_little_is_whole() -> None:
    spec = spec_of(sink())
    assert (spec.url, spec.filters, spec.binary, spec.paused) == (URL, ("event.>",), False, False)
    assert spec.policy.addresses == ADDRESSES
    assert (spec.policy.plain, spec.policy.redirects, spec.policy.deadline_s) == (False, 0, DEADLINE_S)
    assert spec.verify


def test_what_nobody_can_read_counts_as_the_default() -> None:
    spec = spec_of({"metadata": {}, "spec": {"types": "all", "insecure": "yes", "mode": 1}})
    assert (spec.url, spec.filters, spec.binary, spec.insecure) == ("", ("event.>",), False, False)
    assert spec_of({"metadata": {}}).url == ""
    assert spec_of(sink(types=["com.example.later"])).filters == ("event.none",)


def test_insecure_takes_http_and_any_certificate() -> None:
    spec = spec_of(sink(insecure=True, mode="binary", paused=True))
    assert (spec.policy.plain, spec.verify, spec.binary, spec.paused) == (True, False, True, True)
    assert wrong(url="http://127.0.0.1:9000/", insecure=True) == []


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"url": "https://10.0.0.7:8443/"},
        {"url": "https://[2001:db8::1]/"},
        {"url": "https://12.example.org/"},
        {"url": "https://1.2.3/"},
        {"types": ["dev.skerry.cluster.*"], "mode": "binary"},
        {"namespaces": ["team-a"]},
        {"types": ["dev.skerry.apprelease.*"], "namespaces": ["team-a"]},
        {"caBundle": PEM},
    ],
    ids=lambda spec: "caBundle" if "caBundle" in spec else str(spec),
)
def test_what_may_be_asked_for_is_right(spec: dict[str, object]) -> None:
    assert wrong(**spec) == []


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"url": "pager"}, ["spec.url"]),
        ({"url": "http://pager.example.org/"}, ["spec.url"]),
        ({"url": "https://169.254.169.254/"}, ["spec.url"]),
        ({"url": "http://[fe80::1]/"}, ["spec.url", "spec.url"]),
        ({"types": ["pod"] * 51}, ["spec.types", *(f"spec.types[{number}]" for number in range(50))]),
        ({"namespaces": ["A"]}, ["spec.namespaces[0]"]),
        ({"types": ["dev.skerry.cluster.*"], "namespaces": ["a"]}, ["spec.namespaces"]),
        ({"types": ["no"], "namespaces": ["a"]}, ["spec.types[0]"]),
        ({"caBundle": PEM, "insecure": True}, ["spec.caBundle"]),
        ({"caBundle": "no pem"}, ["spec.caBundle"]),
        ({"caBundle": "A" * (MOST_PEM + 1)}, ["spec.caBundle"]),
    ],
    ids=lambda value: ",".join(value)[:40] if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told_by_field(spec: dict[str, object], fields: list[str]) -> None:
    assert wrong(**spec) == fields
