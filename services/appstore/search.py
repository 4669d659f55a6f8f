"""Finding apps by words: names before keywords before descriptions, beginnings of words too, and names that were misspelt.

The index lies in the process's memory (sqlite's FTS5) and is fed from the service's cache: it can be made again at any time.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import islice
from typing import NamedTuple

LONGEST = 200
"""Characters of a question."""
MOST_WORDS = 8
MOST = 500
"""Answers."""
ALIKE = 0.7
"""How alike a misspelt word and a word of a name are at least (difflib's ratio)."""
_WORD = re.compile(r"[^\W_]+")
_WEIGHTS = (10.0, 4.0, 1.0)
"""Of name, keywords and description."""


class SearchEntry(NamedTuple):
    """An app as it is found."""

    name: str
    keywords: str
    description: str


class Search:
    """Apps by key. For one thread."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._keys: dict[int, str] = {}
        self._next = 0
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._words: dict[str, set[int]] = {}
        """Rows by the words of their names."""
        self._index.execute("CREATE VIRTUAL TABLE apps USING fts5(name, keywords, description, prefix='1 2 3')")

    def put(self, key: str, entry: SearchEntry) -> None:
        """Have an app found, by what it says now."""
        self.remove(key)
        row = self._next = self._next + 1
        self._rows[key], self._keys[row] = row, key
        self._index.execute("INSERT INTO apps(rowid, name, keywords, description) VALUES (?, ?, ?, ?)", (row, *entry))
        for word in _words(entry.name):
            self._words.setdefault(word, set()).add(row)

    def remove(self, key: str) -> None:
        """Have it found no more."""
        row = self._rows.pop(key, None)
        if row is None:
            return
        del self._keys[row]
        (name,) = self._index.execute("SELECT name FROM apps WHERE rowid = ?", (row,)).fetchone()
        self._index.execute("DELETE FROM apps WHERE rowid = ?", (row,))
        for word in _words(name):
            self._words[word].discard(row)
            if not self._words[word]:
                del self._words[word]

    def find(self, text: str, shows: Callable[[str], bool] = lambda key: True) -> list[str]:
        """Keys of the apps that have all the words, or words that begin so; if there is none, of those with names alike. Best first,
        and of those that `shows` is true of, so that others take no place.
        """
        words = _words(text[:LONGEST])[:MOST_WORDS]
        if not words:
            return []
        query = " ".join(f'"{word}"*' if len(word) > 1 else f'name: "{word}"*' for word in words)
        ranked = self._index.execute(
            "SELECT rowid, name FROM apps WHERE apps MATCH ? ORDER BY bm25(apps, ?, ?, ?)", (query, *_WEIGHTS)
        )
        rows = list(islice((row for row in ranked if shows(self._keys[row[0]])), MOST))
        exact = sorted(rows, key=lambda row: _words(row[1].rpartition(".")[2]) != words)
        return [self._keys[row] for row, _ in exact] or self._alike(words, shows)

    def _alike(self, words: list[str], shows: Callable[[str], bool]) -> list[str]:
        """Those in whose names each word stands, misspelt; the most alike first."""
        scores: dict[int, float] = dict.fromkeys(self._keys, 1.0)
        for word in words:
            matcher = SequenceMatcher(b=word)
            near: dict[int, float] = {}
            for other, rows in self._words.items():
                matcher.set_seq1(other)
                if matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE:
                    score = matcher.ratio()
                    near |= {row: score for row in rows if score > near.get(row, 0.0)}
            scores = {row: min(score, near[row]) for row, score in scores.items() if near.get(row, 0.0) >= ALIKE}
        best = (self._keys[row] for row in sorted(scores, key=lambda row: (-scores[row], row)))
        return list(islice(filter(shows, best), MOST))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
