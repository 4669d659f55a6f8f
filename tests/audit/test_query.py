"""Which records a query has, and what of a query is refused."""

from __future__ import annotations

import pytest

from skerry.audit.batch import BatchHead
from skerry.audit.event import micro_time
from skerry.audit.query import AuditQuery, parse
from skerry.errors import BadRequest
from tests.audit.logs import ID, NOW, record, whole


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({}, True), ({"user": "alice"}, True), ({"user": "alic"}, False), ({"cluster": "m1"}, True), ({"cluster": "m2"}, False),
        ({"verb": "get"}, True), ({"verb": "list"}, False), ({"resource": "pods"}, True), ({"resource": "pods/log"}, False),
        ({"namespace": "a"}, True), ({"name": "p"}, True), ({"name": "q"}, False), ({"code": "403"}, True), ({"code": "4xx"}, True),
        ({"code": "2xx"}, False), ({"code": "404"}, False), ({"id": ID}, True), ({"id": "other"}, False),
        ({"since": "2026-11-18T00:00:00Z"}, True), ({"until": "2026-11-18T00:00:00Z"}, False),
    ],
    ids=str,
)  # fmt: skip
def test_a_record_fits_by_all_that_is_asked(query: dict[str, str], fits: bool) -> None:
    line = record(code=403)[0].rstrip(b"\n")
    asked = parse(query)
    assert asked.fits(line) is fits
    assert not fits or asked.needle() in line


def test_a_resource_is_asked_with_or_without_its_subresource() -> None:
    line = record(target="/api/v1/namespaces/a/pods/p/exec?command=ls")[0].rstrip(b"\n")
    assert parse({"resource": "pods"}).fits(line)
    assert parse({"resource": "pods/exec"}).fits(line)


def test_marks_and_what_is_no_record_fit_no_query() -> None:
    body = whole(1).batches[0].body.rstrip(b"\n")
    assert not AuditQuery().fits(body)
    assert not AuditQuery().fits(b"nonsense")


@pytest.mark.parametrize(
    ("query", "may"),
    [
        (AuditQuery(), True), (AuditQuery(user="alice"), True), (AuditQuery(user="eve"), False), (AuditQuery(cluster="m1"), True),
        (AuditQuery(cluster="m2"), False), (AuditQuery(since=micro_time(NOW + 100)), False), (AuditQuery(until=micro_time(NOW - 1)), False),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_have_it_is_left_out(query: AuditQuery, may: bool) -> None:
    head = whole(1).batches[1].head
    assert isinstance(head, BatchHead)
    assert query.may_have(head) is may
    assert query._replace(since="", until="").may_have(head._replace(users=("*",), clusters=("*",)))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"usr": "a"}, "there is no parameter 'usr'"), ({"code": "40"}, "code is '40'"), ({"code": "4xx3"}, "code is"),
        ({"since": "yesterday"}, "since is 'yesterday'"), ({"until": "2026-11-28T10:00:00"}, "until is"),
        ({"user": "a" * 600}, "user is longer"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked_is_told(values: dict[str, str], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        parse(values)


def test_a_name_is_looked_for_as_it_is_written() -> None:
    line = record(user='Jörg "x"')[0].rstrip(b"\n")
    asked = parse({"user": 'Jörg "x"'})
    assert asked.needle() in line
    assert asked.fits(line)
