"""Helm as an engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.appstore.helm.commandline import CommandLine
from services.appstore.helm.engine import Engine
from services.appstore.helm.lookup import SDK
from services.appstore.helm.sdk import Sdk


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """The folder in which operations have theirs."""
    folder = tmp_path / "rooms"
    folder.mkdir()
    return folder


@pytest.fixture
def helm(helms: Mapping[str, Path], rooms: Path) -> CommandLine:
    """Helm 4."""
    return CommandLine(helms["helm-4"], directory=rooms)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for Helm's library, a quarter of a gigabyte, runs with `make soak` alone, which installs it."""
    for item in items:
        parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        if "sdk" in getattr(item, "fixturenames", ()) or parameters.get("engine") == "sdk":
            item.add_marker(pytest.mark.soak)


@pytest.fixture
def sdk(rooms: Path) -> Sdk:
    """Helm's library; skips where it is not installed."""
    if importlib.util.find_spec(SDK) is None:
        pytest.skip("Helm's library is not installed: pip install 'skerry[helm]'")
    return Sdk(directory=rooms)


@pytest.fixture(params=["commandline", "sdk"])
def engine(request: pytest.FixtureRequest, helms: Mapping[str, Path]) -> Engine:
    """Each engine there is. It names `helms`, so that they are made before the tests."""
    name = {"commandline": "helm", "sdk": "sdk"}[request.param]
    chosen: Engine = request.getfixturevalue(name)
    return chosen
