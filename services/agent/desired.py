"""Desired state in an agent: its applier lives as long as the process, and follows the pair of connections of the moment.

Live changes come on the interactive connection; each new pair is subscribed first and then synced. What became of the
entries is reported on change, at most once a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from services.agent import ceiling as ceilings
from services.agent.store import Membership
from skerry import bus, subjects
from skerry.api.decode import decoded
from skerry.api.desired import SyncAnswer, SyncRequest, WithdrawOrder
from skerry.api.messages import Direction, Progress
from skerry.api.v1alpha1 import Ceiling
from skerry.desired.applier import Applier
from skerry.desired.entry import opened_order
from skerry.desired.objects import Objects
from skerry.desired.owners import BINDINGS
from skerry.errors import BadGateway, ServiceUnavailable, StatusError
from skerry.identity.signedtext import Verify
from skerry.member.upstream import Upstream
from skerry.runtime import endless

log = logging.getLogger("skerry.agent")

SYNC_S, REPORT_S = 30.0, 15.0
"""How long an answer is waited for. An agent has one question of a kind under way, and a host that was started with a thousand
members has all of theirs: who gives up and asks again has it answer twice, and everybody waits for longer.
"""
_encode = msgspec.json.Encoder().encode


class RegistryClient:
    """The registry, over the connection of the moment."""

    def __init__(self, member: str) -> None:
        self._member = member
        self.connection: bus.Connection | None = None

    async def sync(self, request: SyncRequest) -> SyncAnswer:
        """What the member should have. ServiceUnavailable without a connection, or by a host that has no such channel."""
        data = await self._asked(subjects.desired_sync(self._member), _encode(request), SYNC_S)
        try:
            return decoded(data, SyncAnswer)
        except msgspec.DecodeError as error:
            raise BadGateway(f"the host's answer about desired state cannot be read: {error}") from error

    async def report(self, data: bytes) -> None:
        """Say what became of it. StatusError if that was not heard."""
        await self._asked(subjects.desired_report(self._member), data, REPORT_S)

    async def _asked(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        connection = self.connection
        if connection is None or connection.lost.done():
            raise ServiceUnavailable("the agent is not connected to its host")
        return (await connection.request(subject, data, timeout_s=timeout_s)).data


class DesiredState:
    """Of one membership. Tasks must run what `tasks` names."""

    def __init__(
        self,
        membership: Membership,
        verify: Verify,
        upstream: Upstream,
        ceiling: Ceiling,
        clock: Callable[[], float],
        leaves: Callable[[], Awaitable[None]],
    ) -> None:
        """`verify` says whether the host signed, `clock` is the host's time; `leaves` is called before everything is withdrawn from
        a member that is removed."""
        self._leaves, self._verify = leaves, verify
        self._member = membership.member
        self._registry = RegistryClient(membership.member)
        self.applier = Applier(
            membership.member,
            Objects(upstream, membership.host_uid, check=self._check_lead),
            self._registry,
            verify,
            guard=partial(ceilings.entry_refusal, ceiling),
            clock=clock,
        )
        self.applier.lead = False
        self._orders: asyncio.Queue[WithdrawOrder] = asyncio.Queue(1)

    def _check_lead(self) -> None:
        """For the line in front of a write: an agent that waited for its turn may have been told meanwhile that another leads."""
        if not self.applier.lead:
            raise ServiceUnavailable("another agent of this member applies now: nothing was written")

    async def run(self) -> None:
        """Apply and report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(endless(self.applier.run, "the applier of desired state"))
            group.create_task(endless(self._reports, "reports of desired state"))
            group.create_task(endless(self._obey, "orders of the host"))

    async def attach(self, connection: bus.Connection) -> None:
        """Follow a new pair: hear first, then ask what was missed. StatusError if it is lost already."""
        await connection.subscribe(subjects.desired_down(self._member), self.applier.feed.republished)
        await connection.subscribe(subjects.desired_order(self._member), self._ordered)
        self._registry.connection = connection
        self.applier.feed.ask()

    def keeps_binding(self, name: str) -> bool:
        """Whether a ClusterRoleBinding is kept in place by an entry."""
        return self.applier.keeps(*BINDINGS, name)

    @property
    def progress(self) -> Progress:
        """For a heartbeat; of no epoch before the first sync: that there is a channel is said from the first heartbeat on."""
        epoch, applied = self.applier.progress()
        return Progress(epoch=epoch, applied=applied)

    def directed(self, direction: Direction | None) -> None:
        """What a heartbeat was answered; None by a host that has no such channel."""
        if direction is not None:
            self.applier.told(direction.epoch, direction.last, lead=direction.lead)

    def _ordered(self, message: bus.Message) -> None:
        """The host says that everything is to go: it is believed by its signature, and of this membership alone."""
        try:
            order = opened_order(self._member, message.data, self._verify)
        except StatusError as error:
            log.warning("an order is not believed", extra={"reason": error.message})
            return
        if order.cluster == self.applier.feed.cluster and not self._orders.full():
            self._orders.put_nowait(order)

    async def _obey(self) -> None:
        while True:
            order = await self._orders.get()
            if not self.applier.ending:
                what = "stays, and is nobody's" if order.keep else "is withdrawn"
                log.info("the host removes this member: everything of its own %s", what)
            self.applier.ending = True
            await self._leaves()
            if self.applier.lead:
                await self.applier.withdraw_all(order.id, keep=order.keep)

    async def _reports(self) -> None:
        while True:
            report = await self.applier.report()
            if not report.epoch or not self.applier.lead:
                continue
            try:
                await self._registry.report(_encode(report))
            except StatusError as error:
                log.debug("a report of desired state was not heard", extra={"reason": error.message})
                self.applier.report_again()
