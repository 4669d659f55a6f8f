"""Asking the process that reads for us. What it says is checked again where it enters: it has read what a stranger wrote."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import msgspec

from services.appstore.helm.engine import HelmError
from services.appstore.helm.jail import MIB, PATIENCE, PIECE, ROOT, Finished, Jail, python_paths, run
from services.appstore.helm.manifest import objects
from services.appstore.helm.risks import Risk, risks
from services.appstore.index import ListedChart
from services.appstore.inspect.answers import (
    ContentRefused,
    Done,
    IndexAnswer,
    IndexQuestion,
    InspectAnswer,
    PackageAnswer,
    RenderRefused,
    RisksAnswer,
    question,
)
from services.appstore.metadata import ChartError
from services.appstore.package import Package
from skerry.api.decode import decoded

DEADLINE_S = 60.0
DATA = 384 * MIB
"""Bytes that it may need, Python's own among them."""
SMALL = 64 * 1024
"""Characters of a manifest that are read here: a process takes longer to start."""


async def read_index(content: BinaryIO, options: IndexQuestion) -> list[ListedChart]:
    """The charts of an index that are wanted; it is read from where the file stands. ChartError for what is no index, or cannot be read within the limits."""
    pieces = iter(partial(content.read, PIECE), b"")
    answers = await _answers("index", chain([question(options)], pieces))
    return [answer.chart for answer in answers if isinstance(answer, IndexAnswer)]


async def read_package(content: bytes) -> Package:
    """The package. ChartError for one that is refused."""
    for answer in await _answers("package", [content]):
        if isinstance(answer, PackageAnswer):
            return answer.package
    raise ChartError("Unreadable", "nothing was read of it")


async def read_risks(manifest: str, namespace: str) -> tuple[Risk, ...]:
    """The risks of a chart that renders this for a namespace. HelmError. A large manifest takes seconds and ten times its size to read."""
    if len(manifest) <= SMALL:
        return await asyncio.to_thread(lambda: risks(objects(manifest), namespace))
    pieces = (manifest[at : at + PIECE].encode() for at in range(0, len(manifest), PIECE))
    try:
        answers = await _answers("risks", chain([f"{namespace}\n".encode()], pieces))
    except ChartError as error:
        raise HelmError("Failed", f"what the chart renders: {error}") from error
    for answer in answers:
        if isinstance(answer, RenderRefused):
            raise HelmError(answer.reason, answer.message)
    return next(answer.risks for answer in answers if isinstance(answer, RisksAnswer))


async def _answers(what: str, stdin: Iterable[bytes]) -> list[InspectAnswer]:
    with tempfile.TemporaryDirectory(prefix="skerry-inspect-") as directory:
        jail = Jail(Path(directory), read=python_paths(), data=DATA, cpu_s=60, output=64 * MIB, patience=PATIENCE)
        command = [str(Path(sys.executable)), "-m", "services.appstore.inspect", what]
        finished = await run(jail, command, deadline_s=DEADLINE_S, stdin=stdin, environ={"PYTHONPATH": str(ROOT)})
    lines = finished.stdout.splitlines()
    try:
        answers: list[InspectAnswer] = [decoded(line, InspectAnswer) for line in lines]
    except msgspec.DecodeError as error:
        raise _failed(finished) from error
    if not answers or not isinstance(answers[-1], Done):
        raise _failed(finished)
    for answer in answers:
        if isinstance(answer, ContentRefused):
            raise ChartError(answer.reason, answer.message)
    return answers


def _failed(finished: Finished) -> ChartError:
    last = finished.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
    return ChartError(
        "Unreadable", f"reading it did not end well ({finished.ending} {finished.code}{': ' if last else ''}{last})"
    )
