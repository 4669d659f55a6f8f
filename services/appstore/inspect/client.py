"""Asking the process that reads for us. What it says is checked again where it enters: it has read what a stranger wrote."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

import msgspec

from services.appstore.helm import releases
from services.appstore.helm.engine import HelmError
from services.appstore.helm.jail import MIB, PATIENCE, PIECE, ROOT, Finished, Jail, python_paths, run
from services.appstore.helm.manifest import ManifestObject
from services.appstore.helm.releases import ReleaseError
from services.appstore.helm.risks import Risk
from services.appstore.helm.rooms import directory, pieces
from services.appstore.index import ListedChart
from services.appstore.inspect.answers import (
    ContentRefused,
    DifferenceAnswer,
    DifferenceQuestion,
    Done,
    IndexAnswer,
    IndexQuestion,
    InspectAnswer,
    InventoryAnswer,
    ObjectsAnswer,
    PackageAnswer,
    RenderRefused,
    RisksAnswer,
    answers,
    question,
)
from services.appstore.metadata import ChartError
from services.appstore.package import Package
from skerry.api.decode import decoded

DEADLINE_S = 60.0
DATA = 384 * MIB
"""Bytes that it may need, Python's own among them."""
SMALL = 64 * 1024
"""Bytes of a manifest, or of an unpacked revision, that are read here: a process takes longer to start."""
T = TypeVar("T")


class HiddenTexts(NamedTuple):
    """Texts that are shown to nobody, and those of them that are installed already."""

    secrets: frozenset[str]
    unchanged: frozenset[str]


async def read_index(content: BinaryIO, options: IndexQuestion) -> list[ListedChart]:
    """The charts of an index that are wanted; it is read from where the file stands. ChartError for what is no index, or cannot be read within the limits."""
    pieces = iter(partial(content.read, PIECE), b"")
    answers = await _ask("index", chain([question(options)], pieces))
    return [answer.chart for answer in answers if isinstance(answer, IndexAnswer)]


async def read_package(content: bytes) -> Package:
    """The package. ChartError for one that is refused."""
    return _only(await _ask("package", [content]), PackageAnswer).package


async def read_risks(manifest: Path, namespace: str) -> tuple[Risk, ...]:
    """The risks of a chart that renders this for a namespace. HelmError. A large manifest takes seconds and ten times its size to read."""
    stdin = chain([f"{namespace}\n".encode()], pieces(manifest))
    answers = await _ask_of_helm("risks", stdin, here=manifest.stat().st_size <= SMALL)
    return _only(answers, RisksAnswer).risks


async def read_inventory(secret: bytes) -> InventoryAnswer:
    """What a revision of a release consists of, by the JSON of its Secret. HelmError."""
    return _only(await _ask_of_helm("inventory", [secret], here=_is_small(secret)), InventoryAnswer)


async def read_leftovers(secret: bytes) -> tuple[ManifestObject, ...]:
    """The objects of a revision and its hooks that may stay when it is uninstalled, by the JSON of its Secret. HelmError."""
    return _only(await _ask_of_helm("leftovers", [secret], here=_is_small(secret)), ObjectsAnswer).objects


async def read_crds(package: bytes) -> tuple[ManifestObject, ...]:
    """The CRDs in crds/ of a chart and of charts within it. HelmError."""
    return _only(await _ask_of_helm("crds", [package]), ObjectsAnswer).objects


async def read_difference(secret: bytes, manifest: Path, namespace: str, hidden: HiddenTexts) -> str:
    """How a manifest differs from the revision in a Secret, by the JSON of that; all of it without one. HelmError."""
    head = DifferenceQuestion(namespace, len(secret), hidden.secrets, hidden.unchanged)
    here = manifest.stat().st_size <= SMALL and (not secret or _is_small(secret))
    stdin = chain([question(head), secret], pieces(manifest))
    return _only(await _ask_of_helm("difference", stdin, here=here), DifferenceAnswer).text


def _is_small(secret: bytes) -> bool:
    """True for the Secret of a revision that is read here."""
    try:
        return releases.unpacks_within(releases.secret_in(secret), SMALL)
    except ReleaseError:
        return True


def _only(answers: Iterable[InspectAnswer], kind: type[T]) -> T:
    """The answer that a question has. It has read what a stranger wrote, and may not have replies it."""
    for answer in answers:
        if isinstance(answer, kind):
            return answer
    raise ChartError("Unreadable", "nothing was read of it")


async def _ask_of_helm(what: str, stdin: Iterable[bytes], *, here: bool = False) -> list[InspectAnswer]:
    """Answers about what a chart renders, or Helm keeps. HelmError."""
    try:
        return await _ask(what, stdin, here=here)
    except ChartError as error:
        raise HelmError("Failed", str(error)) from error


async def _ask(what: str, stdin: Iterable[bytes], *, here: bool = False) -> list[InspectAnswer]:
    """The answers. ChartError, HelmError. `here`: it is small, and a process takes longer to start."""
    if here:
        content = BytesIO(b"".join(stdin))
        return _unless_refused(await asyncio.to_thread(lambda: [*answers(what, content)]))
    with directory() as own:
        jail = Jail(own, read=python_paths(), data=DATA, cpu_s=60, output=64 * MIB, patience=PATIENCE)
        command = [str(Path(sys.executable)), "-m", "services.appstore.inspect", what]
        finished = await run(jail, command, deadline_s=DEADLINE_S, stdin=stdin, environ={"PYTHONPATH": str(ROOT)})
    lines = finished.stdout.splitlines()
    try:
        replies: list[InspectAnswer] = [decoded(line, InspectAnswer) for line in lines]
    except msgspec.DecodeError as error:
        raise _failed(finished) from error
    if not replies or not isinstance(replies[-1], Done):
        raise _failed(finished)
    return _unless_refused(replies)


def _unless_refused(replies: list[InspectAnswer]) -> list[InspectAnswer]:
    for answer in replies:
        if isinstance(answer, ContentRefused):
            raise ChartError(answer.reason, answer.message)
        if isinstance(answer, RenderRefused):
            raise HelmError(answer.reason, answer.message)
    return replies


def _failed(finished: Finished) -> ChartError:
    last = finished.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
    return ChartError(
        "Unreadable", f"reading it did not end well ({finished.ending} {finished.code}{': ' if last else ''}{last})"
    )
