"""What agents are told of the trust root, and what is noted of them: heartbeats in, statements and secrets out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.registry import trust
from services.registry.model import Now
from services.registry.trust import Trust
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.nkey import KeyPair
from skerry.identity.trust import check_statement


class Secrets:
    """Keeps what it is told to note."""

    def __init__(self) -> None:
        self.noted: dict[str, dict[str, str]] = {}

    async def believes(self, name: str, roots: dict[str, str]) -> None:
        self.noted[name] = roots


class World:
    """A registry with nothing but keys, at a time of ours."""

    def __init__(self, directory: Path) -> None:
        Authority.create("isle").save(directory)
        self.files, self.authority = KeyFiles(directory), Authority.load(directory)
        self.secrets, self.now, self.asked = Secrets(), 0.0, list[str]()
        self.add = self.asked.append
        context: Any = self
        self.trust = Trust(context, context, lambda: Now(self.now, self.now))

    def controller(self, name: str, reconcile: object) -> World:
        return self

    def heard(self, agent: str, *roots: str, after_s: float = trust.LOOK_S) -> str:
        self.now += after_s
        return self.trust.heard("m1", agent, roots)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def nobody() -> KeyPair:
    raise AssertionError


async def test_who_believes_what_it_should_is_told_nothing_and_noted_while_a_root_is_replaced(world: World) -> None:
    (old,) = world.authority.trust_roots()
    assert world.heard("UA", old) == ""
    assert world.asked == []
    world.files.begin("assertion", nobody, 1.0)
    statement = world.heard("UA", old)
    both = check_statement(statement, (old,))
    assert both == world.authority.trust_roots()
    assert world.asked == []
    for _ in range(3):
        assert world.heard("UA", *both) == ""
    assert world.asked == ["m1"]
    await world.trust.reconcile("m1")
    assert world.secrets.noted == {"m1": {"UA": both[1]}}
    await world.trust.reconcile("m2")
    assert list(world.secrets.noted) == ["m1"]


def test_after_the_end_the_statement_is_by_the_new_root(world: World) -> None:
    (old,) = world.authority.trust_roots()
    world.files.begin("assertion", nobody, 1.0)
    both = world.authority.trust_roots()
    for step in (world.files.use, world.files.disbelieve):
        step("assertion")
    assert check_statement(world.heard("UA", *both), both) == (both[1],)
    world.files.end("assertion")
    assert check_statement(world.heard("UA", *both), (both[1],)) == (both[1],)
    assert world.heard("UA", both[1]) == ""
    assert world.heard("UB", old) != ""


def test_who_knows_nothing_of_replacements_is_told_nothing(world: World) -> None:
    world.files.begin("assertion", nobody, 1.0)
    assert world.heard("UA") == ""
    assert world.asked == []


def test_keys_are_looked_at_twice_a_second(world: World) -> None:
    (old,) = world.authority.trust_roots()
    assert world.heard("UA", old) == ""
    world.files.begin("assertion", nobody, 1.0)
    assert world.heard("UA", old, after_s=trust.LOOK_S / 2) == ""
    assert world.heard("UA", old, after_s=trust.LOOK_S / 2) != ""


def test_a_member_fills_no_memory_with_names_of_agents(world: World) -> None:
    world.files.begin("assertion", nobody, 1.0)
    both = world.authority.trust_roots()
    for number in range(2 * trust.MOST):
        world.heard(f"U{number}", *both)
    assert len(world.trust._heard["m1"]) == trust.MOST == len(world.asked)
