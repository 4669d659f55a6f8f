"""100 MB through every form of upgrade, each way, byte-exact, the reader slower than the writer (rule 12).

Once each in the ordinary run; fifty times in `make soak`, where a lost tail shows that one run does not meet.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from tests.clients.shore import Client, Started
from tests.e2e.federation import eventually, free_port
from tests.kube import pods

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(300)]

SIZE = 100_000_000
REPEATS = 50
_PIECE = 1 << 20
_PAUSE_EVERY = 8 << 20
_PAUSE_S = 0.05
PAGER_S = 15.0

# The pod's own reader pauses too. busybox nc serves one connection after the other; a program may not have arguments.
SLOWLY = "(for i in 1 2 3 4; do dd bs=1M count=4 iflag=fullblock 2>/dev/null; sleep 0.2; done; cat)"
PREPARE = f"""
head -c {SIZE} /dev/urandom > /tmp/big
sha256sum < /tmp/big | cut -c1-64 > /tmp/big.sum
printf '#!/bin/sh\\nexec cat /tmp/big\\n' > /tmp/give
printf '#!/bin/sh\\nhead -c {SIZE} | {SLOWLY} | sha256sum | cut -c1-64\\n' > /tmp/take
chmod +x /tmp/give /tmp/take
nc -ll -p 9001 -e /tmp/give &
nc -ll -p 9002 -e /tmp/take &
touch /tmp/ready
{pods.FOREVER}
"""


@pytest.fixture(scope="module")
def sent_by_pod(one_kubectl: Client) -> str:
    """Pod `hold` has 100 MB in /tmp/big, gives them at port 9001 and digests what comes to 9002; their SHA-256."""
    one_kubectl.ok("apply", "-f", "-", stdin=json.dumps(pods.busybox("hold", PREPARE)).encode())
    one_kubectl.ok("wait", "--for=condition=Ready", "pod/hold", "--timeout=60s")
    ready = ("exec", "hold", "--", "cat", "/tmp/ready", "/tmp/big.sum")
    eventually(lambda: one_kubectl.run(*ready).returncode == 0, "the pod has made its bytes", 90)
    return one_kubectl.ok("exec", "hold", "--", "cat", "/tmp/big.sum").strip()


@pytest.fixture(scope="session")
def sent_by_us() -> bytes:
    """100 MB that are not compressible."""
    return os.urandom(SIZE)


@pytest.fixture(params=["websocket", "spdy"])
def streaming(request: pytest.FixtureRequest, one_kubectl: Client) -> Client:
    """kubectl, told which protocol to use."""
    websocket = str(request.param == "websocket").lower()
    return one_kubectl.having(KUBECTL_REMOTE_COMMAND_WEBSOCKETS=websocket, KUBECTL_PORT_FORWARD_WEBSOCKETS=websocket)


def _slow_digest(
    read: Callable[[int], bytes], *, first: int = _PAUSE_EVERY, pause_s: float = _PAUSE_S
) -> tuple[int, str]:
    """Length and SHA-256 of all that comes, read with a pause after `first` bytes, and each 8 MB behind them."""
    digest, length, pause = hashlib.sha256(), 0, first
    while piece := read(_PIECE):
        digest.update(piece)
        length += len(piece)
        if length > pause:
            pause += _PAUSE_EVERY
            select.select([], [], [], pause_s)
    return length, digest.hexdigest()


def _out_of(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def exec_down(client: Client, theirs: str, ours: bytes) -> None:
    """exec's output to a slow reader."""
    with client.start("exec", "hold", "--", "cat", "/tmp/big") as running:
        length, digest = _slow_digest(_out_of(running.process.stdout).read)
        assert _said(running) == (0, b"")
        assert (length, digest) == (SIZE, theirs)


def _said(running: Started) -> tuple[int, bytes]:
    """Exit code and what stands on stderr, behind the end of stdout."""
    code = running.process.wait(30)
    return code, _out_of(running.process.stderr).read()


def exec_up(client: Client, theirs: str, ours: bytes) -> None:
    """exec's input to a slow command, which answers after the end of it."""
    done = client.run(
        "exec", "-i", "hold", "--", "sh", "-c", f"{SLOWLY} | sha256sum | cut -c1-64", stdin=ours, timeout_s=240
    )
    assert (done.returncode, done.stdout.decode().strip()) == (0, hashlib.sha256(ours).hexdigest()), done.stderr


def forward_down(client: Client, theirs: str, ours: bytes) -> None:
    """port-forward to a slow reader, until the server ends the connection."""
    with _forwarded(client, 9001) as connection:
        assert _slow_digest(connection.recv) == (SIZE, theirs)


def forward_up(client: Client, theirs: str, ours: bytes) -> None:
    """port-forward from us to a slow server, which answers on the same connection."""
    with _forwarded(client, 9002) as connection:
        connection.sendall(ours)
        answer = b""
        while len(answer) < 64 and (piece := connection.recv(65)):
            answer += piece
    assert answer.decode().strip() == hashlib.sha256(ours).hexdigest()


@contextmanager
def _forwarded(client: Client, port: int) -> Iterator[socket.socket]:
    local = free_port()
    with client.start("port-forward", "pod/hold", f"{local}:{port}", "--address=127.0.0.1") as running:
        running.line()
        with socket.create_connection(("127.0.0.1", local), 120) as connection:
            yield connection


FORMS = [exec_down, exec_up, forward_down, forward_up]
Form = Callable[[Client, str, bytes], None]


@pytest.mark.parametrize("form", FORMS)
def test_100_mb_are_byte_exact(streaming: Client, sent_by_pod: str, sent_by_us: bytes, form: Form) -> None:
    form(streaming, sent_by_pod, sent_by_us)


@pytest.mark.soak
@pytest.mark.parametrize("before", [1_000_000, 6_000_000])
def test_a_reader_that_pauses_shortly_before_the_end_gets_it(streaming: Client, sent_by_pod: str, before: int) -> None:
    """A pager: the command has ended, and what is left waits in windows and buffers on this side of the API server.

    With more left the API server itself cuts sessions of paused readers, also without a host in between.
    """
    with streaming.start("exec", "hold", "--", "cat", "/tmp/big") as running:
        read = _out_of(running.process.stdout).read
        length, digest = _slow_digest(read, first=SIZE - before, pause_s=PAGER_S)
        assert _said(running) == (0, b"")
        assert (length, digest) == (SIZE, sent_by_pod)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", FORMS)
def test_100_mb_are_byte_exact_fifty_times(streaming: Client, sent_by_pod: str, sent_by_us: bytes, form: Form) -> None:
    for _ in range(REPEATS):
        form(streaming, sent_by_pod, sent_by_us)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_short_command_never_loses_its_last_words(streaming: Client, sent_by_pod: str) -> None:
    """The end of a session is where bytes, exit codes and cuts race: many short ones."""
    for number in range(REPEATS * 10):
        done = streaming.run("exec", "hold", "--", "sh", "-c", f"head -c 300000 /tmp/big; exit {number % 200}")
        assert (len(done.stdout), done.returncode) == (300_000, number % 200), done.stderr
