"""A member whose cable is pulled, or whose API server does not work: what is said of it, how soon, and nothing of anybody else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.federation import Host, eventually
from tests.kube import packages
from tests.kube.member import Member

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

ENVIRONMENT = {"SKERRY_HEARTBEAT_S": "10"}
"""How soon it is said is what production has."""
HALF_OPEN_S, API_S = 25.0, 25.0
"""15 and 12 s are what is aimed at, on a machine of one's own."""


@contextmanager
def unplugged(member: Member) -> Iterator[None]:
    """The other end of its only cable is down: what it sends is lost, and no connection ends."""
    if member.netns is None:
        pytest.skip("this cluster is in the network of the test")
    ip = packages.required("ip")
    match = re.search(r"@if(\d+):", member.netns.run([ip, "-o", "link", "show", member.netns.uplink]))
    assert match is not None
    links = subprocess.run([ip, "-o", "link"], capture_output=True, text=True, check=True).stdout
    outer = next(
        line.split(": ")[1].partition("@")[0] for line in links.splitlines() if line.startswith(f"{match[1]}:")
    )
    subprocess.run([ip, "link", "set", outer, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run([ip, "link", "set", outer, "up"], check=True)


@contextmanager
def frozen(member: Member, program: str) -> Iterator[None]:
    """A process of its control plane is stopped."""
    if not member.token:
        pytest.skip("this cluster was not started by the tests: its processes are not known")
    pid = next(
        each for each in map(_program, Path("/proc").glob("[0-9]*")) if each[1:] == (program, member.kubeconfig.parent)
    )[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _program(entry: Path) -> tuple[int, str, Path | None]:
    """The PID, name and directory of a process of a control plane."""
    try:
        words = (entry / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return 0, "", None
    own = next((word for word in words if re.match(r"--(data-dir|etcd-cafile)=", word)), "")
    directory = Path(own.partition("=")[2])
    name = Path(words[0]).name
    return int(entry.name), name, directory.parents[{"etcd": 0}.get(name, 2)] if own else None


def _ready(host: Host, name: str) -> dict[str, str]:
    conditions = host.cluster(name).get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == "Ready"), {})


def _loss(host: Host, deadline_s: float) -> dict[str, str]:
    """What `one` says when it is not Ready any more, while `two` is so all the time."""

    def lost() -> dict[str, str]:
        assert host.ready("two")
        found = _ready(host, "one")
        return found if found.get("status") != "True" else {}

    condition: dict[str, str] = eventually(lost, "the loss is told", deadline_s)
    return condition


def _serve(host: Host) -> None:
    """Both, again."""
    eventually(lambda: all(host.ready(name) and host.serves(name) for name in ("one", "two")), "both serve", 60)


def test_a_member_whose_cable_is_pulled_is_away_and_back_by_itself(federation: Host, member_one: Member) -> None:
    host = federation
    with unplugged(member_one):
        condition = _loss(host, HALF_OPEN_S)
        assert (condition["status"], condition["reason"]) == ("False", "AgentDisconnected"), condition
        started = time.monotonic()
        refused = host.kubectl_run("one", "get", "namespaces")
        assert (refused.returncode, b"is away since" in refused.stderr) == (1, True), refused.stderr
        assert time.monotonic() - started < 15
        assert host.serves("two")
    _serve(host)


@pytest.mark.parametrize(
    ("program", "says"),
    [("etcd", ("is not ready: HTTP status 500", "does not say which cluster it is")), ("kube-apiserver", ("within ",))],
    ids=["not ready", "frozen"],
)
def test_an_api_server_that_is_not_ready_or_frozen_is_told_of_its_member_alone(
    federation: Host, member_one: Member, program: str, says: tuple[str, ...]
) -> None:
    """Without its store an API server lives, and says on /readyz that it is not ready; on a new connection it does not say which cluster it is."""
    host = federation
    _serve(host)
    with frozen(member_one, program):
        condition = _loss(host, API_S)
        assert (condition["status"], condition["reason"]) == ("False", "APIServerUnreachable"), condition
        assert any(text in condition["message"] for text in says), condition
        assert host.serves("two")
    _serve(host)
