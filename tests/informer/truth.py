"""What may happen to objects, and what clients may see of them: the model that the real parts are held against.

A world has epochs (a bucket that was made anew begins one). In each, a history of commits says what was there at every
revision. A commit that no write may make is an error at once, whoever made it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from skerry.api.meta import Document

State = dict[str, int]
"""Name -> revision of each object that is there."""


class Commit(NamedTuple):
    """What one request stored: `document` None is what a purge leaves."""

    revision: int
    name: str
    document: Document | None
    deleted: bool
    by: object

    @property
    def live(self) -> Document | None:
        """The object, if it is there."""
        return None if self.deleted else self.document


class Epoch:
    """One bucket, from its making on."""

    def __init__(self, name: str, first: int) -> None:
        self.name = name
        self.commits: list[Commit] = []
        self._states: dict[int, State] = {first - 1: {}}
        self._documents: dict[tuple[str, int], Document] = {}
        self.last = first - 1

    def at(self, revision: int) -> State:
        """What was there."""
        return self._states[min(revision, self.last)]

    def document(self, name: str, revision: int) -> Document:
        """An object that was there."""
        return self._documents[name, revision]

    def latest(self, name: str) -> Commit | None:
        """The last commit of a name."""
        return next((commit for commit in reversed(self.commits) if commit.name == name), None)

    def commit(self, commit: Commit) -> None:
        """One more, which must be one that may follow."""
        problem = _wrong(self.latest(commit.name), commit)
        assert not problem, f"{commit.by} stored {commit.name} at {commit.revision}: {problem}"
        self.restore(commit)

    def restore(self, commit: Commit) -> None:
        """One more, as an archive has it."""
        state = {name: revision for name, revision in self.at(self.last).items() if name != commit.name}
        if commit.live is not None:
            state[commit.name] = commit.revision
            self._documents[commit.name, commit.revision] = commit.live
        for revision in range(self.last + 1, commit.revision):
            self._states[revision] = self._states[self.last]
        self._states[commit.revision] = state
        self.last = commit.revision
        self.commits.append(commit)


_FIXED = ("name", "uid", "creationTimestamp")


def _wrong(before: Commit | None, after: Commit) -> str:
    """What is wrong with a commit that follows another one of its name; empty if nothing is."""
    old = None if before is None else before.live
    if after.document is None:
        return "" if old is None else "a living object was purged"
    new = after.document["metadata"]
    if after.deleted:
        if old is None:
            return "what is not there was deleted"
        return "" if "deletionTimestamp" in new and not new.get("finalizers") else "it was held"
    if "deletionTimestamp" in new and not new.get("finalizers"):
        return "it waits for deletion and for nothing"
    if old is None:
        return "" if new["generation"] == 1 and "deletionTimestamp" not in new else "it is no new object"
    return _wrong_change(old, after.document)


def _wrong_change(old: Document, new: Document) -> str:
    for key in _FIXED:
        if old["metadata"][key] != new["metadata"][key]:
            return f"{key} changed"
    if "deletionTimestamp" in old["metadata"] and "deletionTimestamp" not in new["metadata"]:
        return "it came back to life"
    marked = "deletionTimestamp" in new["metadata"] and "deletionTimestamp" not in old["metadata"]
    if new["spec"] == old["spec"] and _held(new) == _held(old) and not marked:
        return "it says what was there already: a write of somebody else was lost"
    moved = new["metadata"]["generation"] - old["metadata"]["generation"]
    return "" if moved == (new["spec"] != old["spec"]) + marked else f"generation moved by {moved}"


def _held(document: Document) -> list[str]:
    return list(document["metadata"].get("finalizers") or [])


class Told(msgspec.Struct):
    """What one client knows: the objects by what it was told, up to `revision` of an epoch."""

    epoch: Epoch
    revision: int
    objects: State

    def take(self, revision: int, old: tuple[str, int] | None, new: tuple[str, int] | None) -> None:
        """One event of a watch."""
        assert revision > self.revision, f"a watch went back from {self.revision} to {revision}"
        self.revision = revision
        if new is not None:
            assert new[0] not in self.objects or old is not None, f"{new[0]} was added twice"
            self.objects[new[0]] = new[1]
        elif old is not None:
            self.objects.pop(old[0], None)
