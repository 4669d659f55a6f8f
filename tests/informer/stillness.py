"""An event loop whose time moves only when a test says so, and which returns when nothing can happen any more."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class _Still(selectors.DefaultSelector):
    """Waits for nothing: a loop that would wait is idle."""

    loop: StillLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout > 0:
            self.loop.stop()
        return super().select(0)


class StillLoop(asyncio.SelectorEventLoop):
    """`settle` runs everything that is ready; `pass_` moves the time and runs what is due by then."""

    def __init__(self) -> None:
        selector = _Still()
        self.now = 0.0
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.now

    def settle(self) -> None:
        """Until everybody waits for somebody."""
        self.run_forever()

    def pass_(self, seconds: float) -> None:
        """Let time pass, in one jump."""
        self.now += seconds
        self.settle()
