"""The corpus: hostile requests, and what must come of each. Data and the few words that build it; no test is here.

Two outcomes. A refusal is one Status with its code, and the member saw nothing. A harmless one reaches the member, with
exactly the target that is named here, and whatever the request said about who is calling is gone; the test checks the
whole identity of every request that the member records, so a row only names what is special about it.

`@T@` is an administrator's token and `@M@` the member's path, so that each row runs in every mode.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.http.test_hostile import REFUSED as MALFORMED


class Case(NamedTuple):
    """One row. `code` is the refusal's status, 0 if the member answers; `seen` are the targets that it records."""

    name: str
    raw: bytes
    code: int = 0
    seen: tuple[bytes, ...] = ()
    text: str = ""
    """Part of the refusal's message."""
    kept: tuple[tuple[bytes, bytes], ...] = ()
    """Headers that the member must still see, in lower case."""


AUTH = b"Authorization: Bearer @T@"
NEXT = b"GET @M@/api/v1/smuggled HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer @T@\r\n\r\n"
INSIDE = b"GET /clusters/m1/api/v1/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
"""Of a length that no marker changes, for bodies."""
PODS = b"/api/v1/namespaces/d/pods"
CHUNKED = b"Transfer-Encoding: chunked"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")


def request(*lines: bytes, target: bytes = b"@M@" + PODS, method: bytes = b"GET", body: bytes = b"") -> bytes:
    """A request of the administrator."""
    return b"\r\n".join((method + b" " + target + b" HTTP/1.1", b"Host: h", AUTH, *lines, b"", b"")) + body


def stripped(header: bytes) -> Case:
    """A header that must not arrive (the test compares all that arrive)."""
    return Case(f"stripped: {header[:60].decode('latin-1')}", request(header), seen=(PODS,))


def refused_path(target: bytes, code: int = 400, text: str = "") -> Case:
    """A path that is refused below a member."""
    return Case(f"path refused: {target.decode('latin-1')[:80]}", request(target=b"@M@" + target), code, text=text)


def carried(target: bytes) -> Case:
    """A target that arrives byte by byte as it was sent."""
    return Case(
        f"carried as it is: {target.decode('latin-1')[:80]} {len(target)}",
        request(target=b"@M@" + target),
        seen=(target,),
    )


def below_a_member(raw: bytes) -> bytes:
    """A malformed request of the server's own corpus, aimed at a member, with a credential where there is a head."""
    line, end, rest = raw.partition(b"\r\n")
    if not line or not end:
        return raw.replace(b" /", b" @M@/", 1)
    aimed = line.replace(b" /", b" @M@/", 1)
    return aimed + b"\r\n" + AUTH + b"\r\n" + rest.replace(b"GET /smuggled HTTP/1.1", NEXT.partition(b"\r\n")[0])


FROM_THE_SERVER = [Case(f"malformed: {name}", below_a_member(raw), code) for name, raw, code in MALFORMED]

SMUGGLING = [
    Case(
        "a body that is a request",
        request(b"Content-Length: %d" % len(INSIDE), method=b"POST", body=INSIDE),
        seen=(PODS,),
    ),
    Case(
        "chunks that are a request",
        request(CHUNKED, method=b"POST", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(INSIDE), INSIDE)),
        seen=(PODS,),
    ),
    Case("a GET with a body", request(b"Content-Length: %d" % len(INSIDE), body=INSIDE), seen=(PODS,)),
    Case("a DELETE with a body", request(b"Content-Length: 2", method=b"DELETE", body=b"{}"), seen=(PODS,)),
    Case(
        "a body of many parts behind which nothing is",
        request(CHUNKED, method=b"POST", body=b"1\r\na\r\n" * 50 + b"0\r\n\r\n"),
        seen=(PODS,),
    ),
    Case("trailers", request(CHUNKED, method=b"POST", body=b"0\r\nImpersonate-User: root\r\n\r\n"), seen=(PODS,)),
    Case("a chunk extension", request(CHUNKED, method=b"POST", body=b"2;a=b\r\n{}\r\n0\r\n\r\n"), seen=(PODS,)),
    Case(
        "framing named by Connection",
        request(b"Connection: content-length", b"Content-Length: 2", method=b"POST", body=b"{}"),
        seen=(PODS,),
    ),
    Case(
        "chunking named by Connection",
        request(b"Connection: transfer-encoding", CHUNKED, method=b"POST", body=b"2\r\n{}\r\n0\r\n\r\n"),
        seen=(PODS,),
    ),
    Case("Content-Length spelled with a line", request(b"Content_Length: 5", method=b"POST"), seen=(PODS,)),
    Case("Transfer-Encoding spelled with a line", request(b"Transfer_Encoding: chunked", method=b"POST"), seen=(PODS,)),
    Case("a second request on the connection", request() + NEXT, seen=(PODS, b"/api/v1/smuggled")),
    Case("a request behind Connection: close", request(b"Connection: close") + NEXT, seen=(PODS,)),
    Case("a request behind a refused one", request(b"Impersonate-User: root", b"Connection: close") + NEXT, 403),
    Case("a body on HTTP/1.0", b"GET @M@/x HTTP/1.0\r\n" + AUTH + b"\r\n\r\n" + NEXT, seen=(b"/x",)),
    Case("Expect twice removed", request(b"Expect: 100-continue"), seen=(PODS,)),
]

IMPERSONATION = [
    Case(f"impersonation: {header.decode()}", request(header), 403, text="may not impersonate")
    for header in (
        b"Impersonate-User: root",
        b"impersonate-user: root",
        b"IMPERSONATE-USER: root",
        b"iMpErSoNaTe-UsEr: root",
        b"Impersonate_User: root",
        b"IMPERSONATE_USER: root",
        b"Impersonate-User:",
        b"Impersonate-User: skerry:admin",
        b"Impersonate-User: system:admin",
        b"Impersonate-User: system:serviceaccount:kube-system:default",
        b"Impersonate-Group: system:masters",
        b"Impersonate_Group: system:masters",
        b"impersonate-group: system:nodes",
        b"Impersonate-Uid: 0",
        b"Impersonate_Uid: 0",
        b"Impersonate-Extra-Scopes: all",
        b"Impersonate-Extra-skerry.dev%2fuser: root",
        b"Impersonate_Extra_scopes: all",
        b"Impersonate-Extra-: x",
        b"Impersonate: root",
        b"ImpersonateUser: root",
        b"Impersonate-Anything-New: x",
    )
] + [
    Case(
        "impersonation hidden by Connection",
        request(b"Connection: impersonate-user", b"Impersonate-User: root"),
        403,
        text="may not impersonate",
    ),
    Case(
        "impersonation twice", request(b"Impersonate-User: a", b"Impersonate-User: b"), 403, text="may not impersonate"
    ),
    Case(
        "impersonation within a websocket",
        request(*UPGRADE, b"Impersonate-Group: system:masters", target=b"@M@/api/v1/namespaces/d/pods/p/exec"),
        403,
        text="may not impersonate",
    ),
]

HEADERS = [
    stripped(header)
    for header in (
        b"X-Remote-User: root",
        b"x-remote-user: root",
        b"X_Remote_User: root",
        b"X-Remote_User: root",
        b"X-Remote-Group: system:masters",
        b"X_REMOTE_GROUP: system:masters",
        b"X-Remote-Extra-Scopes: all",
        b"X-Remote-Uid: 0",
        b"X-Forwarded-For: 10.0.0.1",
        b"X_Forwarded_For: 10.0.0.1",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-User: root",
        b"X-Forwarded-Client-Cert: Subject=root",
        b"X-Forwarded-Access-Token: x",
        b"Forwarded: for=10.0.0.1",
        b"X-Real-Ip: 10.0.0.1",
        b"X_Real_Ip: 10.0.0.1",
        b"True-Client-Ip: 10.0.0.1",
        b"Audit-ID: forged",
        b"audit_id: forged",
        b"Cookie: session=1",
        b"X-Client-Cert: x",
        b"X-Original-Uri: /api/v1/secrets",
        b"X-Original-Url: /api/v1/secrets",
        b"X-Rewrite-Url: /api/v1/secrets",
        b"X-Http-Method-Override: DELETE",
        b"X-Http-Method: DELETE",
        b"X-Method-Override: DELETE",
        b"Proxy-Authorization: Bearer x",
        b"Proxy_Authorization: Bearer x",
        b"Proxy-Authenticate: x",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"TE: gzip",
        b"Trailer: Impersonate-User",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        b"Connection: keep-alive",
        b"Connection: HTTP2-Settings",
        b"Connection: authorization",
        b"Connection: Authorization, Audit-Id, X-Forwarded-For, Impersonate-User, Impersonate-Group",
        b"Connection: impersonate-extra-skerry.dev%2fuser",
        b"Connection: host",
        b"Connection: ,,,",
        b"Connection: a b c",
        b"Connection: Upgrade",
    )
] + [
    Case("a header that Connection names", request(b"Connection: X-Mine", b"X-Mine: 1"), seen=(PODS,)),
    Case("named in other letters", request(b"Connection: x-MINE", b"X-Mine: 1"), seen=(PODS,)),
    Case("named in a second Connection", request(b"Connection: a", b"Connection: X-Mine", b"X-Mine: 1"), seen=(PODS,)),
    Case("named between blanks", request(b"Connection: a ,\t x-mine\t, b", b"X-Mine: 1"), seen=(PODS,)),
    Case("named, and spelled with a line", request(b"Connection: x-mine", b"X_Mine: 1"), seen=(PODS,)),
    Case("trailers are wanted", request(b"TE: trailers"), seen=(PODS,), kept=((b"te", b"trailers"),)),
    Case(
        "trailers and another coding, named by Connection",
        request(b"Connection: TE", b"TE: deflate;q=0.5, Trailers"),
        seen=(PODS,),
        kept=((b"te", b"trailers"),),
    ),
    Case(
        "ordinary headers stay",
        request(b"Accept: application/json;as=Table", b"If-None-Match: x", b"X-Custom: 1"),
        seen=(PODS,),
        kept=((b"accept", b"application/json;as=Table"), (b"if-none-match", b"x"), (b"x-custom", b"1")),
    ),
    Case(
        "a header twice stays twice",
        request(b"X-Custom: 1", b"X-Custom: 2"),
        seen=(PODS,),
        kept=((b"x-custom", b"1"), (b"x-custom", b"2")),
    ),
]


def credential(name: str, *lines: bytes, target: bytes = b"@M@" + PODS, code: int = 401, text: str = "") -> Case:
    """A request whose credential is in these lines alone."""
    head = b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: h", *lines, b"", b""))
    return Case(f"credential: {name}", head, code, text=text)


PROTOCOLS = b"Sec-WebSocket-Protocol: v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.@T@"
CREDENTIALS = [
    credential("none"),
    credential("empty", b"Authorization:"),
    credential("another scheme", b"Authorization: Basic cm9vdDpyb290"),
    credential("Bearer without a token", b"Authorization: Bearer"),
    credential("twice", AUTH, AUTH),
    credential("twice, one wrong", AUTH, b"Authorization: Bearer x"),
    credential("a token of Kubernetes", b"Authorization: Bearer eyJhbGciOiJub25lIn0.e30."),
    credential("an unknown token", b"Authorization: Bearer skerry_" + b"A" * 43),
    credential("a token and more", b"Authorization: Bearer @T@x"),
    credential("two tokens in one", b"Authorization: Bearer @T@, Bearer @T@"),
    credential("a very long token", b"Authorization: Bearer skerry_" + b"A" * 20_000),
    credential("in a cookie", b"Cookie: authorization=Bearer @T@"),
    credential("in the query", target=b"@M@" + PODS + b"?access_token=@T@"),
    credential("in Proxy-Authorization", b"Proxy-Authorization: Bearer @T@"),
    credential("spelled with a line", b"Authorization_: Bearer @T@"),
    credential("in a forwarding header", b"X-Forwarded-Access-Token: @T@"),
    credential("in a WebSocket protocol", *UPGRADE, PROTOCOLS),
    credential("in a WebSocket protocol without an upgrade", PROTOCOLS),
    credential("X-Remote-User alone", b"X-Remote-User: admin", b"X-Remote-Group: skerry:cluster-admin"),
    credential("an unknown member", target=b"/clusters/none" + PODS),
    Case(
        "a bearer protocol beside a token is taken out",
        request(PROTOCOLS),
        seen=(PODS,),
        kept=((b"sec-websocket-protocol", b"v5.channel.k8s.io"),),
    ),
    Case(
        "a bearer protocol in capitals is taken out",
        request(b"Sec-WebSocket-Protocol: BASE64URL.BEARER.AUTHORIZATION.K8S.IO.eA, v4.channel.k8s.io"),
        seen=(PODS,),
        kept=((b"sec-websocket-protocol", b"v4.channel.k8s.io"),),
    ),
    Case(
        "a bearer protocol alone leaves no header",
        request(b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.eA"),
        seen=(PODS,),
    ),
]

PATHS = [
    refused_path(b"/api/v1/namespaces/a%2fb"),
    refused_path(b"/api/v1/namespaces/a%2Fb"),
    refused_path(b"/api/v1/namespaces/a%5cb"),
    refused_path(b"/api/v1/namespaces/a\\b"),
    refused_path(b"/api/v1/namespaces/a%00"),
    refused_path(b"/api/v1/namespaces/a%0a"),
    refused_path(b"/api/v1/namespaces/a%7f"),
    refused_path(b"/api/v1/../../clusters/m2/api"),
    refused_path(b"/.."),
    refused_path(b"/../m2/api"),
    refused_path(b"/%2e%2e/m2/api"),
    refused_path(b"/%2E./m2/api"),
    refused_path(b"/.%2e/m2/api"),
    refused_path(b"/..%2fm2/api"),
    refused_path(b"/./api"),
    refused_path(b"/%2e/api"),
    refused_path(b"//api/v1/pods"),
    refused_path(b"/api//v1/pods"),
    refused_path(b"/api/v1/namespaces//secrets"),
    refused_path(b"/api/v1/namespaces/proxy/../secrets"),
    refused_path(b"/api/v1/namespaces/d/pods/p/exec/../log"),
    refused_path(b"/api/%c0%ae%c0%ae/x"),
    refused_path(b"/api/%ff"),
    refused_path(b"/api/%"),
    refused_path(b"/api/%2"),
    refused_path(b"/api/%zz"),
    refused_path(b"/api/v1/proxy"),
    refused_path(b"/api/v1/watch"),
    refused_path(b"/api/v1/nodes/n/proxy%2frun", 400),
    Case("a fragment", request(target=b"@M@/api#x"), 400),
    Case("an absolute target", request(target=b"http://h@M@/api"), 400),
    Case("an absolute target elsewhere", request(target=b"https://evil/api"), 400),
    Case("a network path", request(target=b"//evil@M@/api"), 400),
    Case("a member with dots", request(target=b"/clusters/../clusters/m1/api"), 404),
    Case("a member that is encoded", request(target=b"/clusters/%6d1/api"), 404),
    Case("a member with an encoded slash", request(target=b"/clusters/m1%2fapi"), 404),
    Case("a member in capitals", request(target=b"/clusters/M1/api"), 404),
    Case("a member with a wildcard", request(target=b"/clusters/*/api"), 404),
    Case("a member with a subject's dots", request(target=b"/clusters/m1.open/api"), 404),
    Case("all members", request(target=b"/clusters/%3e/api"), 404),
    Case("a member with parameters", request(target=b"/clusters/m1;x=y/api"), 404),
    Case("an empty member", request(target=b"/clusters//api"), 400),
    Case("clusters in capitals", request(target=b"/Clusters/m1/api"), 404),
    Case("clusters behind a slash", request(target=b"//clusters/m1/api"), 400),
    Case("clusters behind a dot", request(target=b"/./clusters/m1/api"), 400),
    Case("clusters that are encoded", request(target=b"/%63lusters/m1/api"), 404),
    Case("the root of a member", request(target=b"@M@"), seen=(b"/",)),
    Case("the root of a member with a query", request(target=b"@M@?a=b"), seen=(b"/?a=b",)),
    carried(b"/api/v1/..;/secrets"),
    carried(b"/api/v1/...%20/secrets"),
    carried(b"/api/v1/namespaces/%64/pods"),
    carried(b"/api/v1/namespaces/d/pods/%F0%9F%9A%A2"),
    carried(b"/api/v1/namespaces/d/services/s/proxy/a%2fb"),
    carried(b"/api/v1/namespaces/d/services/s/proxy/../x"),
    carried(b"/api/v1/namespaces/d/services/https:s:443/proxy//x?y=%2e"),
    carried(b"/clusters/m1/api"),
]

KUBELET = [
    refused_path(target, 403, "nodes/proxy")
    for target in (
        b"/api/v1/nodes/n1/proxy",
        b"/api/v1/nodes/n1/proxy/",
        b"/api/v1/nodes/n1/proxy/run/d/p/c",
        b"/api/v1/nodes/n1:10250/proxy/pods",
        b"/api/v1/nodes/https:n1:10250/proxy/exec/d/p/c",
        b"/api/v1/proxy/nodes/n1/pods",
        b"/api/v1/proxy/nodes/n1:10250/run/d/p/c",
        b"/api/v1/%6eodes/n1/proxy/x",
        b"/api/v1/nodes/n1/%70roxy/x",
        b"/api/v1/watch/nodes/n1/proxy",
        b"/api/v1/namespaces/d/nodes/n1/proxy/x",
    )
] + [
    Case("kubelet: POST", request(target=b"@M@/api/v1/nodes/n1/proxy/run/d/p/c?cmd=id", method=b"POST"), 403),
    Case("kubelet: an upgrade", request(*UPGRADE, target=b"@M@/api/v1/nodes/n1/proxy/exec/d/p/c"), 403),
    Case("kubelet: HEAD is not asked", request(target=b"@M@/api/v1/nodes/n1/proxy/x", method=b"PUT"), 403),
    carried(b"/run/d/p/c"),
    carried(b"/api/v1/nodes/n1/status"),
    carried(b"/API/v1/nodes/n1/proxy"),
]


def absolute(target: bytes, host: bytes, *, seen: tuple[bytes, ...] = (), code: int = 0) -> Case:
    """A request with an absolute target."""
    raw = b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + AUTH + b"\r\n\r\n"
    return Case(f"absolute: {target.decode()} of {host.decode()}", raw, code, seen=seen)


ABSOLUTE = [
    absolute(b"http://127.0.0.1@M@" + PODS, b"127.0.0.1", seen=(PODS,)),
    absolute(b"HTTPS://LocalHost:8443@M@" + PODS, b"localhost:8443", seen=(PODS,)),
    absolute(b"http://127.0.0.1:80@M@" + PODS + b"?a=http://evil/", b"127.0.0.1", seen=(PODS + b"?a=http://evil/",)),
    absolute(b"http://127.0.0.1@M@" + PODS, b"localhost", code=400),
    absolute(b"http://127.0.0.1@M@" + PODS, b"evil", code=400),
    absolute(b"http://evil@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://evil@M@" + PODS, b"evil", code=400),
    absolute(b"http://127.0.0.1.evil@M@" + PODS, b"127.0.0.1.evil", code=400),
    absolute(b"http://evil\\@127.0.0.1@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://root:x@127.0.0.1@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://127.0.0.1:81@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://127.0.0.1/.@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://127.0.0.1/@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://127.0.0.1/%63lusters/m1/api", b"127.0.0.1", code=404),
    absolute(b"http:/@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"//127.0.0.1@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"ws://127.0.0.1@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"http://127.0.0.1/http://127.0.0.1@M@" + PODS, b"127.0.0.1", code=400),
    absolute(b"127.0.0.1:443", b"127.0.0.1", code=400),
    absolute(b"*", b"127.0.0.1", code=400),
    Case(
        "absolute: an ordinary one behind it",
        absolute(b"http://127.0.0.1@M@" + PODS, b"127.0.0.1").raw + NEXT,
        seen=(PODS, b"/api/v1/smuggled"),
    ),
]

PADDING = b"X-Padding: " + b"p" * 100_000
LARGE = [
    Case(
        f"behind 100 KB of head: {header[:40].decode()}",
        request(PADDING, header),
        seen=(PODS,),
        kept=((b"x-padding", b"p" * 100_000),),
    )
    for header in (
        b"X-Remote-User: root",
        b"Audit-ID: forged",
        b"Connection: x-forwarded-for",
        b"Keep-Alive: timeout=5",
    )
] + [
    Case("impersonation behind 100 KB of head", request(PADDING, b"Impersonate-User: root"), 403),
    Case("no credential behind 100 KB of head", request(PADDING).replace(AUTH + b"\r\n", b""), 401),
    Case("a path of 100 KB", request(target=b"@M@/" + b"a" * 100_000), 431),
    Case("10,001 parameters", request(target=b"@M@/x?" + b"a&" * 10_001), 400),
    Case("a path of 60 KB with many segments", request(target=b"@M@" + b"/a" * 30_000), seen=(b"/a" * 30_000,)),
]

QUERIES = [
    carried(PODS + b"?" + query)
    for query in (
        b"watch=0;watch=1",
        b"watch=false&watch=true",
        b"fieldSelector=metadata.name%3Dx&fieldSelector=metadata.name%3Dy",
        b"limit=500&continue=%00%0d%0aX:%20y",
        b"a=/../../etc",
        b"a=%2e%2e%2f",
        b"a=b?c=d",
        b"impersonate-user=root&as=root",
        b"access_token=x&token=y",
        b"timeout=1h",
        b"timeout=-1s",
        b"timeout=99999999999999999999s",
        b"timeout=%zz",
        b"labelSelector=%zz",
        b"&&&=&",
        b"a=" + b"b" * 8000,
        b"a=" + b"b" * 300_000,
    )
]

UPGRADES = [
    Case("an upgrade with a body", request(*UPGRADE, b"Content-Length: 2", body=b"{}"), 400),
    Case("an upgrade with chunks", request(*UPGRADE, CHUNKED, body=b"0\r\n\r\n"), 400),
    Case("an upgrade of what does not upgrade, with early data", request(*UPGRADE) + NEXT, seen=(PODS,)),
    Case(
        "an upgrade in HTTP/1.0 is none",
        b"GET @M@/x HTTP/1.0\r\n" + AUTH + b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        seen=(b"/x",),
    ),
    Case("an upgrade that only Upgrade names", request(b"Upgrade: websocket"), seen=(PODS,)),
    Case("an upgrade that only Connection names", request(b"Connection: upgrade"), seen=(PODS,)),
    Case("an upgrade of the host itself", request(*UPGRADE, target=b"/nothing"), 404),
]

CASES: list[Case] = [
    *FROM_THE_SERVER,
    *SMUGGLING,
    *IMPERSONATION,
    *HEADERS,
    *CREDENTIALS,
    *PATHS,
    *KUBELET,
    *QUERIES,
    *LARGE,
    *ABSOLUTE,
    *UPGRADES,
]

ANSWERS: list[tuple[str, bytes]] = [
    (name, raw)
    for name, raw in (
        ("nothing", b""),
        ("another protocol", b"SSH-2.0-OpenSSH_9.2\r\n"),
        ("HTTP/2", b"HTTP/2 200\r\n\r\n"),
        ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n"),
        ("a status of letters", b"HTTP/1.1 abc OK\r\n\r\n"),
        ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"),
        ("a folded header", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\n{}"),
        ("NUL", b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 2\r\n\r\n{}"),
        ("CL and TE", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("CL twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        ("CL negative", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}"),
        ("TE gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}"),
        ("TE twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a head without end", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000),
        ("too many headers", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n"),
        ("half a head", b"HTTP/1.1 200 OK\r\nContent-"),
        ("101 that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        ("a small body cut short", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"),
        ("a chunk that is none", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    )
]
"""What a hostile or broken API server answers; each must become a 502 Status (nothing had been passed on)."""

_SPDY = b"Connection: Upgrade\r\nUpgrade: spdy"
UPGRADE_ANSWERS: list[tuple[str, bytes, int]] = [
    ("200", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200),
    ("200 with more behind it", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 101 X\r\n\r\n", 200),
    ("200 in chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nraw", 200),
    ("200 that names the protocol", b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\n{}" % _SPDY, 200),
    ("200 cut short", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", 502),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    ("301", b"HTTP/1.1 301 Moved\r\nLocation: /api/v1/secrets\r\nContent-Length: 0\r\n\r\n", 301),
    ("302 elsewhere", b"HTTP/1.1 302 Found\r\nLocation: https://evil/\r\nContent-Length: 0\r\n\r\n", 502),
    ("302 to another host", b"HTTP/1.1 302 Found\r\nLocation: //evil/\r\nContent-Length: 0\r\n\r\n", 502),
    ("302 by a backslash", b"HTTP/1.1 302 Found\r\nLocation: /\\evil/\r\nContent-Length: 0\r\n\r\n", 502),
    ("302 second", b"HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: http://e/\r\nContent-Length: 0\r\n\r\n", 502),
    ("307", b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 307),
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
    ("400", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}", 400),
    ("403", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}", 403),
    ("404 with more behind it", b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", 404),
    ("500", b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n{}", 500),
    ("503", b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", 503),
    ("101 for another protocol", b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502),
    ("101 without an Upgrade", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
    ("nothing", b"", 502),
]
"""Answers to an upgrade: only 101 opens a raw stream, any other that is whole is passed on, and the connection ends."""
