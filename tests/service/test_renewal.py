"""Renewal by a child: again and again, whatever the child does."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from skerry.service import renewal

PYTHON = (sys.executable, "-I", "-S", "-c")


async def run_until(condition: str, path: Path, command: list[str], **times: float) -> None:
    """Renew until the file has that text."""
    task = asyncio.ensure_future(renewal.renewing(command, **times))
    try:
        async with asyncio.timeout(20):
            while not (path.exists() and condition in path.read_text()):
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_it_is_run_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "runs"
    code = f"open({str(file)!r}, 'a').write('x')"
    await run_until("xxx", file, [*PYTHON, code], soon_s=0.01, every_s=0.01)


async def test_one_that_fails_is_told_with_its_last_words_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "FIRST_S", 0.02)
    file = tmp_path / "runs"
    code = f"open({str(file)!r}, 'a').write('x'); import sys; sys.exit('no such right')"
    with caplog.at_level(logging.ERROR):
        await run_until("xx", file, [*PYTHON, code], soon_s=0.01, every_s=60.0)
    first = caplog.records[0]
    assert (first.getMessage(), vars(first)["code"], vars(first)["said"]) == ("a renewal failed", 1, "no such right")


async def test_a_program_that_is_not_there_is_told_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "FIRST_S", 0.01)
    with caplog.at_level(logging.ERROR), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await renewal.renewing(["/no/such/program"], soon_s=0.0)
    assert len(caplog.records) > 1
    assert vars(caplog.records[0])["code"] == 127


async def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "DEADLINE_S", 0.3)
    assert await renewal._run([*PYTHON, "import time; time.sleep(60)"]) == (124, "no end within 0.3 s")


async def test_the_child_ends_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    code = f"import os, time; open({str(file)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(60)"
    await run_until(".", file, [*PYTHON, code], soon_s=0.0)
    assert not Path(f"/proc/{file.read_text()[:-1]}").exists()
