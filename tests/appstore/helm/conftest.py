"""Helm as an engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from services.appstore.helm.commandline import CommandLine


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
