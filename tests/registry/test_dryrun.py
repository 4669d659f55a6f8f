"""A join that is only asked about: what would be refused has the name of its check, and the token is not used up."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from skerry import __version__, subjects
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import JoinAnswer, JoinRequest
from skerry.errors import BadRequest, StatusError, TooManyRequests
from skerry.identity import jointoken
from skerry.identity.creds import Credentials
from tests.fixtures.nats import NatsHost
from tests.registry.conftest import HOST_UID, Agent, Client

pytestmark = pytest.mark.integration


def question(name: str, uid: str = "", **more: Any) -> bytes:
    request = JoinRequest(nkey="", name=name, cluster_uid=uid, kubernetes_version="v1.36.0", agent_version="0.1.0")
    return msgspec.json.encode(msgspec.structs.replace(request, **more))


async def asked(host: NatsHost, text: str, name: str, uid: str = "", **more: Any) -> JoinAnswer:
    token = jointoken.decode(text)
    async with host.connection(Credentials(token.jwt)) as connection:
        reply = await connection.request(subjects.join(token.jti), question(name, uid, **more), timeout_s=10.0)
    return msgspec.json.decode(reply.data, type=JoinAnswer)


async def refusals(host: NatsHost, text: str, name: str, uid: str = "", **more: Any) -> dict[str, str]:
    return (await asked(host, text, name, uid, **more)).refusals


async def test_a_good_join_is_refused_by_nothing_and_gives_nothing(nats_host: NatsHost, client: Client) -> None:
    agent, token = Agent(nats_host, "dry"), await client.token("dry")
    answer = await asked(nats_host, token, "dry", agent.cluster_uid)
    assert answer.refusals == {}
    assert (answer.user_jwt, answer.renewal_jwt) == ("", "")
    assert (answer.host, answer.host_uid, answer.host_version) == ("isle", HOST_UID, __version__)
    assert await client.cluster("dry") is None
    assert (await agent.join(token)).member == "dry"


async def test_a_name_and_a_cluster_that_have_joined_have_their_names(nats_host: NatsHost, client: Client) -> None:
    first = Agent(nats_host, "there")
    await first.join(await client.token("there"))
    found = await refusals(nats_host, await client.token("there"), "there", "another-uid")
    assert list(found) == ["host.name"]
    assert "belongs to another cluster" in found["host.name"]
    found = await refusals(nats_host, await client.token("second"), "second", first.cluster_uid)
    assert list(found) == ["duplicate"]
    assert "as 'there'" in found["duplicate"]


async def test_a_used_token_is_refused_to_others_and_not_to_the_key_that_has_it(
    nats_host: NatsHost, client: Client
) -> None:
    agent, token = Agent(nats_host, "mine"), await client.token("mine")
    await agent.join(token)
    assert list(await refusals(nats_host, token, "mine", agent.cluster_uid)) == ["token"]
    own = {"dry_run_nkey": agent.key.public}
    assert await refusals(nats_host, token, "mine", agent.cluster_uid, **own) == {}


async def test_who_has_no_good_token_learns_nothing_of_others(nats_host: NatsHost, client: Client) -> None:
    first = Agent(nats_host, "secret-one")
    await first.join(await client.token("secret-one"))
    token = await client.token("prying")
    assert list(await refusals(nats_host, token, "secret-one", first.cluster_uid)) == ["token"]
    await client.cache.current()
    stored = next(i for i in client.cache.list(JOIN_TOKEN) if i.document()["spec"]["clusterName"] == "prying")
    await client.write(JOIN_TOKEN, "delete", stored.name)
    with pytest.raises(StatusError):  # the bus itself may be the first to refuse
        raise_token(await refusals(nats_host, token, "prying", first.cluster_uid))


def raise_token(found: dict[str, str]) -> None:
    assert list(found) == ["token"]
    raise BadRequest(found["token"])


async def test_the_uid_may_be_unknown(nats_host: NatsHost, client: Client) -> None:
    assert await refusals(nats_host, await client.token("unknown-uid"), "unknown-uid") == {}


@pytest.mark.parametrize(
    "more",
    [{"format": 9}, {"name": "a.b"}, {"dry_run_nkey": "nonsense"}, {"cluster_uid": "x" * 129}, {"cluster_uid": "\n"}],
)
async def test_a_question_that_is_none_is_refused(nats_host: NatsHost, client: Client, more: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        await asked(nats_host, await client.token("bad"), **{"name": "bad", **more})


async def test_questions_are_as_limited_as_joins(nats_host: NatsHost, client: Client) -> None:
    token = jointoken.decode(await client.token("often"))
    subject, text = subjects.join(token.jti), question("often")
    async with nats_host.connection(Credentials(token.jwt)) as connection:
        requests = (connection.request(subject, text, timeout_s=10.0) for _ in range(40))
        answers = await asyncio.gather(*requests, return_exceptions=True)
    refused = [each for each in answers if isinstance(each, TooManyRequests)]
    assert 0 < len(refused) < len(answers)


async def test_a_pin_is_judged_by_the_uid_where_it_is_known(nats_host: NatsHost, client: Client) -> None:
    token = await client.token("pinned", clusterUID="the-one")
    assert await refusals(nats_host, token, "pinned") == {}
    assert await refusals(nats_host, token, "pinned", "the-one") == {}
    assert "the-one" in (await refusals(nats_host, token, "pinned", "another"))["token"]


async def test_questions_leave_a_token_its_joins(nats_host: NatsHost, client: Client) -> None:
    text = await client.token("both")
    token = jointoken.decode(text)
    async with nats_host.connection(Credentials(token.jwt)) as connection:
        requests = (connection.request(subjects.join(token.jti), question("both"), timeout_s=10.0) for _ in range(20))
        await asyncio.gather(*requests, return_exceptions=True)
    assert (await Agent(nats_host, "both").join(text)).member == "both"
