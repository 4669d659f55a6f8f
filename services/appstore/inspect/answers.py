"""The questions that are answered in the other process, and their answers: one JSON document a line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

import msgspec

from services.appstore.foreignyaml import ForeignYamlError
from services.appstore.helm import crds, releases
from services.appstore.helm.differences import differences, whole, worded
from services.appstore.helm.engine import HelmError, Reason
from services.appstore.helm.leftovers import may_stay
from services.appstore.helm.manifest import Identity, ManifestObject, objects
from services.appstore.helm.releases import ReleaseError, Revision
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


class DifferenceQuestion(msgspec.Struct, frozen=True):
    """How a manifest differs from a revision that is installed, whose Secret comes before it."""

    namespace: str
    secret: int
    """Bytes of the Secret; 0: nothing is installed, and the whole manifest is shown."""
    secrets: frozenset[str] = frozenset()
    """Texts that are shown to nobody."""
    unchanged: frozenset[str] = frozenset()
    """Of these, those that are installed already."""


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


class InventoryAnswer(msgspec.Struct, frozen=True, tag=True):
    """A revision of a release, without manifest, hooks and values, and the objects that count to it."""

    revision: Revision
    identities: tuple[Identity, ...]


class ObjectsAnswer(msgspec.Struct, frozen=True, tag=True):
    """Objects."""

    objects: tuple[ManifestObject, ...]


class DifferenceAnswer(msgspec.Struct, frozen=True, tag=True):
    """How objects differ, or all of them, as people may see it."""

    text: str


class RenderRefused(msgspec.Struct, frozen=True, tag=True):
    """What a chart renders is not taken."""

    reason: Reason
    message: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """There is no more. An answer that ends without it is not whole."""


InspectAnswer = (
    IndexAnswer
    | PackageAnswer
    | RisksAnswer
    | InventoryAnswer
    | ObjectsAnswer
    | DifferenceAnswer
    | ContentRefused
    | RenderRefused
    | Done
)
_encode = msgspec.json.Encoder().encode
_question, _difference_question = decoder(IndexQuestion), decoder(DifferenceQuestion)


def question(options: IndexQuestion | DifferenceQuestion) -> bytes:
    """What is written before what is read."""
    return _encode(options) + b"\n"


def main(what: str, stdin: BinaryIO) -> Iterator[bytes]:
    """The answers to what stands on stdin, a line each."""
    for answer in answers(what, stdin):
        yield _encode(answer) + b"\n"


def answers(what: str, stdin: BinaryIO) -> Iterator[InspectAnswer]:
    """The answers to what stands on stdin."""
    try:
        yield from _READERS[what](stdin)
    except (ChartError, ReleaseError) as error:
        yield ContentRefused(getattr(error, "reason", "Unreadable"), str(error))
    except HelmError as error:
        yield RenderRefused(error.reason, str(error))
    yield Done()


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
    yield PackageAnswer(read_package(stdin.read()))


def _risks(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    namespace = stdin.readline(HEAD).decode().strip()
    yield RisksAnswer(risks(objects(stdin.read().decode(errors="replace")), namespace))


def _inventory(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    revision = releases.revision_in(stdin.read())
    identities = dict.fromkeys(each.identity for each in objects(revision.manifest) if not each.is_hook)
    yield InventoryAnswer(revision._replace(manifest="", hooks=(), values={}), tuple(identities))


def _leftovers(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    revision = releases.revision_in(stdin.read())
    yield ObjectsAnswer(tuple(each for text in _manifests(revision) for each in objects(text) if may_stay(each)))


def _manifests(revision: Revision) -> tuple[str, ...]:
    return (revision.manifest, *(hook.manifest for hook in revision.hooks))


def _crds(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    yield ObjectsAnswer(tuple(crds.definitions(stdin.read())))


def _difference(stdin: BinaryIO) -> Iterator[InspectAnswer]:
    question = _difference_question(stdin.readline(HEAD))
    secret = stdin.read(question.secret)
    after = [each for each in objects(stdin.read().decode(errors="replace")) if not each.is_test]
    if not secret:
        yield DifferenceAnswer(whole(after, question.secrets))
        return
    texts = _manifests(releases.revision_in(secret))
    before = [each for text in texts for each in objects(worded(text, question.unchanged))]
    changes = differences(before, after, question.namespace, question.secrets)
    yield DifferenceAnswer("".join(each.text for each in changes))


_READERS: dict[str, Callable[[BinaryIO], Iterator[InspectAnswer]]] = {
    "index": _index,
    "package": _package,
    "risks": _risks,
    "inventory": _inventory,
    "leftovers": _leftovers,
    "crds": _crds,
    "difference": _difference,
}
