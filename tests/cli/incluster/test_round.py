"""One round of the bootstrap: which addresses it knows, what it lays for the controller-manager, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli.incluster.derived import HostNames
from skerry.cli.incluster.keys import REGISTRY_FILES
from skerry.cli.incluster.round import BUS, FRONT_DOOR, Round, make
from skerry.errors import NotFound
from tests.cli.incluster.memory import MemorySecrets

NAMES = HostNames(name="isle", namespace="ns")


async def once(secrets: MemorySecrets, directory: Path, names: HostNames = NAMES) -> Round:
    """A round in a directory of its own."""
    directory.mkdir(exist_ok=True)
    return await make(secrets, names, directory)


async def test_the_address_of_a_load_balancer_is_told_as_soon_as_it_is_there(tmp_path: Path) -> None:
    secrets = MemorySecrets()
    secrets.balancers = {FRONT_DOOR: (), BUS: ()}
    first = await once(secrets, tmp_path / "1")
    assert (first.owed, first.files["own"]["bus-addresses"]) == ([FRONT_DOOR, BUS], b"")
    secrets.balancers[BUS] = ("203.0.113.7", "lb.example")
    second = await once(secrets, tmp_path / "2")
    assert (second.owed, second.files["own"]["bus-addresses"]) == (
        [FRONT_DOOR],
        b"tls://203.0.113.7:4222,tls://lb.example:4222",
    )
    assert second.lines == ["skerry-nats was written", "skerry-controller-manager was written"]


async def test_addresses_that_are_set_hold_and_no_balancer_owes_any(tmp_path: Path) -> None:
    secrets = MemorySecrets()
    secrets.balancers = {FRONT_DOOR: ("203.0.113.1",), BUS: ()}
    names = HostNames(name="isle", namespace="ns", addresses=("host.example",), bus_addresses=("bus.example",))
    done = await once(secrets, tmp_path / "1", names)
    assert (done.owed, done.files["own"]["addresses"]) == ([], b"host.example")


async def test_where_no_balancer_is_asked_none_owes_anything(tmp_path: Path) -> None:
    done = await once(MemorySecrets(), tmp_path / "1")
    assert (done.owed, done.files["own"]["bus-addresses"]) == ([], b"")


async def test_a_pod_gets_what_it_needs_in_files_of_its_own_that_are_left_alone_while_they_are_good(
    tmp_path: Path,
) -> None:
    secrets, into = MemorySecrets(), tmp_path / "run"
    done = await once(secrets, tmp_path / "1")
    done.lay(into)
    assert {path.name for path in (into / "keys").iterdir()} == set(REGISTRY_FILES)
    assert (into / "own" / "controller-manager.creds").stat().st_mode & 0o077 == 0
    before = {path: path.stat().st_mtime_ns for path in into.rglob("*") if path.is_file()}
    again = await once(secrets, tmp_path / "2")
    again.lay(into)
    assert again.lines == []
    assert {path: path.stat().st_mtime_ns for path in into.rglob("*") if path.is_file()} == before
    (into / "own" / "ca.crt").write_bytes(b"another")
    again.lay(into)
    assert (into / "own" / "ca.crt").read_bytes() == done.files["own"]["ca.crt"]


async def test_keys_go_to_who_runs_the_registry(tmp_path: Path) -> None:
    names = HostNames(name="isle", namespace="ns", standalone=("registry",))
    done = await once(MemorySecrets(), tmp_path / "1", names)
    assert done.files.keys() == {"own"}


class Vanishing(MemorySecrets):
    """A Secret is deleted as soon as it was written."""

    async def get(self, name: str) -> object:  # type: ignore[override]
        return None if name == "skerry-controller-manager" and name in self.written else await super().get(name)


async def test_a_secret_that_is_deleted_meanwhile_is_said(tmp_path: Path) -> None:
    secrets = Vanishing()
    with pytest.raises(NotFound, match="skerry-controller-manager was deleted while it was read"):
        await once(secrets, tmp_path / "1")
