"""kubectl 1.35, 1.36 and 1.37 with pods: logs, exec, attach, cp and port-forward, over WebSocket and over SPDY."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import struct
import termios
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients.shore import Client
from tests.clients.terminals import ask, terminal
from tests.e2e.federation import eventually, free_port
from tests.kube import pods

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

SERVER = "mkdir /tmp/www; echo from the pod > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"


def run_pod(kubectl: Client, name: str, script: str = pods.FOREVER, *, stdin: bool = False) -> str:
    """Apply a busybox pod in kubectl's namespace and wait until it runs."""
    manifest = pods.busybox(name, script, namespace=kubectl.first[1])
    manifest["spec"]["containers"][0] |= {"stdin": stdin, "stdinOnce": stdin}
    kubectl.ok("apply", "-f", "-", stdin=json.dumps(manifest).encode())
    kubectl.ok("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{name}", "--timeout=60s")
    return name


@pytest.fixture(scope="module")
def pod(kubectl: Client) -> str:
    """A pod that stays, with a server on 8080."""
    return run_pod(kubectl, "sailor", SERVER)


@pytest.fixture(params=["websocket", "spdy"])
def streaming(request: pytest.FixtureRequest, kubectl: Client) -> Client:
    """kubectl, told which protocol to use."""
    websocket = str(request.param == "websocket").lower()
    return kubectl.having(KUBECTL_REMOTE_COMMAND_WEBSOCKETS=websocket, KUBECTL_PORT_FORWARD_WEBSOCKETS=websocket)


def test_logs_follow_a_pod_to_its_end(kubectl: Client) -> None:
    manifest = pods.busybox("talker", "for i in 1 2 3; do echo line $i; sleep 1; done", namespace=kubectl.first[1])
    kubectl.ok("apply", "-f", "-", stdin=json.dumps(manifest).encode())
    eventually(lambda: kubectl.run("logs", "talker").returncode == 0, "the container has started")
    followed = kubectl.ok("logs", "-f", "talker", "--pod-running-timeout=60s")
    assert followed == "line 1\nline 2\nline 3\n"
    assert kubectl.ok("logs", "talker", "--tail=1") == "line 3\n"


def test_exec_keeps_output_error_and_exit_code_apart(streaming: Client, pod: str) -> None:
    done = streaming.run("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (done.returncode, done.stdout) == (42, b"out\n")
    assert b"err\n" in done.stderr
    assert streaming.run("exec", pod, "--", "true").returncode == 0


def test_the_end_of_input_reaches_the_command_which_can_still_answer(streaming: Client, pod: str) -> None:
    done = streaming.run("exec", "-i", pod, "--", "sh", "-c", "wc -c; echo after the end", stdin=b"x" * 100_000)
    assert done.stdout.split() == [b"100000", b"after", b"the", b"end"], done.stderr


def test_exec_in_a_pod_that_is_not_there_says_so(streaming: Client) -> None:
    done = streaming.run("exec", "nobody", "--", "true")
    assert done.returncode == 1
    assert b'pods "nobody" not found' in done.stderr


def test_a_terminal_follows_its_window(streaming: Client, pod: str) -> None:
    with terminal(streaming.command("exec", "-it", pod, "--", "sh"), streaming, (24, 80)) as (process, screen):
        assert ask(screen, b"stty size\r", b"24 80")
        fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 132, 0, 0))
        process.send_signal(signal.SIGWINCH)
        assert ask(screen, b"stty size\r", b"41 132")
        os.write(screen, b"exit 5\r")
        assert process.wait(30) == 5


def test_attach_talks_to_the_running_command(streaming: Client) -> None:
    name = f"parrot-{streaming.extra['KUBECTL_REMOTE_COMMAND_WEBSOCKETS']}"
    run_pod(streaming, name, "while read word; do echo heard $word; done; echo over", stdin=True)
    done = streaming.run("attach", "-i", name, stdin=b"ahoy\nland\n")
    assert done.returncode == 0, done.stderr
    heard = done.stdout + streaming.run("logs", name).stdout
    assert b"heard ahoy\nheard land\nover\n" in heard


def test_cp_carries_a_file_and_a_directory_both_ways(streaming: Client, pod: str, tmp_path: Path) -> None:
    source = tmp_path / "there"
    (source / "below").mkdir(parents=True)
    (source / "file").write_bytes(os.urandom(3_000_001))
    (source / "below" / "small").write_text("text")
    streaming.ok("exec", pod, "--", "rm", "-rf", "/tmp/there")
    streaming.ok("cp", str(source), f"{pod}:/tmp/there")
    streaming.ok("cp", f"{pod}:/tmp/there", str(tmp_path / "back"))
    for name in ("file", "below/small"):
        assert _digest(tmp_path / "back" / name) == _digest(source / name)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_port_forward_serves_connections_side_by_side(streaming: Client, pod: str) -> None:
    good = free_port()
    with streaming.start("port-forward", f"pod/{pod}", f"{good}:8080") as forward:
        assert forward.line().startswith("Forwarding from ")
        assert _fetch(good) == b"from the pod\n"
        with ThreadPoolExecutor(4) as clients:
            assert list(clients.map(_fetch, [good] * 12)) == [b"from the pod\n"] * 12


def _fetch(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
        return bytes(answer.read())


def test_port_forward_to_a_deaf_port_reports_it(streaming: Client, pod: str) -> None:
    port = free_port()
    with streaming.start("port-forward", f"pod/{pod}", f"{port}:9") as forward:
        assert forward.line().startswith("Forwarding from")
        with pytest.raises(OSError, match=r"."):
            _fetch(port)
        assert forward.process.stderr is not None
        assert b"error forwarding port 9" in forward.process.stderr.readline()
