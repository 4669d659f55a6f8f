"""Tokens of delegations: one question at a time, used again while they last, and nothing remembered of a refusal."""

from __future__ import annotations

import asyncio

import pytest

from services.appstore.delegations import Delegations, is_revoked
from skerry.api.delegations import LIFE_S, REVOKED, DelegationAnswer, DelegationRequest, DelegationSubject
from skerry.errors import Forbidden, StatusError, cause

WEB = DelegationRequest(
    of=DelegationSubject(kind="AppRelease", namespace="shop", name="web", uid="u1"),
    user="alice", groups=("org:shop",), at="2026-01-01T00:00:00Z", clusters=("m1",),
)  # fmt: skip


class Tenancy:
    """Answers with a new token each time, when it is let."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[DelegationRequest] = []
        self.let = asyncio.Event()
        self.let.set()
        self.error: StatusError | None = None
        self.delegations = Delegations(self.ask, lambda: self.now)

    async def ask(self, request: DelegationRequest) -> DelegationAnswer:
        self.asked.append(request)
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return DelegationAnswer(token=f"t{len(self.asked)}", expires=self.now + LIFE_S)

    async def token(self, request: DelegationRequest = WEB, **more: float) -> str:
        return (await self.delegations.get(request, **more)).token


async def test_a_token_is_used_again_while_ten_minutes_remain() -> None:
    tenancy = Tenancy()
    for now, token in ((1000.0, "t1"), (1600.0, "t1"), (1600.1, "t2"), (2200.1, "t2"), (9000.0, "t3")):
        tenancy.now = now
        assert await tenancy.token() == token, now
    assert len(tenancy.delegations) == 1


async def test_what_takes_longer_gets_one_that_lasts() -> None:
    tenancy = Tenancy()
    assert await tenancy.token(for_s=900.0) == "t1"
    tenancy.now += 301.0
    assert await tenancy.token(for_s=900.0) == "t2"
    assert await tenancy.token() == "t2"
    for much in (LIFE_S, -1.0):
        with pytest.raises(ValueError, match="1200 s"):
            await tenancy.token(for_s=much)


async def test_who_asks_at_once_shares_the_question_and_may_leave() -> None:
    tenancy = Tenancy()
    tenancy.let.clear()
    first, second, third = (asyncio.create_task(tenancy.token()) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    tenancy.let.set()
    assert list(await asyncio.gather(second, third)) == ["t1", "t1"]
    assert (first.cancelled(), len(tenancy.asked)) == (True, 1)


@pytest.mark.parametrize(
    "other",
    [{"clusters": ("m2",)}, {"user": "bob"}, {"groups": ()}, {"at": "2026-01-01T00:00:01Z"}],
    ids=lambda other: next(iter(other)),
)
async def test_what_was_changed_or_is_elsewhere_has_a_token_of_its_own(other: dict[str, object]) -> None:
    tenancy = Tenancy()
    changed = DelegationRequest(**{**{name: getattr(WEB, name) for name in WEB.__struct_fields__}, **other})
    assert (await tenancy.token(), await tenancy.token(changed), await tenancy.token()) == ("t1", "t2", "t1")


async def test_a_refusal_is_told_to_all_who_wait_and_asked_about_again() -> None:
    tenancy = Tenancy()
    tenancy.error = Forbidden("no", causes=(cause("user", "no", REVOKED),))
    refused = await asyncio.gather(tenancy.token(), tenancy.token(), return_exceptions=True)
    assert [isinstance(each, StatusError) and is_revoked(each) for each in refused] == [True, True]
    assert not is_revoked(Forbidden("no"))
    tenancy.error = None
    assert await tenancy.token() == "t2"


async def test_a_token_that_a_front_door_refused_is_asked_for_anew_once() -> None:
    tenancy = Tenancy()
    token = await tenancy.token()
    tenancy.delegations.forget(WEB, token)
    tenancy.delegations.forget(WEB, token)
    assert await tenancy.token() == "t2"
    tenancy.delegations.forget(WEB, token)
    assert await tenancy.token() == "t2", "somebody else had noticed before"


async def test_what_is_over_is_forgotten() -> None:
    tenancy = Tenancy()
    for number in range(50):
        await tenancy.token(DelegationRequest(of=WEB.of, user=f"u{number}", at=WEB.at, clusters=WEB.clusters))
    tenancy.now += LIFE_S
    await tenancy.token()
    assert len(tenancy.delegations) == 1
