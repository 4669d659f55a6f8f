"""What the registry answers and hears on the bus: apply the rules, store, reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import msgspec

import skerry
from services.registry import agentkeys, approval, clusters, dryrun, joining, tokens
from services.registry.census import epoch_of
from services.registry.clock import Clock, wall_and_mono
from services.registry.conditions import derived
from services.registry.model import JOINED, Now, PresenceTable
from services.registry.secrets import MemberSecret
from services.registry.store import RegistryStore
from skerry import heartbeats, subjects
from skerry.api.conditions import awaits_approval
from skerry.api.decode import decoded
from skerry.api.hostsettings import JOIN_APPROVAL
from skerry.api.kinds import SETTING
from skerry.api.messages import (
    ApprovalRequest,
    CertifyAnswer,
    CertifyRequest,
    Direction,
    Heartbeat,
    HeartbeatAnswer,
    JoinAnswer,
    JoinRequest,
    RekeyOrder,
    RenewAnswer,
    RenewRequest,
)
from skerry.api.meta import Document
from skerry.bus import Message
from skerry.bus.services import REFUSALS
from skerry.errors import AlreadyExists, BadRequest, Conflict, TooManyRequests
from skerry.heartbeats import Admission
from skerry.identity import nkey
from skerry.identity.assertion import make_record
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

RECORD_S = 24 * 3600
"""Life of a proxy's record; proxies renew it at two thirds."""
SAY_S = 60.0
"""Between two lines in the log about heartbeats that cannot be read."""
JOINS = (5.0, 5.0)
"""With one token: a second, and at once."""
JOIN_REQUESTS = (200.0, 1_000.0)
"""With one token, also such that cannot be read. Its account has few connections, on which agents wait between attempts: who asks
more often floods, and the token is revoked."""
ALL_JOINS = (100.0, 200.0)
"""With all tokens together. A join costs 10 ms here."""
AT_ONCE = 8
"""Joins under way, each with another token."""
REQUESTS = (10.0, 20.0)
"""Of one member and of each kind, all its agents together: after an outage they come at once."""
SYNCS = (100.0, 2_000.0)
"""The same of what it should have: it asks for that in pages, or entry by entry where it lacks the memory. A member's largest
desired state takes 650 (`syncs.py`)."""
TOLD = (1.0, 30.0)
"""Events that agents of one member tell."""
RATES = {"renewals": REQUESTS, "approvals": REQUESTS, "syncs": SYNCS, "reports": REQUESTS, "events": TOLD}
PENDING = 32
"""Requests of one member, or with one token, that run and wait at once, of each kind. An agent has few under way, and waits for
their answers: more at once are a flood.
"""
_encode = msgspec.json.Encoder().encode


class Handlers:
    """Joining, renewal, heartbeats, connection events, and certificates of proxies."""

    def __init__(
        self, registry: RegistryStore, presence: PresenceTable, changed: Callable[[set[str]], None],
        flooded: Callable[[str, str], None], listen: Callable[[], None], clock: Clock = wall_and_mono,
        direct: Callable[[str, str, str], Direction | None] = lambda name, agent, epoch: None,
        flooded_with: Callable[[str], None] = lambda jti: None,
        rekey: Callable[[str], RekeyOrder | None] = lambda name: None,
        trust: Callable[[str, str, tuple[str, ...]], str] = lambda name, agent, roots: "",
    ) -> None:  # fmt: skip
        """`flooded(member, of)` is told of floods, `flooded_with(jti)` of those with a join token, `direct(member, agent, epoch)` says
        what an agent should know about desired state, `rekey(member)` what agents should do about their keys,
        `trust(member, agent, roots)` which trust roots an agent is to believe.
        """
        self._rekey = rekey
        self._registry = registry
        self._presence = presence
        self._changed = changed
        self._flooded = flooded
        self._listen = listen
        self._clock = clock
        self._direct, self._trust = direct, trust
        self._joining = asyncio.Semaphore(AT_ONCE)
        self._with_token: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._flooded_with = flooded_with
        self._joins, self._all_joins = Admission(*JOINS), Admission(*ALL_JOINS)
        self._dry_runs, self._join_requests = Admission(*JOINS), Admission(*JOIN_REQUESTS)
        self._requests = {kind: Admission(*rate) for kind, rate in RATES.items()}
        self._unheard = Admission(*REFUSALS)
        """Heartbeats beyond the rate that are answered all the same: agents that came back together."""
        self.rubbish = 0
        """Heartbeats that could not be read."""
        self._said = float("-inf")

    # Joining

    def may_join(self, jti: str, *, pending: int = 0) -> None:
        """Before a request is read: who floods has the token revoked. TooManyRequests."""
        now = self._clock().mono
        if not self._join_requests.admits(jti, now, room=pending < PENDING):
            if self._join_requests.floods(jti, now):
                self._flooded_with(jti)
            raise TooManyRequests("this token is used too often: wait a second between attempts")

    async def join(self, request: JoinRequest, jti: str) -> JoinAnswer:
        """`join.<jti>`: one agent joins one member. The answer repeats for the same key. TooManyRequests."""
        now = self._clock().mono
        if not (self._joins if request.nkey else self._dry_runs).admits(jti, now):
            raise TooManyRequests("this token is used too often: wait a second between attempts")
        if not self._all_joins.admits("", now):
            raise TooManyRequests("too many clusters join at once: wait a second between attempts")
        if not request.nkey:
            return await self._dry_run(request, *tokens.parse_jti(jti))
        joining.check_request(request)
        request = joining.cleaned(request)
        async with self._with_token.setdefault(jti, asyncio.Lock()), self._joining:
            return await self._join(request, *tokens.parse_jti(jti))

    async def _dry_run(self, request: JoinRequest, token_name: str, token_uid: str) -> JoinAnswer:
        """What a join would be answered, without anything that it would give."""
        dryrun.check_request(request)
        registry, now = self._registry, self._clock()
        token = await registry.tokens.find(token_name) if token_name else None
        existing = await registry.cluster(request.name)
        secret = await registry.secret_of(request.name, existing)
        key = request.dry_run_nkey
        evicted = await registry.secrets.evicted(key) if key else None
        known = dryrun.RegistryView(
            token=None if token is None else token.document(),
            token_uid=token_uid,
            cluster=existing,
            agents=frozenset() if secret is None else frozenset(secret.agents),
            owner=await registry.owner(request.cluster_uid, now) if request.cluster_uid else "",
            evicted=None if evicted is None else evicted.at,
        )
        return JoinAnswer(
            member=request.name,
            host=registry.settings.host_name,
            host_uid=registry.settings.host_uid,
            user_jwt="",
            renewal_jwt="",
            assertion_root=registry.authority.assertion_root.public,
            host_time=self._clock().wall,
            host_version=skerry.__version__,
            pending=existing is None and known.token is not None and self._waits(known.token),
            refusals=dryrun.refusals(request, known, now.wall),
        )

    async def _join(self, request: JoinRequest, token_name: str, token_uid: str) -> JoinAnswer:
        registry, now = self._registry, self._clock()
        document = await self._token(token_name, token_uid, request, now)
        bound = tokens.bound_at(document, request.nkey)
        if bound is not None and (evicted := await registry.secrets.evicted(request.nkey)) is not None:
            tokens.check_repeat(request.name, bound, evicted.at)
        spec = document["spec"]
        replica = bool(spec.get("replica"))
        existing = await registry.cluster(request.name)
        secret = await registry.secret_of(request.name, existing)
        agents = frozenset(secret.agents) if secret is not None else frozenset[str]()
        if secret is not None:
            agentkeys.check_join(secret, request.nkey)
        try:
            joining.check_cluster(request, existing, agents, replica=replica)
            joining.check_uid(request, await registry.owner(request.cluster_uid, now))
        except Conflict:
            # Another registry may have let an agent join with this token since it was read: then that is what is to be told.
            await self._token(token_name, token_uid, request, now)
            raise
        await registry.tokens.modify(token_name, lambda document: self._bind(document, request, token_uid, now))
        cluster = await self._claim(request, document, now)
        secret = await registry.secrets.change(
            request.name, lambda secret: self._with_agent(secret, cluster, request, now.wall)
        )
        answer = await registry.admitted(cluster.document(), secret, request.nkey, self._clock().wall)
        said = "waits for approval" if answer.pending else "joined"
        log.info(said, extra={"cluster": request.name, "agent": request.nkey, "replica": replica})
        return answer

    async def _token(self, name: str, uid: str, request: JoinRequest, now: Now) -> Document:
        """The token as it is stored now, which lets this agent join. Unauthorized, Forbidden."""
        stored = await self._registry.tokens.find(name) if name else None
        return tokens.check_token(None if stored is None else stored.document(), uid, request, now.wall)

    def _waits(self, token: Document) -> bool:
        """Whether a new cluster that joins with this token has to be approved."""
        setting = self._registry.cache.get(SETTING, JOIN_APPROVAL.name)
        return bool(token["spec"].get("approval")) or JOIN_APPROVAL.is_on(
            None if setting is None else setting.document()
        )

    def _bind(self, token: Document, request: JoinRequest, uid: str, now: Now) -> Document | None:
        tokens.check_token(token, uid, request, now.wall)
        return tokens.bind_token(token, request, datetime.fromtimestamp(now.wall, UTC))

    async def _claim(self, request: JoinRequest, token: Document, now: Now) -> Item:
        """The Cluster object: new, or the one of an earlier attempt or another agent of this physical cluster."""
        registry = self._registry
        claim = await registry.secrets.claim(request.cluster_uid, request.name, now.wall)
        joining.check_uid(request, claim.name)
        try:
            member = clusters.member(request, JOINED, now, token["spec"].get("labels") or {})
            member = approval.waiting(member, now) if self._waits(token) else member
            item = await registry.clusters.create(derived(member, now, registry.settings.agent_ttl_s))
        except AlreadyExists:
            item = await registry.clusters.get(request.name)
            joining.check_cluster(request, item.document(), frozenset(), replica=False)
        else:
            joining.check_uid(request, await registry.confirmed(item, request.cluster_uid, self._clock()))
        if not awaits_approval(item.document()):
            self._presence.know(request.name, item.uid, request.cluster_uid, now, fresh=True)
        return item

    def _with_agent(self, secret: MemberSecret | None, cluster: Item, request: JoinRequest, now: float) -> MemberSecret:
        if secret is None or secret.cluster != cluster.uid:
            account = self._registry.authority.member_account(request.name)
            secret = MemberSecret(cluster=cluster.uid, account=account.public, seed=account.seed.decode())
        agentkeys.check_join(secret, request.nkey)
        return msgspec.structs.replace(secret, agents={request.nkey: now, **secret.agents})

    async def renew(self, request: RenewRequest, member: str) -> RenewAnswer:
        """`up.<m>.svc.renew`, `renew.<m>`: a new user JWT for a key that is known, also after the old one ran out. Gone on proof
        alone."""
        name, now = subjects.member(member), self._clock().wall
        joining.check_renewal(request, name, now)
        registry = self._registry
        existing, secret = await registry.living(name, request.nkey)
        return registry.credentials(existing, secret, request.nkey, now)

    async def ask(self, request: ApprovalRequest, member: str) -> JoinAnswer:
        """`up.<m>.svc.join`: whether a member that waits was approved; the answer to its join if it was, or was long ago: an answer
        can be lost. Gone on proof alone."""
        name = subjects.member(member)
        existing, secret = await self._registry.living(name, request.nkey)
        return await self._registry.admitted(existing, secret, request.nkey, self._clock().wall)

    def may_ask(self, member: str, kind: str, *, pending: int = 0) -> None:
        """Before a request of a member is read, one of RATES: who floods is quarantined. TooManyRequests."""
        now, requests = self._clock().mono, self._requests[kind]
        if requests.admits(member, now, room=pending < PENDING):
            return
        if requests.floods(member, now):
            self._flooded(member, "requests")
        raise TooManyRequests(f"agents of cluster {member!r} ask too often: wait a second between attempts")

    def spend(self, member: str, kind: str, requests: float) -> None:
        """What was admitted of a member turned out to be worth so many more."""
        self._requests[kind].spend(member, requests)

    # Presence

    def heartbeat(self, message: Message) -> None:
        """`up.<m>.hb`: every registry replica hears every beat; the answer tells the agent the host's time. No task: it comes a
        thousand times a second."""
        self._listen()
        now = self._clock()
        name, direction, roots = subjects.member_of(message.subject), None, ""
        if not self._presence.admits(name, now):
            if self._presence.floods(name, now):
                self._flooded(name, "heartbeats")
                message.mute(heartbeats.AGAIN_S)
            if not self._unheard.admits(name, now.mono):
                return
        else:
            beat = self._beat(name, message, now)
            if beat is None:
                return
            direction = self._direct(name, beat.agent, beat.epoch)
            roots = self._trust(name, beat.agent, beat.roots)
        if message.reply:
            answer = HeartbeatAnswer(host_time=now.wall, desired=direction, rekey=self._rekey(name), roots=roots)
            message.respond_now(_encode(answer))

    def _beat(self, name: str, message: Message, now: Now) -> Heartbeat | None:
        """Take what a heartbeat says, and return it; None if it cannot be read."""
        try:
            beat = heartbeats.read(message.data)
        except heartbeats.UnreadableHeartbeat as error:
            self.rubbish += 1
            if now.mono - self._said >= SAY_S:
                self._said = now.mono
                log.warning("heartbeats cannot be read",
                            extra={"subject": message.subject, "why": str(error)[:200], "in all": self.rubbish})  # fmt: skip
            return None
        self._changed(self._presence.heartbeat(name, beat, now))
        return beat

    def connected(self, message: Message) -> None:
        """`$SYS.ACCOUNT.*.CONNECT`."""
        event = self._event(message)
        if event is not None:
            self._listen()
            self._changed(
                self._presence.connected(
                    event.client.name_tag, event.key, event.client.user, epoch_of(event.client.name)
                )
            )

    def disconnected(self, message: Message) -> None:
        """`$SYS.ACCOUNT.*.DISCONNECT`."""
        event = self._event(message)
        if event is not None:
            self._listen()
            self._changed(self._presence.disconnected(event.client.name_tag, event.key, self._clock()))

    def _event(self, message: Message) -> _ConnectionEvent | None:
        """Of a member's connection: a service of the host may have a member's name."""
        event = _event(message.data)
        return None if event is None or event.client.acc in self._registry.authority.own_accounts else event

    # Proxies

    async def certify(self, request: CertifyRequest) -> CertifyAnswer:
        """A record by which agents trust a proxy's key. Only services of HOST can ask."""
        if nkey.kind_of(request.key) is None:
            raise BadRequest("the proxy's key is not an nkey")
        expires = int(self._clock().wall) + RECORD_S
        root = self._registry.authority.assertion_root
        record = make_record(root, request.proxy, request.key, expires)
        return CertifyAnswer(record=record, expires=expires, root=root.public)


class _Client(msgspec.Struct, frozen=True):
    id: int = 0
    name: str = ""
    name_tag: str = ""
    user: str = ""
    acc: str = ""


class _EventServer(msgspec.Struct, frozen=True):
    id: str = ""


class _ConnectionEvent(msgspec.Struct, frozen=True):
    """The part of a server's connection event that matters here; `name_tag` is the account's name: the member."""

    server: _EventServer = _EventServer()
    client: _Client = _Client()

    @property
    def key(self) -> str:
        """The connection, unique over all servers."""
        return f"{self.server.id}/{self.client.id}"


def _event(data: bytes) -> _ConnectionEvent | None:
    try:
        return decoded(data, _ConnectionEvent)
    except msgspec.DecodeError:
        log.warning("a connection event cannot be read")
        return None
