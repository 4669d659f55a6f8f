"""The two clocks that the registry reads."""

from __future__ import annotations

import time
from collections.abc import Callable

from services.registry.model import Now

Clock = Callable[[], Now]


def wall_and_mono() -> Now:
    """The process's own."""
    return Now(time.monotonic(), time.time())
