"""Tokens of identity providers in the proxy: asked once, kept within bounds, and never for longer than they hold."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from services.proxy import tokens
from services.proxy.authn import REFUSED, Authenticator, CachedCredential, ProviderVersion
from services.proxy.tokens import REFUSED_S, UNKNOWN_PER_SECOND, Tokens, network
from skerry.api.messages import TokenReviewAnswer
from skerry.errors import GatewayTimeout, ServiceUnavailable, StatusError, TooManyRequests, Unauthorized

CORP = ProviderVersion("corp", "u1", 1)


class World:
    """Tokens, a tenancy that answers as a test says, and a clock that is told the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stored: ProviderVersion | None = CORP
        self.answer: TokenReviewAnswer | StatusError = answer()
        self.asked: list[str] = []
        self.waits: asyncio.Event | None = None
        self.catches_up_to: ProviderVersion | None = None
        self.tokens = Tokens(self._ask, lambda name: self.stored, self._caught_up, lambda: self.now, lambda: self.now)

    async def _ask(self, token: str) -> TokenReviewAnswer:
        self.asked.append(token)
        if self.waits is not None:
            await self.waits.wait()
        if isinstance(self.answer, StatusError):
            raise self.answer
        return self.answer

    async def _caught_up(self) -> None:
        if self.catches_up_to is not None:
            self.stored = self.catches_up_to

    async def show(self, token: str = "t", address: str = "192.0.2.1") -> CachedCredential:
        name = f"token:{token}"
        return self.tokens.get(name) or await self.tokens.review(name, token, address)


def answer(
    user: str = "alice", *, generation: int = 1, groups: tuple[str, ...] = (), refused: str = ""
) -> TokenReviewAnswer:
    return TokenReviewAnswer(
        user=user, groups=groups, issued=990.0, expires=2000.0, provider="corp", provider_uid="u1",
        provider_generation=generation, refused=refused,
    )  # fmt: skip


async def test_a_token_is_asked_for_once_until_it_ends() -> None:
    world = World()
    first = await world.show()
    assert (first.caller.user, first.expires, first.issued, first.provider) == ("alice", 2000.0, 990.0, CORP)
    assert await world.show() is first
    assert world.asked == ["t"]
    world.now = 2000.0
    await world.show()
    assert world.asked == ["t", "t"]


async def test_a_provider_that_changed_has_its_tokens_asked_for_again() -> None:
    world = World()
    await world.show()
    world.stored, world.answer = CORP._replace(generation=2), answer("bob", generation=2)
    assert (await world.show()).caller.user == "bob"
    world.stored = None
    assert world.tokens.get("token:t") is None


async def test_an_answer_by_a_provider_that_is_not_known_yet_is_believed_when_it_is() -> None:
    world = World()
    world.answer = answer(generation=2)
    world.catches_up_to = CORP._replace(generation=2)
    assert (await world.show()).provider == world.catches_up_to


async def test_an_answer_by_a_provider_that_has_changed_meanwhile_is_not_believed() -> None:
    world = World()
    world.stored = CORP._replace(generation=2)
    with pytest.raises(ServiceUnavailable, match="being changed"):
        await world.show()
    assert len(world.tokens) == 0


async def test_who_shows_the_same_new_token_at_once_waits_for_one_answer_also_when_the_first_leaves() -> None:
    world = World()
    world.waits = asyncio.Event()
    shows = [asyncio.create_task(world.show()) for _ in range(30)]
    await asyncio.sleep(0)
    shows[0].cancel()
    await asyncio.sleep(0)
    world.waits.set()
    results = await asyncio.gather(*shows, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {result.caller.user for result in results[1:] if isinstance(result, CachedCredential)} == {"alice"}
    assert world.asked == ["t"]


async def test_a_refused_token_is_refused_for_some_seconds_without_a_question_or_a_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.answer = answer(refused="its signature does not hold")
    for _ in range(100):
        with pytest.raises(Unauthorized) as caught:
            await world.show()
        assert caught.value.message == REFUSED
    assert world.asked == ["t"]
    assert [getattr(record, "reason", "") for record in caplog.records] == ["its signature does not hold"]
    world.now += REFUSED_S
    world.answer = answer()
    assert (await world.show()).caller.user == "alice"


@pytest.mark.parametrize("error", [ServiceUnavailable("nobody listens"), GatewayTimeout("no answer")])
async def test_while_tenancy_is_away_known_tokens_work_and_new_ones_are_503(error: StatusError) -> None:
    world = World()
    known = await world.show()
    world.answer = error
    assert await world.show() is known
    with pytest.raises(ServiceUnavailable, match="cannot be checked now"):
        await world.show("new")
    world.answer = answer()
    await world.show("new")


async def test_an_address_shows_so_many_unknown_tokens_in_a_second() -> None:
    world = World()
    for number in range(UNKNOWN_PER_SECOND):
        await world.show(f"a{number}")
    with pytest.raises(TooManyRequests):
        await world.show("more")
    await world.show("a0")
    await world.show("b", "192.0.2.2")
    world.now += 1
    await world.show("more")


def test_of_ipv6_a_client_has_a_network() -> None:
    assert network("2001:db8::1") == network("2001:db8::2:3:4:5") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("") == ""


async def test_what_is_known_is_bounded_and_what_was_used_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KEPT", 3)
    world = World()
    for number in range(3):
        await world.show(str(number), f"192.0.2.{number}")
    await world.show("0")
    await world.show("3")
    assert [world.tokens.get(f"token:{number}") is not None for number in range(4)] == [True, False, True, True]
    monkeypatch.setattr(tokens, "KEPT_BYTES", 20_000)
    world.answer = answer(groups=tuple(f"group-{number}" for number in range(150)))
    await world.show("large")
    assert len(world.tokens) <= 3
    await world.show("larger")
    assert len(world.tokens) == 1


async def test_refusals_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KEPT", 2)
    world = World()
    world.answer = answer(refused="no")
    for number in range(4):
        with pytest.raises(Unauthorized):
            await world.show(str(number), f"192.0.2.{number}")
    with pytest.raises(Unauthorized):
        await world.show("0")
    assert world.asked == ["0", "1", "2", "3", "0"]


def test_what_verifies_signatures_is_not_in_the_front_door() -> None:
    code = (
        "import sys, services.tower.__main__; print(*({'jwt', 'cryptography', 'services.tenancy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == ""


def of_the_cluster(fresh_until: float) -> TokenReviewAnswer:
    return TokenReviewAnswer(user="serviceaccount:a:b", issued=990.0, expires=2000.0, fresh_until=fresh_until)


async def test_a_token_of_the_hosts_cluster_is_asked_for_again_and_holds_while_it_cannot_be() -> None:
    world = World()
    world.answer = of_the_cluster(1060.0)

    async def show() -> CachedCredential:
        return await world.tokens.of("token:t", lambda: "t", "192.0.2.1")

    known = await show()
    assert known.provider is None
    assert await show() is known
    world.now = 1060.0
    world.answer = ServiceUnavailable("tenancy is away")
    assert await show() is known
    world.answer = of_the_cluster(1120.0)
    assert (await show()).fresh_until == 1120.0
    assert world.asked == ["t"] * 3
    world.now = 1120.0
    world.answer = TokenReviewAnswer(refused="the pod is gone")
    with pytest.raises(Unauthorized):
        await show()
    assert world.tokens.refused("token:t")
    assert not Authenticator(lambda name: None, lambda: world.now, refused=world.tokens.refused).holds(known)
    assert world.tokens.get("token:t") is None
    world.answer = ServiceUnavailable("tenancy is away")
    world.now += REFUSED_S
    with pytest.raises(ServiceUnavailable):
        await show()
