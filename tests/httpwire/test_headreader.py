"""Reading heads: the reject rules (rule 9) and framing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from httptools import HttpResponseParser
from hypothesis import given
from hypothesis import strategies as st

from skerry.errors import BadRequest, MethodNotAllowed, RequestHeaderFieldsTooLarge, StatusError
from skerry.httpwire.head import HEAD_LIMIT, MalformedHead, RequestHead
from skerry.httpwire.headreader import RequestHeads, broken_early, parse_request, parse_response


def _request(*lines: bytes) -> bytes:
    return b"\r\n".join((b"GET /x HTTP/1.1", b"Host: h", *lines, b"", b""))


def test_a_plain_head_is_cut_into_its_parts() -> None:
    head = parse_request(b"GET /a?b=%20c HTTP/1.1\r\nHost: h\r\nX-Mixed:  v \t\r\nEmpty:\r\n\r\n")
    assert (head.method, head.target) == (b"GET", b"/a?b=%20c")
    assert head.headers == [(b"host", b"h"), (b"x-mixed", b"v"), (b"empty", b"")]
    assert head.keep_alive
    assert not head.has_body


def test_a_length_gives_a_body() -> None:
    head = parse_request(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 12\r\n\r\n")
    assert (head.content_length, head.chunked, head.has_body) == (12, False, True)


def test_chunked_gives_a_body() -> None:
    head = parse_request(b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: Chunked\r\n\r\n")
    assert (head.content_length, head.chunked, head.has_body) == (None, True, True)


def test_an_upgrade_needs_both_headers() -> None:
    assert parse_request(_request(b"Connection: keep-alive, Upgrade", b"Upgrade: SPDY/3.1")).upgrade == b"SPDY/3.1"
    assert parse_request(_request(b"Upgrade: SPDY/3.1")).upgrade is None
    assert parse_request(_request(b"Connection: Upgrade")).upgrade is None


def test_close_and_http_1_0_end_the_connection() -> None:
    assert not parse_request(_request(b"Connection: Close")).keep_alive
    head = parse_request(b"GET / HTTP/1.0\r\n\r\n")
    assert not head.keep_alive
    assert head.http10


@pytest.mark.parametrize(
    ("target", "host", "authority", "origin"),
    [
        (b"http://h/x?y=http://e/", b"h", b"h", b"/x?y=http://e/"),
        (b"HTTPS://H:443/x", b"h", b"h", b"/x"),
        (b"https://h/x", b"H:443", b"h", b"/x"),
        (b"http://h:8443", b"h:8443", b"h:8443", b"/"),
        (b"http://h?a", b"h", b"h", b"/?a"),
        (b"https://[::1]:8443//x", b"[::1]:8443", b"[::1]:8443", b"//x"),
    ],
)
def test_an_absolute_target_becomes_origin_form(target: bytes, host: bytes, authority: bytes, origin: bytes) -> None:
    raw = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)
    heads = RequestHeads()
    for _ in range(2):
        heads.parse(b"GET /before HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
        head = heads.parse(raw)
        assert (head.authority, head.target) == (authority, origin)
        assert heads.parse(b"GET /after HTTP/1.1\r\nHost: %b\r\n\r\n" % host).authority is None


def test_expect_counts_only_with_a_body() -> None:
    body = parse_request(b"POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-Continue\r\ncontent-length: 1\r\n\r\n")
    assert body.expect_continue
    assert not parse_request(_request(b"Expect: 100-continue")).expect_continue


@pytest.mark.parametrize(
    ("raw", "error", "says"),
    [
        (_request(b"Content-Length: 1", b"Transfer-Encoding: chunked"), BadRequest, "Transfer-Encoding"),
        (_request(b"Content-Length: 1", b"Content-Length: 1"), BadRequest, "Content-Length"),
        (_request(b"Content-Length: 1, 1"), BadRequest, "Content-Length"),
        (_request(b"Transfer-Encoding: gzip, chunked"), BadRequest, "Transfer-Encoding"),
        (_request(b"Transfer-Encoding: identity"), BadRequest, "Transfer-Encoding"),
        (_request(b"X: a", b" folded"), BadRequest, "obs-fold"),
        (_request(b"X: a\rb"), BadRequest, "bare CR"),
        (_request(b"X: a\nY: b"), BadRequest, "bare CR or LF"),
        (_request(b"X: a\x00b"), BadRequest, "NUL"),
        (_request(b"X : a"), BadRequest, "blank before a colon"),
        (_request(b"Host: other"), BadRequest, "Host"),
        (b"GET / HTTP/1.1\r\n\r\n", BadRequest, "Host"),
        (b"GET ftp://h/x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"GET http://%68/x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"GET http://h\\@e/x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "slash"),
        (b"GET http://h#x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "fragment"),
        (b"GET http://h/#x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "fragment"),
        (b"GET http://h/x HTTP/1.1\r\nHost: e\r\n\r\n", BadRequest, "Host header"),
        (b"GET http://h:81/x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "Host header"),
        (b"GET http://h:443/x HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest, "Host header"),
        (b"GET http://h/x HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", BadRequest, "Host"),
        (b"GET http://h/x HTTP/1.0\r\n\r\n", BadRequest, "Host"),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", BadRequest, "HTTP/1.1"),
        (b"GET /\r\n\r\n", BadRequest, "HTTP/1.1"),
        (b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", MethodNotAllowed, "TRACE"),
        (b"get / HTTP/1.1\r\nHost: h\r\n\r\n", MethodNotAllowed, "get"),
        (_request(*[b"a: b"] * 5000), RequestHeaderFieldsTooLarge, "4096"),
        (_request(b"a: " + b"b" * HEAD_LIMIT), RequestHeaderFieldsTooLarge, "1 MiB"),
    ],
)
def test_a_head_that_breaks_a_rule_is_refused_and_the_rule_is_named(
    raw: bytes, error: type[StatusError], says: str
) -> None:
    with pytest.raises(error, match=says):
        parse_request(raw)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail_in_another_way(junk: bytes) -> None:
    for raw in (junk, b"GET / HTTP/1.1\r\n" + junk + b"\r\n\r\n", b"GET " + junk + b" HTTP/1.1\r\nHost: h\r\n\r\n"):
        try:
            head = parse_request(raw)
        except StatusError:
            continue
        assert head.target.startswith(b"/")


@pytest.mark.parametrize("part", [b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: \x00", b"\x16\x03\x01\x00", b"A\rB"])
def test_what_can_never_become_a_head_is_seen_before_its_end(part: bytes) -> None:
    assert broken_early(part, 0)


@pytest.mark.parametrize("part", [b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r", b"GE"])
def test_an_unfinished_head_is_waited_for(part: bytes) -> None:
    assert not broken_early(part, 0)


# -- answers --


def test_an_answer_is_cut_into_its_parts() -> None:
    parsed = parse_response(b"HTTP/1.1 200 OK fine\r\nContent-Length: 3\r\nWarning: a\r\nwarning: b\r\n\r\n")
    assert (parsed.head.status, parsed.head.reason, parsed.length) == (200, b"OK fine", 3)
    assert parsed.head.headers[1:] == [(b"warning", b"a"), (b"warning", b"b")]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * HEAD_LIMIT + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 5000 + b"\r\n",
    ],
)
def test_a_hostile_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedHead):
        parse_response(raw)


# -- repeated --


def test_a_repeated_head_is_parsed_once_with_its_own_method_and_target() -> None:
    heads = RequestHeads()
    first = heads.parse(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    heads.kept = "learned"
    second = heads.parse(b"DELETE /b?c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (second.method, second.target, second.keep_alive) == (b"DELETE", b"/b?c", False)
    assert second.headers is first.headers
    assert heads.kept == "learned"


def test_what_was_learned_from_a_head_is_forgotten_when_a_byte_differs() -> None:
    heads = RequestHeads()
    heads.parse(_request(b"Authorization: Bearer a"))
    heads.kept = "learned"
    assert heads.parse(_request(b"Authorization: Bearer b")).get(b"authorization") == b"Bearer b"
    assert heads.kept is None


_LINE = st.sampled_from(
    [
        b"GET /x", b"POST /x", b"CONNECT /x", b"get /x", b"GET x", b"GET /x#y", b"GET  /x", b"GET /x y", b"GET /\x00",
        b"GET /x HTTP/1.1\r\nHost: h", b"GET /x\r\nHost: h", b" GET /x", b"GET", b"",
    ]
)  # fmt: skip
_TAIL = st.sampled_from(
    [
        b" HTTP/1.1\r\nHost: h\r\n\r\n", b" HTTP/1.0\r\nHost: h\r\n\r\n", b" HTTP/2.0\r\nHost: h\r\n\r\n",
        b" HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n", b" HTTP/1.1\r\n\r\n",
        b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
        b" HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ]
)  # fmt: skip


@given(st.lists(st.tuples(_LINE, _TAIL), max_size=8))
def test_heads_of_one_connection_are_parsed_as_each_alone(parts: list[tuple[bytes, bytes]]) -> None:
    heads = RequestHeads()
    for line, tail in parts:
        assert _outcome(heads.parse, line + tail) == _outcome(parse_request, line + tail)


def _outcome(parse: Callable[[bytes], RequestHead], raw: bytes) -> object:
    try:
        return parse(raw)
    except StatusError as error:
        return type(error)


@given(
    st.lists(
        st.sampled_from([b"A: b", b"a:b ", b"C:", b"D: \t x\ty \t", b"E: :", b"e: f", b"G:\xff", b"H: ,"]), max_size=8
    )
)
def test_an_answers_lines_are_cut_as_llhttp_cuts_them(lines: list[bytes]) -> None:
    raw = b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", b""))
    seen: list[tuple[bytes, bytes]] = []

    class Callbacks:
        def on_header(self, name: bytes, value: bytes) -> None:
            seen.append((name.lower(), value.rstrip(b" \t")))

    HttpResponseParser(Callbacks()).feed_data(raw)
    assert parse_response(raw).head.headers == seen
