"""The corpus of hostile requests, sent raw to the real server: each gets a clear Status or is made harmless (rule 9).

A row: a name, the bytes, and what must come of it: the status of the one answer after which the connection ends, or
the list of targets that the handler may see. The data plane's own corpus, against the whole proxy, extends this table.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from skerry.http.exchange import Exchange
from skerry.httpwire.target import parse_target
from tests.http.conftest import Lab


def _get(*lines: bytes, target: bytes = b"/x") -> bytes:
    return b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: h", *lines, b"", b""))


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((b"POST /x HTTP/1.1", b"Host: h", *lines, b"", b"")) + body


_SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked"

REFUSED: list[tuple[str, bytes, int]] = [
    # framing
    ("CL and TE", _post(b"Content-Length: 5", _CHUNKED, body=b"0\r\n\r\n" + _SMUGGLED), 400),
    ("TE and CL", _post(_CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n" + _SMUGGLED), 400),
    ("CL twice, equal", _post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400),
    ("CL twice, different", _post(b"Content-Length: 3", b"Content-Length: 50", body=b"abc" + _SMUGGLED), 400),
    ("CL as a list", _post(b"Content-Length: 3, 3", body=b"abc"), 400),
    ("CL with a sign", _post(b"Content-Length: +3", body=b"abc"), 400),
    ("CL negative", _post(b"Content-Length: -3", body=b"abc"), 400),
    ("CL hexadecimal", _post(b"Content-Length: 0x3", body=b"abc"), 400),
    ("CL with an underscore", _post(b"Content-Length: 1_0", body=b"abc"), 400),
    ("CL empty", _post(b"Content-Length:", body=b"abc"), 400),
    ("CL beyond 64 bits", _post(b"Content-Length: 99999999999999999999", body=b"abc"), 400),
    ("CL of Unicode digits", _post("Content-Length: ٣".encode(), body=b"abc"), 400),
    ("TE gzip", _post(b"Transfer-Encoding: gzip", body=b"abc"), 400),
    ("TE gzip, chunked", _post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 400),
    ("TE chunked, identity", _post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), 400),
    ("TE chunked twice", _post(_CHUNKED, _CHUNKED, body=b"0\r\n\r\n"), 400),
    ("TE in quotes", _post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), 400),
    ("TE xchunked", _post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 400),
    ("TE with a vertical tab", _post(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n"), 400),
    ("TE with a blank before the colon", _post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    ("TE folded", _post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), 400),
    ("TE in HTTP/1.0", b"POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # chunks
    ("chunk size 0x", _post(_CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk size with a blank", _post(_CHUNKED, body=b"5 \r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk size too large", _post(_CHUNKED, body=b"fffffffffffffffff\r\nhello"), 400),
    ("chunk size negative", _post(_CHUNKED, body=b"-1\r\nhello"), 400),
    ("chunk size missing", _post(_CHUNKED, body=b"\r\nhello"), 400),
    ("chunk ends with LF", _post(_CHUNKED, body=b"5\nhello\n0\n\n"), 400),
    ("chunk longer than said", _post(_CHUNKED, body=b"3\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk extension with LF", _post(_CHUNKED, body=b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400),
    ("chunk extension too long", _post(_CHUNKED, body=b"5;" + b"a" * 1000 + b"\r\nhello\r\n0\r\n\r\n"), 400),
    ("trailers malformed", _post(_CHUNKED, body=b"0\r\nX : y\r\n\r\n"), 400),
    ("trailers too long", _post(_CHUNKED, body=b"0\r\n" + b"a: b\r\n" * 3000 + b"\r\n"), 400),
    # lines
    ("bare LF everywhere", b"GET /x HTTP/1.1\nHost: h\n\n", 400),
    ("bare LF between headers", _get(b"A: b\nContent-Length: 5"), 400),
    ("bare LF ends the head", b"GET /x HTTP/1.1\r\nHost: h\r\n\n" + _SMUGGLED, 400),
    ("bare CR in a value", _get(b"A: b\rTransfer-Encoding: chunked"), 400),
    ("bare CR ends a line", b"GET /x HTTP/1.1\rHost: h\r\r", 400),
    ("CR LF before the request line", b"\r\n\r\n" + _get(), 400),
    ("NUL in a value", _get(b"A: b\x00c"), 400),
    ("NUL in a name", _get(b"A\x00: b"), 400),
    ("NUL in the target", _get(target=b"/a\x00b"), 400),
    ("escape character in a value", _get(b"A: \x1b[31m"), 400),
    ("DEL in a value", _get(b"A: \x7f"), 400),
    ("obs-fold with a blank", _get(b"A: b", b" c"), 400),
    ("obs-fold with a tab", _get(b"A: b", b"\tc"), 400),
    ("folded first header", b"GET /x HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    ("blank before the colon", _get(b"Authorization : Bearer x"), 400),
    ("blank in a name", _get(b"A B: c"), 400),
    ("empty name", _get(b": c"), 400),
    ("no colon", _get(b"Nothing"), 400),
    ("name with high bytes", _get("Ä: c".encode()), 400),
    ("name with a parenthesis", _get(b"A(b): c"), 400),
    # request lines
    ("absolute form", _get(target=b"http://h/x"), 400),
    ("absolute form of another host", _get(target=b"https://evil/api"), 400),
    ("authority form", _get(target=b"h:443"), 400),
    ("asterisk form", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("fragment", _get(target=b"/x#y"), 400),
    ("empty target", b"GET  HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("two blanks", b"GET  /x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("tab as a separator", b"GET\t/x\tHTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("blank in the target", b"GET /x y HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("blank before the method", b" GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("blank after the version", b"GET /x HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
    ("high bytes in the target", _get(target=b"/\xff"), 400),
    ("HTTP/0.9", b"GET /x\r\n\r\n", 400),
    ("HTTP/1.2", b"GET /x HTTP/1.2\r\nHost: h\r\n\r\n", 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("HTTP in lower case", b"GET /x http/1.1\r\nHost: h\r\n\r\n", 400),
    ("another protocol", b"GET /x RTSP/1.0\r\nHost: h\r\n\r\n", 400),
    ("TLS on a plain line", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40, 400),
    ("an SSH client", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
    ("method CONNECT", b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ("method TRACE", b"TRACE /x HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ("method in lower case", b"get /x HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ("unknown method", b"BREW /x HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    ("no Host", b"GET /x HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", _get(b"Host: other"), 400),
    # sizes
    ("head too large", _get(b"A: " + b"a" * 1_100_000), 431),
    ("target too large", _get(target=b"/?" + b"a" * 1_100_000), 431),
    ("path too long", _get(target=b"/" + b"a" * 70_000), 431),
    ("endless head", b"GET /x HTTP/1.1\r\n" + b"A: b\r\n" * 200_000, 431),
    ("endless line", b"GET /" + b"a" * 1_200_000, 431),
    ("too many headers", _get(*[b"A: b"] * 5000), 431),
    ("too many parameters", _get(target=b"/x?" + b"a&" * 10_001), 400),
    # upgrades and expectations
    ("upgrade with a body", _post(b"Connection: Upgrade", b"Upgrade: a", b"Content-Length: 3", body=b"abc"), 400),
    ("upgrade with chunks", _post(b"Connection: Upgrade", b"Upgrade: a", _CHUNKED, body=b"0\r\n\r\n"), 400),
    ("unknown expectation", _post(b"Expect: 200-maybe", b"Content-Length: 3", body=b"abc"), 400),
    # paths, refused by the handler as the proxy does
    ("encoded slash", _get(target=b"/api/v1/namespaces/a%2fb"), 400),
    ("encoded backslash", _get(target=b"/api/v1/namespaces/a%5Cb"), 400),
    ("encoded NUL", _get(target=b"/api/v1/namespaces/a%00"), 400),
    ("encoded CR LF", _get(target=b"/api/v1/namespaces/a%0d%0aX:%20y"), 400),
    ("dot segment", _get(target=b"/api/./v1"), 400),
    ("double dot segment", _get(target=b"/api/../secret"), 400),
    ("encoded dot segment", _get(target=b"/api/%2e%2E/secret"), 400),
    ("half encoded dot segment", _get(target=b"/api/.%2e/secret"), 400),
    ("double slash", _get(target=b"//api/v1"), 400),
    ("overlong UTF-8", _get(target=b"/api/%c0%ae%c0%ae/x"), 400),
    ("broken escape", _get(target=b"/api/%zz"), 400),
]

HARMLESS: list[tuple[str, bytes, list[bytes]]] = [
    ("a body that looks like a request", _post(b"Content-Length: 35", b"Connection: close", body=_SMUGGLED), [b"/x"]),
    (
        "chunks that look like a request",
        _post(_CHUNKED, b"Connection: close", body=b"23\r\n" + _SMUGGLED + b"\r\n0\r\n\r\n"),
        [b"/x"],
    ),
    ("a GET with a body", _get(b"Content-Length: 35", b"Connection: close") + _SMUGGLED, [b"/x"]),
    ("early data behind a refused upgrade", _get(b"Connection: Upgrade", b"Upgrade: a") + _SMUGGLED, [b"/x"]),
    ("two pipelined requests", _get() + _get(b"Connection: close", target=b"/y"), [b"/x", b"/y"]),
    ("a request behind Connection: close", _get(b"Connection: close") + _SMUGGLED, [b"/x"]),
    ("a request behind HTTP/1.0", b"GET /x HTTP/1.0\r\n\r\n" + _SMUGGLED, [b"/x"]),
    ("an upgrade that Connection does not name", _get(b"Upgrade: h2c", b"Connection: close"), [b"/x"]),
    ("a chunk extension", _post(_CHUNKED, b"Connection: close", body=b"5;a=b\r\nhello\r\n0\r\n\r\n"), [b"/x"]),
    ("a forbidden trailer", _post(_CHUNKED, b"Connection: close", body=b"0\r\nHost: evil\r\n\r\n"), [b"/x"]),
    ("a request behind a refused one", _get(b"A : b") + _SMUGGLED, []),
]


class _Recorder:
    """Answers 200 to what passes the path rules, and remembers the targets."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    async def __call__(self, exchange: Exchange) -> None:
        parse_target(exchange.head.target)
        body = await exchange.body(2**20)
        self.seen.append(exchange.head.target)
        await exchange.respond(200, [(b"content-type", b"text/plain")], b"read %d" % len(body))


def test_the_corpus_is_large_and_has_no_name_twice() -> None:
    names = [row[0] for row in REFUSED] + [row[0] for row in HARMLESS]
    assert len(names) == len(set(names)) >= 100


@pytest.mark.parametrize(("name", "raw", "status"), REFUSED, ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("step", [0, 7], ids=["at once", "in pieces"])
async def test_a_hostile_request_gets_a_clear_status(plain: Lab, name: str, raw: bytes, status: int, step: int) -> None:
    recorder = _Recorder()
    server = await plain.server(recorder)
    peer = await plain.peer(server)
    if step and len(raw) < 2000:
        for at in range(0, len(raw), step):
            with suppress(ConnectionError):
                await peer.send(raw[at : at + step])
            await asyncio.sleep(0)
    else:
        await peer.send(raw)
    answer = await peer.answer()
    assert answer.status == status
    assert answer.json()["kind"] == "Status"
    assert answer.json()["message"]
    assert answer.headers["warning"].startswith("299 skerry")
    assert recorder.seen == []
    if answer.headers.get("connection") == "close":
        await peer.ended()
    other = await plain.peer(server)
    await other.send(_get(target=b"/after"))
    assert (await other.answer()).status == 200


@pytest.mark.parametrize(("name", "raw", "seen"), HARMLESS, ids=[row[0] for row in HARMLESS])
async def test_a_doubtful_request_is_made_harmless(plain: Lab, name: str, raw: bytes, seen: list[bytes]) -> None:
    recorder = _Recorder()
    server = await plain.server(recorder)
    peer = await plain.peer(server)
    await peer.send(raw)
    for _ in range(max(len(seen), 1)):
        assert (await peer.answer()).status == (200 if seen else 400)
    await peer.ended()
    assert recorder.seen == seen


async def test_a_body_of_one_byte_chunks_costs_no_more_than_it_carries(plain: Lab) -> None:
    recorder = _Recorder()
    server = await plain.server(recorder)
    peer = await plain.peer(server)
    await peer.send(_post(_CHUNKED, body=b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"))
    assert (await peer.answer()).body == b"read 20000"
