"""Renders before anything is sent, each once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from services.appstore.helm import preflight
from services.appstore.helm.engine import HelmError, Reason, RenderRequest
from services.appstore.helm.preflight import Preflight


class Renders:
    """Counts what is rendered; fails as it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.error: HelmError | None = None

    async def __call__(self, request: RenderRequest, into: Path) -> None:
        self.count += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


@pytest.fixture
def request_(tmp_path: Path) -> RenderRequest:
    return request_of(tmp_path / "chart.tgz", b"a package")


def request_of(path: Path, content: bytes) -> RenderRequest:
    path.write_bytes(content)
    return RenderRequest(chart=path, release="web", namespace="shop", values={"a": 1, "b": None})


async def test_what_was_rendered_well_is_not_rendered_again_wherever_its_package_lies(
    request_: RenderRequest, tmp_path: Path
) -> None:
    renders = Renders()
    checks = Preflight(renders)
    await asyncio.gather(*(checks.check(request_) for _ in range(4)))
    elsewhere = request_of(tmp_path / "again.tgz", b"a package")
    await checks.check(replace(elsewhere, values={"b": None, "a": 1}))
    assert renders.count == 1


@pytest.mark.parametrize(
    "other",
    [
        {"release": "web2"},
        {"namespace": "lab"},
        {"values": {"a": 1}},
        {"values": {"a": 1, "b": "secret"}},
        {"kube_version": "1.34"},
        {"api_versions": ("example.org/v1",)},
        {"crds": False},
        {"hooks": False},
        {"upgrade": True},
    ],
)
async def test_anything_else_is_rendered_by_itself(request_: RenderRequest, other: dict[str, object]) -> None:
    renders = Renders()
    checks = Preflight(renders)
    await checks.check(request_)
    await checks.check(replace(request_, **other))  # type: ignore[arg-type]
    assert renders.count == 2


async def test_another_package_is_rendered_by_itself(request_: RenderRequest, tmp_path: Path) -> None:
    renders = Renders()
    checks = Preflight(renders)
    await checks.check(request_)
    await checks.check(request_of(tmp_path / "other.tgz", b"another package"))
    assert renders.count == 2


@pytest.mark.parametrize(("reason", "says_no"), [("ResourceLimit", True), ("SchemaInvalid", True), ("Failed", False)])
async def test_a_failure_is_not_remembered(request_: RenderRequest, reason: Reason, says_no: bool) -> None:
    renders = Renders()
    checks = Preflight(renders)
    renders.error = HelmError(reason, "no")
    for _ in range(2):
        if says_no:
            with pytest.raises(HelmError, match="no"):
                await checks.check(request_)
        else:
            await checks.check(request_)
    assert renders.count == 2
    renders.error = None
    await checks.check(request_)
    await checks.check(request_)
    assert renders.count == 3


async def test_so_many_are_remembered(request_: RenderRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "REMEMBERED", 2)
    renders = Renders()
    checks = Preflight(renders)
    for name in ("a", "b", "a", "c", "a", "b"):
        await checks.check(replace(request_, release=name))
    assert renders.count == 4, "b was the one that was used least when c came"
