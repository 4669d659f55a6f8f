"""Which sessions are recorded, and how they have to be asked for."""

from __future__ import annotations

import pytest

from services.proxy.recording.demand import command_of, has_terminal, readable_headers
from services.proxy.recording.ids import begun_of, is_session_id, session_id
from skerry.errors import Forbidden
from skerry.httpwire.head import RequestHead
from skerry.httpwire.requestinfo import resolve

POD = "/api/v1/namespaces/shop/pods/web-1"
OFFER = [(b"sec-websocket-protocol", b"v5.channel.k8s.io")]


@pytest.mark.parametrize(
    ("path", "query", "upgrade", "recorded"),
    [
        (f"{POD}/exec", b"tty=true", b"websocket", True),
        (f"{POD}/attach", b"tty=1&stdin=1", b"SPDY/3.1", True),
        (f"{POD}/exec", b"tty=", b"websocket", True),
        (f"{POD}/exec", b"tty=true&tty=false", b"websocket", True),
        (f"{POD}/exec", b"tty=TRUE", b"websocket", True),
        (f"{POD}/exec", b"", b"websocket", False),
        (f"{POD}/exec", b"tty=false&tty=true", b"websocket", False),
        (f"{POD}/exec", b"tty=0", b"websocket", False),
        (f"{POD}/exec", b"tty=true", None, False),
        (f"{POD}/portforward", b"tty=true", b"websocket", False),
        ("/apis/x.io/v1/namespaces/shop/pods/web-1/exec", b"tty=true", b"websocket", False),
        ("/api/v1/nodes/n1/exec", b"tty=true", b"websocket", False),
    ],
)
def test_a_terminal_is_what_the_api_server_takes_for_one(
    path: str, query: bytes, upgrade: bytes | None, recorded: bool
) -> None:
    head = RequestHead(method=b"GET", target=path.encode() + b"?" + query, headers=[], upgrade=upgrade)
    assert has_terminal(head, resolve(b"GET", path, query), query) is recorded


def test_a_session_over_spdy_is_refused_with_the_remedy() -> None:
    head = RequestHead(method=b"POST", target=b"/", headers=[], upgrade=b"SPDY/3.1")
    with pytest.raises(Forbidden, match=r"cluster m1: .*kubectl 1.31 or newer.*KUBECTL_REMOTE_COMMAND_WEBSOCKETS"):
        readable_headers("m1", head, OFFER)


def test_without_a_protocol_that_can_be_read_it_is_refused() -> None:
    head = RequestHead(method=b"GET", target=b"/", headers=[], upgrade=b"WebSocket")
    assert readable_headers("m1", head, OFFER) == OFFER
    with pytest.raises(Forbidden, match=r"v5.channel.k8s.io or v4.channel.k8s.io"):
        readable_headers("m1", head, [])


def test_a_command_is_told_as_far_as_it_is_reasonable() -> None:
    assert command_of(b"command=sh&command=-c&command=a+b%26&container=app&tty=1") == (("sh", "-c", "a b&"), "app")
    words, container = command_of(b"&".join([b"command=" + b"x" * 1000] * 100))
    assert (len(words), sum(map(len, words)), container) == (64, 4096, "")


def test_an_id_tells_when_the_session_began() -> None:
    name = session_id(1_700_000_000.123, b"\x01\x02\x03\x04\x05")
    assert is_session_id(name)
    assert begun_of(name) == 1_700_000_000.123
    assert name < session_id(1_700_000_001, b"\0\0\0\0\0")
    for other in ("", name[:-1], name + "0", name.upper(), "*", f"{name}\n", "x" * 22):
        assert not is_session_id(other)
