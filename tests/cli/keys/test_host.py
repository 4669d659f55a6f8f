"""skerry keys on a host as people run it: its supervisor, its own nats-server, a crash in the middle, a backup in the middle."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from skerry import __version__
from skerry.cli.failure import Failure
from skerry.cli.keys import host as keyhost
from skerry.cli.plan import ChildProcess, Plan, write_json
from tests.e2e.federation import Done, Host, eventually
from tests.member.apiserver import ApiServer


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """With a direct member, whose credential is sealed."""
    async with AsyncExitStack() as stack:
        made = stack.enter_context(Host(tmp_path / "h"))
        await asyncio.to_thread(made.up)
        api = await stack.enter_async_context(ApiServer(tmp_path / "m1", uid="uid-m1"))
        joined = await run(made, "cluster", "join", "m1", "--direct", "--kubeconfig", str(api.kubeconfig()))
        assert joined.returncode == 0, joined.stderr
        yield made


SERVER = ChildProcess(name="nats-server", argv=[], revision="1")


@pytest.mark.parametrize(
    ("plan", "known"),
    [
        (Plan(version=__version__, processes=[SERVER]), True),
        (Plan(version=__version__, processes=[ChildProcess(name="tower", argv=[])]), True),
        (Plan(version="0.0.1", processes=[SERVER]), False),
        (Plan(version=__version__, processes=[ChildProcess(name="nats-server", argv=[])]), False),
        (Plan(version=__version__, processes=[ChildProcess(name="t", argv=[], env={"SKERRY_TRUST_ROOT": "A"})]), False),
        (None, False),
    ],
)
def test_a_host_that_was_started_by_another_skerry_is_started_anew_first(
    tmp_path: Path, plan: Plan | None, known: bool
) -> None:
    if plan is not None:
        write_json(tmp_path / "plan.json", plan)
    if known:
        assert keyhost._plan(tmp_path) == plan
        return
    with pytest.raises(Failure, match=r"another version of skerry: .* down; .* up, then this again"):
        keyhost._plan(tmp_path)


async def run(host: Host, *words: str) -> Done:
    return await asyncio.to_thread(host.skerry, *words)


async def ok(host: Host, *words: str) -> Done:
    done = await run(host, *words)
    assert done.returncode == 0, f"{words}: {done.stderr}{host.logs()}"
    return done


async def keys(host: Host) -> dict[str, tuple[str, int, int]]:
    listed = json.loads((await ok(host, "keys", "list", "-o", "json")).stdout)
    assert all(set(each) == {"key", "made", "state", "moved", "total"} for each in listed)
    return {each["key"]: (each["state"], each["moved"], each["total"]) for each in listed}


async def serves(host: Host) -> None:
    """The member is Ready: its credential is opened, and it answers."""

    def ready() -> bool:
        listed = json.loads(host.ok("clusters", "-o", "json"))["items"]
        [member] = [each for each in listed if each["metadata"]["name"] == "m1"]
        found = {each["type"]: each["status"] for each in member["status"]["conditions"]}
        return bool(found["Ready"] == "True")

    await asyncio.to_thread(eventually, ready, "m1 is ready")


@pytest.mark.integration
@pytest.mark.timeout(300)
async def test_keys_are_replaced_by_command_over_a_crash_and_a_restore(host: Host, tmp_path: Path) -> None:
    before = await keys(host)
    assert list(before) == ["signing", "host", "sys", "trust-root", "secrets"]
    assert all(state == "in use" and moved == total for state, moved, total in before.values())
    assert {name for name, (_, _, total) in before.items() if total == 0} == {"trust-root"}
    root = host.state / "host" / "keys" / "root"
    root.rename(tmp_path / "safe")
    refused = await run(host, "keys", "rotate", "signing")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (4, 1)
    assert f"{root}/operator.nk is not there" in refused.stderr
    assert (await run(host, "keys", "rotate", "nonsense")).returncode == 2
    assert "no rotation of key sys is open" in (await run(host, "keys", "finish", "sys")).stderr

    servers = {each["name"]: each["pid"] for each in host.status()["processes"]}
    moved = await ok(host, "keys", "rotate", "signing", "--root", str(tmp_path / "safe" / "operator.nk"))
    assert "keys finish signing" in moved.stderr
    after = {each["name"]: each["pid"] for each in host.status()["processes"]}
    assert {name for name in after if after[name] != servers[name]} == {"nats-server"}
    await ok(host, "keys", "rotate", "secrets")
    backup = tmp_path / "middle.backup"
    await ok(host, "backup", str(backup))
    assert {name: state for name, (state, _, _) in (await keys(host)).items()} == {
        "signing": "moved", "host": "in use", "sys": "in use", "trust-root": "in use", "secrets": "moved",
    }  # fmt: skip
    doctor = json.loads((await run(host, "doctor", "host", "-o", "json")).stdout)
    found = next(each["found"] for each in doctor["checks"] if each["name"] == "host.keys")
    assert "the rotation of signing is open for" in found

    os.kill(json.loads((host.state / "host" / "run.json").read_text())["pid"], signal.SIGKILL)
    await asyncio.to_thread(host.up)
    await ok(host, "keys", "finish", "signing")
    await serves(host)
    await ok(host, "down")
    await ok(host, "restore", str(backup))
    await asyncio.to_thread(host.up)
    await serves(host)
    await ok(host, "keys", "finish", "secrets")
    await ok(host, "keys", "rotate", "sys")
    await ok(host, "keys", "finish", "sys")
    events = await asyncio.to_thread(host.get, "/api/v1/namespaces/default/events")
    told = {each["reason"]: each for each in (events or {"items": []})["items"] if "sys" in each["message"]}
    assert told.keys() == {"KeyRotated", "OldKeyDropped"}
    assert told["OldKeyDropped"]["message"].startswith(f"{getpass.getuser()} ")
    assert told["OldKeyDropped"]["involvedObject"]["name"] == "host"
    for key in ("host", "trust-root"):
        await ok(host, "keys", "rotate", key)
    assert {name: state for name, (state, _, _) in (await keys(host)).items()} == {
        "signing": "in use", "host": "moved", "sys": "in use", "trust-root": "moved", "secrets": "in use",
    }  # fmt: skip
    await serves(host)
