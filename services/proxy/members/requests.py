"""Requests to members: decide, find, open, relay.

The order is part of the contract: `decide` comes before the look-up, so that a caller who may use no cluster cannot
learn which exist, and an absence is believed only of a cache that is current.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

from services.proxy.access import AccessRecord
from services.proxy.authn import CachedCredential
from services.proxy.authorize import Allowed, Denied, MemberRequest, decide
from services.proxy.members.connections import DialerSupervisor
from services.proxy.members.direct import Direct
from services.proxy.members.directory import Directory, MemberRoute
from services.proxy.members.headers import CallerHeaders, app_headers, back
from services.proxy.members.heartbeats import HeartbeatTable
from services.proxy.members.relay import Relay
from services.proxy.members.signer import AssertionSigner
from services.proxy.members.transport import Transport
from services.proxy.metrics import Metrics
from services.proxy.routes import Route
from services.proxy.sessions import Sessions
from services.proxy.settings import Limits
from skerry.api import duration
from skerry.api.conditions import AWAITING_APPROVAL
from skerry.errors import NotFound, ServiceUnavailable, StatusError
from skerry.http import Exchange
from skerry.httpwire.head import Headers
from skerry.httpwire.query import parse_query
from skerry.httpwire.requestinfo import RequestClass, RequestInfo, classify, resolve
from skerry.httpwire.target import RequestTarget, parse_target
from skerry.relay import AgentAway, OpenRequest

HEAD_S, SLACK_S = 60, 10.0
"""A response head is awaited min(the request's own timeout, HEAD_S) + SLACK_S, except on long-running requests."""

REMEMBERED = 512
"""Bytes of a target whose meaning may be remembered: 1,024 of these are at most 0.5 MiB, and none is a whole command."""


class Members:
    """Answers every request that came for a member."""

    def __init__(
        self,
        *,
        limits: Limits,
        directory: Directory,
        sessions: Sessions,
        heartbeats: HeartbeatTable,
        signer: AssertionSigner,
        dialers: DialerSupervisor,
        direct: Direct,
        metrics: Metrics,
    ) -> None:
        self._limits = limits
        self._directory = directory
        self._sessions = sessions
        self._heartbeats = heartbeats
        self._signer = signer
        self._dialers = dialers
        self._direct = direct
        self._metrics = metrics

    async def handle(
        self,
        exchange: Exchange,
        record: AccessRecord,
        credential: CachedCredential,
        asking: CallerHeaders,
        route: Route,
    ) -> None:
        """Answer one exchange. Raises StatusError, Cut, ClientGone."""
        classified = (_asked if len(route.target) <= REMEMBERED else _read)(exchange.head.method, route.target)
        allowed = _decided(asking, credential, route.member, classified.info)
        member = await self._find(route.member)
        session = self._sessions.enter(credential.caller.user, credential, credential.expires, member.name, member.uid)
        session.endless = classified.info.verb == "watch"
        try:
            exchange.lasting = classified.class_.long_running
            relay = Relay(exchange, session, self._limits, self._metrics)
            body, end = await relay.body()
            assertion, transport = await self._transport(member, allowed)
            returning = back(asking, route.target, route.base)
            headers = asking.headers if returning.app is None else app_headers(asking, route.base)
            request = _request(classified, asking, RequestContent(headers, assertion, body, end))
            record.class_, record.stream = request.class_, request.id
            record.code = str(await relay.carry(transport, request, returning))
        except AgentAway as error:
            raise self._away(member) from error
        finally:
            self._sessions.leave(session)

    async def _transport(self, member: MemberRoute, allowed: Allowed) -> tuple[bytes, Transport]:
        """The way to a member, and the statement of the identity that has to travel with the request (to an agent)."""
        if member.connection == "direct":
            return b"", await self._direct.transport(member, allowed)
        return self._signer.assertion(member.name, allowed), self._dialers.dialer()

    async def _find(self, name: str) -> MemberRoute:
        member = await self._directory.find(name)
        if member is None:
            raise _not_found(
                name, f'clusters.skerry.dev "{name}" not found; kubectl get clusters shows those that exist'
            )
        if member.connection == "none":
            raise _not_found(
                name,
                f"cluster {name} is this host itself, and it runs without Kubernetes (connection none): there is no "
                "API behind this name; the host's own API is at the root of this server",
            )
        if member.quarantine:
            raise _unavailable(name, f"cluster {name} is quarantined: {member.quarantine}; nothing was executed")
        if member.reason in AWAITING_APPROVAL:
            raise _unavailable(name, f"cluster {name} is no member yet: {member.message}; nothing was executed")
        return member

    def _away(self, member: MemberRoute) -> StatusError:
        """503 that says since when; without Retry-After, which would make client-go repeat any verb."""
        since = self._heartbeats.since(member.name) or member.away_since
        return _unavailable(
            member.name,
            f"cluster {member.name} is away{f' since {since}' if since else ''}: its agent is not connected; nothing "
            f"was executed. Start the agent on the member again; kubectl get clusters {member.name} -o wide shows its "
            "state",
        )


def _unavailable(name: str, message: str) -> ServiceUnavailable:
    return ServiceUnavailable(message, kind="clusters", group="skerry.dev", name=name)


class RequestContent(NamedTuple):
    """The content of a request beside method and target: header pairs, who vouches, and the inline part of the body."""

    headers: Headers
    assertion: bytes
    body: bytes
    end: bool


class ClassifiedRequest(NamedTuple):
    """The meaning of a method and a target: pure, so that those which come again and again are read once."""

    method: bytes
    target: RequestTarget
    info: RequestInfo
    class_: RequestClass
    deadline_s: float


def _read(method: bytes, rest: bytes) -> ClassifiedRequest:
    target = parse_target(rest)
    info = resolve(method, target.path, target.query)
    return ClassifiedRequest(method, target, info, classify(info, target.query), deadline_s(target.query))


_asked = lru_cache(maxsize=1024)(_read)


def _decided(asking: CallerHeaders, credential: CachedCredential, name: str, info: RequestInfo) -> Allowed:
    request = MemberRequest(name, info.verb, info.resource, info.subresource, asking.impersonates)
    decision = decide(credential.caller, request)
    if isinstance(decision, Denied):
        raise decision.error
    return decision


def _not_found(name: str, message: str) -> NotFound:
    return NotFound(message, kind="clusters", group="skerry.dev", name=name)


def _request(classified: ClassifiedRequest, asking: CallerHeaders, content: RequestContent) -> OpenRequest:
    return OpenRequest(
        id=audit_id(),
        assertion=content.assertion,
        method=classified.method,
        target=classified.target.raw,
        headers=content.headers,
        class_=classified.class_.kind,
        long_running=classified.class_.long_running,
        deadline_s=classified.deadline_s,
        body=content.body,
        end=content.end,
        traceparent=asking.traceparent,
    )


def audit_id() -> str:
    """A random UUID (RFC 9562, 5.4), which is what an API server takes; uuid.uuid4 needs three times as long for it."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def deadline_s(query: bytes) -> float:
    """How long a response head is awaited, by the request's own `timeout` (which is passed on); seconds."""
    timeout_s = HEAD_S
    if b"timeout=" in query:
        text = parse_query(query).get("timeout", [""])[0]
        try:
            timeout_s = duration.parse(text) or HEAD_S
        except ValueError:
            timeout_s = HEAD_S
    return min(timeout_s, HEAD_S) + SLACK_S
