"""What the commands do with any key: begin, go on, wait, refuse, drop; and one of them at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from skerry.cli.failure import FAILED, TIMED_OUT, Failure
from skerry.cli.keys import rotation
from skerry.cli.keys.rotation import KeyStanding, Root, Show
from skerry.identity import nkey
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.nkey import KeyPair, KeyType


def quiet(text: str) -> None:
    """Nobody looks."""


def no_root() -> KeyPair:
    return nkey.create(KeyType.OPERATOR)


class OneKey:
    """A key that signs `total` things; `away` of them cannot move yet. It keeps what was done to it."""

    name = "test"

    def __init__(self, total: int = 3, away: int = 0) -> None:
        self.total, self.away = total, away
        self.rotating, self.moved, self.done = False, total, list[str]()

    def _now(self) -> KeyStanding:
        missing = tuple(f"member-{number}" for number in range(self.total - self.moved))
        state = rotation.state_of(rotating=self.rotating, moved=self.moved, total=self.total)
        return KeyStanding(key=self.name, made=0.0, state=state, moved=self.moved, total=self.total, missing=missing)

    async def look(self) -> KeyStanding:
        return self._now()

    async def begin(self, root: Root) -> None:
        if not self.rotating:
            self.rotating, self.moved = True, 0
        self.done.append("begin")

    async def move(self, show: Show) -> KeyStanding:
        self.moved = max(self.moved, self.total - self.away)
        self.done.append("move")
        return self._now()

    async def drop(self, show: Show) -> None:
        self.rotating, self.moved = False, self.total
        self.done.append("drop")


@pytest.mark.parametrize(
    ("rotating", "moved", "state"),
    [(False, 0, "in use"), (False, 3, "in use"), (True, 2, "moving"), (True, 3, "moved")],
)
def test_the_state_follows(rotating: bool, moved: int, state: str) -> None:
    assert rotation.state_of(rotating=rotating, moved=moved, total=3) == state


async def test_a_rotation_moves_all_and_keeps_the_old_key() -> None:
    key = OneKey()
    found = await rotation.rotate(key, no_root, 10.0, quiet)
    assert (found.state, found.moved, key.done) == ("moved", 3, ["begin", "move"])


async def test_a_rotation_that_waits_names_who_is_missing_and_goes_on_later() -> None:
    key, shown = OneKey(total=15, away=12), list[str]()
    with pytest.raises(
        Failure, match=r"3 of 15 moved.*member-0, .*and 2 more.*run it again.*keys rotate test"
    ) as failure:
        await rotation.rotate(key, no_root, 0.0, shown.append)
    assert failure.value.code == TIMED_OUT
    assert shown == [f"key test: 3 of 15 moved; missing: {key._now().lacking}"]
    key.away = 0
    assert (await rotation.rotate(key, no_root, 0.0, quiet)).state == "moved"


async def test_finish_refuses_while_somebody_would_be_lost_and_names_them() -> None:
    key = OneKey(away=1)
    await key.begin(no_root)
    with pytest.raises(Failure, match=r"1 of 3 would be lost.*member-0.*--drop-away") as failure:
        await rotation.finish(key, quiet, drop_away=False)
    assert failure.value.code == FAILED
    assert "drop" not in key.done
    await rotation.finish(key, quiet, drop_away=True)
    assert key.done[-1] == "drop"


async def test_what_is_done_is_told_once_and_nothing_that_was_refused() -> None:
    key, told = OneKey(away=1), list[tuple[str, str]]()

    async def tell(reason: str, what: str) -> None:
        told.append((reason, what))

    for _ in range(2):
        with pytest.raises(Failure, match="2 of 3 moved"):
            await rotation.rotate(key, no_root, 0.0, quiet, tell)
    assert told == [("KeyRotated", "has key test replaced: a new one stands beside the old one")]
    with pytest.raises(Failure, match="would be lost"):
        await rotation.finish(key, quiet, drop_away=False, tell=tell)
    assert len(told) == 1
    await rotation.finish(key, quiet, drop_away=True, tell=tell)
    assert told[1:] == [("OldKeyDropped", "dropped the old test key; lost with it: member-0")]


async def test_finish_moves_what_can_be_moved_by_then() -> None:
    key = OneKey()
    await key.begin(no_root)
    await rotation.finish(key, quiet, drop_away=False)
    assert key.done == ["begin", "move", "drop"]


async def test_finish_without_a_rotation_says_how_to_begin_one() -> None:
    key = OneKey()
    with pytest.raises(Failure, match=r"no rotation of key test is open.*keys rotate test"):
        await rotation.finish(key, quiet, drop_away=True)
    assert key.done == []


def test_two_at_once_are_refused_and_the_next_one_is_not(tmp_path: Path) -> None:
    refused = pytest.raises(Failure, match=r"another .*keys runs \(pid \d+\)")
    with rotation.alone(tmp_path), refused, rotation.alone(tmp_path):
        raise AssertionError
    with rotation.alone(tmp_path):
        pass


def test_rotations_that_are_open_are_known_from_the_files(tmp_path: Path) -> None:
    Authority.create().save(tmp_path)
    assert rotation.rotations(tmp_path) == {}
    (tmp_path / "secrets.previous.key").write_bytes(b"k" * 32)
    KeyFiles(tmp_path).begin("host", no_root, 5.0)
    found = rotation.rotations(tmp_path)
    assert sorted(found) == ["host", "secrets"]
    assert found["host"] == 5.0
