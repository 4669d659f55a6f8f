"""How much a chart may render. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from itertools import chain

from services.appstore.helm.engine import HelmError
from services.appstore.helm.jail import MIB

LARGEST_MANIFEST = 8 * MIB
MOST_OBJECTS = 2000
_BLANKS = 1024
_LIST = re.compile(rb"""\bkind["']?:(?:\s{%d}|\s{0,%d}["']?[A-Za-z]{0,64}List\b)""" % (_BLANKS, _BLANKS))
"""A kind that is a List, or so far away that nobody is to look for it."""
_LONGEST_LIST = _BLANKS + 80


def check_manifest(pieces: Iterable[bytes]) -> None:
    """HelmError ResourceLimit for a manifest that is too large or has too many objects, RenderFailed for one that is no UTF-8.

    It is not read for that: documents are counted, and where there is a List, what could be objects in it.
    """
    size, has_list, tail = 0, False, b""
    text, separators, versions = (
        codecs.getincrementaldecoder("utf-8")(),
        _Occurrences(b"\n---"),
        _Occurrences(b"apiVersion"),
    )
    separators.feed(b"\n")
    for piece in chain(pieces, (b"",)):
        try:
            text.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            raise HelmError("RenderFailed", f"what the chart renders is no UTF-8 (near byte {size})") from error
        size += len(piece)
        if size > LARGEST_MANIFEST:
            raise HelmError("ResourceLimit", f"the chart renders more than {LARGEST_MANIFEST // MIB} MiB, the limit")
        separators.feed(piece)
        versions.feed(piece)
        window = tail + piece
        has_list, tail = has_list or _LIST.search(window) is not None, window[-_LONGEST_LIST:]
    objects = max(separators.count, versions.count // 2 if has_list else 0)  # an object may have another one in it
    if objects > MOST_OBJECTS:
        raise HelmError("ResourceLimit", f"the chart renders {objects} objects, the limit is {MOST_OBJECTS}")


class _Occurrences:
    """How often a word stands in what comes in pieces."""

    def __init__(self, word: bytes) -> None:
        self._word, self._tail, self.count = word, b"", 0

    def feed(self, piece: bytes) -> None:
        """The next piece."""
        window = self._tail + piece
        self.count += window.count(self._word)
        self._tail = window[1 - len(self._word) :]
