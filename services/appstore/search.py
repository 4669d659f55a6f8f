"""Finding apps by words: names before keywords before descriptions, beginnings of words too, and names that were misspelt.

The index lies in the process's memory (sqlite's FTS5) and is fed from the service's cache: it can be made again at any time.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from itertools import islice
from typing import NamedTuple

LONGEST = 200
"""Characters of a question."""
MOST_WORDS = 8
MOST = 500
"""Answers."""
RANKED = 2000
"""Of what has the words anywhere so many are ranked: to rank ten thousand that all have them takes longer than anybody notices."""
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
        self._shapes: dict[tuple[int, int], set[str]] = {}
        """These words by length and letters, as a bit each: most are told apart by that alone."""
        self._index.execute("CREATE VIRTUAL TABLE apps USING fts5(name, keywords, description, prefix='1 2 3')")

    def put(self, key: str, entry: SearchEntry) -> None:
        """Have an app found, by what it says now."""
        self.remove(key)
        row = self._next = self._next + 1
        self._rows[key], self._keys[row] = row, key
        self._index.execute("INSERT INTO apps(rowid, name, keywords, description) VALUES (?, ?, ?, ?)", (row, *entry))
        for word in _words(entry.name):
            self._words.setdefault(word, set()).add(row)
            self._shapes.setdefault(_shape(word), set()).add(word)

    def remove(self, key: str) -> None:
        """Have it found no more."""
        row = self._rows.pop(key, None)
        if row is None:
            return
        del self._keys[row]
        (name,) = self._index.execute("SELECT name FROM apps WHERE rowid = ?", (row,)).fetchone()
        self._index.execute("DELETE FROM apps WHERE rowid = ?", (row,))
        for word in set(_words(name)):  # a chart is often called as its repository
            self._words[word].discard(row)
            if not self._words[word]:
                del self._words[word]
                shape = self._shapes[_shape(word)]
                shape.discard(word)
                if not shape:
                    del self._shapes[_shape(word)]

    def find(self, text: str, shows: Callable[[str], bool] = lambda key: True) -> list[str]:
        """Keys of the apps that have all the words, or words that begin so; if there is none, of those with names alike. Best first,
        and of those that `shows` is true of, so that others take no place.
        """
        words = _words(text[:LONGEST])[:MOST_WORDS]
        if not words:
            return []
        query = [f'"{word}"*' if len(word) > 1 else f'name: "{word}"*' for word in words]
        named = self._named(" ".join(f"name: {each.removeprefix('name: ')}" for each in query), shows)
        rows = sorted(named, key=lambda row: _words(row[1].rpartition(".")[2]) != words)
        best = dict.fromkeys(row for row, _ in rows)
        if len(best) < MOST:
            best |= dict.fromkeys(self._anywhere(" ".join(query), shows))
        return [self._keys[row] for row in islice(best, MOST)] or self._alike(words, shows)

    def _named(self, query: str, shows: Callable[[str], bool]) -> list[tuple[int, str]]:
        """Rows and names of those that match by their names, the best first."""
        ranked = self._index.execute(
            "SELECT rowid, name FROM apps WHERE apps MATCH ? ORDER BY bm25(apps, ?, ?, ?)", (query, *_WEIGHTS)
        )
        return list(islice((row for row in ranked if shows(self._keys[row[0]])), MOST))

    def _anywhere(self, query: str, shows: Callable[[str], bool]) -> list[int]:
        """Rows of those that match at all, the best first."""
        scored = self._index.execute(
            "SELECT rowid, bm25(apps, ?, ?, ?) FROM apps WHERE apps MATCH ?", (*_WEIGHTS, query)
        )
        rows = list(islice((row for row in scored if shows(self._keys[row[0]])), RANKED))
        return [row for row, _ in sorted(rows, key=lambda row: row[1])]

    def _alike(self, words: list[str], shows: Callable[[str], bool]) -> list[str]:
        """Those in whose names each word stands, misspelt; the most alike first."""
        scores: dict[int, float] = dict.fromkeys(self._keys, 1.0)
        for word in words:
            matcher = SequenceMatcher(b=word)
            near: dict[int, float] = {}
            for other in self._about(word):
                matcher.set_seq1(other)
                if matcher.quick_ratio() >= ALIKE:
                    score = matcher.ratio()
                    near |= {row: score for row in self._words[other] if score > near.get(row, 0.0)}
            scores = {row: min(score, near[row]) for row, score in scores.items() if near.get(row, 0.0) >= ALIKE}
        best = (self._keys[row] for row in sorted(scores, key=lambda row: (-scores[row], row)))
        return list(islice(filter(shows, best), MOST))

    def _about(self, word: str) -> Iterator[str]:
        """Words of names that can be alike, by how many letters of each the other one can have."""
        length, letters = _shape(word)
        for (others, has), words in self._shapes.items():
            common = min(length - (letters & ~has).bit_count(), others - (has & ~letters).bit_count())
            if 2 * common >= ALIKE * (length + others):
                yield from words


def _shape(word: str) -> tuple[int, int]:
    """Length, and a bit for each letter; some letters share one."""
    letters = 0
    for letter in word:
        letters |= 1 << (ord(letter) & 63)
    return len(word), letters


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
