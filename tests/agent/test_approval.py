"""An agent whose member waits for approval: with the registry as it is, and with one that answers what it should not."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from services.agent import approval
from services.agent.membership import Removed
from services.agent.storage import Directory
from services.agent.store import AgentStore, Membership
from skerry import subjects
from skerry.api.conditions import condition_of
from skerry.api.messages import ApprovalRequest, JoinAnswer
from skerry.bus import Message
from skerry.errors import Gone, ServiceUnavailable, StatusError, TooManyRequests
from skerry.identity.creds import Credentials
from skerry.identity.farewell import make_farewell
from skerry.identity.federation import MemberAccount
from skerry.identity.nkey import KeyType, create
from skerry.runtime import Runtime
from tests.agent.conftest import DEADLINE_S, Agent
from tests.fixtures.nats import NatsHost, eventually
from tests.member.apiserver import ApiServer
from tests.registry.conftest import Client, Running, client_of
from tests.registry.test_approving import decide

pytestmark = pytest.mark.integration


@contextlib.asynccontextmanager
async def registry(host: NatsHost, api: ApiServer, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of the registry, and a physical cluster of its own."""
    api.uid = tmp_path.name
    async with Running(host).running(), client_of(host) as client:
        yield client


async def test_nothing_is_written_before_it_is_approved_and_then_it_serves_by_itself(
    agent: Agent, api: ApiServer, nats_host: NatsHost, tmp_path: Path
) -> None:
    line = "waiting for approval on host isle: skerry cluster approve late"
    async with registry(nats_host, api, tmp_path) as client:
        agent.token(await client.token("late", approval=True))
        await agent.start(SKERRY_LOG_FORMAT="human")
        await agent.logged(f"\n{line}\n")
        assert await agent.stop() == 0
        await agent.start(SKERRY_LOG_FORMAT="human")
        await agent.logged(f"\n{line}\n")
        assert not api.bindings
        assert "skerry.dev/host" not in api.annotations
        await decide(client, "approve", "late")
        await client.ready("late", "True")
        assert len(api.bindings) == 4
        assert api.annotations["skerry.dev/host"]
        assert await agent.stop() == 0
        await agent.start()
        await client.ready("late", "True")
        assert "waiting for approval" not in agent.log.read_text()


async def test_a_denied_agent_ends_and_says_why_and_again_when_it_is_started(
    agent: Agent, api: ApiServer, nats_host: NatsHost, tmp_path: Path
) -> None:
    async with registry(nats_host, api, tmp_path) as client:
        agent.token(await client.token("unwanted", approval=True))
        await agent.start(SKERRY_LOG_FORMAT="human")
        await agent.logged("waiting for approval on host isle")
        await decide(client, "deny", "unwanted", reason="not ours")
        code, line = await agent.ended()
        assert (code, "does not let cluster 'unwanted' in: denied by admin: not ours" in line) == (1, True)
        await agent.start()
        assert await agent.ended() == (1, line), "a restart asks nobody"
        assert not api.bindings
        agent.token(await client.token("unwanted"))
        await agent.start()
        await client.ready("unwanted", "True")


async def test_a_dry_run_says_that_it_would_wait(
    agent: Agent, api: ApiServer, nats_host: NatsHost, tmp_path: Path
) -> None:
    async with registry(nats_host, api, tmp_path) as client:
        agent.token(await client.token("asks", approval=True))
        await agent.start(SKERRY_DRY_RUN="1")
        assert (await agent.ended())[0] == 0
        assert "the host lets it in once somebody there approves it" in agent.log.read_text()
        assert condition_of(await client.cluster("asks") or {}, "Joined").reason == ""


class Waiting:
    """An agent in this process that waits, and a host that answers it as the test says."""

    def __init__(self, host: NatsHost, directory: Path, name: str) -> None:
        self.host, self.name, self.store = host, name, AgentStore(Directory(directory))
        self.account: MemberAccount = host.authority.member_account(name, pending=True)
        self.answers: list[StatusError | bytes] = []
        self.asked = 0
        self.reasons: list[str] = []
        key = create(KeyType.USER)
        self._user = Credentials(host.authority.pending_user(self.account, key.public), key.seed)
        self.membership = Membership(
            member=name, host="isle", host_uid="h", servers=list(host.servers), ca=host.ca_pem,
            assertion_root=host.trust_root, cluster_uid="u", pending=True,
        )  # fmt: skip

    async def joined(self) -> None:
        """It has asked, and waits."""
        await self.store.joined(self.membership, self._user, self._user)

    def answer(self, *, pending: bool, version: int = 1) -> bytes:
        """The registry's answer."""
        authority, key = self.host.authority, self.store.key().public
        user = authority.member_user(self.account, key)
        return msgspec.json.encode(
            JoinAnswer(format=version, member=self.name, host="isle", host_uid="h", user_jwt=user, renewal_jwt=user,
                       assertion_root=self.host.trust_root, host_time=0, pending=pending)
        )  # fmt: skip

    async def _answer(self, message: Message) -> bytes:
        assert msgspec.json.decode(message.data, type=ApprovalRequest).nkey == self.store.key().public
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else self.answer(pending=True)
        if isinstance(answer, StatusError):
            raise answer
        return answer

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The host answers inside."""
        await self.host.push(self.account.jwt)
        async with self.host.bus("registry") as bus:
            self.bus = bus
            bus.serve("registry", "0.1.0", {subjects.APPROVALS: self._answer})
            await bus.ready()
            yield

    async def run(self, until: Callable[[Runtime], object] = lambda runtime: None) -> Membership | None:
        """What comes of it."""

        def told(text: str) -> None:
            self.reasons.append(text)

        found: Membership | Removed | None = None
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(DEADLINE_S):
            runtime = Runtime("agent", tasks, told)
            until(runtime)
            try:
                found = await approval.approved(runtime, self.store, self.membership)
            except Removed as error:
                found = error
        if isinstance(found, Removed):
            raise found
        return found


@pytest.fixture
async def waiting(nats_host: NatsHost, tmp_path: Path) -> AsyncIterator[Waiting]:
    """One that waits, and its host."""
    made = Waiting(nats_host, tmp_path / "state", f"w-{tmp_path.name[-20:].replace('_', '-').strip('-').lower()}")
    await made.joined()
    async with made.serving():
        yield made


async def test_whatever_else_is_answered_it_asks_again(waiting: Waiting) -> None:
    waiting.answers = [
        ServiceUnavailable("the host does not know this agent now"),
        TooManyRequests("too often"),
        b"rubbish",
        waiting.answer(pending=False),
    ]
    found = await waiting.run()
    assert found is not None
    assert not found.pending
    assert waiting.store.membership() == found
    assert waiting.asked == 4
    assert any("could not be asked just now: the host does not know this agent" in each for each in waiting.reasons)


async def test_an_answer_of_a_newer_host_ends_nothing(waiting: Waiting) -> None:
    waiting.answers = [waiting.answer(pending=False, version=9), waiting.answer(pending=False)]
    assert await waiting.run() is not None
    assert any("speaks format 9" in each for each in waiting.reasons)


async def test_the_proof_that_it_was_removed_ends_it(waiting: Waiting) -> None:
    waiting.answers = [Gone("cluster was removed")]
    with pytest.raises(Removed, match="cluster was removed"):
        await waiting.run()


async def test_it_is_stopped_at_once_and_waits_on_at_the_next_start(waiting: Waiting) -> None:
    def stop_soon(runtime: Runtime) -> None:
        async def stop() -> None:
            await eventually(lambda: waiting.asked, DEADLINE_S)
            runtime.stop.set()

        runtime.spawn(stop(), name="stop")

    assert await waiting.run(stop_soon) is None
    stored = waiting.store.membership()
    assert stored is not None
    assert stored.pending


async def test_only_the_hosts_own_farewell_to_this_membership_is_believed(waiting: Waiting) -> None:
    root = waiting.host.authority.assertion_root
    account = waiting.account.public

    def farewells(runtime: Runtime) -> None:
        async def say() -> None:
            await eventually(lambda: waiting.asked, DEADLINE_S)
            await waiting.host.push(waiting.host.authority.member_account(waiting.name, known=waiting.account).jwt)
            for text in (
                b"",
                make_farewell("other", account, "x", root.sign),
                make_farewell(waiting.name, account, "bye", root.sign),
            ):
                await waiting.bus.publish(subjects.farewell(waiting.name), text)

        runtime.spawn(say(), name="farewells")

    with pytest.raises(Removed, match=r"^bye$"):
        await waiting.run(farewells)


async def test_a_farewell_counts_whose_cut_is_read_in_the_same_turn(waiting: Waiting) -> None:
    """As on a busy machine: it went on asking for ever with credentials that nobody takes."""
    host = waiting.host

    async def end() -> None:
        async with host.bus("registry") as bus:
            await bus.ready()
            await host.push(host.authority.member_account(waiting.name, known=waiting.account).jwt)
            text = make_farewell(waiting.name, waiting.account.public, "bye", host.authority.assertion_root.sign)
            await bus.publish(subjects.farewell(waiting.name), text)
            await bus.ready()
        await host.push(host.authority.tombstone(waiting.name, waiting.account.public))

    def both(runtime: Runtime) -> None:
        async def say() -> None:
            await eventually(lambda: waiting.asked, DEADLINE_S)
            ending = threading.Thread(target=lambda: asyncio.run(end()))
            ending.start()
            ending.join()  # nothing is read here meanwhile

        runtime.spawn(say(), name="farewell and cut")

    with pytest.raises(Removed, match=r"^bye$"):
        await waiting.run(both)


async def test_a_lost_connection_is_made_again(waiting: Waiting) -> None:
    def cut(runtime: Runtime) -> None:
        async def cut_it() -> None:
            await eventually(lambda: waiting.asked, DEADLINE_S)
            waiting.answers = [waiting.answer(pending=False)]
            revoked = {waiting.store.key().public: 1}
            await waiting.host.push(waiting.host.authority.tombstone(waiting.name, waiting.account.public))
            await waiting.host.push(
                waiting.host.authority.member_account(
                    waiting.name, known=waiting.account, pending=True, revoked=revoked
                ).jwt
            )

        runtime.spawn(cut_it(), name="cut")

    assert await waiting.run(cut) is not None
