"""kubectl at a terminal whose session is recorded: on a real node, through an agent and directly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.shore import Client
from tests.clients.terminals import terminal, until
from tests.e2e.federation import eventually
from tests.kube import pods
from tests.proxy.recording.frames import lines, shown

pytestmark = [pytest.mark.kube, pytest.mark.node, pytest.mark.timeout(180)]

POD = "recorded"
SECRET = "albatross-and-anchor"
POLICY = {
    "apiVersion": "skerry.dev/v1alpha1",
    "kind": "AuditPolicy",
    "metadata": {"name": "default"},
    "spec": {
        "rules": [
            {
                "level": "Request",
                "resources": [{"resources": ["pods/exec", "pods/attach"]}],
                "record": "tty",
                "required": True,
            }
        ]
    },
}


@pytest.fixture(scope="module")
def recorded(one_kubectl: Client) -> Iterator[Client]:
    """A policy that demands it, and a pod. It is taken away: others of the package use the host too."""
    host = one_kubectl.shore.host
    one_kubectl.ok("apply", "-f", "-", stdin=json.dumps(pods.busybox(POD, pods.FOREVER, namespace="default")).encode())
    one_kubectl.ok("wait", "--for=jsonpath={.status.phase}=Running", f"pod/{POD}", "--timeout=60s")
    host.kubectl(None, "apply", "-f", "-", stdin=json.dumps(POLICY).encode())
    try:
        yield one_kubectl
    finally:
        host.kubectl(None, "delete", "auditpolicies", "default")


def _sessions(client: Client) -> list[dict[str, Any]]:
    text = client.shore.host.ok("audit", "sessions", "--cluster", client.shore.name, "-o", "json")
    return [each for each in json.loads(text)["items"] if each["pod"] == POD]


def _session(client: Client, state: str, known: set[str]) -> dict[str, Any]:
    """The one that came, in this state."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found[:] = [each for each in _sessions(client) if each["id"] not in known and each["state"] == state]
        return bool(found)

    eventually(there, f"a session is {state}")
    return found[0]


def test_a_terminal_s_session_is_recorded_as_it_was_seen(recorded: Client, tmp_path: Path, asciinema: Path) -> None:
    known = {each["id"] for each in _sessions(recorded)}
    command = recorded.command("exec", "-it", POD, "--", "sh")
    with terminal(command, recorded, (33, 99)) as (process, screen):
        seen = until(screen, b"# ")
        os.write(screen, b"stty size; stty -echo; echo sec''ret; read word; stty echo; echo ${#word} letters\r")
        seen += until(screen, b"secret\r\n")
        os.write(screen, SECRET.encode() + b"\r")
        seen += until(screen, b"%d letters" % len(SECRET))
        running = _session(recorded, "running", known)
        os.write(screen, b"exit 5\r")
        seen += until(screen, b"")
        assert process.wait(30) == 5
    session = _session(recorded, "complete", known)
    assert (session["id"], session["exit"], session["command"]) == (running["id"], "5", ["sh"])
    file = tmp_path / "session.cast"
    recorded.shore.host.ok("audit", "play", session["id"], "-o", str(file))
    assert SECRET.encode() not in file.read_bytes()
    head = json.loads(file.read_bytes().partition(b"\n")[0])
    assert (head["width"], head["height"], head["skerry"]["pod"]) == (99, 33, POD)
    assert shown(lines(file.read_bytes())).encode() in seen
    assert "33 99" in recorded.shore.host.ok("audit", "play", session["id"])
    played = subprocess.run(
        ["script", "-qec", f"{sys.executable} {asciinema} play {file}", "/dev/null"],
        env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)},
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert b"%d letters" % len(SECRET) in played.stdout


def test_over_spdy_it_is_refused_with_what_to_do(recorded: Client) -> None:
    with terminal(
        recorded.command("exec", "-it", POD, "--", "sh"),
        recorded.having(KUBECTL_REMOTE_COMMAND_WEBSOCKETS="false"),
        (24, 80),
    ) as (process, screen):
        said = until(screen, b"")
        assert process.wait(30) == 1
    assert b"kubectl 1.31 or newer" in said


def test_a_command_without_a_terminal_goes_on_as_before(recorded: Client) -> None:
    known = {each["id"] for each in _sessions(recorded)}
    assert recorded.ok("exec", POD, "--", "echo", "ahoy") == "ahoy\n"
    assert {each["id"] for each in _sessions(recorded)} == known
