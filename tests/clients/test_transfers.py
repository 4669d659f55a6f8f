"""100 MB through every form of upgrade, each way, byte-exact, the reader slower than the writer (rule 12).

In the ordinary run each two of form, protocol and mode of the member meet with 100 MB, and where all three meet otherwise it
is 20 MB, which fit in no window or buffer either: that is half of the time of a core. All of them have 100 MB, fifty times,
in `make soak`, where a lost tail shows that one run does not meet.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

import pytest

from tests.clients.shore import Client, Started
from tests.e2e.federation import eventually, free_port
from tests.kube import pods

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(300)]


class Load(NamedTuple):
    """So many bytes, in a file of the pod that is served at a port; another takes as many."""

    size: int
    file: str
    give: int
    take: int


WHOLE = Load(100_000_000, "/tmp/big", 9001, 9002)
PART = Load(20_000_000, "/tmp/part", 9003, 9004)
REPEATS = 50
_PIECE = 1 << 20
_PAUSE_EVERY = 8 << 20
_PAUSE_S = 0.05
PAGER_S = 15.0

# The pod's own reader pauses too. busybox nc serves one connection after the other; a program may not have arguments.
SLOWLY = "(for i in 1 2 3 4; do dd bs=1M count=4 iflag=fullblock 2>/dev/null; sleep 0.2; done; cat)"
SERVE = """
sha256sum < {0.file} | cut -c1-64 > {0.file}.sum
printf '#!/bin/sh\\nexec cat {0.file}\\n' > {0.file}.give
printf '#!/bin/sh\\nhead -c {0.size} | {1} | sha256sum | cut -c1-64\\n' > {0.file}.take
chmod +x {0.file}.give {0.file}.take
nc -ll -p {0.give} -e {0.file}.give &
nc -ll -p {0.take} -e {0.file}.take &
"""
PREPARE = f"""
head -c {WHOLE.size} /dev/urandom > {WHOLE.file}
head -c {PART.size} {WHOLE.file} > {PART.file}
{SERVE.format(WHOLE, SLOWLY)}
{SERVE.format(PART, SLOWLY)}
touch /tmp/ready
{pods.FOREVER}
"""


@pytest.fixture(scope="module")
def sent_by_pod(one_kubectl: Client) -> dict[Load, str]:
    """Pod `hold` has the bytes of each load, gives them at one port and digests what comes to the other; their SHA-256."""
    one_kubectl.ok("apply", "-f", "-", stdin=json.dumps(pods.busybox("hold", PREPARE)).encode())
    one_kubectl.ok("wait", "--for=condition=Ready", "pod/hold", "--timeout=60s")
    ready = ("exec", "hold", "--", "cat", "/tmp/ready", f"{PART.file}.sum")
    eventually(lambda: one_kubectl.run(*ready).returncode == 0, "the pod has made its bytes", 90)
    return {load: one_kubectl.ok("exec", "hold", "--", "cat", f"{load.file}.sum").strip() for load in (WHOLE, PART)}


@pytest.fixture(scope="session")
def sent_by_us() -> bytes:
    """100 MB that are not compressible."""
    return os.urandom(WHOLE.size)


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


def exec_down(client: Client, load: Load, theirs: str, ours: bytes) -> None:
    """exec's output to a slow reader."""
    with client.start("exec", "hold", "--", "cat", load.file) as running:
        length, digest = _slow_digest(_out_of(running.process.stdout).read)
        assert _said(running) == (0, b"")
        assert (length, digest) == (load.size, theirs)


def _said(running: Started) -> tuple[int, bytes]:
    """Exit code and what stands on stderr, behind the end of stdout."""
    code = running.process.wait(30)
    return code, _out_of(running.process.stderr).read()


def exec_up(client: Client, load: Load, theirs: str, ours: bytes) -> None:
    """exec's input to a slow command, which answers after the end of it."""
    done = client.run(
        "exec", "-i", "hold", "--", "sh", "-c", f"{SLOWLY} | sha256sum | cut -c1-64", stdin=ours, timeout_s=240
    )
    assert (done.returncode, done.stdout.decode().strip()) == (0, hashlib.sha256(ours).hexdigest()), done.stderr


def forward_down(client: Client, load: Load, theirs: str, ours: bytes) -> None:
    """port-forward to a slow reader, until the server ends the connection."""
    with _forwarded(client, load.give) as connection:
        assert _slow_digest(connection.recv) == (load.size, theirs)


def forward_up(client: Client, load: Load, theirs: str, ours: bytes) -> None:
    """port-forward from us to a slow server, which answers on the same connection."""
    with _forwarded(client, load.take) as connection:
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


Form = Callable[[Client, Load, str, bytes], None]
FORMS: list[Form] = [exec_down, exec_up, forward_down, forward_up]


def transfer(streaming: Client, load: Load, theirs: dict[Load, str], ours: bytes, form: Form) -> None:
    """All bytes of a load go by this form."""
    form(streaming, load, theirs[load], ours[: load.size])


@pytest.mark.parametrize("form", FORMS)
def test_100_mb_are_byte_exact(
    request: pytest.FixtureRequest, streaming: Client, sent_by_pod: dict[Load, str], sent_by_us: bytes, form: Form
) -> None:
    odd = (FORMS.index(form), request.node.callspec.params["streaming"] == "spdy", streaming.shore.mode == "direct")
    transfer(streaming, PART if sum(odd) % 2 else WHOLE, sent_by_pod, sent_by_us, form)


@pytest.mark.soak
@pytest.mark.parametrize("before", [1_000_000, 6_000_000])
def test_a_reader_that_pauses_shortly_before_the_end_gets_it(
    streaming: Client, sent_by_pod: dict[Load, str], before: int
) -> None:
    """A pager: the command has ended, and what is left waits in windows and buffers on this side of the API server.

    With more left the API server itself cuts sessions of paused readers, also without a host in between.
    """
    with streaming.start("exec", "hold", "--", "cat", WHOLE.file) as running:
        read = _out_of(running.process.stdout).read
        length, digest = _slow_digest(read, first=WHOLE.size - before, pause_s=PAGER_S)
        assert _said(running) == (0, b"")
        assert (length, digest) == (WHOLE.size, sent_by_pod[WHOLE])


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", FORMS)
def test_100_mb_are_byte_exact_fifty_times(
    streaming: Client, sent_by_pod: dict[Load, str], sent_by_us: bytes, form: Form
) -> None:
    for _ in range(REPEATS):
        transfer(streaming, WHOLE, sent_by_pod, sent_by_us, form)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_short_command_never_loses_its_last_words(streaming: Client, sent_by_pod: dict[Load, str]) -> None:
    """The end of a session is where bytes, exit codes and cuts race: many short ones."""
    for number in range(REPEATS * 10):
        done = streaming.run("exec", "hold", "--", "sh", "-c", f"head -c 300000 /tmp/big; exit {number % 200}")
        assert (len(done.stdout), done.returncode) == (300_000, number % 200), done.stderr
