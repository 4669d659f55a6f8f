"""Exec against direct access and the Go tunnel: a real pod on a real node, behind an agent in a network of its own.

The member is what the end-to-end tests use, so this suite needs what they need (root, containerd; see tests/kube); where
that is missing it says so and measures nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import compare, peer
from bench.compare import DIRECT, GO, SKERRY, Case, Way
from bench.federation import say
from tests.e2e.federation import Host
from tests.kube.member import Member
from tests.kube.provider import Unavailable, choose

POD = "bench-exec"
DOWN, UP, TRUE = "exec, 200 MB out of a pod", "exec, 200 MB into a pod", "exec, `true`"
AIMS = {DOWN: ">= 1 x go", UP: ">= 1 x go"}


def _case(name: str, what: str, *more: str, megabytes: bool = True) -> Case:
    arguments = ("--pod", POD, "--what", what, *more)
    if megabytes:
        return Case(
            name=name, arguments=arguments, figure="mbps", unit="MB/s", counted="megabytes", program="bench.session"
        )
    return Case(name=name, arguments=arguments, figure="rps", unit="sessions/s", program="bench.session")


CASES = (
    _case(DOWN, "download", "--megabytes", "191"),
    _case(UP, "upload", "--megabytes", "191"),
    _case(TRUE, "command", "--count", "10", megabytes=False),
)


def measure(rounds: int) -> dict[str, Any]:
    """All comparisons; nothing but the reason where no pod can run."""
    try:
        provider = choose(say)
    except Unavailable as error:
        return {"cases": [], "not_measured": str(error)}
    try:
        say("exec: starting a host, a member with a node, its agent and the Go peer")
        member = provider.members(["bench"])["bench"]
        if member.node is None:
            return {"cases": [], "not_measured": "no node: no pod can run here"}
        with tempfile.TemporaryDirectory(prefix="skerry-bench-") as directory, member.busybox(POD):
            return {"cases": _measured(Path(directory), member, rounds)}
    finally:
        provider.close()


def _measured(directory: Path, member: Member, rounds: int) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        host = stack.enter_context(Host(directory, addresses=(member.host_address,)))
        host.up()
        agent = host.join(member, "m1")
        inside = tuple(member.command(()))
        ours = {each["name"]: int(each["pid"]) for each in host.status()["processes"]} | {"agent": agent.process.pid}
        sides = [
            Way(name=DIRECT, kubeconfig=member.kubeconfig, prefix=inside),
            Way(name=SKERRY, kubeconfig=host.kubeconfig(), context="skerry-m1", processes=ours),
        ]
        program = peer.build()
        if program is not None and member.ca is not None:
            place = peer.Place(
                directory=directory,
                upstream=member.url,
                ca=member.ca,
                pki=member.kubeconfig.parent / "pki",
                address=member.host_address,
                prefix=inside,
            )
            sides.append(stack.enter_context(peer.running(program, place, GO, idle=2)))
        for side in sides:
            compare.run(CASES[2], side)
        return [compare.compare(case, sides, rounds) for case in CASES]


def show(figures: Mapping[str, Any], console: Console) -> None:
    """The tables that people read."""
    if reason := figures.get("not_measured"):
        console.print(f"exec was not measured: {reason}")
        return
    compare.show(
        console, "Exec by kubectl: direct, Skerry and a Go tunnel, interleaved, medians", figures["cases"], AIMS
    )
