"""The clusters of one process of the run: lent to one module of tests after another, each time clean.

Each cluster is started when it is asked for the first time, and stopped when the next one that is lent is another, or none:
an idle control plane takes 3 % of a core, with a node 5. What was left on it is deleted when it is given back; where that is too much or does
not end in time, or where something is missing that was there when it started, it is stopped and made anew. All of a cluster dies with the
process that started it (see `skerry.localkube.process`), so a worker that crashes leaves nothing; how many workers have
clusters is decided where modules are dealt out (`tests/fixtures/suites.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tests.kube.contents import Contents, Janitor
from tests.kube.member import Member
from tests.kube.provider import Provider

PLAIN = "plain"
MANY = 500
"""Objects beyond which a new cluster costs less than their deletion, one request each."""
_CLEAN_S = 45.0
_POLL_S = 0.2


@dataclass(frozen=True)
class _Cluster:
    """One that runs; `before` is what was on it then, None where it is not ours to clean."""

    member: Member
    before: Contents | None
    stop: Callable[[], None]


class Pool:
    """Lends clusters with and without a node; `directory` makes places for the latter."""

    def __init__(self, provider: Provider, directory: Callable[[], Path]) -> None:
        self.provider = provider
        self._directory = directory
        self._running: dict[str, _Cluster] = {}
        self._lent: set[str] = set()
        self._along: set[str] = set()
        """Started with another, and not lent yet."""

    @property
    def idle(self) -> bool:
        """Whether clusters run, and none is lent."""
        return bool(self._running) and not self._lent

    @contextmanager
    def lease(self, name: str, along: Iterable[str] = ()) -> Iterator[Member]:
        """A clean cluster: `plain`, or a member with a node; `along` are members that are started at the same time."""
        assert name not in self._lent, f"cluster {name} is lent already"
        for idle in (self._running.keys() | self._along) - self._lent - {name, *along}:
            self._stop(idle)
        lent = self._clean(name) or self._start(name, along)
        self._lent.add(name)
        try:
            yield lent.member
        finally:
            self._lent.remove(name)
            if lent.before is not None:  # `_clean` waits for what does not go at once
                _removed(lent.member, lent.before, until=0)

    def close(self) -> None:
        """Stop all."""
        for name in list(self._running):
            self._stop(name)
        self._along.clear()
        self.provider.close()

    def _stop(self, name: str) -> None:
        if name in self._running:
            self._running.pop(name).stop()
        else:
            self._along.discard(name)
            self.provider.stop(name)

    def _start(self, name: str, along: Iterable[str]) -> _Cluster:
        if name == PLAIN:
            opened = ExitStack()
            member = opened.enter_context(self.provider.plain(self._directory()))
            stop: Callable[[], None] = opened.close
        else:
            self._along |= set(along) - self._running.keys() - {name}
            member = self.provider.members([name, *self._along])[name]
            self._along.discard(name)
            stop = lambda: self.provider.stop(name)  # noqa: E731
        self._running[name] = cluster = _Cluster(member, _contents(member), stop)
        return cluster

    def _clean(self, name: str) -> _Cluster | None:
        """The running one when it is as at its start; stopped, and None, when it does not become so."""
        cluster = self._running.get(name)
        if cluster is None or cluster.before is None:
            return cluster
        if _removed(cluster.member, cluster.before, until=time.monotonic() + _CLEAN_S):
            return cluster
        self._stop(name)
        return None


def _contents(member: Member) -> Contents | None:
    if not member.token:
        return None
    janitor = Janitor(member)
    try:
        return janitor.contents()
    finally:
        janitor.close()


def _removed(member: Member, before: Contents, *, until: float) -> bool:
    """Whether everything is as it was by then; what is left is deleted, at least once."""
    try:
        janitor = Janitor(member)
        try:
            while True:
                now = janitor.contents()
                if missing := before.objects.keys() - now.objects.keys():
                    print(f"cluster {member.name} lacks {', '.join(sorted(missing))}")
                    return False
                left = now.left(before)
                if not left and not now.marks():
                    return True
                if len(left) > MANY:
                    print(f"cluster {member.name} has {len(left)} objects too many: another is started in its place")
                    return False
                janitor.remove(now, before)
                janitor.unmark(now)
                if time.monotonic() > until:
                    print(f"cluster {member.name} still has {', '.join([*left, *now.marks()])}")
                    return False
                time.sleep(_POLL_S)
        finally:
            janitor.close()
    except (OSError, HTTPException, RuntimeError) as error:
        print(f"cluster {member.name} cannot be cleaned: {error}")
        return False
