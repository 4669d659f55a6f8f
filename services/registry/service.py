"""The service registry: clusters, join tokens, presence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from services.registry import secrets
from services.registry.clock import Clock, wall_and_mono
from services.registry.connecting import Connections
from services.registry.controllers import Accounts, Statuses, tokens
from services.registry.handlers import Handlers
from services.registry.model import Presence
from services.registry.prober import Prober
from services.registry.quarantine import Quarantine
from services.registry.rules import ClusterRules, TokenRules
from services.registry.settings import RegistrySettings
from services.registry.store import Registry
from skerry import subjects
from skerry.api.connection import ClusterConnection
from skerry.api.kinds import CLUSTER, JOIN_TOKEN
from skerry.api.messages import (
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
from skerry.bus import BucketConfig, Bus, Message
from skerry.identity.federation import Authority
from skerry.identity.resolver import Resolver
from skerry.service import Context, Service
from skerry.storage.documents import Document


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the registry is made of."""

    clock: Clock
    registry: Registry
    accounts: Accounts
    statuses: Statuses
    quarantine: Quarantine
    prober: Prober
    handlers: Handlers
    connections: Connections


Ours = Context[RegistrySettings, Parts]


@asynccontextmanager
async def opened(context: Ours, clock: Clock = wall_and_mono) -> AsyncIterator[Parts]:
    """Be the one host of this store, and know what it knows. Conflict if it has another host; any StatusError."""
    settings, config = context.settings, BucketConfig(replicas=context.replicas)
    authority = Authority.load(settings.keys_dir)
    reaching = msgspec.structs.replace(context.bus_settings, name=f"{context.bus_settings.name}/resolver")
    async with Bus(reaching, authority.system_credentials) as system:
        registry = Registry(
            settings=settings,
            authority=authority,
            ca_pem=context.bus_settings.ca_pem,
            clusters=context.store(CLUSTER),
            tokens=context.store(JOIN_TOKEN),
            cache=context.informer,
            secrets=secrets.Secrets(
                await context.bus.bucket(secrets.BUCKET, create=config),
                secrets.load_key(settings.secrets_key_file or settings.keys_dir / "secrets.key"),
            ),
            resolver=Resolver(system),
        )
        await registry.claim_host(clock())
        accounts = Accounts(context, registry, set(await registry.resolver.accounts()))
        presence = Presence()
        statuses = Statuses(context, registry, presence, clock)
        quarantine = Quarantine(context, registry, clock)
        prober = Prober(context, registry, clock)
        yield Parts(
            clock=clock,
            registry=registry,
            accounts=accounts,
            statuses=statuses,
            quarantine=quarantine,
            prober=prober,
            handlers=Handlers(registry, presence, statuses.changed, quarantine.heartbeats, statuses.listen, clock),
            connections=Connections(registry, prober.changed, clock),
        )


async def join(context: Ours, request: JoinRequest, jti: str) -> JoinAnswer:
    """An agent joins its member."""
    return await context.state.handlers.join(request, jti)


async def renew(context: Ours, request: RenewRequest, member: str) -> RenewAnswer:
    """An agent renews its credential."""
    return await context.state.handlers.renew(request, member)


async def certify(context: Ours, request: CertifyRequest) -> CertifyAnswer:
    """A proxy has its key certified."""
    return await context.state.handlers.certify(request)


async def tell(context: Ours, request: ConnectRequest, member: str) -> ConnectAnswer:
    """A proxy asks how to reach a direct member."""
    return await context.state.connections.tell(request, member)


async def connect(context: Ours, request: WriteRequest, body: ClusterConnection) -> Document:
    """A direct member joins."""
    return await context.state.connections.join(request, body)


async def rotate(context: Ours, request: WriteRequest, body: ClusterConnection) -> Document:
    """A direct member gets another credential."""
    return await context.state.connections.rotate(request, body)


async def heartbeat(context: Ours, message: Message) -> None:
    """An agent lives."""
    await context.state.handlers.heartbeat(message)


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
        CLUSTER: lambda context: ClusterRules(context.state.statuses.evict),
        JOIN_TOKEN: lambda context: TokenRules(context.state.registry),
    },
    controllers=(
        lambda context: context.state.accounts.controller,
        lambda context: context.state.statuses.controller,
        lambda context: context.state.statuses.ticker,
        lambda context: context.state.quarantine.controller,
        lambda context: context.state.prober.controller,
        tokens,
    ),
    endpoints={
        subjects.JOINS: join,
        subjects.RENEWALS: renew,
        subjects.CERTIFY: certify,
        subjects.CONNECTIONS: tell,
    },
    actions={(CLUSTER, "connection", "create"): connect, (CLUSTER, "connection", "update"): rotate},
    hears={
        subjects.HEARTBEATS: heartbeat,
        subjects.CONNECTS: connected,
        subjects.DISCONNECTS: disconnected,
        subjects.QUARANTINES: flooded,
    },
)
