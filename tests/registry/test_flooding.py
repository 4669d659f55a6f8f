"""One credential asks as fast as it can: it gets its rate, others get what they ask for. On a real bus."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
import uuid

import msgspec
import pytest

from services.registry.handlers import JOINS, REQUESTS, SYNCS
from skerry import subjects
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import JoinRequest, RenewRequest, Token
from skerry.bus import Connection, ConnectionLost, Message
from skerry.bus.services import REFUSALS
from skerry.errors import StatusError, Unauthorized
from skerry.identity import jointoken, nkey
from skerry.identity.creds import Credentials
from skerry.identity.nkey import KeyType
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import DEADLINE_S, Agent, Client

pytestmark = pytest.mark.integration

ASKS = 100


async def codes(connection: Connection, subject: str, payload: bytes) -> dict[int, int]:
    """What ASKS requests at once were answered: code -> how many."""

    async def ask() -> int:
        try:
            await connection.request(subject, payload, timeout_s=DEADLINE_S)
        except StatusError as error:
            return error.code
        return 200

    answers = await asyncio.gather(*(ask() for _ in range(ASKS)))
    return {code: answers.count(code) for code in set(answers)}


async def flooded(host: NatsHost, token: Token, payload: bytes) -> bool:
    """Ask as fast as it goes, for a minute at most; True if the server ended it. Not on the loop of who is flooded."""
    end = time.monotonic() + 60
    async with host.connection(Credentials(token.jwt), "flood") as connection:
        while time.monotonic() < end and not connection.lost.done():
            with contextlib.suppress(ConnectionLost):
                for _ in range(100):
                    connection.publish_now(subjects.join(token.jti), payload)
                await connection.flush()
        return connection.lost.done()


def allowed(limits: tuple[float, float], seconds: float) -> float:
    """At most."""
    per_s, burst = limits
    return burst + per_s * seconds + 1


async def test_renewals_beyond_the_rate_are_refused_and_those_of_others_are_not(
    nats_host: NatsHost, client: Client
) -> None:
    floods, renews = Agent(nats_host, "floods"), Agent(nats_host, "renews")
    flooding = await floods.join(await client.token("floods"))
    renewing = await renews.join(await client.token("renews"))
    challenge = f"floods {floods.key.public} {int(time.time())} {uuid.uuid4().hex}"
    signature = base64.urlsafe_b64encode(floods.key.sign(challenge.encode())).decode()
    request = msgspec.json.encode(RenewRequest(nkey=floods.key.public, challenge=challenge, signature=signature))
    async with nats_host.connection(Credentials(flooding.renewal_jwt, floods.key.seed), "renew") as connection:
        began = time.monotonic()
        answers = await codes(connection, subjects.renewal("floods"), request)
        assert set(answers) == {200, 429}
        assert REQUESTS[1] <= answers[200] <= allowed(REQUESTS, time.monotonic() - began)
        assert (await renews.renew(renewing)).user_jwt
        await asyncio.sleep(2 / REQUESTS[0])
        assert (await connection.request(subjects.renewal("floods"), request, timeout_s=DEADLINE_S)).data


@pytest.mark.parametrize("what", ["hb", "renew", "desired", "desired-status"])
async def test_who_floods_is_not_answered_as_often_as_he_asks(nats_host: NatsHost, client: Client, what: str) -> None:
    name, payload = f"loud-{what}", b'{"agent":"U","epoch":"1","version":"0"}'
    agent = Agent(nats_host, name)
    answer = await agent.join(await client.token(name))
    subject = subjects.heartbeat(name) if what == "hb" else f"up.{name}.svc.{what}"
    own = Credentials(answer.renewal_jwt, agent.key.seed) if what == "renew" else agent.credentials(answer)
    async with nats_host.connection(own) as connection:
        answers: list[Message] = []
        inbox, began = connection.inbox(), time.monotonic()
        await connection.subscribe(inbox, answers.append)
        for _ in range(40):
            with contextlib.suppress(ConnectionLost):  # the bus may be told to hold it meanwhile
                for _ in range(100):
                    connection.publish_now(subject, payload, inbox)
                await connection.flush(DEADLINE_S)
        other = Agent(nats_host, f"behind-{what}")
        await other.join(await client.token(other.name))  # the registry reads in order: all before it was looked at
        elapsed = time.monotonic() - began
        assert len(answers) <= allowed(REFUSALS, elapsed) + allowed(SYNCS, elapsed)


@pytest.mark.parametrize(
    "payload", [b"{", b'{"nkey":"","name":"x","clusterUid":"","kubernetesVersion":"","agentVersion":""}']
)
async def test_a_token_that_somebody_floods_with_is_revoked_and_others_join(
    nats_host: NatsHost, client: Client, payload: bytes
) -> None:
    name = f"flood-{len(payload)}"
    token, other = jointoken.decode(await client.token(name), 0), await client.token(f"beside-{name}")
    flood = asyncio.create_task(asyncio.to_thread(asyncio.run, flooded(nats_host, token, payload)))
    assert (await Agent(nats_host, f"beside-{name}").join(other)).member == f"beside-{name}"
    assert await flood
    async with asyncio.timeout(DEADLINE_S):
        while token.jti in str([item.document() for item in client.cache.list(JOIN_TOKEN)]):
            await client.cache.current()
    with pytest.raises(Unauthorized):
        async with nats_host.connection(Credentials(token.jwt)):
            pass


async def test_joins_beyond_the_rate_are_refused_and_other_tokens_work(nats_host: NatsHost, client: Client) -> None:
    text, other = await client.token("guessed"), await client.token("honest")
    token = jointoken.decode(text, 0)
    request = JoinRequest(
        nkey=nkey.create(KeyType.USER).public,
        name="another",
        cluster_uid=str(uuid.uuid4()),
        kubernetes_version="v1.36.3",
        agent_version="0.1.0",
    )
    async with nats_host.connection(Credentials(token.jwt), "join") as connection:
        began = time.monotonic()
        answers = await codes(connection, subjects.join(token.jti), msgspec.json.encode(request))
        assert answers[429] >= ASKS - allowed(JOINS, time.monotonic() - began)
        assert (await Agent(nats_host, "honest").join(other)).member == "honest"
    await asyncio.sleep(2 / JOINS[0])
    assert (await Agent(nats_host, "guessed").join(text)).member == "guessed"
