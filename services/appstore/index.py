"""The index.yaml of a repository of charts (helm.sh/docs/topics/chart_repository): the newest versions of each chart. Pure.

It is read from events, entry by entry, and of each chart those alone are kept that are wanted: 24,000 versions as a tree cost
600 MB. An entry that is wrong is left out and named, where Helm refuses the whole index. An index that `helm repo index` wrote is
taken apart into the blocks of its charts first: one whose bytes were seen before is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple

from services.appstore.foreignyaml import ForeignYamlError, Reader
from services.appstore.metadata import NAME, ChartError, chart
from services.appstore.semver import Version, version
from skerry.api.charts import Chart
from skerry.api.text import clean

MOST_VALUES = 20_000
"""In one entry."""
MOST_SKIPPED = 20
"""Entries left out that are named for one chart."""
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_ENTRIES = re.compile(rb"^entries:[ \t]*\r?\n", re.MULTILINE)
_INDENT = re.compile(rb" *")
_TOP = re.compile(rb"^[^\s#]", re.MULTILINE)


class Listed(NamedTuple):
    """A version of a chart as a repository lists it."""

    chart: Chart
    urls: tuple[str, ...]
    """Where its package is: whole, or below the repository."""
    digest: str
    """`sha256:` and 64 hexadecimal digits; empty if the repository tells none."""
    created: str


class Skipped(NamedTuple):
    """An entry that was left out, and why."""

    chart: str
    version: str
    reason: str
    message: str


class ListedChart(NamedTuple):
    """What a repository has of one chart."""

    name: str
    block: str
    """Digest of its part of the index; empty where the index has no such parts."""
    known: int = 0
    """Versions that the repository has of it."""
    versions: tuple[Listed, ...] = ()
    """The newest of them, the newest first."""
    skipped: tuple[Skipped, ...] = ()
    unchanged: bool = False
    """True if its block was seen before: then nothing else is said of it."""


def read(
    text: bytes, newest: int, selects: Callable[[str], bool] = lambda name: True, seen: Collection[str] = ()
) -> Iterator[ListedChart]:
    """The charts of an index that are wanted, so many versions of each; of those whose block was seen, no more than that.

    ForeignYamlError for what is no index; it may come after some charts.
    """
    places = _blocks(text)
    if places is None:
        yield from _whole(text, newest, selects)
        return
    for place in places:
        block = text[place]
        name = block.partition(b":")[0].strip(b" \r\n'\"").decode(errors="replace")
        if not selects(name):
            continue
        digest = sha256(block).hexdigest()
        if digest in seen:
            yield ListedChart(name, digest, unchanged=True)
            continue
        try:
            yield _block(block, digest, newest)
        except ForeignYamlError as error:
            yield ListedChart(clean(name, 63), digest, skipped=(Skipped(clean(name, 63), "", "BadYaml", str(error)),))


def _block(block: bytes, digest: str, newest: int) -> ListedChart:
    reader = Reader(block)
    return next(_listed(name, digest, reader.sequence(MOST_VALUES), newest) for name in reader.mapping())


def _whole(text: bytes, newest: int, selects: Callable[[str], bool]) -> Iterator[ListedChart]:
    reader, entries = Reader(text), 0
    for key in reader.mapping():
        if key != "entries":
            reader.skip()
            continue
        entries += 1
        for name in reader.mapping():
            if selects(name):
                yield _listed(name, "", reader.sequence(MOST_VALUES), newest)
            else:
                reader.skip()
    reader.end()
    if not entries:
        raise ForeignYamlError("there is no key entries in it, so it is no index of charts")


def _blocks(text: bytes) -> list[slice] | None:
    """Where the parts of an index are that stand for one chart each; None if it is not written as `helm repo index` writes it."""
    heads = list(_ENTRIES.finditer(text))
    if len(heads) != 1:
        return None
    start = heads[0].end()
    top = _TOP.search(text, start)
    end = top.start() if top else len(text)
    first = _INDENT.match(text, start, end)
    indent = len(first[0]) if first else 0
    if not indent or re.compile(rb"^ {0,%d}[^ \r\n#-]" % (indent - 1), re.MULTILINE).search(text, start, end):
        return None
    key = re.compile(rb"^ {%d}[A-Za-z0-9'\"][^\r\n]*:[ ]*\r?$" % indent, re.MULTILINE)
    other = re.compile(rb"^ {%d}(?![A-Za-z0-9'\"][^\r\n]*:[ ]*\r?$)[^ \r\n#-]" % indent, re.MULTILINE)
    keys = [match.start() for match in key.finditer(text, start, end)]
    if not keys or keys[0] != start or other.search(text, start, end):
        return None
    return [slice(at, after) for at, after in pairwise((*keys, end))]


def _listed(name: str, block: str, items: Iterable[Any], newest: int) -> ListedChart:
    """The newest versions among the entries of one chart."""
    candidates: list[tuple[Version, Any]] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    known = 0
    for item in items:
        known += 1
        text = item.get("version") if isinstance(item, dict) else None
        try:
            candidates.append((_candidate(name, item, text, seen), item))
        except ChartError as error:
            skipped.append(_left_out(name, text, error))
        if len(candidates) >= 4 * newest + 64:
            candidates = _first(candidates, newest)
    versions: list[Listed] = []
    for _, item in _first(candidates, newest):
        try:
            versions.append(_version(item))
        except ChartError as error:
            skipped.append(_left_out(name, item.get("version"), error))
    return ListedChart(clean(name, 63), block, known, tuple(versions), tuple(skipped[:MOST_SKIPPED]))


def _first(candidates: list[tuple[Version, Any]], newest: int) -> list[tuple[Version, Any]]:
    return sorted(candidates, key=lambda candidate: candidate[0].precedence, reverse=True)[:newest]


def _candidate(name: str, item: Any, text: Any, seen: set[str]) -> Version:
    if not isinstance(item, dict) or item.get("name") != name or not NAME.fullmatch(name):
        raise ChartError("BadName", f"an entry of {clean(name, 63)!r} has another name, or none that a chart may have")
    if not isinstance(text, str):
        raise ChartError("BadVersion", "version: a text is expected; put it in quotes")
    if text in seen:
        raise ChartError("DuplicateVersion", "it is there twice; the first one counts")
    seen.add(text)
    try:
        return version(text)
    except ValueError as error:
        raise ChartError("BadVersion", f"version: {error}") from error


def _version(item: dict[str, Any]) -> Listed:
    urls = item.get("urls")
    if not isinstance(urls, list) or not all(
        isinstance(url, str) and url.isprintable() and len(url) <= 2048 for url in urls
    ):
        raise ChartError("BadMetadata", "urls: a list of texts is expected")
    if not urls:
        raise ChartError("BadMetadata", "urls: there is none, so its package is nowhere")
    digest_text = item.get("digest") or ""
    digest = _DIGEST.fullmatch(digest_text) if isinstance(digest_text, str) else None
    if digest_text and digest is None:
        raise ChartError("BadMetadata", "digest: 64 hexadecimal digits of SHA-256 are expected")
    created = item.get("created")
    return Listed(
        chart(item),
        tuple(urls[:3]),
        f"sha256:{digest[1]}" if digest else "",
        clean(created, 40) if isinstance(created, str) else "",
    )


def _left_out(name: str, text: Any, error: ChartError) -> Skipped:
    return Skipped(clean(name, 63), clean(text, 64) if isinstance(text, str) else "", error.reason, str(error))
