"""Tenancy's answers about tokens: which provider is asked, and what is done when its keys are not at hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.tenancy.controllers import TenancyContext
from services.tenancy.hosttokens import HostTokens
from services.tenancy.keyring import KeyRings
from services.tenancy.tokenreviews import review
from skerry.api.messages import TokenReview, TokenReviewAnswer
from skerry.errors import ServiceUnavailable
from skerry.http.outbound import OutboundError
from tests.tenancy import test_keyring, tokens
from tests.tenancy.test_hosttokens import ApiServer
from tests.tenancy.test_providers import provider

WHERE = test_keyring.WHERE


class World(test_keyring.World):
    """A tenancy with one provider, whose keys and clock a test says."""

    def __init__(self, *others: dict[str, Any]) -> None:
        super().__init__()
        self.rings = KeyRings(lambda: self.now, self.fetch)
        self.told: list[str] = []
        self.host_tokens: HostTokens | None = None
        self.rings.changed = self.told.append
        self.stored = [provider(issuer=tokens.ISSUER, groups={"claim": "groups"}), *others]

    async def current(self) -> int:
        return 1

    def list(self, kind: object) -> list[Any]:
        return [SimpleNamespace(name=each["metadata"]["name"], document=lambda each=each: each) for each in self.stored]

    async def review(self, token: str) -> TokenReviewAnswer:
        context = SimpleNamespace(informer=self, state=SimpleNamespace(rings=self.rings, host_tokens=self.host_tokens))
        return await review(cast(TenancyContext, context), TokenReview(token=token), lambda: self.now)


async def test_the_answer_says_whom_and_by_which_provider() -> None:
    world = World()
    world.stored[0]["metadata"]["generation"] = 7
    answer = await world.review(tokens.token())
    assert (answer.user, answer.groups, answer.refused) == ("alice", ("org:shop", "ops"), "")
    assert (answer.provider, answer.provider_uid, answer.provider_generation) == ("corp", "u1", 7)


async def test_keys_that_are_rotated_are_found_by_the_first_token_that_is_signed_with_them() -> None:
    world = World()
    await world.review(tokens.token())
    world.answers[WHERE] = {"keys": [tokens.jwk(tokens.EC, "new")]}
    fresh = tokens.signed(tokens.claims(), key=tokens.EC, header={"alg": "ES256", "kid": "new"})
    assert (await world.review(fresh)).refused
    world.now += 10
    assert (await world.review(fresh)).user == "alice"
    assert "does not have" in (await world.review(tokens.token())).refused


async def test_without_keys_nobody_is_refused_but_asked_to_come_again() -> None:
    world = World()
    world.fails()
    with pytest.raises(ServiceUnavailable, match="corp"):
        await world.review(tokens.token())
    world.failure = None
    world.now += 60
    assert (await world.review(tokens.token())).user == "alice"


async def test_while_a_provider_is_away_its_old_keys_serve() -> None:
    world = World()
    await world.review(tokens.token())
    world.failure = OutboundError("Unreachable", "it is away")
    world.now += 7200
    assert (await world.review(tokens.token(exp=world.now + 60))).user == "alice"


async def test_a_provider_that_is_going_or_set_aside_names_nobody() -> None:
    world = World()
    world.stored[0]["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert "no identity provider" in (await world.review(tokens.token())).refused
    older = provider("older", created="2029-01-01T00:00:00Z", issuer="https://other.example")
    assert "no identity provider" in (await World(older).review(tokens.token())).refused


async def test_what_tokens_show_of_a_provider_is_told_once() -> None:
    world = World()
    for _ in range(3):
        assert (await world.review(tokens.token(nbf=world.now + 100))).refused
        await world.review(tokens.token(groups=None, _claim_names={"groups": "x"}))
    assert world.told == ["corp", "corp"]


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 20_000])
async def test_what_is_no_token_is_refused_without_a_question(token: str) -> None:
    world = World()
    assert (await world.review(token)).refused
    assert world.asked == []


async def test_what_is_from_no_provider_is_asked_of_the_hosts_cluster_and_nothing_else() -> None:
    world = World()
    world.host_tokens = HostTokens(ApiServer("skerry"), lambda: world.now)
    for text in ("opaque", tokens.token(iss="https://kubernetes")):
        answer = await world.review(text)
        assert (answer.user, answer.provider) == ("serviceaccount:apps:deployer", "")
        assert answer.fresh_until <= world.now + 60
    assert (await world.review(tokens.token(aud="other"))).refused
    assert "longer than" in (await world.review("x" * 20_000)).refused
