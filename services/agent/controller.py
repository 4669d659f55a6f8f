"""Staying connected, for ever: a pair of bus connections with an Acceptor, heartbeats, and new credentials in time.

One generation is a pair (interactive, bulk); losing either drops both, and a new pair with new ids is made. Renewed
credentials make a new pair for new streams while the old one keeps its streams until they end. A bus that swallows three
heartbeats in a row is given up even if TCP seems fine. What fails is tried again, for ever: a file that cannot be read, a
host that does not know this agent (its store may not be restored yet). The only ways out are the stop event and the
host's word that it holds the proof of this agent's removal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import msgspec

from services.agent import membership as members
from services.agent.credentials import CredentialKeeper
from services.agent.desired import DesiredState
from services.agent.generation import Generation
from services.agent.health import ClusterHealth
from services.agent.membership import Removed
from services.agent.model import HostClock, Watchdog
from services.agent.settings import Settings
from services.agent.store import AgentStore, Membership
from services.agent.trust import MembershipTrust
from skerry import __version__, bus, subjects
from skerry.api.agentlist import short_name
from skerry.api.decode import decoded
from skerry.api.happened import MemberEvent
from skerry.api.messages import Heartbeat, HeartbeatAnswer, RekeyOrder
from skerry.bus import ConnectionPairs
from skerry.cloudevents import verb_of
from skerry.errors import GatewayTimeout, InternalError, StatusError, Unauthorized
from skerry.httpwire.room import Room
from skerry.link import Acceptor, Stream
from skerry.link.acceptor import BUDGET
from skerry.member.inventory import EVERY_S, InventoryCollector
from skerry.member.upstream import Upstream
from skerry.runtime import endless
from skerry.tunnel.window import Budget

log = logging.getLogger("skerry.agent")

LEAVE_S = 1.0
LINGER_S = 0.5
"""A generation without streams stays for so long: what was sent to it before its word arrived is told to go elsewhere."""
FACTS_S = 1.0
"""How long the first heartbeat waits for the first health check: usually it takes milliseconds."""
_encode = msgspec.json.Encoder().encode
Handler = Callable[[Stream], Coroutine[Any, Any, None]]
Ready = Callable[[bool, str], None]
"""Told whether streams are taken, and why not."""


class AgentProcess:
    """One agent process of one member."""

    def __init__(
        self,
        settings: Settings,
        store: AgentStore,
        membership: Membership,
        trust: MembershipTrust,
        health: ClusterHealth,
        desired: DesiredState,
        upstream: Upstream,
        clock: HostClock,
        handler: Handler,
        ready: Ready,
    ) -> None:
        self._settings, self._store, self._membership, self._trust = settings, store, membership, trust
        self._health, self._desired = health, desired
        self._upstream = upstream
        self._inventory = InventoryCollector(upstream, self._inventory_changed)
        self._clock, self._handler, self._ready = clock, handler, ready
        self._budget, self._room = Budget(BUDGET), Room()
        self._boot = f"{random.getrandbits(48):012x}"
        self._watchdog = Watchdog()
        self._ending = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._is_told = False
        """That this process started."""
        self._farewell, self._over = "", asyncio.Event()
        self._generations: list[Generation] = []
        self._credentials = CredentialKeeper(store, membership, clock, self._generations, settings.look_s)
        self._rtt_ms: float | None = None
        self._inventory_due = 0.0
        """Monotonic time from which a heartbeat says what the cluster has."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop`, then leave in order. Raises Removed when the host ended the membership."""
        try:
            async with asyncio.TaskGroup() as group:
                work = (
                    self._beats,
                    self._credentials.renewals,
                    self._credentials.rekeys,
                    self._credentials.comparisons,
                    self._end,
                    self._looks,
                    self._desired.run,
                    self._inventory.run,
                )
                tasks = [group.create_task(self._keep(group), name="keep")]
                tasks += [group.create_task(endless(each, "a task of the agent")) for each in work]
                await stop.wait()
                await self._leave()
                for task in tasks:
                    task.cancel()
                self._cut("the agent ends")
        except* Removed as group_of:
            raise group_of.exceptions[0] from None
        finally:
            self._cut("the agent ends")

    def _cut(self, why: str) -> None:
        for generation in self._generations:
            generation.abort(why)

    # Connections

    async def _keep(self, group: asyncio.TaskGroup) -> None:
        pairs = self._pairs()
        old: tuple[ConnectionPairs, Generation] | None = None
        try:
            while (pair := await pairs.next()) is not None:
                generation = self._made(*pair)
                if generation is None or not await self._is_subscribed(generation):
                    continue
                if not self._is_told:
                    self._is_told = True
                    self._tell(generation, "Started")
                self._generations.append(generation)
                self._credentials.changed()
                life = group.create_task(self._live(generation), name="generation")
                self._clock.forget()
                self._inventory_due = 0.0
                group.create_task(self._follow(generation), name="desired state")
                self._beat_now.set()
                if old is not None:
                    group.create_task(self._retire(*old), name="retire")
                    old = None
                if await self._outlived(life):
                    old, pairs = (pairs, generation), self._pairs()
        finally:
            await pairs.close()
            if old is not None:
                await old[0].close()
        if not self._ending.is_set():
            raise InternalError("the supervisor of the agent's connections ended by itself")

    async def _is_subscribed(self, generation: Generation) -> bool:
        """Whether a generation takes streams: before that the one before it must not leave, or nobody would take them."""
        try:
            await generation.acceptor.start()
        except StatusError as e:
            generation.abort(e.message)
            self._failed(e)
            return False
        return True

    async def _follow(self, generation: Generation) -> None:
        try:
            await self._desired.attach(generation.interactive)
        except StatusError as e:
            log.info("desired state cannot be followed on this connection", extra={"reason": e.message})

    def _told_farewell(self, message: bus.Message) -> None:
        self._end_for(members.farewell(self._store, self._membership, self._trust.is_signed, message.data))

    def _told_own_farewell(self, message: bus.Message) -> None:
        """The host says that this agent was revoked, by the key that the subject names."""
        ends = message.subject.rpartition(".")[2]
        self._end_for(members.farewell(self._store, self._membership, self._trust.is_signed, message.data, ends))

    def _end_for(self, text: str) -> None:
        if text:
            self._farewell = text
            self._over.set()

    def _told_order(self, message: bus.Message) -> None:
        """The host says that keys are to be replaced. It needs no proof: see RekeyOrder."""
        try:
            self._credentials.ordered(decoded(message.data, RekeyOrder))
        except msgspec.DecodeError as e:
            log.warning("what the host says about keys cannot be read", extra={"reason": str(e)})

    async def _end(self) -> None:
        """Until the host has said farewell."""
        await self._over.wait()
        raise Removed(self._farewell)

    def _pairs(self) -> ConnectionPairs:
        return ConnectionPairs(self._connections("interactive"), self._connections("bulk"))

    def _made(self, interactive: bus.Connection, bulk: bus.Connection) -> Generation | None:
        """None if this bus cannot carry streams: a failed attempt like any other."""
        try:
            acceptor = Acceptor(
                interactive, bulk, self._membership.member, self._handler, budget=self._budget, room=self._room
            )
            # Before the first heartbeat: whoever was heard can be told.
            member = self._membership.member
            interactive.subscribe_now(subjects.farewell(member), self._told_farewell)
            interactive.subscribe_now(subjects.agent_farewell(member, interactive.user), self._told_own_farewell)
            interactive.subscribe_now(subjects.rekey_order(member), self._told_order)
        except StatusError as e:
            self._failed(e)
            return None
        return Generation(interactive, bulk, acceptor)

    def _connections(self, class_: str) -> AsyncGenerator[bus.Connection]:
        settings = members.bus_settings(
            self._membership.servers,
            self._membership.ca,
            f"{self._credentials.nkey}/{class_}/{self._boot}",
            bulk=class_ == "bulk",
        )
        return bus.connections(settings, self._credentials.load, stop=self._ending, failed=self._failed)

    def _failed(self, error: StatusError) -> None:
        log.warning("the bus cannot be used", extra={"reason": error.message})
        if not self._generations:
            self._ready(False, error.message)
        if isinstance(error, Unauthorized):
            self._credentials.refused()

    async def _live(self, generation: Generation) -> None:
        try:
            reason = await generation.live()
            log.warning("the connection to the host is over", extra={"reason": reason})
        except Exception:
            log.exception("the connection to the host failed")
            reason = "an internal error; the agent's log has it"
        finally:
            self._generations.remove(generation)
            self._credentials.changed()
        if not self._generations and not self._ending.is_set():
            self._ready(False, reason)

    async def _outlived(self, life: asyncio.Task[None]) -> bool:
        """Until the generation is lost (False) or renewed credentials should replace it (True)."""
        renewed = asyncio.ensure_future(self._credentials.renewed.wait())
        try:
            await asyncio.wait((life, renewed), return_when=asyncio.FIRST_COMPLETED)
            return not life.done()
        finally:
            renewed.cancel()

    async def _retire(self, pairs: ConnectionPairs, generation: Generation) -> None:
        try:
            cap_s = 0.0 if self._credentials.cuts(generation) else self._settings.session_cap_s
            await self._drain(generation, cap_s)
        finally:
            await pairs.close()

    async def _leave(self) -> None:
        """Say so first, let running streams end within the grace, then cut."""
        self._ending.set()
        self._ready(False, "stopping")
        generations = list(self._generations)
        if generations:
            self._tell(generations[-1], "Stopping")
            await self._beat(generations[-1], leaving=True, echo_s=LEAVE_S)
        async with asyncio.TaskGroup() as group:
            for generation in generations:
                group.create_task(self._drain(generation, self._settings.grace_s))

    @staticmethod
    async def _drain(generation: Generation, grace_s: float) -> None:
        """Have its streams end within the grace, and those refused that were on their way: cut at once, it would have left them
        unanswered, and changes with an unknown outcome.
        """
        acceptor = generation.acceptor
        is_used = any(connection.peers for connection in acceptor.connections)
        await acceptor.drain(grace_s)
        if grace_s and is_used:
            await asyncio.sleep(LINGER_S)

    def _tell(self, generation: Generation, reason: str) -> None:
        """An event for the host; where it cannot be said it is not."""
        subject = subjects.tells(self._membership.member, verb_of(reason))
        with contextlib.suppress(StatusError):
            generation.interactive.publish_now(subject, msgspec.json.encode(MemberEvent(message=self._described)))

    @property
    def _described(self) -> str:
        return f"agent {short_name(self._credentials.nkey)}, version {__version__}"

    # Heartbeats

    async def _looks(self) -> None:
        """At the API server; what changed is told at once, and not only with the next heartbeat."""
        while True:
            if await self._health.check():
                self._beat_now.set()
            await asyncio.sleep(self._settings.heartbeat_s)

    async def _beats(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FACTS_S):
                await self._health.known.wait()
        while True:
            self._beat_now.clear()
            if self._generations:
                await self._beat(self._generations[-1])
            try:
                async with asyncio.timeout(self._settings.heartbeat_s):
                    await self._beat_now.wait()
            except TimeoutError:
                continue

    async def _beat(self, generation: Generation, *, leaving: bool = False, echo_s: float = 0.0) -> None:
        sent = time.monotonic()
        subject, heartbeat = (
            subjects.heartbeat(self._membership.member),
            self._heartbeat(generation, leaving, sent),
        )
        try:
            reply = await generation.interactive.request(
                subject, _encode(heartbeat), timeout_s=echo_s or self._settings.echo_s
            )
            answer = decoded(reply.data, HeartbeatAnswer)
        except (StatusError, msgspec.DecodeError) as e:
            self._unanswered(e, generation, leaving)
            return
        received = time.monotonic()
        self._watchdog.echoed()
        self._clock.learn(sent, received, answer.host_time)
        self._rtt_ms = round((received - sent) * 1000, 3)
        self._desired.directed(answer.desired)
        self._credentials.ordered(answer.rekey)
        if await self._trust.told(answer.roots):
            self._beat_now.set()
        if heartbeat.inventory is not None and heartbeat.inventory is self._inventory.inventory:
            self._inventory_due = sent + EVERY_S
        if self._trust.problem:
            self._ready(False, self._trust.problem)
        elif not self._ending.is_set():
            self._ready(True, f"cluster {self._membership.member} of host {self._membership.host}")

    def _unanswered(self, error: Exception, generation: Generation, leaving: bool) -> None:
        if leaving or isinstance(error, bus.ConnectionLost):
            return
        if not isinstance(error, GatewayTimeout):
            self._watchdog.echoed()
            log.warning("the host's registry does not answer", extra={"reason": str(error)})
            return
        if self._watchdog.silent():
            log.warning("nothing comes back from the host: making new connections")
            generation.abort("no answer to several heartbeats")

    def _inventory_changed(self) -> None:
        self._inventory_due = 0.0
        self._beat_now.set()

    def _heartbeat(self, generation: Generation, leaving: bool, now: float) -> Heartbeat:
        agent, health, inventory, ends = (
            generation.nkey,
            self._health,
            self._inventory.inventory,
            self._upstream.certificate_ends,
        )
        return Heartbeat(
            agent=agent,
            epoch=self._boot,
            version=__version__,
            kubernetes_version=health.version,
            cluster_uid=health.uid,
            nodes=None if inventory is None else inventory.nodes,
            healthy=health.healthy and not self._trust.problem,
            message=self._trust.problem or health.message,
            missing=health.missing,
            repaired=health.repaired,
            taken_over=health.taken_over,
            app_store=health.app_store,
            inventory=inventory if now >= self._inventory_due else None,
            ceiling=self._settings.ceiling,
            clock_s=self._clock.ahead(now, time.time()),
            rtt_ms=self._rtt_ms,
            expires=self._credentials.expires,
            server_certificate=ends.server,
            client_certificate=ends.client,
            leaving=leaving,
            replaces=self._credentials.replaced if agent == self._credentials.nkey else "",
            roots=self._trust(),
            desired=self._desired.progress,
            connections=tuple(connection.id for connection in generation.acceptor.connections),
        )
