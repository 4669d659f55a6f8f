"""Claims on a real bus: whoever is first has the namespace."""

from __future__ import annotations

import asyncio

import pytest

from services.tenancy import claims
from services.tenancy.claims import Claim, Claims
from skerry import subjects
from skerry.errors import BadRequest
from tests.fixtures.nats import NatsHost

pytestmark = pytest.mark.integration

UID = "4d0c8a1e-0000-4000-8000-000000000001"


def claim(uid: str) -> Claim:
    return Claim(uid=uid, workspace=f"team-{uid}", cluster="m1")


async def test_of_many_that_ask_at_the_same_time_one_has_it_and_all_are_told_who(fresh_nats_host: NatsHost) -> None:
    await fresh_nats_host.make_buckets()
    async with fresh_nats_host.bus("tenancy") as one, fresh_nats_host.open_bus("tenancy") as two:
        replicas = Claims(one), Claims(two)
        asked = [replicas[number % 2].take(UID, "shop", claim(str(number))) for number in range(10)]
        holders = await asyncio.gather(*asked)
        assert len(set(holders)) == 1
        (holder,) = {each for each in holders if each is not None}
        assert await replicas[0].take(UID, "shop", holder) == holder, "asked again it is still its own"


async def test_what_is_released_is_anybodys_and_what_changed_meanwhile_stays(
    fresh_nats_host: NatsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PAGE", 2)
    await fresh_nats_host.make_buckets()
    async with fresh_nats_host.bus("tenancy") as bus:
        kept = Claims(bus)
        assert (await kept.on(UID), await kept.clusters()) == ([], set())
        for name in ("a", "b", "c", "d", "e"):
            await kept.take(UID, name, claim("1"))
        await kept.take("another", "a", claim("1"))
        held = await kept.on(UID)
        assert [each.namespace for each in held] == ["a", "b", "c", "d", "e"]
        assert await kept.clusters() == {UID, "another"}
        await kept.release(UID, held[0])
        assert await kept.take(UID, "a", claim("2")) == claim("2")
        await kept.release(UID, held[0])
        assert await kept.take(UID, "a", claim("3")) == claim("2"), "that was another claim by then"


async def test_a_claim_that_cannot_be_read_is_somebodys(fresh_nats_host: NatsHost) -> None:
    await fresh_nats_host.make_buckets()
    async with fresh_nats_host.bus("tenancy") as bus:
        kept = Claims(bus)
        await kept.clusters()
        await (await bus.bucket(subjects.TENANCY)).create(subjects.claim(UID, "shop"), b'{"format": 2}')
        assert await kept.take(UID, "shop", claim("1")) is None
        assert [each.claim for each in await kept.on(UID)] == [None]


@pytest.mark.parametrize(
    ("cluster", "namespace"), [("a.b", "shop"), ("*", "shop"), (UID, ">"), (UID, "a.b"), ("", "a")]
)
def test_what_is_no_name_makes_no_key(cluster: str, namespace: str) -> None:
    with pytest.raises(BadRequest):
        subjects.claim(cluster, namespace)
