"""Which clusters run while which are lent, without any cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kube.member import Member
from tests.kube.pool import PLAIN, Pool


class Started:
    """Provides nothing but names, and keeps those that run."""

    description = "names"

    def __init__(self) -> None:
        self.running: set[str] = set()

    def _member(self, name: str, directory: Path = Path()) -> Member:
        self.running.add(name)
        return Member(name=name, kubeconfig=directory, url="", uid=name)

    def members(self, names: Iterable[str]) -> dict[str, Member]:
        """At once."""
        return {name: self._member(name) for name in names}

    def stop(self, name: str) -> None:
        """At once."""
        self.running.discard(name)

    @contextmanager
    def plain(self, directory: Path, name: str = PLAIN) -> Iterator[Member]:
        """At once."""
        yield self._member(name, directory)
        self.stop(name)

    def close(self) -> None:
        """All."""
        self.running.clear()


def test_what_nobody_uses_ends_when_another_is_lent() -> None:
    started = Started()
    pool = Pool(started, Path)
    with pool.lease("one", ["one", "two"]), pool.lease("two", ["one", "two"]):
        assert started.running == {"one", "two"}
    assert pool.idle
    with pool.lease(PLAIN):
        assert started.running == {PLAIN}
    with pool.lease("one", ["one", "two"]):
        assert started.running == {"one", "two"}
        with pool.lease(PLAIN):
            assert started.running == {"one", PLAIN}
    pool.close()
    assert not started.running
