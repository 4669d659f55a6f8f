"""A stand-in for the host's registry on a real nats-server: joins, heartbeats and renewals as the contract says.

The real registry has its own suite; here a test needs a host that can be told to be silent, or to remove a member.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

import skerry
from skerry import bus, subjects
from skerry.api.messages import (
    Heartbeat,
    HeartbeatAnswer,
    JoinAnswer,
    JoinRequest,
    RenewAnswer,
    RenewRequest,
    Token,
)
from skerry.errors import BadRequest, Forbidden, StatusError
from skerry.identity import jointoken
from skerry.identity.assertion import Signer, make_record
from skerry.identity.creds import Credentials
from skerry.identity.farewell import make_farewell
from skerry.identity.federation import MemberAccount
from skerry.identity.nkey import KeyType, create
from tests.fixtures.nats import NatsHost


class Host:
    """`async with Host(nats) as host`."""

    def __init__(self, nats: NatsHost) -> None:
        self.nats = nats
        self.bus = nats.bus("registry")
        self.joins: list[JoinRequest] = []
        self.beats: list[Heartbeat] = []
        self.renewals: list[RenewRequest] = []
        self.used: dict[str, str] = {}
        self.accounts: dict[str, MemberAccount] = {}
        self.error: StatusError | None = None
        """Raised by renewals and heartbeats."""
        self.asked: list[str] = []
        """Subjects of renewals that were answered."""
        self.is_old = False
        """Answers renewals as hosts did before members' accounts had them."""
        self.refused = 0
        """Heartbeats."""
        self.refuse_join: StatusError | None = None
        self.refusals: dict[str, str] = {}
        """Answered to dry runs."""
        self.version = skerry.__version__
        """Empty: a host that knows no dry runs."""
        self.questions: list[JoinRequest] = []
        self.silent = False
        self.root = nats.authority.assertion_root
        """Signs what proxies say."""
        self.believed: tuple[str, ...] = (self.root.public,)
        self.statement = ""
        """Answered to who believes other roots than those."""
        self.user_ttl_s = 3600
        self.skew_s = 0.0
        self._changed, self._ended = asyncio.Event(), asyncio.Event()
        self._key = create(KeyType.USER)

    async def __aenter__(self) -> Host:
        await self.bus.__aenter__()
        endpoints = {
            subjects.JOINS: self._join,
            subjects.HEARTBEATS: self._beat,
            subjects.RENEWALS: self._renew,
            subjects.OLD_RENEWALS: self._renew,
        }
        self.bus.serve("registry", "0.1.0", endpoints)
        await self.bus.ready()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ended.set()
        await self.bus.__aexit__(*exc)

    @property
    def now(self) -> float:
        """The host's clock."""
        return time.time() + self.skew_s

    async def token(
        self, name: str = "m1", jti: str = "jti1", host_uid: str = "host-uid", ttl_s: int = 600, pattern: str = ""
    ) -> str:
        """A join token's text."""
        bearer = await self.nats.bearer(jti, ttl_s)
        return jointoken.encode(
            Token(
                host="test-host",
                name="" if pattern else name,
                pattern=pattern,
                jti=jti,
                jwt=bearer.jwt,
                servers=list(self.nats.servers),
                ca=self.nats.ca_pem,
                expires=int(time.time()) + ttl_s,
                host_uid=host_uid,
            )
        )

    def signer(self) -> Signer:
        """What a proxy signs assertions with."""
        return Signer("proxy1", self._key, make_record(self.root, "proxy1", self._key.public, int(self.now) + 3600))

    async def beat(self, count: int = 1, deadline_s: float = 15.0) -> Heartbeat:
        """Wait for `count` more heartbeats that were heard; the last."""
        wanted = len(self.beats) + count
        async with asyncio.timeout(deadline_s):
            while len(self.beats) < wanted:
                self._changed.clear()
                await self._changed.wait()
        return self.beats[-1]

    async def evict(self, name: str) -> None:
        """Say farewell and push the tombstone of a member."""
        account = self.accounts[name].public
        text = f"cluster {name!r} was removed from host 'test-host': make a new token"
        root = self.nats.authority.assertion_root
        await self.bus.publish(subjects.farewell(name), make_farewell(name, account, text, root.sign))
        await (await self.bus.connection(1.0)).flush()
        await self.bury(name)

    async def bury(self, name: str) -> None:
        """Push the tombstone of a member without a word."""
        await self.nats.push(self.nats.authority.tombstone(name, self.accounts[name].public))

    def credentials(self, name: str, public: str, seed: bytes) -> Credentials:
        """User credentials for an agent's key."""
        return Credentials(self.nats.authority.member_user(self.accounts[name], public, self.user_ttl_s), seed)

    async def _join(self, message: bus.Message) -> bytes:
        request = msgspec.json.decode(message.data, type=JoinRequest)
        if not request.nkey:
            return self._dry_run(request)
        self.joins.append(request)
        if self.refuse_join is not None:
            raise self.refuse_join
        jti = message.subject.split(".")[1]
        if self.used.setdefault(jti, request.nkey) != request.nkey:
            raise Forbidden("the token was used already, by another agent")
        if request.name not in self.accounts:
            self.accounts[request.name] = self.nats.authority.member_account(request.name)
        await self.nats.push(self.accounts[request.name].jwt)
        if self.silent:
            self.silent = False
            await self._ended.wait()
        authority = self.nats.authority
        answer = JoinAnswer(
            member=request.name,
            host="test-host",
            host_uid="host-uid",
            user_jwt=authority.member_user(self.accounts[request.name], request.nkey, self.user_ttl_s),
            renewal_jwt=authority.renewal_user(self.accounts[request.name], request.nkey),
            assertion_root=authority.assertion_root.public,
            host_time=self.now,
        )
        return msgspec.json.encode(answer)

    def _dry_run(self, request: JoinRequest) -> bytes:
        if not self.version:
            raise BadRequest("the agent's key is not the public half of a user's nkey")
        self.questions.append(request)
        answer = JoinAnswer(
            member=request.name,
            host="test-host",
            host_uid="host-uid",
            user_jwt="",
            renewal_jwt="",
            assertion_root="",
            host_time=self.now,
            host_version=self.version,
            refusals=self.refusals,
        )
        return msgspec.json.encode(answer)

    async def _beat(self, message: bus.Message) -> bytes:
        if self.silent:
            await self._ended.wait()
        if self.error is not None:
            self.refused += 1
            raise self.error
        beat = msgspec.json.decode(message.data, type=Heartbeat)
        self.beats.append(beat)
        self._changed.set()
        statement = self.statement if beat.roots != self.believed else ""
        return msgspec.json.encode(HeartbeatAnswer(host_time=self.now, roots=statement))

    async def _renew(self, message: bus.Message) -> bytes:
        request = msgspec.json.decode(message.data, type=RenewRequest)
        self.renewals.append(request)
        if self.error is not None:
            raise self.error
        name = subjects.member_of(message.subject)
        authority, account = self.nats.authority, self.accounts[name]
        self.asked.append(message.subject)
        answer = RenewAnswer(
            user_jwt=authority.member_user(account, request.nkey, self.user_ttl_s),
            renewal_jwt="" if self.is_old else authority.renewal_user(account, request.nkey),
            host_time=self.now,
        )
        return msgspec.json.encode(answer)
