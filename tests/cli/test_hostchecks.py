"""The checks of a host on its own machine: processes, certificates, keys, disk; each spoiled alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from skerry.checks.report import Check
from skerry.checks.run import Checks
from skerry.cli import bootstrap, state
from skerry.cli.hostchecks import HOST, HostChecks
from skerry.cli.layout import Layout
from skerry.cli.plan import ProcessStatus, RunStatus, UpOptions
from skerry.identity.federation import Authority
from skerry.identity.files import write_private
from skerry.storage.sealed import Keyring

NAMES = ("host.processes", "host.certificates", "host.keys", "host.disk")


def running(*processes: ProcessStatus) -> RunStatus:
    good = ProcessStatus(name="tower", ready=True, reason="")
    return RunStatus(phase="running", options=UpOptions(), processes=[good, *processes])


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """What `up` makes on disk."""
    directory = tmp_path / "host"
    directory.mkdir()
    authority = Authority.create("isle")
    authority.save(directory / "keys")
    write_private(directory / "keys" / "secrets.key", b"k" * 32)
    bootstrap.renew_credentials(directory, authority)
    saved = state.StateFile(format=state.FORMAT, version="0", name="isle", uid="u")
    bootstrap.renew_certificate(directory, saved, Layout.of(UpOptions()))
    return directory


async def made(
    host: Path, status: RunStatus | None = None, *, after_s: float = 0.0, free: int = 5 << 30
) -> dict[str, Check]:
    run = Checks("host", NAMES)
    checks = HostChecks(host, status or running(), lambda: time.time() + after_s, lambda path: (10 << 30, free))
    await checks.run(run)
    assert [each.name for each in run.checks] == list(NAMES)
    return {each.name: each for each in run.checks}


def alone(results: dict[str, Check], name: str, result: str) -> Check:
    assert {each.name: each.result for each in results.values() if each.result != "pass"} == {name: result}
    assert results[name].next
    return results[name]


async def test_a_host_as_it_was_made_passes(host: Path) -> None:
    results = await made(host)
    assert {each.result for each in results.values()} == {"pass"}
    assert "root seed lies beside them" in results["host.keys"].found
    shutil.rmtree(host / "keys" / "root")
    assert "root seed" not in (await made(host))["host.keys"].found
    assert set(NAMES) < set(HOST)


async def test_a_process_that_is_not_ready_or_was_restarted_is_processes(host: Path) -> None:
    down = running(ProcessStatus(name="nats-server", ready=False, reason="starting"))
    check = alone(await made(host, down), "host.processes", "fail")
    assert (check.found, check.next) == ("not ready: nats-server (starting)", "skerry logs nats-server says why")
    again = running(ProcessStatus(name="nats-server", ready=True, restarts=3))
    assert "nats-server 3 times" in alone(await made(host, again), "host.processes", "warn").found


@pytest.mark.parametrize(("after_s", "result"), [(340 * 86400, "warn"), (11 * 365 * 86400, "fail")])
async def test_certificates_that_end_are_certificates(host: Path, after_s: float, result: str) -> None:
    shutil.rmtree(host / "creds")
    assert "server.crt" in alone(await made(host, after_s=after_s), "host.certificates", result).found


async def test_users_of_the_bus_that_ended_are_certificates(host: Path) -> None:
    assert ".creds ended" in alone(await made(host, after_s=2 * 86400), "host.certificates", "fail").found


def _no_secrets(keys: Path) -> None:
    (keys / "secrets.key").unlink()


def _no_signing(keys: Path) -> None:
    (keys / "signing.nk").unlink()


def _open(keys: Path) -> None:
    (keys / "host.nk").chmod(0o644)


@pytest.mark.parametrize(
    ("spoil", "says"), [(_no_secrets, "secrets.key is missing"), (_no_signing, "signing.nk"), (_open, "may read")]
)
async def test_keys_that_are_missing_or_open_are_keys(host: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(host / "keys")
    assert says in alone(await made(host), "host.keys", "fail").found


@pytest.mark.parametrize(
    ("after_s", "result", "says"), [(3600, "pass", "open for 60m"), (3 * 86400, "warn", "open for 3d")]
)
async def test_a_rotation_that_is_open_is_told_with_its_age(host: Path, after_s: float, result: str, says: str) -> None:
    Keyring(host / "keys" / "secrets.key").rotate()
    shutil.rmtree(host / "creds")
    check = (await made(host, after_s=after_s + 1))["host.keys"]
    assert (check.result, f"the rotation of secrets is {says}" in check.found) == (result, True)
    assert "skerry keys finish" in check.next


async def test_what_is_no_certificate_is_certificates(host: Path) -> None:
    (host / "pki" / "server.crt").write_bytes(b"rubbish")
    assert "server.crt is no certificate" in alone(await made(host), "host.certificates", "fail").found


@pytest.mark.parametrize(("free", "result"), [(1 << 30, "warn"), (100 << 20, "fail")])
async def test_a_disk_that_fills_is_disk(host: Path, free: int, result: str) -> None:
    alone(await made(host, free=free), "host.disk", result)
