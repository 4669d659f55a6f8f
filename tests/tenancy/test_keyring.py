"""Keys of a provider: when they are fetched, how long they serve, and what is said of one that cannot be asked."""

from __future__ import annotations

import asyncio
import json
from email.utils import formatdate
from typing import Any

import msgspec
import pytest

from services.tenancy.keyring import AWAY_S, LONGEST_S, SHORTEST_S, USUAL_S, KeyRing, KeyRings, fresh_s, policy
from skerry.http.outbound import Fetched, OutboundError, OutboundPolicy, OutboundProblem
from skerry.httpwire.addresses import AddressPolicy
from skerry.httpwire.head import Headers
from tests.tenancy.tokens import ISSUER, JWKS, NOW, RSA, SPEC, jwk

CONFIGURATION, WHERE = f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"
GOOD: dict[str, Any] = {CONFIGURATION: {"issuer": ISSUER, "jwks_uri": WHERE}, WHERE: JWKS}


class World:
    """A provider as `fetch` would show it, and a clock that is told the time."""

    def __init__(self) -> None:
        self.now = NOW
        self.answers = dict(GOOD)
        self.headers: Headers = []
        self.asked: list[str] = []
        self.failure: OutboundError | None = None
        self.ring = KeyRing("corp", lambda: self.now, self.fetch)

    async def fetch(self, url: str, policy: OutboundPolicy, *, ca_pem: str = "") -> Fetched:
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        answer = self.answers[url]
        return Fetched(self.headers, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), "127.0.0.1")

    async def refreshed(self) -> tuple[str, str]:
        await self.ring.refresh(SPEC)
        return self.ring.verdict.status, self.ring.verdict.reason

    def fails(self, problem: OutboundProblem = "Unreachable") -> None:
        self.failure = OutboundError(problem, "it does not answer")


async def test_keys_are_fetched_when_they_are_due_and_not_before() -> None:
    world = World()
    assert world.ring.verdict.status == "Unknown"
    assert not world.ring.usable
    assert await world.refreshed() == ("True", "KeysFetched")
    assert world.ring.usable
    assert world.asked == [CONFIGURATION, WHERE]
    world.now += USUAL_S - 1
    await world.refreshed()
    assert len(world.asked) == 2
    world.now += 1
    await world.refreshed()
    assert len(world.asked) == 4


async def test_who_comes_at_once_waits_for_one_fetch() -> None:
    world = World()
    await asyncio.gather(*(world.ring.refresh(SPEC) for _ in range(20)))
    assert len(world.asked) == 2


async def test_an_unknown_key_has_them_fetched_again_every_ten_seconds_at_most() -> None:
    world = World()
    await world.refreshed()
    world.answers[WHERE] = {"keys": [jwk(RSA, "rotated")]}
    await asyncio.gather(*(world.ring.look_again(SPEC) for _ in range(20)))
    assert "rotated" not in world.ring.keys
    world.now += 10
    await asyncio.gather(*(world.ring.look_again(SPEC) for _ in range(20)))
    assert set(world.ring.keys) == {"rotated"}
    assert len(world.asked) == 4


async def test_old_keys_serve_a_day_while_the_provider_is_away() -> None:
    world = World()
    await world.refreshed()
    world.fails()
    world.now += USUAL_S
    assert await world.refreshed() == ("True", "DiscoveryFailed")
    assert "serve until" in world.ring.verdict.message
    assert world.ring.usable
    world.now += AWAY_S - 1
    assert world.ring.usable
    world.now += 1
    assert not world.ring.usable
    assert world.ring.verdict.status == "False"
    world.failure = None
    assert await world.refreshed() == ("True", "KeysFetched")


async def test_pauses_after_failures_grow_and_are_short_at_first() -> None:
    world = World()
    world.fails()
    pauses = []
    for _ in range(12):
        await world.refreshed()
        pauses.append(world.ring.due - world.now)
        world.now = world.ring.due
    assert pauses[0] <= 1.0
    assert max(pauses) <= 60.0
    assert pauses[-1] >= 20.0


@pytest.mark.parametrize(
    ("changes", "reason", "text"),
    [
        ({CONFIGURATION: {"issuer": "https://evil.example", "jwks_uri": WHERE}}, "DiscoveryFailed", "calls itself"),
        ({CONFIGURATION: {"issuer": ISSUER + "/", "jwks_uri": WHERE}}, "DiscoveryFailed", "exactly that"),
        ({CONFIGURATION: {"jwks_uri": WHERE}}, "DiscoveryFailed", "calls itself None"),
        ({CONFIGURATION: {"issuer": ISSUER}}, "DiscoveryFailed", "jwks_uri"),
        ({CONFIGURATION: {"issuer": ISSUER, "jwks_uri": [WHERE]}}, "DiscoveryFailed", "jwks_uri"),
        ({CONFIGURATION: b"<html>"}, "DiscoveryFailed", "no JSON"),
        ({CONFIGURATION: b"[" * 100_000}, "DiscoveryFailed", "no JSON"),
        ({CONFIGURATION: b"\xff"}, "DiscoveryFailed", "no JSON"),
        ({CONFIGURATION: []}, "DiscoveryFailed", "no object"),
        ({WHERE: b"nothing"}, "KeysFailed", "no JSON"),
        ({WHERE: {"keys": {}}}, "KeysFailed", "no set of keys"),
        ({WHERE: {"keys": []}}, "NoKeys", "has no key that can be used (0 that cannot)"),
        ({WHERE: {"keys": [{"kty": "oct", "kid": "x", "k": "AA"}]}}, "NoKeys", "1 that cannot"),
    ],
)
async def test_what_is_wrong_with_a_provider_is_said(changes: dict[str, Any], reason: str, text: str) -> None:
    world = World()
    world.answers |= changes
    assert await world.refreshed() == ("False", reason)
    assert text in world.ring.verdict.message


@pytest.mark.parametrize(
    ("problem", "reason"), [("TLS", "TLSFailed"), ("TooLarge", "DiscoveryFailed"), ("Redirect", "DiscoveryFailed")]
)
async def test_what_kept_it_from_being_fetched_is_said(problem: OutboundProblem, reason: str) -> None:
    world = World()
    world.fails(problem)
    assert await world.refreshed() == ("False", reason)
    assert world.ring.verdict.message == "it does not answer"


@pytest.mark.parametrize(("by_s", "status"), [(0, "True"), (59, "True"), (-120, "False"), (120, "False")])
async def test_a_clock_that_is_wrong_is_said(by_s: float, status: str) -> None:
    world = World()
    world.headers = [(b"date", formatdate(NOW + by_s, usegmt=True).encode())]
    assert (await world.refreshed())[0] == status
    said = "this host's: tokens are refused beyond 60 s" in world.ring.verdict.message
    assert said == (status == "False")


async def test_what_tokens_show_is_said_for_an_hour() -> None:
    world = World()
    await world.refreshed()
    world.now += 10
    assert world.ring.says("GroupsLeftOut")
    assert not world.ring.says("GroupsLeftOut")
    assert (world.ring.verdict.status, world.ring.verdict.reason) == ("True", "GroupsLeftOut")
    assert "have it send only the groups that are assigned to this client" in world.ring.verdict.message
    assert world.ring.says("ClockSkew")
    assert (world.ring.verdict.status, world.ring.verdict.reason) == ("False", "ClockSkew")
    assert "its tokens begin in the future: its clock or this host's is wrong" in world.ring.verdict.message
    world.now += 3601
    assert world.ring.verdict.reason == "KeysFetched"


@pytest.mark.parametrize(
    ("said", "fresh"),
    [
        (b"", USUAL_S),
        (b"public", USUAL_S),
        (b"max-age=7200", 7200.0),
        (b"public, max-age=7200, must-revalidate", 7200.0),
        (b'MAX-AGE="7200"', 7200.0),
        (b"max-age=1", SHORTEST_S),
        (b"max-age=999999999", LONGEST_S),
        (b"max-age=99999999999999999999", LONGEST_S),
        (b"no-store", SHORTEST_S),
        (b"no-cache, max-age=7200", SHORTEST_S),
        (b"s-maxage=7200", USUAL_S),
        (b"max-age=-5", USUAL_S),
        (b"max-age=x", USUAL_S),
    ],
)
def test_keys_live_as_their_cache_header_says_within_bounds(said: bytes, fresh: float) -> None:
    assert fresh_s([(b"cache-control", said)] if said else []) == fresh


@pytest.mark.parametrize(
    ("age", "fresh"), [(b"600", 6600.0), (b"x", 7200.0), (b"7200", SHORTEST_S), (b"9" * 30, 7200.0)]
)
def test_the_age_in_a_cache_is_taken_off(age: bytes, fresh: float) -> None:
    assert fresh_s([(b"cache-control", b"max-age=7200"), (b"age", age)]) == fresh


def test_only_a_provider_that_says_so_is_looked_for_on_this_machine() -> None:
    here = msgspec.structs.replace(SPEC, issuer="http://localhost:5556/dex")
    assert policy(here).addresses == AddressPolicy(private=True, loopback=True)
    assert policy(here).plain_on_loopback
    assert policy(SPEC).addresses == AddressPolicy(private=True)
    assert not policy(SPEC).plain_on_loopback


def test_a_provider_with_another_issuer_or_authority_starts_over() -> None:
    rings = KeyRings(lambda: NOW)
    ring = rings.ring("corp", "u1", SPEC)
    assert rings.ring("corp", "u1", msgspec.structs.replace(SPEC, audiences=["other"])) is ring
    assert rings.ring("corp", "u1", msgspec.structs.replace(SPEC, issuer="https://other.example")) is not ring
    again = rings.ring("corp", "u2", SPEC)
    assert again is not ring
    rings.forget("corp")
    assert rings.ring("corp", "u2", SPEC) is not again
