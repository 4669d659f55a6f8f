"""What one member should have, as its applier knows it: revisions, order, what waits for what, and what to report. Pure.

Of an entry its key, revision, digest and state are held, never its content: 5,000 of them are a few MiB, and what has to
be applied again is asked for again. Times are given, nothing here reads a clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from skerry.api.desired import ENTRIES, MESSAGE, PROBLEMS, SETTLED, Options, Problem, Report, State
from skerry.subjects import COMPLETE, DesiredKey, desired_key

_KINDS = {
    "agentsettings": 0,
    "namespace": 1,
    "customresourcedefinition": 2,
    "clusterrole": 3,
    "role": 4,
    "serviceaccount": 5,
    "resourcequota": 6,
    "limitrange": 6,
    "configmap": 7,
    "secret": 7,
    "rolebinding": 8,
    "clusterrolebinding": 8,
    "service": 9,
    "deployment": 11,
    "statefulset": 11,
    "daemonset": 11,
    "replicaset": 11,
    "replicationcontroller": 11,
    "pod": 11,
    "job": 11,
    "cronjob": 11,
}
"""What comes first in a batch. Withdrawals go the other way round."""
_OTHERS = 10


class Known:
    """One entry. `revision` is the one that is wanted; `tried` the one that `state` is about."""

    __slots__ = ("confirmed", "digest", "key", "message", "options", "previous", "revision", "since", "state", "tried")

    def __init__(self, key: DesiredKey) -> None:
        self.key = key
        self.revision = 0
        self.previous = -1
        self.tried = 0
        self.digest = ""
        """Empty for what is to be withdrawn."""
        self.options = Options()
        self.confirmed = True
        """Of a withdrawal: whether a sync said so too, or an owner's complete set has it not."""
        self.state = State.PENDING
        self.message = ""
        self.since = 0.0

    @property
    def wanted(self) -> bool:
        """Whether it is to be there."""
        return bool(self.digest)

    @property
    def rank(self) -> int:
        """Its place in a batch: what is wanted from the first kind to the last, then withdrawals from the last."""
        rank = _KINDS.get(self.key.kind, _OTHERS)
        return rank if self.wanted else 100 - rank


class EntryChange(NamedTuple):
    """An entry as the bucket has it; `digest` is empty if it was withdrawn."""

    key: str
    revision: int
    digest: str = ""
    previous: int = -1
    options: Options = Options()


class DesiredState:
    """All entries of one member, of one epoch of the bucket."""

    def __init__(self) -> None:
        self.epoch = ""
        self.synced = 0
        """Everything up to this revision is known."""
        self.entries: dict[str, Known] = {}
        self.complete: set[str] = set()
        """Owners whose whole set is in this epoch's bucket, and known here."""
        self._said: dict[str, int] = {}
        """Owner -> the revision at which it said that this is all; it counts once everything before it is known too."""
        self._untried: dict[int, set[str]] = defaultdict(set)
        """Rank -> keys that were not tried since they changed."""
        self._after: dict[str, set[str]] = defaultdict(set)
        """Key -> keys that come after it."""
        self._strays: set[str] = set()
        """Objects of ours on the member for which no entry is known, and whose owners are not complete."""

    # Changes

    def begin(self, epoch: str) -> None:
        """A bucket made anew: revisions start over, and no owner is complete before it says so."""
        if epoch == self.epoch:
            return
        self.epoch, self.synced = epoch, 0
        self.complete.clear()
        self._said.clear()
        for known in self.entries.values():
            known.revision = known.tried = 0
            known.previous = -1

    def take(self, change: EntryChange, *, confirmed: bool, now: float) -> bool:
        """Whether there is something to do for the key. False for what is known, older, or played again.

        A withdrawal that is not `confirmed` changes nothing yet: the caller syncs, and comes with what that says.
        """
        key = desired_key(change.key)
        if key.kind == COMPLETE and not key.group:
            self.complete.discard(key.owner) if not change.digest else self._said.update({key.owner: change.revision})
            return False
        known = self.entries.get(change.key)
        if known is not None and (change.revision <= known.revision or 0 <= change.previous < known.revision):
            return False
        if not change.digest and not confirmed:
            return True
        if known is None:
            if not change.digest:
                return False
            known = self.entries[change.key] = Known(key)
        same = known.digest == change.digest and known.state in SETTLED and bool(change.digest)
        self._forget_order(change.key, known)
        known.revision, known.previous = change.revision, change.previous
        known.digest, known.options, known.confirmed = change.digest, change.options, confirmed
        for first in change.options.after:
            self._after[first].add(change.key)
        if same:
            known.tried = change.revision
            return False
        known.state, known.message, known.since = State.PENDING, "", now
        self._untried[known.rank].add(change.key)
        return True

    def withdraw(self, text: str, now: float) -> None:
        """Have an entry withdrawn, by an order or since it is absent."""
        known = self.entries[text]
        self._forget_order(text, known)
        known.digest, known.confirmed = "", True
        known.state, known.message, known.since = State.PENDING, "", now
        self._untried[known.rank].add(text)

    def owned(self, text: str, now: float) -> bool:
        """An object of ours on the member for which no entry is known; it is withdrawn if its owner is complete, or as soon
        as it says so.

        Whether there is something to do.
        """
        if text in self.entries:
            return False
        if desired_key(text).owner not in self.complete:
            if len(self._strays) < ENTRIES:
                self._strays.add(text)
            return False
        self.stray(text, now)
        return True

    def stray(self, text: str, now: float) -> None:
        """Have an object of ours withdrawn for which no entry is known."""
        known = self.entries[text] = Known(desired_key(text))
        known.since = now
        self._untried[known.rank].add(text)

    def caught_up(
        self, last: int, now: float, *, listed: Collection[str] | None = None, disputed: Collection[str] = ()
    ) -> list[str]:
        """A sync has ended: everything up to revision `last` is known. `listed` is all that a full one had; `disputed` is
        there too, though nobody believes it.

        Keys of complete owners that are to be withdrawn: those that a full sync had not, those that this epoch's bucket never
        had though they are on the member, and objects of ours without an entry. What came live while the answer was on its
        way is none of them.
        """
        self.synced = max(self.synced, last)
        self.complete |= {owner for owner, revision in self._said.items() if revision <= self.synced}
        self._said = {owner: revision for owner, revision in self._said.items() if revision > self.synced}
        missing = {text for text, known in self.entries.items() if not known.revision} - set(disputed)
        if listed is not None:
            missing |= self.entries.keys() - set(listed)
        gone = [text for text in missing if self._may_be_absent(self.entries[text])]
        for text in gone:
            self.withdraw(text, now)
        strays = [text for text in self._strays if desired_key(text).owner in self.complete]
        self._strays.difference_update(strays)
        return gone + [text for text in strays if self.owned(text, now)]

    def _may_be_absent(self, known: Known) -> bool:
        return known.wanted and known.key.owner in self.complete and known.revision <= self.synced

    def again(self, text: str, now: float) -> None:
        """Something happened to it: it counts as not tried."""
        known = self.entries[text]
        known.since = now if known.state is State.APPLIED else known.since
        self._untried[known.rank].add(text)

    def disturb(self, text: str, now: float) -> None:
        """It was in place and is not any more, and stays so for a while."""
        known = self.entries[text]
        known.state, known.message, known.since = State.PENDING, "", now
        self._untried[known.rank].add(text)

    # Order

    def turn(self, text: str) -> bool:
        """Whether it may be tried now: everything of an earlier rank has been."""
        rank = self.entries[text].rank
        return not any(keys for earlier, keys in self._untried.items() if earlier < rank)

    def blocker(self, text: str) -> str:
        """The first entry that must be in place before; empty if there is none."""
        for first in self.entries[text].options.after:
            known = self.entries.get(first)
            if known is None or known.state is not State.APPLIED or known.tried != known.revision:
                return first
        return ""

    def settle(self, text: str, state: State, message: str, now: float) -> list[str]:
        """What became of it. Keys that may be tried now are returned: those of the next rank, and those after it."""
        known = self.entries[text]
        if known.state is not state:
            known.since = now
        known.state, known.message, known.tried = state, message[:MESSAGE], known.revision
        free = sorted(self._after.get(text, ())) if state is State.APPLIED else []
        ranked = self._untried[known.rank]
        ranked.discard(text)
        if not ranked:
            free += next((sorted(keys) for _, keys in sorted(self._untried.items()) if keys), [])
        if state is State.WITHDRAWN:
            self._forget_order(text, known)
            del self.entries[text]
        return [key for key in free if key in self.entries]

    def _forget_order(self, text: str, known: Known) -> None:
        self._untried[known.rank].discard(text)
        for first in known.options.after:
            self._after[first].discard(text)
            if not self._after[first]:
                del self._after[first]

    # What is told

    @property
    def applied(self) -> int:
        """Everything up to this revision was tried."""
        waits = [known.revision for known in self.entries.values() if known.tried < known.revision]
        return min((revision - 1 for revision in waits), default=self.synced)

    def select(self, test: Callable[[Known], bool]) -> Iterator[str]:
        """Keys of entries that a test is true of."""
        return (text for text, known in self.entries.items() if test(known))

    def report(self) -> Report:
        """What is said to the host: bounded, the oldest problems first."""
        counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        problems: list[tuple[float, str, Known]] = []
        for text, known in self.entries.items():
            counts[known.key.owner][known.state] += 1
            if known.state not in SETTLED:
                problems.append((known.since, text, known))
        problems.sort(key=lambda each: each[:2])
        return Report(
            epoch=self.epoch,
            applied=self.applied,
            counts={owner: dict(states) for owner, states in counts.items()},
            problems=tuple(_problem(*each) for each in problems[:PROBLEMS]),
            more=max(0, len(problems) - PROBLEMS),
        )


def in_order(keys: Iterable[str], state: DesiredState) -> list[str]:
    """Keys of a batch, the first to be tried first."""
    return sorted(keys, key=lambda text: (state.entries[text].rank, text))


def _problem(since: float, text: str, known: Known) -> Problem:
    return Problem(key=text, revision=known.revision, state=known.state, message=known.message, since=since)
