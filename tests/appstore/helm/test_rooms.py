"""The directories of operations: private, and gone."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from services.appstore.helm.engine import HelmError, UninstallRequest
from services.appstore.helm.rooms import cluster_room, room, sweep
from skerry.member import kubeconfig
from skerry.member.kubeconfig import Target


def wanted(host: str, token: str = "t0ken") -> UninstallRequest:
    access = Target(scheme="https", host=host, port=6443, prefix="/clusters/m1", token=token)
    return UninstallRequest(access=access, release="web", namespace="shop")


async def test_what_is_in_it_is_for_its_owner_alone_and_goes_with_it(tmp_path: Path) -> None:
    async with cluster_room(tmp_path, wanted("127.0.0.1"), frozenset(["s"])) as own:
        files = (own.kubeconfig, own.values({"a": None}))
        assert [path.stat().st_mode & 0o777 for path in (own.directory, *files)] == [0o700, 0o600, 0o600]
        assert files[1].read_text() == '{"a":null}'
        target = kubeconfig.load(str(own.kubeconfig))
        assert (target.url, target.token) == ("https://127.0.0.1:6443/clusters/m1", "t0ken")
        assert own.ports == (6443,)
        assert own.secrets == {"s", "t0ken"}
        assert "t0ken" not in repr(own)
    assert list(tmp_path.iterdir()) == []


async def test_a_name_is_looked_up_outside_and_stays_the_name_that_tls_asks_for(tmp_path: Path) -> None:
    async with cluster_room(tmp_path, wanted("localhost"), frozenset()) as own:
        target = kubeconfig.load(str(own.kubeconfig))
        assert target.host in ("127.0.0.1", "::1")
        assert target.tls.server_name == "localhost"
    with pytest.raises(HelmError, match=r"nowhere.invalid: its address") as unknown:
        async with cluster_room(tmp_path, wanted("nowhere.invalid"), frozenset()):
            pass
    assert unknown.value.reason == "Unreachable"


async def test_it_goes_when_its_operation_fails(tmp_path: Path) -> None:
    async def fails() -> None:
        async with room(tmp_path, frozenset()) as own:
            (own.directory / "x").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fails()
    assert list(tmp_path.iterdir()) == []


async def test_what_dead_processes_left_is_swept_and_what_living_ones_use_is_not(tmp_path: Path) -> None:
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await dead.wait()
    async with room(tmp_path, frozenset()) as own:
        names = (f"{dead.pid}-ab-c", f"{os.getpid()}-another-c", f"{os.getppid()}-ab-c", "other-ab-c")
        left, earlier, parent, foreign = (tmp_path / f"skerry-helm-{name}" for name in names)
        for folder in (left, earlier, parent, foreign):
            folder.mkdir()
            (folder / "kubeconfig").write_text("secret")
        sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted((own.directory, parent, foreign))
