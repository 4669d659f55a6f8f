"""Three replicas of the registry on one bus: races that only one may win."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from services.registry.store import RegistryStore
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.api.messages import JoinAnswer
from skerry.api.meta import Document
from skerry.errors import Conflict, Forbidden, NotFound
from skerry.identity import jointoken
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import Agent, Client, Running, client_of

pytestmark = pytest.mark.integration


@pytest.fixture
async def client(nats_host: NatsHost) -> AsyncIterator[Client]:
    """A client of three registries."""
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(Running(nats_host).running())
        yield await stack.enter_async_context(client_of(nats_host))


async def test_of_many_keys_one_uses_a_token(nats_host: NatsHost, client: Client) -> None:
    for number in range(5):
        name = f"raced-{number}"
        token = await client.token(name)
        agents = [Agent(nats_host, name, f"uid-{name}") for _ in range(4)]
        answers = await asyncio.gather(*(agent.join(token) for agent in agents), return_exceptions=True)
        await client.cache.current()
        assert sum(isinstance(answer, JoinAnswer) for answer in answers) == 1
        assert sum(isinstance(answer, Forbidden) for answer in answers) == 3
        assert (
            len([item for item in client.cache.list(CLUSTER) if item.document()["status"]["uid"] == f"uid-{name}"]) == 1
        )
        [stored] = [item.document() for item in client.cache.list(JOIN_TOKEN) if item.name.startswith(f"{name}-")]
        assert stored["status"]["uses"] == 1, "nobody used it twice"


class Late(RegistryStore):
    """Looks for the cluster only after `first` has ended."""

    first: Callable[[], Awaitable[object]]

    @classmethod
    def than(cls, first: Callable[[], Awaitable[object]], store: RegistryStore) -> Late:
        """In place of `store`."""
        late = cls(**{each.name: getattr(store, each.name) for each in dataclasses.fields(store)})
        object.__setattr__(late, "first", first)
        return late

    async def cluster(self, name: str) -> Document | None:
        await self.first()
        return await super().cluster(name)


async def test_who_read_a_token_before_another_used_it_is_told_that_it_was_used(nats_host: NatsHost) -> None:
    """The other has made the cluster meanwhile; that this is in the way says less than why."""
    near, far = Running(nats_host), Running(nats_host)
    async with near.running(), far.running(), client_of(nats_host) as client:
        token = jointoken.decode(await client.token("late"), 0)
        first, second = (Agent(nats_host, "late", "uid-late").join_request() for _ in range(2))
        handlers = far.parts.handlers
        handlers._registry = Late.than(lambda: near.parts.handlers.join(first, token.jti), far.parts.registry)
        with pytest.raises(Forbidden, match="was used already, by another agent"):
            await handlers.join(second, token.jti)


async def test_of_two_names_one_gets_a_physical_cluster(nats_host: NatsHost, client: Client) -> None:
    for number in range(5):
        names = (f"left-{number}", f"right-{number}")
        tokens = [await client.token(name) for name in names]
        joins = [Agent(nats_host, n, f"both-{number}").join(t) for n, t in zip(names, tokens, strict=True)]
        answers = await asyncio.gather(*joins, return_exceptions=True)
        assert sum(isinstance(answer, JoinAnswer) for answer in answers) == 1
        assert sum(isinstance(answer, Conflict) for answer in answers) == 1


async def test_a_member_that_is_removed_and_joins_again_at_once_stays(nats_host: NatsHost, client: Client) -> None:
    agent = Agent(nats_host, "blink")
    for _ in range(5):
        answer = await agent.join(await client.token("blink"))
        async with nats_host.connection(agent.credentials(answer)) as connection:
            await agent.beat_until_answered(connection)
            await client.ready("blink", "True")
            removals = (client.write(CLUSTER, "delete", "blink"), client.write(CLUSTER, "delete", "blink"))
            for result in await asyncio.gather(*removals, return_exceptions=True):
                assert isinstance(result, dict | NotFound)
    assert await client.cluster("blink") is None
