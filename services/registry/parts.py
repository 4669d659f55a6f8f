"""What the registry is made of, and how that is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

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
from services.registry.derived import DerivedAccounts
from services.registry.desired import Buckets, Desired
from services.registry.directing import Directions
from services.registry.handlers import Handlers
from services.registry.inspection import InspectionMaker
from services.registry.jointokens import TokenFloods, TokenMaker
from services.registry.model import PresenceTable
from services.registry.prober import Prober
from services.registry.progress import MemberProgress
from services.registry.quarantine import Quarantine
from services.registry.rekeys import Rekeys
from services.registry.repairs import RepairEvents
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from services.registry.summary import Summary
from services.registry.syncs import Syncs
from services.registry.trust import Trust
from services.registry.upstreams import Upstreams, settled
from services.registry.writer import StatusWriter
from skerry.api.conditions import awaits_approval
from skerry.api.kinds import CLUSTER, INSPECTION_CREDENTIAL, JOIN_TOKEN
from skerry.bus import Bus
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import SECRETS_KEY
from skerry.identity.resolver import Resolver
from skerry.identity.signedtext import Verify
from skerry.identity.trust import is_signed
from skerry.service import Context
from skerry.storage.sealed import Keyring


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the registry is made of."""

    clock: Clock
    registry: RegistryStore
    accounts: Accounts
    tokens: DerivedAccounts
    inspections: DerivedAccounts
    approvals: Approvals
    statuses: Statuses
    census: Census
    quarantine: Quarantine
    token_floods: TokenFloods
    departures: Departures
    trust: Trust
    prober: Prober
    handlers: Handlers
    connections: Connections
    desired: Desired
    syncs: Syncs
    directions: Directions
    appliers: Appliers
    progress: MemberProgress
    repairs: RepairEvents
    summary: Summary
    agent_lists: AgentLists
    rekeys: Rekeys


Ours = Context[RegistrySettings, Parts]


@asynccontextmanager
async def opened(context: Ours, clock: Clock = wall_and_mono) -> AsyncIterator[Parts]:
    """Be the one host of this store, and know what it knows. Conflict if it has another host; any StatusError."""
    settings = context.settings
    authority = Authority.load(settings.keys_dir)
    reaching = msgspec.structs.replace(context.bus_settings, name=f"{context.bus_settings.name}/resolver")
    async with Bus(reaching, authority.system_credentials) as system:
        registry = RegistryStore(
            settings=settings,
            authority=authority,
            ca_pem=context.bus_settings.ca_pem,
            clusters=context.store(CLUSTER),
            tokens=context.store(JOIN_TOKEN),
            inspections=context.store(INSPECTION_CREDENTIAL),
            cache=context.informer,
            secrets=secrets.Secrets(
                await context.bus.bucket(secrets.BUCKET),
                Keyring(settings.secrets_key_file or settings.keys_dir / SECRETS_KEY),
            ),
            resolver=Resolver(system),
        )
        await registry.claim_host(clock())
        await settled(registry, clock)
        upstreams = Upstreams(registry, clock)
        presence = PresenceTable()
        rekeys = Rekeys(context, registry, presence, clock)
        tokens = DerivedAccounts(TokenMaker(authority), registry.tokens, registry, clock)
        inspections = DerivedAccounts(InspectionMaker(authority), registry.inspections, registry, clock)
        accounts = Accounts(context, registry, (tokens, inspections), rekeys.controller.add)
        desired = await _desired(context, registry, authority, clock)
        directions = Directions(context, desired, presence, clock)
        repairs = RepairEvents(context, clock)
        progress = MemberProgress(context, desired, directions, presence, clock, repairs.reported)
        writer = StatusWriter(context, clock, progress.observed)
        appliers = Appliers(context, registry, upstreams, desired, directions, _verify(authority), clock)
        departures = Departures(
            context.bus, registry.cache, desired, context.store(CLUSTER), appliers.order, presence, clock
        )
        statuses = Statuses(context, registry, presence, writer, departures, desired.forget, clock)
        quarantine = Quarantine(context, registry, writer, clock)
        token_floods = TokenFloods(context, registry)
        trust = Trust(context, registry, clock)
        prober = Prober(context, registry, upstreams, writer, appliers.keeps_binding, clock)
        appliers.follow(prober.leaves)
        progress.follow(lambda name, is_direct: prober.changed(name) if is_direct else statuses.changed({name}))
        handlers = Handlers(
            registry,
            presence,
            statuses.changed,
            quarantine.flooded,
            statuses.listen,
            clock,
            directions.of,
            token_floods.flooded,
            rekeys.order,
            trust.heard,
        )
        yield Parts(
            clock=clock,
            registry=registry,
            accounts=accounts,
            tokens=tokens,
            inspections=inspections,
            approvals=Approvals(context, registry, statuses.evict, clock),
            statuses=statuses,
            departures=departures,
            census=Census(context, registry.resolver, presence, authority.own_accounts, statuses.changed),
            quarantine=quarantine,
            token_floods=token_floods,
            trust=trust,
            prober=prober,
            handlers=handlers,
            connections=Connections(registry, prober.changed, clock),
            desired=desired,
            syncs=Syncs(desired.sync, quarantine.is_cut, handlers.spend),
            directions=directions,
            appliers=appliers,
            progress=progress,
            repairs=repairs,
            summary=Summary(context.informer, context.lease),
            rekeys=rekeys,
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
        await Buckets.open(context.bus),
        partial(uid, leaving=False),
        lambda data: authority.assertion_root.sign(data),
        _verify(authority),
        context.timers.time,
        partial(uid, leaving=True),
        lambda: clock().wall,
    )


def _verify(authority: Authority) -> Verify:
    return lambda data, signature: is_signed(authority.trust_roots(), data, signature)
