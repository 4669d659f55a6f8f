"""The service registry: clusters, join tokens, presence, looks at the bus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from services.registry.entries import Entries
from services.registry.inspection import InspectionRules, inspections
from services.registry.jointokens import TokenRules
from services.registry.parts import Ours, Parts, opened
from services.registry.pausing import ended, pauses
from services.registry.releasing import releases
from services.registry.rules import ClusterRules
from services.registry.settings import RegistrySettings
from services.registry.tokens import parse_jti
from skerry import subjects
from skerry.api.agentlist import Rekey, RevokedAgent
from skerry.api.approval import ClusterDecision
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
from skerry.api.happened import MEMBER_EVENT_BYTES, MEMBER_EVENTS, MemberEvent, Told
from skerry.api.kinds import CLUSTER, INSPECTION_CREDENTIAL, JOIN_TOKEN, REVOCATION, SETTING
from skerry.api.messages import (
    ApprovalRequest,
    CertifyAnswer,
    CertifyRequest,
    ConnectAnswer,
    ConnectRequest,
    JoinAnswer,
    JoinRequest,
    RekeyRequest,
    RenewAnswer,
    RenewRequest,
    Retired,
    RetireRequest,
    WriteRequest,
)
from skerry.api.meta import Document
from skerry.bus import Message
from skerry.cloudevents import verb_of
from skerry.errors import BadRequest, StatusError, TooManyRequests
from skerry.identity.services import DESIRED_OWNERS
from skerry.service import Service


async def join(context: Ours, request: JoinRequest, jti: str) -> JoinAnswer:
    """An agent joins its member."""
    try:
        return await context.state.handlers.join(request, jti)
    except TooManyRequests:
        raise
    except StatusError as error:
        context.recorder.system("JoinRefused", parse_jti(jti)[0] or "unknown", f"{request.name}: {error.message}")
        raise


async def told(context: Ours, request: MemberEvent, member: str, verb: str) -> Told:
    """An agent tells that something happened. BadRequest for more than may be told."""
    reason = {verb_of(each): each for each in MEMBER_EVENTS}.get(verb)
    if reason is None or len(request.message) > MEMBER_EVENT_BYTES:
        raise BadRequest(
            f"agents tell {', '.join(map(verb_of, MEMBER_EVENTS))}, in at most {MEMBER_EVENT_BYTES} characters"
        )
    context.recorder.member(reason, member, request.message)
    return Told()


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


async def rekey(context: Ours, request: RekeyRequest, member: str) -> RenewAnswer:
    """An agent asks for another key in the place of its own."""
    return await context.state.rekeys.rekey(request, member)


async def retire(context: Ours, request: RetireRequest, member: str) -> Retired:
    """An agent says that it uses a replaced key no longer."""
    return await context.state.rekeys.retire(request, member)


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


async def start_rekey(context: Ours, request: WriteRequest, body: Rekey) -> Document:
    """Somebody has all agents of a member get other keys."""
    by, dry_run = request.caller.user, request.options.dry_run
    return await context.state.rekeys.start(request.name, by=by, at_once=body.at_once, dry_run=dry_run)


async def revoke_agent(context: Ours, request: WriteRequest, body: RevokedAgent) -> Document:
    """Somebody revokes one agent of a member."""
    by, dry_run = request.caller.user, request.options.dry_run
    return await context.state.rekeys.revoke(request.name, body.agent, by=by, dry_run=dry_run)


async def sync_desired(context: Ours, request: SyncRequest, member: str) -> SyncAnswer:
    """A member asks what it should have."""
    return await context.state.syncs.answer(member, request)


async def report_desired(context: Ours, request: Report, member: str) -> Heard:
    """A member says what became of it."""
    state = context.state
    await state.desired.report(member, request)
    await ended(state.desired, state.registry.cache, member, request)
    return Heard()


def _owner_endpoints(owner: str) -> dict[str, Callable[..., Awaitable[Any]]]:
    """What an owner of desired state may ask, on subjects that nobody else may use."""

    async def batch(context: Ours, request: Batch) -> BatchAnswer:
        """An owner puts and withdraws what it wants on members."""
        return await context.state.desired.batch(owner, request)

    async def keys(context: Ours, request: KeysRequest) -> KeysAnswer:
        """An owner asks what it wants on a member."""
        return await context.state.desired.keys(owner, request)

    async def complete(context: Ours, request: CompleteRequest) -> CompleteAnswer:
        """An owner says that it has put all that it wants on a member."""
        return CompleteAnswer(revision=await context.state.desired.complete(owner, request.member))

    return {
        subjects.desired_owner(owner): batch,
        subjects.desired_keys(owner): keys,
        subjects.desired_complete(owner): complete,
    }


def _admitting(kind: str) -> Callable[..., None]:
    """Whether a request of that kind may be read."""
    return lambda context, member, pending: context.state.handlers.may_ask(member, kind, pending=pending)


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
    """A proxy, or another registry, was flooded by a member."""
    context.state.quarantine.reported(message)


def cut(context: Ours, message: Message) -> None:
    """A proxy cut live requests to a member that leaves."""
    context.state.departures.reported(message)


SERVICE: Service[RegistrySettings, Parts] = Service(
    name="registry",
    description="clusters, join tokens, presence",
    settings=RegistrySettings,
    state=opened,
    rules={
        CLUSTER: lambda context: ClusterRules(context.state.statuses.evict, context.state.clock),
        INSPECTION_CREDENTIAL: lambda context: InspectionRules(
            context.state.registry, context.state.inspections, context.state.clock
        ),
        JOIN_TOKEN: lambda context: TokenRules(context.state.registry, context.state.tokens, context.state.clock),
    },
    controllers=(
        lambda context: context.state.accounts.controller,
        lambda context: context.state.approvals.controller,
        lambda context: context.state.rekeys.controller,
        lambda context: context.state.statuses.controller,
        lambda context: context.state.statuses.ticker,
        lambda context: context.state.census.controller,
        lambda context: context.state.quarantine.controller,
        lambda context: context.state.quarantine.reports,
        lambda context: context.state.token_floods.controller,
        lambda context: context.state.trust.controller,
        lambda context: context.state.prober.controller,
        lambda context: context.state.directions.controller,
        lambda context: context.state.appliers.controller,
        lambda context: context.state.progress.controller,
        lambda context: context.state.repairs.controller,
        lambda context: context.state.tokens.controller(context),
        inspections,
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
        subjects.REKEYS: rekey,
        subjects.RETIREMENTS: retire,
        subjects.CERTIFY: certify,
        subjects.FLEET: fleet,
        subjects.CONNECTIONS: tell,
        subjects.DESIRED_SYNCS: sync_desired,
        subjects.DESIRED_REPORTS: report_desired,
        subjects.MEMBERS_TELL: told,
        **{subject: handler for owner in DESIRED_OWNERS for subject, handler in _owner_endpoints(owner).items()},
    },
    admits={
        subjects.JOINS: lambda context, jti, pending: context.state.handlers.may_join(jti, pending=pending),
        subjects.RENEWALS: _admitting("renewals"),
        subjects.OLD_RENEWALS: _admitting("renewals"),
        subjects.APPROVALS: _admitting("approvals"),
        subjects.REKEYS: _admitting("renewals"),
        subjects.RETIREMENTS: _admitting("renewals"),
        subjects.DESIRED_SYNCS: _admitting("syncs"),
        subjects.DESIRED_REPORTS: _admitting("reports"),
        subjects.MEMBERS_TELL: lambda context, member, verb, pending: context.state.handlers.may_ask(
            member, "events", pending=pending
        ),
    },
    actions={
        (CLUSTER, "connection", "create"): connect,
        (CLUSTER, "connection", "update"): rotate,
        (CLUSTER, "approve", "create"): approve,
        (CLUSTER, "deny", "create"): deny,
        (CLUSTER, "desired", "get"): list_desired,
        (CLUSTER, "agents", "get"): list_agents,
        (CLUSTER, "rekey", "create"): start_rekey,
        (CLUSTER, "revoke-agent", "create"): revoke_agent,
    },
    needs=(REVOCATION, SETTING),
    hears_outsiders={
        subjects.HEARTBEATS: heartbeat,
        subjects.CONNECTS: connected,
        subjects.DISCONNECTS: disconnected,
    },
    hears={
        subjects.QUARANTINES: flooded,
        subjects.CUTS: cut,
        subjects.DESIRED_CHANGES: desired_changed,
    },
)
