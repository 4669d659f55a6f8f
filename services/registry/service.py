"""The service registry: clusters, join tokens, presence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from services.registry import clusters, secrets
from services.registry.accounts import Accounts
from services.registry.agents import AgentLists
from services.registry.appliers import Appliers
from services.registry.approving import Approvals
from services.registry.census import Census
from services.registry.clock import Clock, wall_and_mono
from services.registry.connecting import Connections
from services.registry.controllers import Statuses
from services.registry.departing import Departures
from services.registry.desired import Buckets, Desired
from services.registry.directing import Directions
from services.registry.entries import Entries
from services.registry.handlers import Handlers
from services.registry.jointokens import TokenFloods, TokenRules, tokens
from services.registry.model import PresenceTable
from services.registry.pausing import ended, pauses
from services.registry.prober import Prober
from services.registry.progress import MemberProgress
from services.registry.quarantine import Quarantine
from services.registry.releasing import releases
from services.registry.repairs import Repairs
from services.registry.rules import ClusterRules
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from services.registry.summary import Summary
from services.registry.writer import StatusWriter
from skerry import subjects
from skerry.api.approval import ClusterDecision
from skerry.api.conditions import awaits_approval
from skerry.api.connection import ClusterConnection
from skerry.api.desired import (
    Batch,
    BatchAnswer,
    CompleteAnswer,
    CompleteRequest,
    Heard,
    KeysAnswer,
    KeysRequest,
    Report,
    SyncAnswer,
    SyncRequest,
)
from skerry.api.desiredlist import DesiredQuery
from skerry.api.fleet import FleetRequest, FleetSummary
from skerry.api.kinds import CLUSTER, JOIN_TOKEN, SETTING
from skerry.api.messages import (
    ApprovalRequest,
    CertifyAnswer,
    CertifyRequest,
    ConnectAnswer,
    ConnectRequest,
    JoinAnswer,
    JoinRequest,
    RenewAnswer,
    RenewRequest,
    WriteRequest,
)
from skerry.api.meta import Document
from skerry.bus import BucketConfig, Bus, Message
from skerry.identity import nkey
from skerry.identity.federation import Authority
from skerry.identity.resolver import Resolver
from skerry.identity.services import DESIRED_OWNERS
from skerry.identity.signedtext import Verify
from skerry.service import Context, Service
from skerry.storage.sealed import Keyring


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the registry is made of."""

    clock: Clock
    registry: RegistryStore
    accounts: Accounts
    approvals: Approvals
    statuses: Statuses
    census: Census
    quarantine: Quarantine
    token_floods: TokenFloods
    prober: Prober
    handlers: Handlers
    connections: Connections
    desired: Desired
    directions: Directions
    appliers: Appliers
    progress: MemberProgress
    repairs: Repairs
    summary: Summary
    agent_lists: AgentLists


Ours = Context[RegistrySettings, Parts]


@asynccontextmanager
async def opened(context: Ours, clock: Clock = wall_and_mono) -> AsyncIterator[Parts]:
    """Be the one host of this store, and know what it knows. Conflict if it has another host; any StatusError."""
    settings, config = context.settings, BucketConfig(replicas=context.replicas)
    authority = Authority.load(settings.keys_dir)
    reaching = msgspec.structs.replace(context.bus_settings, name=f"{context.bus_settings.name}/resolver")
    async with Bus(reaching, authority.system_credentials) as system:
        registry = RegistryStore(
            settings=settings,
            authority=authority,
            ca_pem=context.bus_settings.ca_pem,
            clusters=context.store(CLUSTER),
            tokens=context.store(JOIN_TOKEN),
            cache=context.informer,
            secrets=secrets.Secrets(
                await context.bus.bucket(secrets.BUCKET, create=config),
                Keyring(settings.secrets_key_file or settings.keys_dir / "secrets.key"),
            ),
            resolver=Resolver(system),
        )
        await registry.claim_host(clock())
        accounts = Accounts(context, registry, clock)
        presence = PresenceTable()
        desired = await _desired(context, registry, authority, clock)
        directions = Directions(context, desired, presence, clock)
        repairs = Repairs(context, clock)
        progress = MemberProgress(context, desired, directions, presence, clock, repairs.reported)
        writer = StatusWriter(context, clock, progress.observed)
        appliers = Appliers(context, registry, desired, directions, _verify(authority), clock)
        departures = Departures(context.bus, desired, context.store(CLUSTER), appliers.order, clock)
        statuses = Statuses(context, registry, presence, writer, departures, desired.forget, clock)
        quarantine = Quarantine(context, registry, writer, clock)
        token_floods = TokenFloods(context, registry)
        prober = Prober(context, registry, writer, appliers.keeps_binding, clock)
        appliers.follow(prober.leaves)
        progress.follow(lambda name, is_direct: prober.changed(name) if is_direct else statuses.changed({name}))
        yield Parts(
            clock=clock,
            registry=registry,
            accounts=accounts,
            approvals=Approvals(context, registry, statuses.evict, clock),
            statuses=statuses,
            census=Census(context, registry.resolver, presence, authority.own_accounts, statuses.changed),
            quarantine=quarantine,
            token_floods=token_floods,
            prober=prober,
            handlers=Handlers(
                registry,
                presence,
                statuses.changed,
                quarantine.flooded,
                statuses.listen,
                clock,
                directions.of,
                token_floods.flooded,
            ),
            connections=Connections(registry, prober.changed, clock),
            desired=desired,
            directions=directions,
            appliers=appliers,
            progress=progress,
            repairs=repairs,
            summary=Summary(context.informer, context.lease),
            agent_lists=AgentLists(registry.get_cluster, registry.secrets.member, presence.members.get, clock),
        )


async def _desired(context: Ours, registry: RegistryStore, authority: Authority, clock: Clock) -> Desired:
    def uid(name: str, *, leaving: bool) -> str | None:
        item = registry.cache.get(CLUSTER, name)
        document = {} if item is None else item.document()
        if item is None or clusters.is_leaving(document) is not leaving or awaits_approval(document):
            return None
        return item.uid

    return Desired(
        await Buckets.open(context.bus, context.replicas),
        partial(uid, leaving=False),
        authority.assertion_root.sign,
        _verify(authority),
        context.timers.time,
        partial(uid, leaving=True),
        lambda: clock().wall,
    )


def _verify(authority: Authority) -> Verify:
    root = authority.assertion_root.public
    return lambda data, signature: nkey.verify(root, data, signature)


async def join(context: Ours, request: JoinRequest, jti: str) -> JoinAnswer:
    """An agent joins its member."""
    return await context.state.handlers.join(request, jti)


async def renew(context: Ours, request: RenewRequest, member: str) -> RenewAnswer:
    """An agent renews its credential."""
    return await context.state.handlers.renew(request, member)


async def ask(context: Ours, request: ApprovalRequest, member: str) -> JoinAnswer:
    """An agent asks whether its member was approved."""
    return await context.state.handlers.ask(request, member)


async def approve(context: Ours, request: WriteRequest, body: ClusterDecision) -> Document:
    """Somebody lets a cluster in."""
    return await context.state.approvals.approve(request, body)


async def deny(context: Ours, request: WriteRequest, body: ClusterDecision) -> Document:
    """Somebody turns a cluster away."""
    return await context.state.approvals.deny(request, body)


async def certify(context: Ours, request: CertifyRequest) -> CertifyAnswer:
    """A proxy has its key certified."""
    return await context.state.handlers.certify(request)


async def fleet(context: Ours, request: FleetRequest) -> FleetSummary:
    """Somebody looks how the members are."""
    return await context.state.summary.fleet()


async def tell(context: Ours, request: ConnectRequest, member: str) -> ConnectAnswer:
    """A proxy asks how to reach a direct member."""
    return await context.state.connections.tell(request, member)


async def connect(context: Ours, request: WriteRequest, body: ClusterConnection) -> Document:
    """A direct member joins."""
    return await context.state.connections.join(request, body)


async def rotate(context: Ours, request: WriteRequest, body: ClusterConnection) -> Document:
    """A direct member gets another credential."""
    return await context.state.connections.rotate(request, body)


async def list_desired(context: Ours, request: WriteRequest, body: DesiredQuery) -> Document:
    """Somebody asks what a member should have, and what became of it."""
    return await Entries(context.state.desired, context.state.registry.get_cluster).answer(request, body)


async def list_agents(context: Ours, request: WriteRequest, body: None) -> Document:
    """Somebody asks which agents a member has."""
    return await context.state.agent_lists.answer(request.name)


async def sync_desired(context: Ours, request: SyncRequest, member: str) -> SyncAnswer:
    """A member asks what it should have."""
    return await context.state.desired.sync(member, request)


async def report_desired(context: Ours, request: Report, member: str) -> Heard:
    """A member says what became of it."""
    state = context.state
    await state.desired.report(member, request)
    await ended(state.desired, state.registry.cache, member, request)
    return Heard()


def _owner_endpoints(owner: str) -> dict[str, Callable[..., Awaitable[Any]]]:
    """What an owner of desired state may ask, on subjects that nobody else may use."""

    async def batch(context: Ours, request: Batch) -> BatchAnswer:
        return await context.state.desired.batch(owner, request)

    async def keys(context: Ours, request: KeysRequest) -> KeysAnswer:
        return await context.state.desired.keys(owner, request)

    async def complete(context: Ours, request: CompleteRequest) -> CompleteAnswer:
        return CompleteAnswer(revision=await context.state.desired.complete(owner, request.member))

    return {
        subjects.desired_owner(owner): batch,
        subjects.desired_keys(owner): keys,
        subjects.desired_complete(owner): complete,
    }


def desired_changed(context: Ours, message: Message) -> None:
    """The bucket of desired state changed."""
    context.state.directions.heard(message)
    context.state.appliers.heard(message)
    context.state.progress.heard(message)


def heartbeat(context: Ours, message: Message) -> None:
    """An agent lives."""
    context.state.handlers.heartbeat(message)


def connected(context: Ours, message: Message) -> None:
    """A connection to the bus began."""
    context.state.handlers.connected(message)


def disconnected(context: Ours, message: Message) -> None:
    """A connection to the bus ended."""
    context.state.handlers.disconnected(message)


def flooded(context: Ours, message: Message) -> None:
    """A proxy was flooded by a member."""
    context.state.quarantine.reported(message)


SERVICE: Service[RegistrySettings, Parts] = Service(
    name="registry",
    description="clusters, join tokens, presence",
    settings=RegistrySettings,
    state=opened,
    rules={
        CLUSTER: lambda context: ClusterRules(context.state.statuses.evict, context.state.clock),
        JOIN_TOKEN: lambda context: TokenRules(context.state.registry, context.state.clock),
    },
    controllers=(
        lambda context: context.state.accounts.controller,
        lambda context: context.state.approvals.controller,
        lambda context: context.state.statuses.controller,
        lambda context: context.state.statuses.ticker,
        lambda context: context.state.census.controller,
        lambda context: context.state.quarantine.controller,
        lambda context: context.state.token_floods.controller,
        lambda context: context.state.prober.controller,
        lambda context: context.state.directions.controller,
        lambda context: context.state.appliers.controller,
        lambda context: context.state.progress.controller,
        lambda context: context.state.repairs.controller,
        tokens,
        releases,
        pauses,
    ),
    tasks=(
        lambda context: context.state.appliers.run,
        lambda context: context.state.progress.run,
        lambda context: context.state.prober.run,
    ),
    endpoints={
        subjects.JOINS: join,
        subjects.RENEWALS: renew,
        subjects.OLD_RENEWALS: renew,
        subjects.APPROVALS: ask,
        subjects.CERTIFY: certify,
        subjects.FLEET: fleet,
        subjects.CONNECTIONS: tell,
        subjects.DESIRED_SYNCS: sync_desired,
        subjects.DESIRED_REPORTS: report_desired,
        **{subject: handler for owner in DESIRED_OWNERS for subject, handler in _owner_endpoints(owner).items()},
    },
    admits={
        subjects.JOINS: lambda context, jti: context.state.handlers.may_join(jti),
        subjects.RENEWALS: lambda context, member: context.state.handlers.may_renew(member),
        subjects.OLD_RENEWALS: lambda context, member: context.state.handlers.may_renew(member),
        subjects.APPROVALS: lambda context, member: context.state.handlers.may_ask(member),
        subjects.DESIRED_SYNCS: lambda context, member: context.state.handlers.may_call(member, "desired"),
        subjects.DESIRED_REPORTS: lambda context, member: context.state.handlers.may_call(member, "reports"),
    },
    actions={
        (CLUSTER, "connection", "create"): connect,
        (CLUSTER, "connection", "update"): rotate,
        (CLUSTER, "approve", "create"): approve,
        (CLUSTER, "deny", "create"): deny,
        (CLUSTER, "desired", "get"): list_desired,
        (CLUSTER, "agents", "get"): list_agents,
    },
    needs=(SETTING,),
    hears={
        subjects.HEARTBEATS: heartbeat,
        subjects.CONNECTS: connected,
        subjects.DISCONNECTS: disconnected,
        subjects.QUARANTINES: flooded,
        subjects.DESIRED_CHANGES: desired_changed,
    },
)
