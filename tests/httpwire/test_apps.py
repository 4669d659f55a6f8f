"""Apps behind an API server: links and cookies stay below the app, and nobody else's are touched."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skerry.httpwire.apps import AppPlace, LinkRewriter, app_base, cookie_set, cookies_sent, location

BASE = b"/api/v1/namespaces/d/services/web:80/proxy"
PREFIX = b"/clusters/m1"
PLACE = AppPlace(PREFIX, BASE)
AT_ROOT = AppPlace(b"", BASE)


def rewritten(*pieces: bytes, place: AppPlace = PLACE) -> bytes:
    rewriter = LinkRewriter(place)
    return b"".join(map(rewriter.feed, pieces)) + rewriter.end()


@pytest.mark.parametrize(
    ("target", "base"),
    [
        (BASE + b"/x?y=/z", BASE),
        (BASE, BASE),
        (BASE + b"?q", BASE),
        (b"/api/v1/namespaces/d/pods/p:8080/proxy/", b"/api/v1/namespaces/d/pods/p:8080/proxy"),
        (b"/api/v1/namespaces/d/pods/p/log", b""),
        (b"/api/v1/namespaces/d/pods/p/proxyx", b""),
        (b"/api/v1/namespaces/proxy/pods/p", b""),
        (b"/api/v1/nodes/n/proxy/", b""),
        (b"/apis/g/v1/namespaces/d/services/x/proxy/", b""),
        (b"/api/v1/pods?x=/proxy/", b""),
    ],
)
def test_what_names_an_app(target: bytes, base: bytes) -> None:
    assert app_base(target) == base


def test_an_escaped_base_is_compared_as_the_api_server_writes_it() -> None:
    assert AppPlace.of(PREFIX, b"/api/v1/namespaces/d/services/http%3Aweb%3a80/proxy").base.endswith(
        b"/http:web:80/proxy"
    )
    assert AppPlace.of(PREFIX, b"/api/v1/namespaces/d/services/a%22b/proxy").base == b""


# Links


LINKED = {
    b'<a href="%b/x">': b'<a href="%b/x">',
    b'<img src="%b/i.png"/>': b'<img src="%b/i.png"/>',
    b'<form action="%b">': b'<form action="%b">',
    b"<base href='%b/'>": b"<base href='%b/'>",
    b'<a href="%b?q=1">': b'<a href="%b?q=1">',
    b'<a href="%b#top">': b'<a href="%b#top">',
    b'<script>fetch("%b/api")</script>': b'<script>fetch("%b/api")</script>',
    b"<style>a{background:url(%b/b.png)}</style>": b"<style>a{background:url(%b/b.png)}</style>",
    b'<meta http-equiv="refresh" content="0;url=%b/">': b'<meta http-equiv="refresh" content="0;url=%b/">',
    b'<img srcset="%b/a 1x,%b/b 2x">': b'<img srcset="%b/a 1x,%b/b 2x">',
    b'<a href="http://10.0.0.1:6443%b/x">': b'<a href="%b/x">',
    b'<a href="HTTPS://member.internal%b">': b'<a href="%b">',
    b'<a href="//member.internal%b/x">': b'<a href="%b/x">',
}
UNTOUCHED = [
    b'<a href="/clusters/m1' + BASE + b'/x">',
    b'<a href="/api/v1/namespaces/d/services/other:80/proxy/x">',
    b'<a href="' + BASE + b'y/x">',
    b'<a href="x' + BASE + b'/x">',
    b'<a href="https://other/deep' + BASE + b'/x">',
    b'<a href="/x">',
    b"<a href='http://'>",
    b"",
]


def _fill(template: bytes, base: bytes) -> bytes:
    return template.replace(b"%b", base)


@pytest.mark.parametrize("template", LINKED)
def test_a_link_to_the_app_leads_back_to_it(template: bytes) -> None:
    assert rewritten(_fill(template, BASE)) == _fill(LINKED[template], PREFIX + BASE)


@pytest.mark.parametrize("document", UNTOUCHED)
def test_other_links_are_not_touched(document: bytes) -> None:
    assert rewritten(document) == document


def test_rewriting_twice_is_rewriting_once() -> None:
    document = b"".join(_fill(template, BASE) for template in LINKED)
    assert rewritten(rewritten(document)) == rewritten(document)


pieces = st.sampled_from(
    [*(_fill(template, BASE) for template in LINKED), *UNTOUCHED, BASE, b'"', b"'", b"=", b"(", b"http://h", b"//", b"/", b"h", b"ht"]
)  # fmt: skip


@given(st.lists(st.one_of(pieces, st.binary(max_size=12)), max_size=8), st.lists(st.integers(0, 1 << 16), max_size=10))
@example([b'="', BASE, b"="], [])
@example([b'"', BASE], [2, 30])
def test_the_cuts_make_no_difference(document: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(document)
    places = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    assert rewritten(*(whole[start:end] for start, end in pairwise(places))) == rewritten(whole)


def test_a_byte_at_a_time_is_the_same() -> None:
    document = b"".join([*(_fill(template, BASE) for template in LINKED), *UNTOUCHED])
    assert rewritten(*(document[at : at + 1] for at in range(len(document)))) == rewritten(document)


def test_nothing_is_held_back_but_what_may_be_a_link() -> None:
    rewriter = LinkRewriter(PLACE)
    assert rewriter.feed(b"<p>progress: 10 %") == b"<p>progress: 10 %"
    assert rewriter.feed(b'<a href="/api/v1/name') == b"<a href="
    assert rewriter.feed(b"space-of-mine/") == b'"/api/v1/namespace-of-mine/'
    assert rewriter.feed(b"x" * 1_000_000) == b"x" * 1_000_000
    assert rewriter.end() == b""


# Redirects


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (BASE + b"/x", BASE + b"/x"),
        (b"http://10.0.0.1:6443" + BASE + b"/x?y", BASE + b"/x?y"),
        (b"//member" + BASE, BASE),
        (b"https://login.example/?back=" + BASE, b"https://login.example/?back=" + BASE),
        (b"https://login.example" + BASE + b"x", b"https://login.example" + BASE + b"x"),
        (b"/elsewhere", b"/elsewhere"),
    ],
)
def test_a_redirect_to_the_app_is_a_path(value: bytes, seen: bytes) -> None:
    assert location(value, PLACE) == seen


# Cookies


@pytest.mark.parametrize(
    ("set_", "seen"),
    [
        (b"sid=1; Path=/; HttpOnly", b"sid=1; Path=/clusters/m1" + BASE + b"/; HttpOnly"),
        (b"sid=1; path=/app", b"sid=1; Path=/clusters/m1" + BASE + b"/app"),
        (b"sid=1; Path=" + BASE + b"/", b"sid=1; Path=/clusters/m1" + BASE + b"/"),
        (b"sid=1; Path=" + BASE + b"-other/", b"sid=1; Path=/clusters/m1" + BASE + BASE + b"-other/"),
        (b"sid=1; Path=/clusters/m2/", b"sid=1; Path=/clusters/m1" + BASE + b"/clusters/m2/"),
        (b"sid=1; Path=/a; Path=/b", b"sid=1; Path=/clusters/m1%b/a; Path=/clusters/m1%b/b" % (BASE, BASE)),
        (b"sid=1; Path=x; Secure", b"sid=1; Secure"),
        (b"sid=1", b"sid=1"),
        (b"sid=1; Domain=example.org; DOMAIN = .org;SameSite=Lax", b"sid=1;SameSite=Lax"),
        (b"sid=a=b; Max-Age=1", b"sid=a=b; Max-Age=1"),
    ],
)
def test_a_cookie_stays_below_its_app(set_: bytes, seen: bytes) -> None:
    assert cookie_set(set_, PLACE) == seen


words = st.sampled_from(
    [b"sid=1", b"skerry=1", b"__Host-skerry=1", b"=x", b"Path=/", b"path", b"Domain=h", b"Secure", b" ", b"=", b";", b"/", b"\t"]
)  # fmt: skip


@given(st.lists(st.one_of(words, st.sampled_from([b"; Path=/..", b"; DOMAIN=h", b"; path=/x"])), max_size=8))
def test_whatever_is_set_is_the_apps_and_below_its_base(parts: list[bytes]) -> None:
    """As RFC 6265, 5.2 reads the result."""
    seen = cookie_set(b"".join(parts), PLACE)
    if seen is None:
        return
    pair, *attributes = seen.split(b";")
    name = pair.partition(b"=")[0].strip().lower()
    assert name
    assert not name.removeprefix(b"__host-").removeprefix(b"__secure-").startswith(b"skerry")
    named = [tuple(part.strip() for part in attribute.partition(b"=")[::2]) for attribute in attributes]
    assert not any(key.lower() == b"domain" for key, _ in named)
    assert all(value.startswith(PREFIX + BASE + b"/") for key, value in named if key.lower() == b"path")


def test_where_the_member_has_a_name_of_its_own_a_cookie_keeps_its_path_and_has_no_domain() -> None:
    assert cookie_set(b"sid=1; Path=/; Domain=clusters.host", AT_ROOT) == b"sid=1; Path=/"


@pytest.mark.parametrize(
    "set_",
    [
        b"skerry=1",
        b"skerry_session=1; Path=/",
        b" SKERRY-x=1",
        b"__Host-skerry=1",
        b"__host-Skerry_session=1",
        b"__Secure-skerry=1",
        b"=skerry=1",
        b"=1",
        b"1",
        b"",
        b"; Path=/",
    ],
)
def test_a_cookie_of_the_hosts_name_or_of_none_is_dropped(set_: bytes) -> None:
    assert cookie_set(set_, PLACE) is None
    assert cookie_set(set_, AT_ROOT) is None


def test_the_hosts_own_cookies_are_not_sent() -> None:
    headers = [
        (b"cookie", b"a=1; skerry_session=secret; __Host-skerry=secret;b=2"),
        (b"accept", b"*/*"),
        (b"cookie", b"=skerry=secret; c=3;; __host-SKERRY-x"),
    ]
    assert cookies_sent(headers) == b"a=1; b=2; c=3"
    assert cookies_sent([(b"cookie", b"skerry=1")]) == b""
