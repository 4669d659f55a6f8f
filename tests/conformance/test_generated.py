"""Thousands of generated requests: the host API answers each as a real API server does, or `known` says why not.

A run plays the first quarter of what one seed draws, another seed each day; `make soak` plays all of every seed. A failure
prints its seed, and `SKERRY_CONFORMANCE_SEED` chooses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable

import pytest

from tests.conformance import replay, requests
from tests.conformance.choices import drawn
from tests.conformance.differences import Difference, difference, report
from tests.conformance.known import KNOWN, Known, unknown
from tests.conformance.replay import Played
from tests.conformance.requests import Request
from tests.conformance.sides import Side

pytestmark = [pytest.mark.kube, pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

GIVEN = os.environ.get("SKERRY_CONFORMANCE_SEED")
SEEDS = (int(GIVEN),) if GIVEN else tuple(range(1, 10))
SEED = SEEDS[int(time.time()) // 86400 % len(SEEDS)]
AT_ONCE = 24
COUNTS = {"creates": 700, "updates": 600, "patches": 900, "deletes": 300, "strays": 80}
READS, COLLECTIONS = 550, 130
"""Requests that a seed draws; the first quarter of them are those that it draws when fewer are wanted."""
PART = 4


class Pair:
    """Both sides."""

    def __init__(self, theirs: Side, ours: Side) -> None:
        self.theirs = theirs
        self.ours = ours

    async def both(self, work: Callable[[Side], Awaitable[Played]]) -> tuple[Played, Played]:
        """The same on both."""
        first, second = await asyncio.gather(work(self.theirs), work(self.ours))
        return first, second

    async def populated(self, *, anew: bool = False) -> None:
        """The population is there on both; `anew`: and nothing else."""
        if anew:
            await asyncio.gather(replay.emptied(self.theirs), replay.emptied(self.ours))
        await asyncio.gather(replay.populated(self.theirs), replay.populated(self.ours))


@pytest.fixture
def sides(apiserver: Side, lasting_host: Side) -> Pair:
    """Both."""
    return Pair(apiserver, lasting_host)


Play = Callable[[Request], Awaitable[Difference | None]]


async def at_once(wanted: Iterable[Request], play: Play) -> list[Difference]:
    """Play many requests at the same time; what differs."""
    found: list[Difference] = []
    left = iter(wanted)

    async def work() -> None:
        for request in left:
            one = await play(request)
            if one is not None:
                found.append(one)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    return found


async def read(sides: Pair, wanted: Iterable[Request], *, anew: bool = True) -> list[Difference]:
    """Play reads of the population; `anew`: nothing else is there."""
    await sides.populated(anew=anew)

    async def play(request: Request) -> Difference | None:
        return difference(request, *await sides.both(lambda side: replay.among(side, request)))

    return await at_once(wanted, play)


async def cleared(sides: Pair, wanted: Iterable[Request]) -> list[Difference]:
    """Play deletions of the population, one after the other; each finds all of it."""
    await sides.populated(anew=True)
    found = []
    for request in wanted:
        await sides.populated()
        found.append(difference(request, *await sides.both(lambda side: replay.among(side, request))))  # noqa: B023
    return [each for each in found if each is not None]


async def changed(sides: Pair, wanted: Iterable[Request]) -> list[Difference]:
    """Play requests about objects of their own."""
    alone, names = asyncio.Lock(), itertools.count()
    run = secrets.token_hex(4)

    async def play(request: Request) -> Difference | None:
        name = f"g{run}-{next(names)}"
        async with alone if _names_another(request) else contextlib.nullcontext():
            return difference(request, *await sides.both(lambda side: replay.one(side, request, name)))

    return await at_once(wanted, play)


def _names_another(request: Request) -> bool:
    """Whether a create may take a name that is not the request's own: two of them at once would meet."""
    return request.method == "POST" and any("metadata" in each for each in request.odd)


def check(found: list[Difference], number: int) -> None:
    """Fails with every difference that is not known."""
    fresh = unknown(found)
    if fresh:
        text = f"{len(fresh)} requests of the seed {number} are answered differently"
        pytest.fail(f"{text}:\n{report(fresh)}", pytrace=False)


@pytest.mark.timeout(300)
async def test_reads_are_answered_alike(sides: Pair) -> None:
    check(await read(sides, drawn(requests.reads(), READS // PART, SEED)), SEED)


@pytest.mark.timeout(300)
async def test_collections_are_deleted_alike(sides: Pair) -> None:
    check(await cleared(sides, drawn(requests.collections(), COLLECTIONS // PART, SEED)), SEED)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("verb", COUNTS)
async def test_writes_are_answered_alike(sides: Pair, verb: str) -> None:
    check(await changed(sides, drawn(requests.BY_NAME[verb](), COUNTS[verb] // PART, SEED)), SEED)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_all_of_every_seed_are_answered_alike(sides: Pair) -> None:
    for number in SEEDS:
        found = await read(sides, drawn(requests.reads(), READS, number))
        found += await cleared(sides, drawn(requests.collections(), COLLECTIONS, number))
        for verb, count in COUNTS.items():
            found += await changed(sides, drawn(requests.BY_NAME[verb](), count, number))
        check(found, number)


@pytest.mark.timeout(300)
async def test_what_is_known_still_differs(sides: Pair) -> None:
    about_all = [entry for entry in KNOWN if entry.example.state == "population"]
    others = [entry for entry in KNOWN if entry not in about_all]
    found = await read(sides, [entry.example for entry in about_all], anew=False)
    found += await changed(sides, [entry.example for entry in others])
    by_request = {each.request: each for each in found}
    stale = [entry for entry in KNOWN if not _holds(entry, by_request.get(entry.example))]
    told = [f"{entry.why}: {entry.theirs} | {entry.ours}, but {by_request.get(entry.example)}" for entry in stale]
    assert not stale, "\n".join(told)


def _holds(entry: Known, found: Difference | None) -> bool:
    return found is not None and entry.matches(found)
