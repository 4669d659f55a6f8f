"""An agent's credential in wrong hands: a flood cuts that member off, everywhere, and nothing else."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from skerry import subjects
from skerry.bus import Message
from skerry.identity import creds
from tests.faults.fleet import PODS, Answer, Fleet, Tower

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


async def answered(tower: Tower, *texts: str) -> Answer:
    """Ask the member until the answer says one of `texts`."""
    async with asyncio.timeout(15):
        while True:
            answer = await tower.ask(PODS)
            if any(text in answer.text for text in texts):
                return answer
            await asyncio.sleep(0.02)


async def condition(tower: Tower) -> dict[str, str]:
    """The condition Quarantined of the member, as the host shows it."""
    document = msgspec.json.decode((await tower.ask(b"/apis/skerry.dev/v1alpha1/clusters/m1")).body)
    found: dict[str, str] = next((c for c in document["status"]["conditions"] if c["type"] == "Quarantined"), {})
    return found


async def test_a_flood_of_one_tower_quarantines_the_member_for_all_and_is_shown(fleet: Fleet) -> None:
    first, second = fleet.towers
    heard: list[str] = []

    def learn(message: Message) -> None:
        heard.append(message.subject)

    stolen = creds.load(fleet.directory / "agent-0" / "user.creds")
    async with fleet.nats.connection(stolen, "thief") as thief:
        await thief.subscribe("down.m1.>", learn)
        async with asyncio.timeout(15):
            while not (addressed := [each for each in heard if each.startswith("down.m1.a.")]):
                assert (await first.ask(PODS)).status == 200
        proxy = addressed[0].split(".")[4]
        for number in range(3000):
            thief.publish_now(subjects.to_proxy("m1", proxy, "thief", f"{number:x}"), b"rubbish")
        await thief.flush()
        answer = await answered(first, "is cut off", "is quarantined")
        assert answer.status == 503
        answer = await answered(second, "is quarantined")
        assert (answer.status, "nothing was executed" in answer.text) == (503, True)
    assert (await first.ask(b"/version")).status == 200
    async with asyncio.timeout(5):
        while (await condition(second)).get("status") != "True":
            await asyncio.sleep(0.05)
    assert (await condition(second))["reason"] == "TunnelFlood"
