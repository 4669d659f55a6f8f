"""Whatever happens on the way: once all is up and quiet, a member has what is wanted, and nothing that was never ours changed.

An owner that wants and withdraws, links that are cut, messages that are dropped and repeated, agents that start again, a
bucket that is lost, and people who make, edit and delete objects on the member, in any order. The bus, the registry's gate,
the agent's side and the API server are real.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from services.agent import desired as agents
from services.agent.store import Membership
from skerry import subjects
from skerry.api.desired import DesiredItem, Options, State
from skerry.api.names import HOST_LABEL
from skerry.api.v1alpha1 import Ceiling
from skerry.bus import Connection, Message
from skerry.desired import applier
from skerry.desired.client import Want
from skerry.identity.trust import is_signed
from skerry.member.credentials import source
from skerry.member.kubeconfig import load
from skerry.member.upstream import Upstream
from tests.fixtures.nats import NatsHost
from tests.kube.member import Member
from tests.registry.gate import ROOT, Gate, opened_gate

pytestmark = [pytest.mark.kube, pytest.mark.timeout(600)]

STEPS = 25
QUIET_S = 60.0
HOST = "host-of-the-stateful-test"
RBAC = "rbac.authorization.k8s.io"
NAMES, GROUPS = ("skerry:one", "skerry:two", "skerry:three"), ("skerry:a", "skerry:b")
_encode = msgspec.json.encode


class Theirs(NamedTuple):
    """An object that people made, as they left it."""

    uid: str
    version: str


class Agent:
    """One agent process's worth, and the link that it hears by."""

    def __init__(self, upstream: Upstream) -> None:
        membership: Any = Membership(
            member="m1", host="h", host_uid=HOST, servers=[], ca="", assertion_root=ROOT.public, cluster_uid="u"
        )
        self.side = agents.DesiredState(
            membership, partial(is_signed, (ROOT.public,)), upstream, Ceiling(), time.time, self._left
        )
        self.side.applier.lead = True
        self.deaf = False
        self._heard: list[Message] = []
        self._feed = self.side.applier.feed.republished
        self.side.applier.feed.republished = self._hears  # type: ignore[method-assign]
        self.task = asyncio.get_running_loop().create_task(self.side.run())

    async def _left(self) -> None:
        raise AssertionError("nobody removes this member")

    def _hears(self, message: Message) -> None:
        """What the link delivers, if it does."""
        if not self.deaf:
            self._heard = [*self._heard[-20:], message]
            self._feed(message)

    def repeat(self) -> None:
        """Old messages come once more, the latest first."""
        for message in reversed(self._heard):
            self._feed(message)

    async def end(self) -> None:
        """As a process that is killed."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class World:
    """All that is real, and what it should come to."""

    def __init__(self, host: NatsHost, member: Member) -> None:
        self.host, self.member = host, member
        self.stack = AsyncExitStack()
        self.gate: Gate
        self.agent: Agent
        self.connection: Connection | None = None
        self.namespace = f"stateful-{uuid.uuid4().hex[:8]}"
        self.wanted: dict[str, tuple[str, Options]] = {}
        self.theirs: dict[str, Theirs] = {}
        """What people made, and nobody may have touched since."""

    async def open(self) -> None:
        """Everything is up, and nothing wanted."""
        self.gate = await self.stack.enter_async_context(opened_gate(self.host))
        _, self.credentials = await self.host.member("m1")
        target = load(str(self.member.kubeconfig))
        self.upstream = Upstream(target, source(target))
        self.stack.push_async_callback(self.upstream.close)
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await self.ask("POST", "/api/v1/namespaces", space)
        self.agent = Agent(self.upstream)
        await self.link()

    async def close(self) -> None:
        """As it was."""
        await self.agent.end()
        await self.cut()
        for name in NAMES:
            await self.ask("DELETE", self.path(name))
        await self.ask("DELETE", f"/api/v1/namespaces/{self.namespace}")
        await self.stack.aclose()

    # The member's people

    async def ask(self, method: str, path: str, document: Any = None, media: bytes = b"application/json") -> Any:
        """A request of theirs; the status of one that was refused."""
        body = b"" if document is None else _encode(document)
        answer = await self.upstream.call(method, path, body=body, content_type=media)
        return answer.document() if answer.status < 400 else answer.status

    def path(self, name: str = "") -> str:
        """Of the RoleBindings, or of one."""
        path = f"/apis/{RBAC}/v1/namespaces/{self.namespace}/rolebindings"
        return f"{path}/{name.replace(':', '%3A')}" if name else path

    def binding(self, name: str, group: str) -> dict[str, Any]:
        """A RoleBinding."""
        return {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": self.namespace},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": group}],
        }

    async def people_make(self, name: str, group: str) -> None:
        """If there is none."""
        made = await self.ask("POST", self.path(), self.binding(name, group))
        if isinstance(made, dict):
            self.theirs[name] = Theirs(made["metadata"]["uid"], made["metadata"]["resourceVersion"])

    async def people_change(self, name: str, patch: dict[str, Any]) -> None:
        """Whosever it is."""
        made = await self.ask("PATCH", self.path(name), patch, b"application/merge-patch+json")
        if isinstance(made, dict) and HOST_LABEL not in made["metadata"].get("labels", {}):
            self.theirs[name] = Theirs(made["metadata"]["uid"], made["metadata"]["resourceVersion"])

    async def people_delete(self, name: str) -> None:
        """Whosever it is."""
        await self.ask("DELETE", self.path(name))
        self.theirs.pop(name, None)

    # The owner and the host

    async def want(self, name: str, group: str, adopt: Any) -> None:
        """The owner wants it, or wants it otherwise."""
        self.gate.now += 1
        options = Options(adopt=adopt)
        result = await self.gate.client.put("m1", Want(self.binding(name, group), options))
        assert result.code == 0, result.message
        self.wanted[name] = group, options
        if adopt != "Never":
            self.theirs.pop(name, None)

    async def withdraw(self, name: str) -> None:
        """The owner does not want it any more."""
        self.gate.now += 1
        key = self.gate.client.key("m1", self.binding(name, ""))
        await self.gate.client.apply([DesiredItem(member="m1", key=key, withdraw=True)])
        self.wanted.pop(name, None)

    async def settle(self) -> None:
        """The owner says all that it wants, and that this is all."""
        self.gate.now += 1
        wants = [Want(self.binding(name, group), options) for name, (group, options) in self.wanted.items()]
        assert not [each for each in await self.gate.client.settle("m1", wants) if each.code]

    async def lose_bucket(self) -> None:
        """And begin with an empty one, as after a restore."""
        await (await self.gate.bus.bucket(subjects.DESIRED)).destroy()
        await self.gate.start_anew()

    # The link and the agent

    async def link(self) -> None:
        """A new connection, if there is none."""
        if self.connection is None:
            context = self.host.connection(self.credentials)
            self.connection = await context.__aenter__()
            self.stack.push_async_callback(context.__aexit__, None, None, None)
            await self.agent.side.attach(self.connection)

    async def cut(self) -> None:
        """The link is lost."""
        if self.connection is not None:
            self.connection.abort("cut by a test")
            self.connection = None

    async def restart(self) -> None:
        """Another process, which knows nothing."""
        await self.agent.end()
        linked = self.connection is not None
        await self.cut()
        self.agent = Agent(self.upstream)
        if linked:
            await self.link()

    async def beat(self) -> None:
        """What the host answers to a heartbeat."""
        last = await self.gate.desired.last_revision("m1")
        self.agent.side.applier.told(self.gate.desired.epoch, last, lead=True)

    # What it should come to

    async def quiet(self) -> None:
        """All is up, and nothing happens any more: it is as it should be, and stays so."""
        self.agent.deaf = False
        await self.link()
        await self.settle()
        deadline, problem = time.monotonic() + QUIET_S, "nothing was looked at"
        while problem:
            assert time.monotonic() < deadline, problem
            await self.beat()
            await asyncio.sleep(0.1)
            problem = await self.problem()

    async def problem(self) -> str:
        """What is not as it should be; empty if all is."""
        last = await self.gate.desired.last_revision("m1")
        if self.agent.side.applier.progress() != (self.gate.desired.epoch, last):
            return f"{self.agent.side.applier.progress()} is not {last}"
        for name in NAMES:
            live = await self.ask("GET", self.path(name))
            if problem := self._wrong(name, live if isinstance(live, dict) else None):
                return f"{name}: {problem}"
        return ""

    def _wrong(self, name: str, live: dict[str, Any] | None) -> str:
        theirs, wanted = self.theirs.get(name), self.wanted.get(name)
        ours = live is not None and live["metadata"].get("labels", {}).get(HOST_LABEL) == HOST
        key = self.gate.client.key("m1", self.binding(name, ""))
        known = self.agent.side.applier.state.entries.get(key)
        if theirs is not None and not ours:
            now = Theirs(live["metadata"]["uid"], live["metadata"]["resourceVersion"]) if live is not None else None
            assert now == theirs, f"{name} was never ours, and is another one: {live}"
            return (
                "" if wanted is None or (known and known.state in (State.EXISTS, State.CONFLICT)) else "no problem told"
            )
        if wanted is None:
            return "it is still there" if ours else ""
        if live is None:
            return "it is not there"
        if known is None:
            return "it is not known"
        if live["subjects"][0]["name"] == wanted[0] and ours:
            return "" if known.state is State.APPLIED else f"it is {known.state} ({known.message}) though it is there"
        return "" if known.state in (State.CONFLICT, State.EXISTS) else f"it is {known.state} and {live['subjects']}"


def machine(host: NatsHost, member: Member) -> type[RuleBasedStateMachine]:
    """What hypothesis plays with."""
    name, group = st.sampled_from(NAMES), st.sampled_from(GROUPS)

    class Machine(RuleBasedStateMachine):
        """See the module."""

        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.world = World(host, member)
            self.do(self.world.open)

        def do(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
            """Have something happen, and a little time pass."""

            async def done() -> None:
                await work(*arguments)
                await asyncio.sleep(0.02)

            self.runner.run(done())

        @rule(name=name, group=group, adopt=st.sampled_from(("Never", "Never", "Same")))
        def want(self, name: str, group: str, adopt: str) -> None:
            self.do(self.world.want, name, group, adopt)

        @rule(name=name)
        def withdraw(self, name: str) -> None:
            self.do(self.world.withdraw, name)

        @rule()
        def say_that_this_is_all(self) -> None:
            self.do(self.world.settle)

        @rule(name=name, group=group)
        def people_make(self, name: str, group: str) -> None:
            self.do(self.world.people_make, name, group)

        @rule(name=name, group=group)
        def people_edit(self, name: str, group: str) -> None:
            self.do(self.world.people_change, name, {"subjects": self.world.binding(name, group)["subjects"]})

        @rule(name=name)
        def people_label(self, name: str) -> None:
            self.do(self.world.people_change, name, {"metadata": {"labels": {"team": "a"}}})

        @rule(name=name)
        def people_delete(self, name: str) -> None:
            self.do(self.world.people_delete, name)

        @rule()
        def link_is_cut(self) -> None:
            self.do(self.world.cut)

        @rule()
        def link_is_there_again(self) -> None:
            self.do(self.world.link)

        @rule(deaf=st.booleans())
        def messages_are_dropped(self, deaf: bool) -> None:
            self.world.agent.deaf = deaf

        @rule()
        def messages_are_repeated(self) -> None:
            async def repeat() -> None:
                self.world.agent.repeat()

            self.do(repeat)

        @rule()
        def agent_starts_again(self) -> None:
            self.do(self.world.restart)

        @rule()
        @precondition(lambda self: self.world.wanted)
        def bucket_is_lost(self) -> None:
            self.do(self.world.lose_bucket)

        @rule()
        def heartbeat_is_answered(self) -> None:
            self.do(self.world.beat)

        @rule(pause_s=st.sampled_from((0.05, 0.3)))
        def time_passes(self, pause_s: float) -> None:
            self.do(asyncio.sleep, pause_s)

        @rule()
        def all_is_up_and_quiet(self) -> None:
            self.do(self.world.quiet)

        def teardown(self) -> None:
            try:
                self.do(self.world.quiet)
            finally:
                self.do(self.world.close)
                self.runner.close()

    return Machine


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused is tried again within a second."""
    monkeypatch.setattr(applier, "LONGEST_S", 1.0)


def _run(host: NatsHost, member: Member, examples: int) -> None:
    run_state_machine_as_test(
        machine(host, member),
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_when_all_is_up_and_quiet_a_member_has_what_is_wanted_and_what_was_not_ours_is_as_it_was(
    nats_host: NatsHost, plain_cluster: Member
) -> None:
    _run(nats_host, plain_cluster, examples=8)


@pytest.mark.soak
def test_it_is_so_after_whatever_happens_for_long(nats_host: NatsHost, plain_cluster: Member) -> None:
    _run(nats_host, plain_cluster, examples=500)
