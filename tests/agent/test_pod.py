"""An agent as its pod runs it: its state in a Secret, replicas of one identity, patience before it has joined."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from services.agent.membership import JoinUnanswered
from services.agent.patience import may_pass, patiently
from skerry.backoff import Backoff
from skerry.checks.report import Outcome, check
from skerry.checks.run import CheckFailed
from skerry.errors import BadGateway, Conflict, Forbidden, NotFound, SkerryError, TooManyRequests
from skerry.identity import jointoken
from skerry.member.identity import RightsMissing
from skerry.runtime import Exit, Runtime
from tests.agent.conftest import DEADLINE_S, Agent
from tests.agent.standin import Host
from tests.agent.test_process import IDLE_LIMIT_KIB
from tests.e2e.federation import free_port
from tests.fixtures.nats import eventually
from tests.member.apiserver import SECRET, ApiServer

SECRETS = "/api/v1/namespaces/skerry-system/secrets"
CEILING = {"SKERRY_READ_ONLY": "0", "SKERRY_NO_EXEC": "0", "SKERRY_CEILING_DESIRED": "All"}


def in_pod(agent: Agent) -> Agent:
    """The environment of the chart."""
    del agent.environment["SKERRY_AGENT_STATE"]
    agent.environment |= {"SKERRY_STATE_SECRET": "/".join(SECRET), "SKERRY_STRICT": "1", **CEILING}
    return agent


@pytest.fixture
def pod(agent: Agent) -> Agent:
    """A pod."""
    return in_pod(agent)


@pytest.fixture
async def other(tmp_path: Path, api: ApiServer) -> AsyncIterator[Agent]:
    """A second replica."""
    (tmp_path / "other").mkdir()
    made = in_pod(Agent(tmp_path / "other", api))
    yield made
    if made.process is not None and made.process.returncode is None:
        made.process.kill()
        await made.process.wait()


async def test_a_pod_that_was_deleted_comes_back_as_the_same_agent_without_a_token(
    pod: Agent, host: Host, api: ApiServer
) -> None:
    pod.token(await host.token("pod-a"))
    await pod.start()
    first = await host.beat()
    await pod.stop()
    del pod.environment["SKERRY_TOKEN_FILE"]
    await pod.start()
    second = await host.beat()
    assert (first.agent, len(host.joins)) == (second.agent, 1)
    assert set(api.secret["data"]) == {"seed", "agent.json", "user.creds", "renewal.creds"}
    assert await pod.stop() == 0


async def test_two_pods_that_start_at_once_are_one_agent(pod: Agent, other: Agent, host: Host) -> None:
    text = await host.token("pods-a")
    for each in (pod, other):
        each.token(text)
        await each.start()
    await eventually(lambda: len({beat.epoch for beat in host.beats}) == 2, DEADLINE_S)
    assert len({beat.agent for beat in host.beats}) == 1
    assert {request.nkey for request in host.joins} == {host.beats[0].agent}
    await other.stop()
    host.beats.clear()
    await host.beat(2)
    assert await pod.stop() == 0


async def test_the_ceiling_is_what_is_said_now_and_nothing_an_earlier_pod_kept(pod: Agent, host: Host) -> None:
    pod.token(await host.token("pod-c"))
    for said, holds in (
        ({"SKERRY_READ_ONLY": "1"}, "read-only, desired All"),
        ({"SKERRY_NAMESPACES": "a"}, "namespaces a"),
        ({}, "open"),
    ):
        host.beats.clear()
        await pod.start(**said)
        assert (await host.beat()).ceiling.text == holds
        await pod.stop()
    for name in CEILING:
        del pod.environment[name]
    await pod.start()
    code, line = await pod.ended()
    assert (code, "the whole ceiling is said at each start" in line) == (2, True)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"SKERRY_AGENT_STATE": "/tmp/x"}, "must be set, and not both"),
        ({"SKERRY_STATE_SECRET": "skerry-agent-state"}, "use NAMESPACE/NAME"),
        ({"SKERRY_STATE_SECRET": "a/../b"}, "use NAMESPACE/NAME"),
    ],
)
async def test_where_its_state_is_must_be_clear(pod: Agent, said: dict[str, str], line: str) -> None:
    await pod.start(**said)
    code, last = await pod.ended()
    assert (code, line in last) == (2, True)


async def test_an_api_server_that_is_not_well_yet_is_waited_for(pod: Agent, host: Host, api: ApiServer) -> None:
    pod.token(await host.token("pod-w"))
    await api.__aexit__()
    await pod.start()
    await pod.logged("cannot join yet, and tries again: the API server")
    await api.__aenter__()
    await host.beat()
    assert await pod.stop() == 0


async def test_a_host_that_cannot_be_reached_yet_is_waited_for_and_a_stop_ends_that(pod: Agent, host: Host) -> None:
    token = jointoken.decode(await host.token("pod-h"))
    pod.token(jointoken.encode(msgspec.structs.replace(token, servers=["tls://nowhere.invalid:4222"])))
    port = free_port()
    await pod.start(SKERRY_OPS_LISTEN=f"127.0.0.1:{port}")
    await pod.logged("cannot join yet, and tries again: bus.dns: nowhere.invalid is not known here")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"bus.dns: nowhere.invalid is not known here" in answer
    assert await pod.stop() == 0


async def test_another_way_to_the_bus_holds_for_the_start_that_says_it(pod: Agent, host: Host) -> None:
    token = jointoken.decode(await host.token("pod-v"))
    pod.token(jointoken.encode(msgspec.structs.replace(token, servers=["tls://nowhere.invalid:4222"], ca="x")))
    way = {"SKERRY_BUS_SERVERS": ",".join(token.servers), "SKERRY_BUS_CA": token.ca}
    for _ in range(2):
        await pod.start(**way)
        await host.beat()
        await pod.stop()
    await pod.start()
    await pod.logged("no connection to the bus")
    assert await pod.stop() == 0


async def test_what_a_person_must_mend_ends_with_one_line(pod: Agent, host: Host, api: ApiServer) -> None:
    host.refuse_join = Conflict("this cluster has joined already, as 'other'")
    pod.token(await host.token("pod-p"))
    await pod.start()
    code, line = await pod.ended()
    assert (code, "has joined already" in line, api.secret["data"]) == (1, True, {})
    for error, says in (
        (Forbidden("no"), "needs `get` and `update`"),
        (NotFound("no"), "install the agent's chart again"),
    ):
        api.refuse[SECRETS] = error
        await pod.start()
        code, line = await pod.ended()
        assert (code, says in line) == (1, True)


async def test_a_removed_agent_says_so_and_contacts_nobody(pod: Agent, host: Host, api: ApiServer) -> None:
    pod.token(await host.token("pod-r"))
    await pod.start()
    await host.beat()
    await host.evict("pod-r")
    code, line = await pod.ended()
    assert (code, "was removed from host" in line) == (1, True)
    api.seen.clear()
    before = (len(host.joins), len(host.questions), len(host.renewals), len(host.beats))
    await pod.start()
    assert await pod.ended() == (code, line)
    assert {seen.target.decode() for seen in api.seen} == {f"{SECRETS}/{SECRET[1]}"}
    assert (len(host.joins), len(host.questions), len(host.renewals), len(host.beats)) == before


async def test_state_of_another_cluster_is_refused_before_the_host_is_asked(
    pod: Agent, host: Host, api: ApiServer
) -> None:
    pod.token(await host.token("pod-o"))
    await pod.start()
    await host.beat()
    await pod.stop()
    count = len(host.beats)
    await api.replaced("uid-2")
    await pod.start()
    code, line = await pod.ended()
    assert (code, "it was copied here" in line, len(host.beats)) == (1, True, count)


async def test_refused_credentials_are_read_again_before_they_are_renewed(
    pod: Agent, host: Host, api: ApiServer
) -> None:
    """The bus refuses what ran out; another replica has renewed it long ago."""
    host.user_ttl_s = 4
    pod.token(await host.token("pod-n"))
    await pod.start()
    await host.beat()
    host.error = Forbidden("no renewals")
    agent_key = host.beats[0].agent
    data = dict(api.secret["data"])
    seed = base64.b64decode(data["seed"]).strip()
    host.user_ttl_s = 3600
    renewed = host.credentials("pod-n", agent_key, seed)
    api.replace_secret({**data, "user.creds": base64.b64encode(renewed.text()).decode()})
    renewals = len(host.renewals)
    host.error = None
    beat = await host.beat(1, 15)
    while beat.expires != renewed.expires:
        beat = await host.beat(1, 15)
    assert len(host.renewals) == renewals
    await pod.stop()


# Patience


FAILED = check("c", "bus.dns", Outcome("x", "fail"))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (CheckFailed(FAILED), False),
        (CheckFailed(FAILED, may_pass=True), True),
        (BadGateway("slow"), True),
        (TooManyRequests("busy"), True),
        (RightsMissing("no right"), False),
        (Forbidden("no"), False),
        (JoinUnanswered("silence"), True),
        (Exit("removed"), False),
    ],
)
def test_what_may_pass_by_itself(error: SkerryError, passes: bool) -> None:
    assert may_pass(error) is passes


async def test_what_works_at_last_is_given_and_the_reason_is_told_until_then() -> None:
    reasons: list[str] = []
    errors: list[SkerryError] = [BadGateway("one"), JoinUnanswered("two")]

    async def work() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    async with asyncio.TaskGroup() as tasks:
        runtime = Runtime("agent", tasks, reasons.append)
        assert await patiently(runtime, work, Backoff(0.001, 0.001)) == "done"
    assert [line.rpartition(": ")[2] for line in reasons] == ["one", "two"]


async def test_a_pod_takes_no_more_memory_than_an_agent_with_a_directory(
    pod: Agent, host: Host, record_property: Callable[[str, object], None]
) -> None:
    async def idle(agent: Agent, name: str) -> int:
        agent.token(await host.token(name, jti=name))
        await agent.start()
        await host.beat(5)
        rss = agent.memory_kib("VmRSS")
        await agent.stop()
        return rss

    in_secret = await idle(pod, "mem-s")
    del pod.environment["SKERRY_STATE_SECRET"]
    pod.environment["SKERRY_AGENT_STATE"] = str(pod.state)
    in_directory = await idle(pod, "mem-d")
    record_property("memory", f"in a Secret {in_secret} KiB, in a directory {in_directory} KiB")
    sys.stderr.write(f"\nagent idle RSS: in a Secret {in_secret} KiB, in a directory {in_directory} KiB\n")
    assert in_secret <= IDLE_LIMIT_KIB
