"""Narrowed lists of Namespaces: whatever is asked, exactly one selector leaves, and it begins with ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.members.namespaces import narrowed
from skerry.httpwire.query import parse_query

OURS = "kubernetes.io/metadata.name in (shop,till)"
PATH = b"/api/v1/namespaces"


def selector(query: bytes) -> list[str]:
    target = narrowed(PATH + b"?" + query, ("shop", "till"))
    path, _, rest = target.partition(b"?")
    assert path == PATH
    return parse_query(rest)["labelSelector"]


@pytest.mark.parametrize(
    ("query", "own"),
    [
        (b"", ""),
        (b"labelSelector=", ""),
        (b"labelSelector=%20", ""),
        (b"labelSelector=a%3Db", ",a=b"),
        (b"labelSelector=a&labelSelector=kubernetes.io/metadata.name", ",a"),
        (b"%6cabelSelector=a", ",a"),
        (b"label%53elector=a&labelSelector=b", ",a"),
        (b"labelSelector=a!%3Db", ",a!=b"),
        (b"labelSelector=kubernetes.io/metadata.name%20notin%20(shop)", ",kubernetes.io/metadata.name notin (shop)"),
        (b"labelSelector=x)%2Cy+in+(z", ",x),y in (z"),
        (b"labelSelector=a;labelSelector=b", ""),
        (b"labelSelector=%zz", ""),
        (b"labelselector=a", ""),
        (b"labelSelector=a%26labelSelector%3Db", ",a&labelSelector=b"),
        (b"labelSelector=%ff", ",\ufffd"),
    ],
)
def test_exactly_one_selector_leaves_and_ours_is_first(query: bytes, own: str) -> None:
    assert selector(query) == [OURS + own]


@pytest.mark.parametrize(
    "query",
    [
        b"watch=1&resourceVersion=0&allowWatchBookmarks=true",
        b"fieldSelector=metadata.name%3Dkube-system&limit=500&continue=abc%3D%3D",
        b"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=5",
        b"limit=1&limit=2",
    ],
)
def test_all_else_that_the_api_server_reads_stays(query: bytes) -> None:
    _, _, rest = narrowed(PATH + b"?" + query, ("shop",)).partition(b"?")
    values = parse_query(rest)
    assert values.pop("labelSelector") == ["kubernetes.io/metadata.name in (shop)"]
    assert values == parse_query(query)


@given(st.binary(max_size=60))
def test_no_query_leaves_with_more_or_less(query: bytes) -> None:
    query = query.replace(b"#", b"")
    _, _, rest = narrowed(PATH + b"?" + query, ("shop", "till")).partition(b"?")
    assert rest.count(b"labelSelector=") == 1
    (own,) = parse_query(rest)["labelSelector"]
    assert own.startswith(OURS)
