"""skerry doctor on a host that runs: what is well, what is not, and one member that hangs holds up nobody."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from skerry.checks.member import MEMBER
from skerry.cli.__main__ import main
from skerry.cli.hostchecks import HOST
from skerry.http.exchange import Exchange
from tests.e2e.federation import Done, Host
from tests.member.apiserver import ApiServer

Captured = pytest.CaptureFixture[str]
SPARE_S = 1.0
"""Beyond --timeout."""
START_S = 4.0
"""Of an interpreter on a busy machine."""


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [([], 3, "no host runs here"), (["-o", "yaml"], 2, "use json"), (["--timeout", "0"], 2, "at least 1s")],
)
def test_what_it_needs_is_told(
    words: list[str], code: int, says: str, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKERRY_STATE", str(tmp_path))
    assert main(["doctor", *words]) == code
    assert says in capsys.readouterr().err


async def said(host: Host, *words: str) -> Done:
    return await asyncio.to_thread(host.skerry, *words)


class Fleet:
    """A host and its direct members, whose API servers a test can spoil."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.apis: dict[str, ApiServer] = {}

    async def doctor(self, *words: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
        """Exit code, and checks by whose and name."""
        done = await said(self.host, "doctor", "-o", "json", *words)
        assert done.stdout, done.stderr
        document = json.loads(done.stdout)
        return done.returncode, {(each["where"], each["name"]): each for each in document["checks"]}


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """With members m1 and m2."""
    async with AsyncExitStack() as stack:
        made = Fleet(stack.enter_context(Host(tmp_path / "h")))
        await asyncio.to_thread(made.host.up)
        for name in ("m1", "m2"):
            api = made.apis[name] = await stack.enter_async_context(ApiServer(tmp_path / name, uid=f"uid-{name}"))
            done = await said(made.host, "cluster", "join", name, "--direct", "--kubeconfig", str(api.kubeconfig()))
            assert done.returncode == 0, done.stderr
        yield made


@pytest.mark.integration
async def test_a_host_and_its_members_from_both_sides(fleet: Fleet) -> None:
    code, checks = await fleet.doctor()
    odd = {key: each for key, each in checks.items() if each["result"] == "fail"}
    assert (code, odd) == (0, {})
    assert list(checks) == [
        *(("host", name) for name in HOST), *((member, name) for member in ("m1", "m2") for name in MEMBER),
    ]  # fmt: skip
    code, checks = await fleet.doctor("m2")
    assert (code, {where for where, _ in checks}) == (0, {"m2"})
    code, checks = await fleet.doctor("host")
    assert (code, {where for where, _ in checks}) == (0, {"host"})
    unknown = await said(fleet.host, "doctor", "m3")
    assert (unknown.returncode, "there is no cluster m3" in unknown.stderr, unknown.stdout) == (1, True, "")
    lines = (await said(fleet.host, "doctor")).stdout.splitlines()
    assert any(line.split()[:3] == ["m1", "pass", "member.tunnel"] for line in lines)


@pytest.mark.integration
async def test_a_member_that_hangs_holds_up_nobody_and_the_time_is_kept(fleet: Fleet) -> None:
    ended = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        await ended.wait()

    api = fleet.apis["m1"]
    for path in ("/version", "/readyz", "/api/v1/namespaces/kube-system"):
        api.routes[path] = hang
    started = time.monotonic()
    code, checks = await fleet.doctor("--timeout", "3s")
    took_s = time.monotonic() - started
    ended.set()
    assert took_s <= 3 + SPARE_S + START_S
    assert (code, checks["m1", "member.tunnel"]["result"]) == (5, "fail")
    assert {each["result"] for (where, _), each in checks.items() if where == "m2"} <= {"pass", "skip", "warn"}
    assert checks["m2", "member.tunnel"]["result"] == "pass"


@pytest.mark.integration
async def test_a_member_that_is_another_cluster_or_another_hosts_is_named(fleet: Fleet) -> None:
    fleet.apis["m1"].annotations["skerry.dev/host"] = "somebody"
    await fleet.apis["m2"].__aexit__()
    done = await said(fleet.host, "doctor")
    assert done.returncode == 1
    assert "m1 member.owner" in done.stderr
    assert "m2 member.tunnel" in done.stderr
    await fleet.apis["m2"].__aenter__()
