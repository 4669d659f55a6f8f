"""What is withdrawn from a member before it goes, on a real bus: agents that obey, that do not, and that are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from services.registry import departing
from skerry import subjects
from skerry.api.conditions import CLEANED, UNMARKED
from skerry.api.desired import Problem, Report, State, WithdrawOrder
from skerry.api.kinds import CLUSTER
from skerry.api.messages import Progress
from skerry.api.names import CLEANUP, WITHDRAW
from skerry.bus import Bus, Connection, Message
from skerry.desired.client import DesiredClient, Want
from skerry.desired.entry import opened_order
from skerry.errors import StatusError
from skerry.identity import nkey
from skerry.informer import Change
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, Running, client_of
from tests.registry.test_changes import patched

pytestmark = pytest.mark.integration

NAME = "m1"
SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


class Leaver:
    """A member that is to go, its agent's connection, and the orders that it got."""

    def __init__(self, client: Client, own: Bus, agent: Agent, root: str, connection: Connection) -> None:
        self.client, self.own, self.agent, self.root, self.connection = client, own, agent, root, connection
        self.orders: list[WithdrawOrder] = []
        self.desired: DesiredClient
        self.epoch = self.uid = ""

    def hear(self, message: Message) -> None:
        """As an agent does."""
        order = opened_order(NAME, message.data, lambda data, sig: nkey.verify(self.root, data, sig))
        self.orders.append(order)

    async def ordered(self) -> WithdrawOrder:
        """The first order."""
        async with asyncio.timeout(20):
            while not self.orders:
                await asyncio.sleep(0.02)
        return self.orders[0]

    async def report(self, *problems: Problem, **more: Any) -> None:
        """What the agent says."""
        report = Report(epoch=self.epoch, applied=99, problems=problems, **more)
        await self.connection.request(subjects.desired_report(NAME), msgspec.json.encode(report), timeout_s=10)

    async def removing(self) -> asyncio.Task[Any]:
        """Somebody removes it."""
        return asyncio.create_task(self.client.write(CLUSTER, "delete", NAME))

    async def gone(self) -> None:
        """Wait until its Cluster is."""
        await until(self._gone)

    async def _gone(self) -> bool:
        return await self.client.cluster(NAME) is None

    async def keys(self) -> int:
        """How many of its keys the buckets still hold."""
        found = 0
        for name, prefix in ((subjects.DESIRED, f"{NAME}.>"), (subjects.DESIRED_STATUS, NAME)):
            page = await (await self.own.bucket(name)).changes(prefix, 0)
            found += sum(each.value is not None for each in page.entries)
        return found

    async def events(self) -> list[tuple[str, str]]:
        """(reason, message) of what was told of it."""
        bucket = await self.own.bucket(subjects.EVENTS)
        page = await bucket.changes(">", 0)
        documents = [msgspec.json.decode(each.value) for each in page.entries if each.value]
        return [
            (each.get("reason", ""), each.get("message", ""))
            for each in (document.get("object", document) for document in documents)
            if each.get("involvedObject", {}).get("name") == NAME
        ]


async def until(test: Callable[[], Awaitable[object]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(30):
        while not await test():
            await asyncio.sleep(0.05)


@pytest.fixture
async def leaver(fresh_nats_host: NatsHost) -> AsyncIterator[Leaver]:
    """Ready, with one entry."""
    host = fresh_nats_host
    async with (
        Running(host).running(),
        client_of(host) as client,
        host.bus("tenancy") as bus,
        host.bus("registry") as own,
    ):
        agent = Agent(host, NAME)
        answer = await agent.join(await client.token(NAME))
        async with host.connection(agent.credentials(answer)) as connection:
            made = Leaver(client, own, agent, answer.assertion_root, connection)
            await connection.subscribe(subjects.desired_order(NAME), made.hear)
            made.desired = DesiredClient(bus, await bus.bucket(subjects.DESIRED_STATUS), "tenancy")
            made.epoch = (await made.desired.keys(NAME)).epoch
            await agent.beat(connection)
            await client.ready(NAME, "True")
            made.uid = ((await client.cluster(NAME)) or {})["metadata"]["uid"]
            await made.desired.put(NAME, Want(SPACE))
            yield made


async def test_a_member_that_is_reached_withdraws_everything_before_it_is_cut(leaver: Leaver) -> None:
    await leaver.report()
    removing = await leaver.removing()
    order = await leaver.ordered()
    assert (order.cluster, order.keep) == (leaver.uid, False)
    assert not leaver.connection.lost.done()
    assert await leaver.client.cluster(NAME) is not None
    await removing
    await leaver.report(order=order.id)
    await leaver.gone()
    async with asyncio.timeout(10):
        await leaver.connection.lost
    assert await leaver.keys() == 0


async def test_how_many_live_requests_ended_with_it_is_told(leaver: Leaver, fresh_nats_host: NatsHost) -> None:
    """All proxies together; what is said of another Cluster, and what cannot be read, does not count."""
    async with fresh_nats_host.bus("proxy") as proxy:
        await leaver.report()
        await leaver.removing()
        order = await leaver.ordered()
        for report in (cut(leaver.uid, 2), cut("another", 7), b"{", cut(leaver.uid, 0), cut(leaver.uid, 3)):
            await proxy.publish(subjects.cut(NAME), report)
        await leaver.report(order=order.id)
        await leaver.gone()
    assert ("StreamsCut", "streams cut: 5") in await leaver.events()


def cut(uid: str, streams: int) -> bytes:
    """What a proxy says that it cut."""
    return msgspec.json.encode({"uid": uid, "streams": streams})


async def test_of_one_that_is_to_be_kept_everything_is_to_stay(leaver: Leaver) -> None:
    await leaver.report()
    await patched(leaver.client, NAME, {"metadata": {"annotations": {WITHDRAW: "Orphan"}}})
    await leaver.removing()
    order = await leaver.ordered()
    assert order.keep
    await leaver.report(order=order.id)
    await leaver.gone()


async def told(leaver: Leaver, wanted: str, text: str) -> None:
    """Wait for an Event of it with this reason that says so."""

    async def heard() -> bool:
        return any(reason == wanted and text in message for reason, message in await leaver.events())

    await until(heard)


@pytest.mark.parametrize(
    ("withdrawn", "said"),
    [(4, "cleaned on the member: 4 objects"), (None, "cleaned on the member"), (-7, "member: 0 objects"),
     (10**15, "member: 5000 objects")],
)  # fmt: skip
async def test_what_is_gone_from_it_is_told_as_it_says_within_reason(
    leaver: Leaver, withdrawn: int | None, said: str
) -> None:
    await leaver.report()
    await leaver.removing()
    order = await leaver.ordered()
    await leaver.report(order=order.id, withdrawn=withdrawn)
    await leaver.gone()
    await told(leaver, "Cleaned", said)


async def test_one_that_was_stolen_is_cut_before_anything_else(leaver: Leaver) -> None:
    await leaver.report()
    await patched(leaver.client, NAME, {"metadata": {"annotations": {CLEANUP: "0s"}}})
    gone = await leaver.client.write(CLUSTER, "delete", NAME)
    assert "finalizers" not in gone["metadata"]
    assert await leaver.client.cluster(NAME) is None
    async with asyncio.timeout(10):
        await leaver.connection.lost
    assert leaver.orders == []
    await told(leaver, "LeftOnCluster", "its credentials were to be revoked at once: ")


async def test_who_loses_patience_need_not_wait(leaver: Leaver) -> None:
    await leaver.report()
    await patched(leaver.client, NAME, {"metadata": {"annotations": {CLEANUP: "10m"}}})
    await leaver.removing()
    await leaver.ordered()
    assert await leaver.client.cluster(NAME) is not None
    await patched(leaver.client, NAME, {"metadata": {"annotations": {CLEANUP: "0s"}}})
    await leaver.gone()


@pytest.mark.parametrize("time", ["soon", "-1s", "11m", "1d", ""])
async def test_a_time_that_is_none_or_too_long_is_refused(leaver: Leaver, time: str) -> None:
    with pytest.raises(StatusError, match=r"skerry\.dev/cleanup"):
        await patched(leaver.client, NAME, {"metadata": {"annotations": {CLEANUP: time}}})


async def test_the_answer_to_another_order_is_none(leaver: Leaver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departing, "DEADLINE_S", 1.0)
    await leaver.report()
    await leaver.removing()
    await leaver.ordered()
    with pytest.raises(Exception, match="does not exist, or is leaving"):
        await leaver.report(counts={"tenancy": {"Applied": 1}})
    await leaver.report(order="another")
    assert await leaver.client.cluster(NAME) is not None
    await leaver.gone()


async def test_what_stays_is_told_by_name(leaver: Leaver) -> None:
    await leaver.report()
    await leaver.removing()
    order = await leaver.ordered()
    key = "m1.tenancy._.namespace._.shop"
    problem = Problem(key=key, revision=1, state=State.FORBIDDEN, message="you may not delete it")
    await leaver.report(problem, order=order.id)
    await leaver.gone()

    async def told() -> bool:
        return any(
            reason == "LeftOnCluster" and "namespace shop (you may not delete it)" in message
            for reason, message in await leaver.events()
        )

    await until(told)


async def test_a_member_that_says_nothing_is_cut_when_its_time_is_over(
    leaver: Leaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(departing, "DEADLINE_S", 0.6)
    await leaver.report()
    await leaver.removing()
    await leaver.gone()
    assert leaver.orders
    assert len({each.id for each in leaver.orders}) == 1

    async def told() -> bool:
        return any("did not say that it did within" in message for _, message in await leaver.events())

    await until(told)
    assert await leaver.keys() == 0


async def test_one_that_has_just_joined_and_reported_nothing_takes_away_what_joining_wrote(leaver: Leaver) -> None:
    """Its agent says from its first heartbeat on that it keeps desired state."""
    await leaver.agent.beat(leaver.connection, desired=Progress(epoch="", applied=0))
    await leaver.removing()
    order = await leaver.ordered()
    reasons: dict[str, str] = {}

    def seen(change: Change) -> None:
        if change.new is not None:
            reasons.update({each["type"]: each["reason"] for each in change.after()["status"]["conditions"]})

    leaver.client.cache.add_event_handler(CLUSTER, seen)
    await leaver.report(order=order.id, withdrawn=4, unmarked=True)
    await leaver.gone()
    await told(leaver, "Cleaned", "cleaned on the member: 4 objects")
    assert reasons[CLEANED] == UNMARKED, "so that nobody is told to take the mark off"


async def test_a_member_without_the_channel_is_not_waited_for(leaver: Leaver) -> None:
    """Its agent never said that it keeps anything in place."""
    gone = await leaver.client.write(CLUSTER, "delete", NAME)
    assert "finalizers" not in gone["metadata"]
    assert await leaver.client.cluster(NAME) is None
    assert leaver.orders == []


async def test_a_paused_member_is_left_as_it_is(leaver: Leaver) -> None:
    await leaver.report()
    await patched(leaver.client, NAME, {"spec": {"paused": True}})

    async def paused() -> bool:
        return bool(((await leaver.client.cluster(NAME)) or {})["spec"].get("paused"))

    await until(paused)
    await leaver.client.write(CLUSTER, "delete", NAME)
    await leaver.gone()
    assert leaver.orders == []


async def test_a_member_that_is_away_is_not_waited_for(leaver: Leaver) -> None:
    await leaver.report()
    await leaver.agent.beat(leaver.connection, leaving=True)
    await leaver.client.ready(NAME, "False")
    await leaver.client.write(CLUSTER, "delete", NAME)
    assert await leaver.client.cluster(NAME) is None
    assert leaver.orders == []


async def test_of_what_was_meant_for_an_earlier_member_nothing_reaches_the_next_of_its_name(
    leaver: Leaver, fresh_nats_host: NatsHost
) -> None:
    """Also what an owner wrote in the last moment lies under the name no more."""
    await leaver.report()
    await leaver.agent.beat(leaver.connection, leaving=True)
    await leaver.client.ready(NAME, "False")
    await leaver.client.write(CLUSTER, "delete", NAME)
    await leaver.gone()
    agent = Agent(fresh_nats_host, NAME)
    answer = await agent.join(await leaver.client.token(NAME))
    async with fresh_nats_host.connection(agent.credentials(answer)) as connection:
        reply = await connection.request(subjects.desired_sync(NAME), b'{"epoch":"","after":0}', timeout_s=10)
    page = msgspec.json.decode(reply.data)
    assert page["cluster"] != leaver.uid
    assert [each for each in page.get("entries", []) if each.get("entry") and "tenancy" in each["key"]] == []
