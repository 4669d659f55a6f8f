"""Queries and options as Go and apimachinery read them: no server."""

from __future__ import annotations

import pytest

from services.proxy.hostapi import options, writeoptions
from services.proxy.hostapi.duration import check_timeout, problem_of
from services.proxy.hostapi.negotiate import TABLE, in_yaml, negotiate
from services.proxy.hostapi.request import MOST_PARAMETERS, Query
from skerry.errors import BadRequest, Invalid, NotAcceptable


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("a=1&a=2", ["1", "2"]),
        ("a=1;b=2", []),
        ("a=1;b=2&a=3", ["3"]),
        ("a=%zz&a=x%2", []),
        ("%zz=1&a=%41+b", ["A b"]),
        ("a", [""]),
        ("a=&&=", [""]),
        ("a=%FF", ["\N{REPLACEMENT CHARACTER}"]),
        ("a==b", ["=b"]),
    ],
)
def test_what_cannot_be_read_is_not_there(text: str, found: list[str]) -> None:
    query = Query(text)
    assert query.all("a") == found
    assert query.find("a") == (found[0] if found else None)
    assert query.text("a") == (found[0] if found else "")


def test_a_query_has_a_limit() -> None:
    with pytest.raises(BadRequest, match="the limit is"):
        Query("&" * MOST_PARAMETERS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x", "invalid syntax"),
        ("", "invalid syntax"),
        ("1.5", "invalid syntax"),
        ("1_0", "invalid syntax"),
        ("9" * 19, "value out of range"),
        ("-" + "9" * 5000, "value out of range"),
    ],
)
def test_integers_that_are_none(text: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        options.integer(Query(f"limit={text}"), "limit")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-5", -5), ("%2B7", 7), ("0" * 5000 + "8", 8)])
def test_integers(text: str, number: int) -> None:
    assert options.integer(Query(f"limit={text}"), "limit") == number


@pytest.mark.parametrize("text", ["0", "1s", "-1.5h", "1h2m3.5s", ".5s", "1.s", "10us", "1\N{MICRO SIGN}s"])
def test_durations(text: str) -> None:
    assert problem_of(text) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("abc", 'invalid duration "abc"'),
        ("1", 'missing unit in duration "1"'),
        ("1d", 'unknown unit "d" in duration "1d"'),
        ("9999999999h", 'invalid duration "9999999999h"'),
        ("-", 'invalid duration "-"'),
        (".s", 'invalid duration ".s"'),
    ],
)
def test_a_timeout_that_is_no_duration_is_told_in_gos_words(text: str, told: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_timeout(Query(f"timeout={text}"))
    assert caught.value.message == f"invalid timeout specified in the request URL - time: {told}"


@pytest.mark.parametrize(
    "body",
    [b" ", b"{", b"[]", b'"x"', b'{"kind":"Pod"}', b'{"gracePeriodSeconds":"x"}', b'{"dryRun":"All"}', b'{"preconditions":1}',
     b'{"propagationPolicy":"\xff"}', b'{"gracePeriodSeconds":1e30}'],
)  # fmt: skip
def test_a_body_that_is_no_delete_options_deletes_nothing(body: bytes) -> None:
    with pytest.raises(BadRequest):
        writeoptions.of_delete(writeoptions.given(Query(""), body))


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("propagationPolicy=", b""),
        ("dryRun=", b""),
        ("dryRun=All&dryRun=None", b""),
        ("dryRun=None", b"{}"),
        ("", b'{"propagationPolicy":""}'),
        ("", b'{"dryRun":["All","None"]}'),
        ("", b'{"dryRun":[null]}'),
    ],
)
def test_options_that_are_none_of_the_allowed_ones_delete_nothing(query: str, body: bytes) -> None:
    with pytest.raises(Invalid):
        writeoptions.of_delete(writeoptions.given(Query(query), body))


def test_a_precondition_that_is_there_counts_even_if_it_is_empty() -> None:
    given = writeoptions.of_delete(
        writeoptions.given(Query(""), b'{"preconditions":{"uid":"","resourceVersion":null}}')
    )
    assert (given.uid, given.resource_version) == ("", None)
    assert writeoptions.of_delete(writeoptions.given(Query(""), b"null")).uid is None


def test_a_dry_run_holds_beside_a_body() -> None:
    assert writeoptions.of_delete(writeoptions.given(Query("dryRun=All"), b"{}")).dry_run


@pytest.mark.parametrize(
    ("accept", "yaml"),
    [
        ("", False),
        ("application/json", False),
        ("application/yaml", True),
        ("application/yaml, application/json", True),
        ("application/yaml;q=0.1, application/json", False),
        ("application/json;q=0.5,application/yaml; q=0.9", True),
        ("*/*, application/yaml", True),
        ("application/yaml;q=x", True),
        ("application/yaml;as=Odd, */*", False),
        ("application/vnd.odd, application/yaml", True),
    ],
)
def test_the_dearest_form_is_chosen(accept: str, yaml: bool) -> None:
    assert negotiate(accept, TABLE).yaml is yaml
    assert in_yaml(accept) is yaml


@pytest.mark.parametrize("accept", ["text/html", "text/yaml", "application/yaml;as=Odd", ";;;", "application/cbor"])
def test_who_wants_another_form_gets_none(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(accept, TABLE)
    assert not in_yaml(accept)
