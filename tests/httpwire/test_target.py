"""Targets: one meaning or none (rule 9), clusters cut off, locations put back (rule 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import BadRequest
from skerry.httpwire.target import parse_target, relocate, split_cluster


@pytest.mark.parametrize(
    "raw",
    [
        b"/", b"/api", b"/api/v1/", b"/api/v1/namespaces/a/pods/b?watch=1&x=%2f%00..//", b"/a/b.c/...", b"/a/..b/.c",
        b"/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", b"/a%20b/%C3%BC",
        b"/apis/x/v1/r/system%3Anode",
        b"/api/v1/namespaces/a/services/https:b:1/proxy/x/../%2e%2e//%2f%00%5c\\",
        b"/api/v1/namespaces/a/pods/b/proxy//x", b"/api/v1/nodes/n/proxy/./x", b"/apis/g/v1/namespaces/a/r/b/proxy/..",
    ],
)  # fmt: skip
def test_what_has_one_meaning_passes_unchanged(raw: bytes) -> None:
    assert parse_target(raw).raw == raw


@pytest.mark.parametrize(
    "raw",
    [
        b"//", b"//api", b"/api//v1", b"/a/./b", b"/a/../b", b"/a/..", b"/.", b"/a\\b", b"/a%2fb", b"/a%2Fb",
        b"/a%5cb", b"/a%5Cb", b"/a%00", b"/a%0d%0aX", b"/a%7f", b"/%2e/a", b"/a/%2e%2e/b", b"/a/.%2e/b", b"/a/%2E.",
        b"/a%", b"/a%2", b"/a%zz", b"/%ff", b"/%c0%af", b"/a%1b",
        b"/api/v1/namespaces/a/pods/../proxy/x", b"/api/v1/namespaces/a/pods/b%2fc/proxy/x",
        b"/api/v1/namespaces/a/pods/b/exec/../x", b"/x/y/proxy/../z", b"/api/v1/proxy/../../x",
        b"/api/v1/namespaces/a/pods/b/%70roxy/../x", b"/api/v1/../v1/namespaces/a/pods/b/proxy/x",
        b"/apis/v1/pods/b/proxy/../x", b"/api/v1/namespaces/a/pods/b/log/proxy/../x",
        b"/api/v1/namespaces/a/pods/b/proxy/%zz",
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_target(raw)


def test_the_path_is_decoded_once_and_the_query_not_at_all() -> None:
    target = parse_target(b"/a%20b/%2525?x=%20")
    assert (target.path, target.query) == ("/a b/%25", b"x=%20")


@given(st.binary(max_size=60))
def test_no_decoded_path_has_a_dot_segment_or_a_control_character(junk: bytes) -> None:
    try:
        target = parse_target(b"/" + junk.replace(b"?", b""))
    except BadRequest:
        return
    if "proxy" not in target.path:
        assert not {".", ".."} & set(target.path.split("/"))
        assert "\\" not in target.path


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/clusters/a/api/v1?x=1", ("a", b"/api/v1?x=1")),
        (b"/clusters/a", ("a", b"/")),
        (b"/clusters/a/", ("a", b"/")),
        (b"/clusters/a?x", ("a", b"/?x")),
        (b"/clusters/a/clusters/b/x", ("a", b"/clusters/b/x")),
        (b"/clusters/a%2fb/x", ("a%2fb", b"/x")),
        (b"/clusters/", None),
        (b"/clusters", None),
        (b"/clusters//x", None),
        (b"/apis/clusters/a", None),
        (b"/Clusters/a", None),
    ],
)
def test_the_cluster_is_cut_off(raw: bytes, expected: tuple[str, bytes] | None) -> None:
    assert split_cluster(raw) == expected


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (b"/openapi/v3?hash=1", b"/clusters/a/openapi/v3?hash=1"),
        (b"/", b"/clusters/a/"),
        (b"https://10.0.0.1:6443/x", b"/clusters/a/x"),
        (b"https://10.0.0.1:6443", b"/clusters/a/"),
        (b"https://10.0.0.1:6443?x", b"/clusters/a/?x"),
        (b"https://10.0.0.1:64430/x", b"https://10.0.0.1:64430/x"),
        (b"https://10.0.0.1:6443@evil/x", b"https://10.0.0.1:6443@evil/x"),
        (b"https://elsewhere/x", b"https://elsewhere/x"),
        (b"//elsewhere/x", b"//elsewhere/x"),
        (b"/\\elsewhere", b"/\\elsewhere"),
        (b"relative/x", b"relative/x"),
        (b"?x", b"?x"),
        (b"", b""),
    ],
)
def test_locations_get_the_clusters_prefix(location: bytes, expected: bytes) -> None:
    assert relocate(location, b"/clusters/a", b"https://10.0.0.1:6443") == expected
