"""skerry doctor on a host that runs: what is well, what is not, and one member that hangs holds up nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from skerry.checks.member import MEMBER
from skerry.checks.run import LIMIT_S
from skerry.cli.__main__ import main
from skerry.cli.hostchecks import HOST
from skerry.http.exchange import Exchange
from tests.e2e.federation import Done, Host, eventually
from tests.member.apiserver import ApiServer

Captured = pytest.CaptureFixture[str]
TIME_S = 8
"""For all checks: as long as those of a member that is well may take on a busy machine, and not half of LIMIT_S."""


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """With members m1 and m2."""
    directory = tmp_path_factory.mktemp("doctor")
    async with AsyncExitStack() as stack:
        made = Fleet(stack.enter_context(Host(directory / "h")))
        await asyncio.to_thread(made.host.up)
        for name in ("m1", "m2"):
            api = made.apis[name] = await stack.enter_async_context(ApiServer(directory / name, uid=f"uid-{name}"))
            done = await said(made.host, "cluster", "join", name, "--direct", "--kubeconfig", str(api.kubeconfig()))
            assert done.returncode == 0, done.stderr
        yield made


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
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
@pytest.mark.asyncio(loop_scope="module")
async def test_a_member_that_hangs_holds_up_nobody_and_the_time_is_kept(fleet: Fleet) -> None:
    ended = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        await ended.wait()

    api = fleet.apis["m1"]
    api.routes |= dict.fromkeys(("/version", "/readyz", "/api/v1/namespaces/kube-system"), hang)
    try:
        code, checks = await fleet.doctor("--timeout", f"{TIME_S}s")
    finally:
        ended.set()
        api.routes.clear()
        await asyncio.to_thread(eventually, lambda: fleet.host.ready("m1"), "m1 is well again")
    tunnel = checks["m1", "member.tunnel"]
    assert (code, tunnel["result"], tunnel["ms"] < LIMIT_S * 1000) == (5, "fail", True)
    assert {each["result"] for (where, _), each in checks.items() if where == "m2"} <= {"pass", "skip", "warn"}
    assert checks["m2", "member.tunnel"]["result"] == "pass"


@pytest.mark.integration
@pytest.mark.asyncio(loop_scope="module")
async def test_a_member_that_is_another_cluster_or_another_hosts_is_named(fleet: Fleet) -> None:
    fleet.apis["m1"].annotations["skerry.dev/host"] = "somebody"
    await fleet.apis["m2"].__aexit__()
    done = await said(fleet.host, "doctor")
    assert done.returncode == 1
    assert "m1 member.owner" in done.stderr
    assert "m2 member.tunnel" in done.stderr
    await fleet.apis["m2"].__aenter__()
