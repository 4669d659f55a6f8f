"""Services beside each other: one that fails is started again and takes no other down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.controller_manager import keeper
from services.controller_manager.keeper import Keeper, expected
from skerry.errors import Conflict

Ready = Callable[[str], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "FIRST_S", 0.001)


class Service:
    """Fails a number of times, then serves."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self.starts = 0
        self.serving = asyncio.Event()

    async def run(self, ready: Ready, stop: asyncio.Event) -> None:
        self.starts += 1
        if self._failures:
            raise self._failures.pop(0)
        ready("")
        self.serving.set()
        await stop.wait()


async def test_a_failing_service_is_started_again_beside_one_that_serves() -> None:
    stop, reasons = asyncio.Event(), list[str]()
    kept = Keeper(lambda: reasons.append(kept.reason))
    steady, shaky = Service(), Service(Conflict("another host is here"), RuntimeError("a bug with secret text"))
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.keep("steady", steady.run, stop))
        tasks.create_task(kept.keep("shaky", shaky.run, stop))
        await steady.serving.wait()
        await shaky.serving.wait()
        assert kept.reason == ""
        stop.set()
    assert (steady.starts, shaky.starts) == (1, 3)
    assert "shaky: another host is here" in reasons
    assert not any("secret text" in reason for reason in reasons)


async def test_a_service_that_ends_by_itself_is_started_again() -> None:
    stop, starts = asyncio.Event(), 0

    async def brief(ready: Ready, stop: asyncio.Event) -> None:
        nonlocal starts
        starts += 1
        if starts == 3:
            stop.set()

    async with asyncio.timeout(5):
        await Keeper(lambda: None).keep("brief", brief, stop)
    assert starts == 3


def test_an_error_on_purpose_is_found_inside_groups() -> None:
    error = Conflict("named")
    assert expected(ExceptionGroup("outer", [ExceptionGroup("inner", [error])])) is error
    assert expected(ExceptionGroup("outer", [error, ValueError("bug")])) is None
    assert expected(ValueError("bug")) is None
