"""Names in TLS as weapons: a connection that came for a member reaches that member or nobody, whatever else it says.

Two members that can be told apart: `m1` behind an agent, whose requests the recorder keeps, and `d2` directly, whose
requests the raw upstream keeps. The host is told by its own `/version`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from skerry.httpwire.names import server_name
from skerry.identity.files import write_private
from skerry.identity.x509 import issue_server
from tests.fixtures.nats import NatsHost, eventually
from tests.hostile.conftest import Sea, sea_of
from tests.hostile.corpus import Case
from tests.hostile.test_corpus import assert_identity
from tests.http.peers import Answer, Peer

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

UID = "0b8c1c52-7c86-4f8f-9d55-3a1c1f1a2b3c"
OTHER = "11111111-0000-0000-0000-000000000001"
M1, D2 = server_name("m1", UID), server_name("d2", UID)
RAW_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class AsWritten(ssl.SSLContext):
    """A client that asks for names as they are written, whether they are names or not."""

    def _encode_hostname(self, hostname: str) -> str:
        return hostname


class Named(NamedTuple):
    """A sea with TLS, and how to reach it under a name."""

    sea: Sea
    context: ssl.SSLContext

    async def peer(self, name: str | None) -> Peer:
        """A connection that asks for `name`; None: for none."""
        return await self.sea.peer(self.context, name or "127.0.0.1")

    async def answers(self, name: str | None, *raw: bytes) -> list[Answer]:
        """What one connection gets for these requests, one after the other."""
        peer = await self.peer(name)
        found = []
        for request in raw:
            await peer.send(request.replace(b"@T@", self.sea.world.admin))
            found.append(await peer.answer())
        await peer.close()
        return found

    @property
    def seen(self) -> list[bytes]:
        """The targets that m1 saw."""
        return [head.target for head in self.sea.world.recorder.heads]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sea(nats_host: NatsHost) -> AsyncIterator[Sea]:
    """The sea of all rows; its certificate of the front door has the host's names, another has those of members."""
    files = {}
    members = issue_server(nats_host.ca, (server_name("*", UID),))
    for name, data in (("members_cert_file", members.certificate), ("members_key_file", members.key)):
        files[name] = nats_host.directory / name
        write_private(files[name], data)
    files |= {"tls_cert_file": nats_host.directory / "tls.crt", "tls_key_file": nats_host.directory / "tls.key"}
    async with sea_of(nats_host, host_uid=UID, **files) as made:
        made.raw_answer = RAW_ANSWER
        await made.world.cluster("host", mode="none")
        yield made


@pytest.fixture
def named(sea: Sea) -> Named:
    context = AsWritten(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return Named(sea, context)


def get(target: bytes, *lines: bytes, method: bytes = b"GET", host: bytes = b"h", version: bytes = b"1.1") -> bytes:
    """A request of the administrator."""
    hosts = (b"Host: " + host,) if host else ()
    return b"\r\n".join(
        (b"%b %b HTTP/%b" % (method, target, version), *hosts, b"Authorization: Bearer @T@", *lines, b"", b"")
    )


POD = b"/api/v1/namespaces/d/pods/p"
FOR_M1 = [
    ("as it should be", M1, get(POD), POD),
    ("upper case", M1.upper(), get(POD), POD),
    ("mixed case", M1.title(), get(POD), POD),
    ("a trailing dot", M1 + ".", get(POD), POD),
    ("Host names another member", M1, get(POD, host=D2.encode()), POD),
    ("Host names the host", M1, get(POD, host=b"localhost:8443"), POD),
    ("Host is an address", M1, get(POD, host=b"127.0.0.1"), POD),
    ("HTTP/1.0 without Host", M1, get(POD, host=b"", version=b"1.0"), POD),
    ("X-Forwarded-Host names another", M1, get(POD, b"X-Forwarded-Host: " + D2.encode()), POD),
    ("the path form of another member", M1, get(b"/clusters/d2" + POD), b"/clusters/d2" + POD),
    ("the path form of itself", M1, get(b"/clusters/m1" + POD), b"/clusters/m1" + POD),
    ("an encoded path form", M1, get(b"/%63lusters/d2" + POD), b"/%63lusters/d2" + POD),
    ("the host's collection", M1, get(b"/apis/skerry.dev/v1alpha1/clusters"), b"/apis/skerry.dev/v1alpha1/clusters"),
    *[
        (f"{path.decode()} is the member's", M1, get(path), path)
        for path in (b"/", b"/version", b"/healthz", b"/livez", b"/readyz", b"/metrics", b"/openapi/v2", b"/apis")
    ],
    ("a query that looks like a path", M1, get(POD + b"?/clusters/d2/"), POD + b"?/clusters/d2/"),
]


@pytest.mark.parametrize(("row", "name", "raw", "target"), FOR_M1, ids=[row[0] for row in FOR_M1])
async def test_a_connection_for_a_member_reaches_it_and_nothing_else(
    named: Named, row: str, name: str, raw: bytes, target: bytes
) -> None:
    (answer,) = await named.answers(name, raw)
    assert answer.status == 200
    assert named.seen == [target]
    assert named.sea.raw_seen == []
    assert_identity(named.sea.world.recorder.heads[0], Case(row, raw))


REFUSED = [
    ("an encoded slash", get(b"/clusters%2fd2/x"), 400),
    ("dots", get(b"/../clusters/d2/x"), 400),
    ("encoded dots", get(b"/%2e%2e/clusters/d2/x"), 400),
    ("an empty segment", get(b"//clusters/d2/x"), 400),
    ("asterisk form", get(b"*", method=b"OPTIONS"), 400),
    ("authority form", get(D2.encode() + b":443", method=b"CONNECT"), 405),
    ("impersonation", get(POD, b"Impersonate-User: root"), 403),
    ("the kubelet", get(b"/api/v1/nodes/n/proxy/x"), 403),
    ("no credential", get(b"/version").replace(b"Authorization: Bearer @T@\r\n", b""), 401),
    ("a wrong credential", get(b"/healthz").replace(b"@T@", b"skerry_wrong"), 401),
]


@pytest.mark.parametrize(("row", "raw", "code"), REFUSED, ids=[row[0] for row in REFUSED])
async def test_what_is_refused_by_path_is_refused_by_name(named: Named, row: str, raw: bytes, code: int) -> None:
    del row
    (answer,) = await named.answers(M1, raw)
    assert (answer.status, answer.json()["kind"]) == (code, "Status")
    assert (named.seen, named.sea.raw_seen) == ([], [])


ABSOLUTE = [
    (M1, M1, True), (M1, M1.upper(), True), (M1, "127.0.0.1", True), (M1, "LOCALHOST:8443", True),
    (M1, D2, False), (M1, "evil", False), (M1, f"a.{M1}", False), (M1, server_name("nope", UID), False),
    (M1, server_name("m1", OTHER), False), (None, M1, False), (None, D2, False), ("localhost", M1, False),
    (None, server_name("nope", UID), False), (None, f"clusters.{UID}", False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "authority", "taken"), ABSOLUTE)
async def test_an_absolute_target_moves_no_connection(
    named: Named, name: str | None, authority: str, taken: bool
) -> None:
    """One that names a member on a connection for another, or for the host, is nobody's answer."""
    raw = get(f"https://{authority}".encode() + POD, host=authority.encode())
    (answer,) = await named.answers(name, raw)
    assert answer.status == (200 if taken else 400)
    assert (named.seen, named.sea.raw_seen) == ([POD] if taken else [], [])


NOBODY = [
    server_name(label, UID)
    for label in (
        "nope",
        "*",
        "a.m1",
        "m1.m1",
        "m1.",
        "d2.m1",
        "m1-",
        "m_1",
        "xn--m1-yia",
        "x" * 63,
        "x" * 120,
        "%6d1",
        "m1/",
    )
] + [
    server_name("m1", OTHER),
    f"clusters.{UID}",
    f"clusters.{OTHER}",
    ("m1." + "a." * 200)[: 254 - len(UID) - 9] + f".clusters.{UID}",
]


@pytest.mark.parametrize("name", NOBODY)
@pytest.mark.parametrize("target", [b"/version", POD, b"/clusters/m1" + POD, b"/apis/skerry.dev/v1alpha1/clusters"])
async def test_a_name_that_nobody_has_is_the_same_404_as_by_path(named: Named, name: str, target: bytes) -> None:
    (answer,) = await named.answers(name, get(target))
    status = answer.json()
    assert (answer.status, status["reason"], status["details"]["kind"]) == (404, "NotFound", "clusters")
    by_path = await named.sea.world.ask(b"/clusters/nope" + POD)
    asked = status["details"]["name"]
    assert {**by_path.json(), "message": by_path.json()["message"].replace("nope", asked)} == {
        **status,
        "details": {**status["details"], "name": "nope"},
    }
    assert (named.seen, named.sea.raw_seen) == ([], [])


async def test_the_host_itself_without_kubernetes_has_no_api_under_its_name(named: Named) -> None:
    (answer,) = await named.answers(server_name("host", UID), get(b"/version"))
    assert answer.status == 404
    assert "runs without Kubernetes" in answer.json()["message"]


async def test_who_may_use_no_cluster_learns_no_name(named: Named) -> None:
    token = await named.sea.world.token("eve", "guests")
    messages = set()
    for label in ("m1", "nope", "a.b", "host"):
        (answer,) = await named.answers(server_name(label, UID), get(b"/version").replace(b"@T@", token))
        assert answer.status == 403
        messages.add(answer.json()["message"].replace(repr(label), "?"))
    assert len(messages) == 1
    (answer,) = await named.answers(server_name("nope", UID), b"GET /version HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.status == 401


HOSTS = [
    None,
    "localhost",
    "LOCALHOST",
    "host.example",
    "127.1",
    "[::1]",
    "clusters.example.org",
    f"m1.clusters.{UID}.org",
    "a..b",
    "x" * 250,
    UID,
]


@pytest.mark.parametrize("name", HOSTS)
async def test_every_other_name_and_none_is_the_host_where_only_paths_choose(named: Named, name: str | None) -> None:
    version, by_path, by_host = await named.answers(
        name,
        get(b"/version", host=M1.encode()),
        get(b"/clusters/m1" + POD, host=D2.encode()),
        get(b"/api", host=M1.encode()),
    )
    assert "skerry" in version.json()["gitVersion"]
    assert by_path.status == 200
    assert by_host.json()["kind"] == "APIVersions"
    assert (named.seen, named.sea.raw_seen) == ([POD], [])


async def test_a_connection_stays_with_its_member_however_often_it_is_used(named: Named) -> None:
    raw = [get(POD), get(b"/clusters/d2" + POD, host=D2.encode()), get(b"/version", host=b"localhost"), get(POD)]
    assert [answer.status for answer in await named.answers(M1, *raw)] == [200] * 4
    assert named.seen == [POD, b"/clusters/d2" + POD, b"/version", POD]
    await named.answers(D2, get(b"/clusters/m1" + POD))
    assert len(named.seen) == 4
    assert [seen.split(b" ")[1] for seen in named.sea.raw_seen] == [b"/clusters/m1" + POD]


async def test_a_member_that_is_removed_is_nobody_on_connections_that_were_for_it(named: Named) -> None:
    world = named.sea.world
    await world.cluster("gone")
    peer = await named.peer(server_name("gone", UID))
    away, removed = get(POD).replace(b"@T@", world.admin), get(b"/clusters/m1" + POD).replace(b"@T@", world.admin)
    await peer.send(away)
    assert (await peer.answer()).status == 503
    await world.clusters.delete("gone")
    await eventually(lambda: world.proxy.directory.member("gone") is None)
    await peer.send(removed)
    assert (await peer.answer()).status == 404
    await peer.close()
    assert (named.seen, named.sea.raw_seen) == ([], [])


async def test_a_redirect_of_a_member_is_passed_as_it_is(named: Named) -> None:
    (by_name,) = await named.answers(M1, get(b"/redirect"))
    (by_path,) = await named.answers(None, get(b"/clusters/m1/redirect"))
    assert by_path.headers["location"] == "/clusters/m1" + by_name.headers["location"]


async def test_bytes_behind_an_upgrade_belong_to_the_members_stream(named: Named) -> None:
    peer = await named.peer(M1)
    head = get(POD + b"/exec?command=cat", b"Connection: Upgrade", b"Upgrade: websocket")
    early = b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await peer.send(head.replace(b"@T@", named.sea.world.admin) + early)
    assert (await peer.answer()).status == 101
    assert await peer.exactly(len(early)) == early
    await peer.close()
    await eventually(lambda: len(named.sea.world.proxy.sessions) == 0)


async def test_a_resumed_session_reaches_the_member_that_is_asked_for_now(named: Named) -> None:
    """TLS 1.2 can resume a session under another name; what counts is the name that the connection came for."""
    named.context.maximum_version = ssl.TLSVersion.TLSv1_2
    port = named.sea.world.address[1]

    def talk(name: str, target: bytes, session: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            named.context.wrap_socket(plain, server_hostname=name, session=session) as secure,
        ):
            secure.sendall(get(target, b"Connection: close").replace(b"@T@", named.sea.world.admin))
            answer = b""
            while data := secure.recv(65536):
                answer += data
            return answer, secure.session

    _, session = await asyncio.to_thread(talk, D2, POD, None)
    named.sea.raw_seen.clear()
    answer, _ = await asyncio.to_thread(talk, M1, b"/version", session)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (named.seen, named.sea.raw_seen) == ([b"/version"], [])
    answer, _ = await asyncio.to_thread(talk, "localhost", b"/version", session)
    assert b"skerry" in answer
    assert (named.seen, named.sea.raw_seen) == ([b"/version"], [])


@pytest.mark.parametrize(
    ("name", "fits"), [(M1, True), (D2, True), ("localhost", True), (f"a.{M1}", False), ("host.example", False)]
)
async def test_clients_that_verify_are_shown_a_certificate_of_the_name_they_ask_for(
    named: Named, name: str, fits: bool
) -> None:
    context = ssl.create_default_context(cadata=named.sea.world.nats.ca_pem)
    if fits:
        peer = await Peer.connect(named.sea.world.address[1], context, name)
        await peer.close()
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await Peer.connect(named.sea.world.address[1], context, name)
