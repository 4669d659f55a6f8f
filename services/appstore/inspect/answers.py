"""The questions that are answered in the other process, and their answers: one JSON document a line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from services.appstore.foreignyaml import ForeignYamlError
from services.appstore.helm.engine import HelmError, Reason
from services.appstore.helm.manifest import objects
from services.appstore.helm.risks import Risk, risks
from services.appstore.index import ListedChart, read
from services.appstore.metadata import ChartError
from services.appstore.package import Package
from services.appstore.package import read as read_package
from skerry.api.decode import decoder

HEAD = 1 << 20
"""Bytes of a question before its content, at most."""


class IndexQuestion(msgspec.Struct, frozen=True):
    """Which charts of an index are wanted, and which of its blocks are known already."""

    newest: int
    charts: frozenset[str] = frozenset()
    """Empty: all."""
    seen: frozenset[str] = frozenset()


class ContentRefused(msgspec.Struct, frozen=True, tag=True):
    """The content is not taken."""

    reason: str
    message: str


class IndexAnswer(msgspec.Struct, frozen=True, tag=True):
    """One chart of an index."""

    chart: ListedChart


class PackageAnswer(msgspec.Struct, frozen=True, tag=True):
    """A package."""

    package: Package


class RisksAnswer(msgspec.Struct, frozen=True, tag=True):
    """What a chart does with its default values."""

    risks: tuple[Risk, ...]


class RenderRefused(msgspec.Struct, frozen=True, tag=True):
    """What a chart renders is not taken."""

    reason: Reason
    message: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """There is no more. An answer that ends without it is not whole."""


InspectAnswer = IndexAnswer | PackageAnswer | RisksAnswer | ContentRefused | RenderRefused | Done
_encode = msgspec.json.Encoder().encode
_question = decoder(IndexQuestion)


def question(options: IndexQuestion) -> bytes:
    """What is written to the process that reads an index, before the index."""
    return _encode(options) + b"\n"


def main(what: str, stdin: BinaryIO) -> Iterator[bytes]:
    """The answers to what stands on stdin, a line each."""
    for answer in (*_READERS[what](stdin), Done()):
        yield _encode(answer) + b"\n"


def _index(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    options = _question(stdin.readline(HEAD))
    content = stdin.read()
    try:
        for chart in read(
            content, options.newest, lambda name: not options.charts or name in options.charts, options.seen
        ):
            yield IndexAnswer(chart)
    except ForeignYamlError as error:
        yield ContentRefused("NotARepository", f"its index.yaml is none: {error}")


def _package(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    try:
        yield PackageAnswer(read_package(stdin.read()))
    except ChartError as error:
        yield ContentRefused(error.reason, str(error))


def _risks(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    namespace = stdin.readline(HEAD).decode().strip()
    try:
        yield RisksAnswer(risks(objects(stdin.read().decode(errors="replace")), namespace))
    except HelmError as error:
        yield RenderRefused(error.reason, str(error))


_READERS: dict[str, Callable[[BinaryIO], Iterator[InspectAnswer]]] = {
    "index": _index,
    "package": _package,
    "risks": _risks,
}
