"""Requests to members: decide, find, open, relay.

The order is part of the contract: `decide` comes before the look-up, so that a caller who may use no cluster cannot
learn which exist, and an absence is believed only of a cache that is current.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import NamedTuple

import msgspec

from services.proxy.authn import REVIEWED, CachedCredential
from services.proxy.members.connections import DialerSupervisor
from services.proxy.members.direct import IN_CLUSTER, Direct
from services.proxy.members.directory import Directory, MemberRoute
from services.proxy.members.ending import ends_soon
from services.proxy.members.explain import explained
from services.proxy.members.headers import CallerHeaders, app_headers, back
from services.proxy.members.heartbeats import HeartbeatTable
from services.proxy.members.namespaces import narrowed
from services.proxy.members.relay import RequestRelay
from services.proxy.members.signer import AssertionSigner
from services.proxy.members.transport import Transport
from services.proxy.metrics import Metrics
from services.proxy.record import RequestRecord
from services.proxy.recording.demand import has_terminal, readable_headers
from services.proxy.recording.desk import NOTICE, RecordingDesk
from services.proxy.recording.writing import Recording
from services.proxy.routes import Route
from services.proxy.sessions import Rests, Session, Sessions
from services.proxy.settings import ProxyLimits
from skerry.access import Access, Allowed, Decision, Denied, MemberRequest, decide
from skerry.access.decision import not_found
from skerry.api import duration
from skerry.api.conditions import AWAITING_APPROVAL
from skerry.api.messages import Caller
from skerry.errors import Forbidden, NotFound, ServiceUnavailable, StatusError
from skerry.http import Exchange
from skerry.httpwire import reviews
from skerry.httpwire.answer import warning
from skerry.httpwire.head import Headers, RequestHead
from skerry.httpwire.query import parse_query
from skerry.httpwire.requestinfo import RequestClass, RequestInfo, classify, resolve
from skerry.httpwire.target import RequestTarget, parse_target
from skerry.relay import NOT_CONNECTED, AgentAway, OpenRequest

HEAD_S, SLACK_S = 60, 10.0
"""A response head is awaited min(the request's own timeout, HEAD_S) + SLACK_S, except on long-running requests."""

OUTLIVING = ("attach", "exec", "log", "portforward")
"""Subresources of pods whose streams may outlive a token."""
OUTLIVE_MAX_S = 8 * 3600.0
REVIEW_BYTES = 64 * 1024
"""Of a self review."""
REMEMBERED = 512
"""Bytes of a target whose meaning may be remembered: 1,024 of these are at most 0.5 MiB, and none is a whole command."""


class MemberRequests:
    """Answers every request that came for a member."""

    def __init__(
        self,
        *,
        granted: Access,
        limits: ProxyLimits,
        directory: Directory,
        sessions: Sessions,
        heartbeats: HeartbeatTable,
        signer: AssertionSigner,
        dialers: DialerSupervisor,
        direct: Direct,
        recordings: RecordingDesk,
        metrics: Metrics,
    ) -> None:
        self._granted = granted
        self._limits = limits
        self._directory = directory
        self._sessions = sessions
        self._heartbeats = heartbeats
        self._signer = signer
        self._dialers = dialers
        self._direct = direct
        self._recordings = recordings
        self._metrics = metrics

    async def handle(
        self,
        exchange: Exchange,
        record: RequestRecord,
        credential: CachedCredential,
        asking: CallerHeaders,
        route: Route,
    ) -> None:
        """Answer one exchange. Raises StatusError, Cut, ClientGone."""
        classified = (_asked if len(route.target) <= REMEMBERED else _read)(exchange.head.method, route.target)
        request_ = _question(route.member, classified.info, impersonates=asking.impersonates)
        decision = await self.decided(credential.caller, request_)
        record.allowed = isinstance(decision, Allowed)
        if isinstance(decision, Denied):
            raise decision.error
        record.basis, record.impersonated = decision.basis, (decision.user, decision.groups)
        allowed, member = decision, await self.find(route.member)
        over = ends(credential, classified.info, self._limits.outlive_s)
        session = self._sessions.enter(credential.caller.user, credential, over, member.name, member.uid)
        session.endless = classified.info.verb == "watch"
        try:
            exchange.lasting = classified.class_.long_running
            relay = RequestRelay(exchange, session, self._limits, self._metrics)
            if reviews.asks(classified.info):
                body, end = await exchange.body(REVIEW_BYTES), True
                prepared = self._prepared(credential.caller, request_, exchange.head, classified.info, body)
                if isinstance(prepared, bytes):
                    record.code = await _reviewed(exchange, prepared)
                    return
                allowed = prepared
            else:
                body, end = await relay.body()
            if allowed.only:
                classified = classified._replace(
                    target=msgspec.structs.replace(classified.target, raw=narrowed(classified.target.raw, allowed.only))
                )
            session.rests = Rests(
                credential.caller, lambda: self._again(credential.caller, request_, allowed), allowed.until
            )
            relay.refused = lambda: explained(credential.caller, request_, self._granted, time.time())
            exchange.beside += ends_soon(credential.caller, request_, allowed, self._granted, time.time())
            assertion, transport = await self.transport(member, allowed)
            returning = back(asking, route.target, route.base)
            headers = asking.headers if returning.app is None else app_headers(asking, route.base)
            if record.demand is not None and has_terminal(exchange.head, classified.info, classified.target.query):
                headers = readable_headers(member.name, exchange.head, headers)
                record.recording = relay.tap = self._recorded(record, classified, member, session)
                exchange.beside.append((b"warning", warning(NOTICE)))
                await record.recording.prepare()
            request = _request(record.stream, classified, asking, RequestContent(headers, assertion, body, end))
            record.class_ = request.class_
            record.code = str(await relay.carry(transport, request, returning))
        except AgentAway as error:
            raise self._away(member, error.why) from error
        finally:
            self._sessions.leave(session)
            if record.recording is not None:
                await record.recording.finish()

    def _recorded(
        self, record: RequestRecord, classified: ClassifiedRequest, member: MemberRoute, session: Session
    ) -> Recording:
        """The recording of a session, before it is known whether the session begins."""
        required = record.demand is not None and record.demand.required
        return self._recordings.recording(
            record.user,
            member.name,
            classified.info,
            classified.target.query,
            required=required,
            audit_id=record.stream,
            cut=session.end,
        )

    async def decided(self, caller: Caller, request: MemberRequest) -> Decision:
        """Who the member sees. That somebody may not reach it is believed only of a cache that is current: a grant may just
        have been made.
        """
        decision = decide(caller, request, self._granted, time.time())
        if isinstance(decision, Denied) and decision.missing:
            await self._directory.current()
            decision = decide(caller, request, self._granted, time.time())
        return decision

    def _prepared(
        self, caller: Caller, request: MemberRequest, head: RequestHead, info: RequestInfo, body: bytes
    ) -> Allowed | bytes:
        """Whom the member answers a self review to: it is prepared as the request that it asks about, which is answered here
        if it would be refused here.
        """
        review = reviews.document(head.get(b"content-type"), body, info.resource)
        question = reviews.question(review) if info.resource == reviews.ACCESS else None
        if question is None:
            reviewed = request._replace(namespace=reviews.namespace(review))
        else:
            reviewed = MemberRequest(
                request.member, question.verb, question.resource, question.subresource,
                group=question.group, namespace=question.namespace,
            )  # fmt: skip
        decision = decide(caller, reviewed, self._granted, time.time())
        if isinstance(decision, Denied):
            return reviews.refusal(review, decision.error.message)
        return decision

    def _again(self, caller: Caller, request: MemberRequest, allowed: Allowed) -> StatusError | float:
        """Why a live request that was allowed so is to be cut now, or until when it holds: whoever has more than before is left alone."""
        decision = decide(caller, request, self._granted, time.time())
        if isinstance(decision, Denied):
            return Forbidden(f"access to cluster {request.member!r} was taken away while the request ran")
        if not set(allowed.groups) <= set(decision.groups) or decision.only != allowed.only:
            return Forbidden(
                f"what user {caller.user!r} may do on cluster {request.member!r} changed while the request ran: repeat it"
            )
        return decision.until

    async def transport(self, member: MemberRoute, allowed: Allowed) -> tuple[bytes, Transport]:
        """The way to a member, and the statement of the identity that has to travel with the request (to an agent)."""
        if member.connection in ("direct", IN_CLUSTER):
            return b"", await self._direct.transport(member, allowed)
        return self._signer.assertion(member.name, allowed), self._dialers.dialer()

    async def find(self, name: str) -> MemberRoute:
        """The member of a name, if requests may be sent to it. StatusError."""
        member = await self._directory.find(name)
        if member is None:
            raise not_found(name)
        if member.connection == "none":
            raise NotFound(
                f"cluster {name} is this host itself, and it runs without Kubernetes, or does not manage the cluster that it runs in "
                "(connection none): there is no API behind this name; the host's own API is at the root of this server",
                kind="clusters",
                group="skerry.dev",
                name=name,
            )
        if member.quarantine:
            raise _unavailable(name, f"cluster {name} is quarantined: {member.quarantine}; nothing was executed")
        if member.reason in AWAITING_APPROVAL:
            raise _unavailable(name, f"cluster {name} is no member yet: {member.message}; nothing was executed")
        return member

    def away_since(self, member: MemberRoute) -> str:
        """RFC 3339 time since which nothing was heard of it; empty if that is not known."""
        return self._heartbeats.since(member.name) or member.away_since

    def _away(self, member: MemberRoute, why: str) -> StatusError:
        """503 that says since when; without Retry-After, which would make client-go repeat any verb."""
        since = self.away_since(member)
        advice = "Start the agent on the member again" if why == NOT_CONNECTED else "Repeat the request"
        return _unavailable(
            member.name,
            f"cluster {member.name} is away{f' since {since}' if since else ''}: {why}; nothing was executed. {advice}; "
            f"kubectl get clusters {member.name} -o wide shows its state",
        )


def _unavailable(name: str, message: str) -> ServiceUnavailable:
    return ServiceUnavailable(message, kind="clusters", group="skerry.dev", name=name)


def ends(credential: CachedCredential, info: RequestInfo, outlive_s: float) -> float:
    """When a request that runs is cut at the latest because its credential ended; Unix seconds.

    Tokens of identity providers live for minutes, and nobody wants their shell to: what is interactive, and logs, may go on for a
    while. What takes the token back cuts them all the same.
    """
    if not credential.name.startswith(REVIEWED) or info.resource != "pods" or info.subresource not in OUTLIVING:
        return credential.expires
    return credential.expires + min(max(outlive_s, 0.0), OUTLIVE_MAX_S)


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


def _question(member: str, info: RequestInfo, *, impersonates: bool) -> MemberRequest:
    return MemberRequest(member, info.verb, info.resource, info.subresource, impersonates, info.group, info.namespace)


async def _reviewed(exchange: Exchange, answer: bytes) -> str:
    await exchange.respond(
        201, [(b"content-type", b"application/json"), (b"cache-control", b"no-cache, private")], answer
    )
    return "201"


def _request(id_: str, classified: ClassifiedRequest, asking: CallerHeaders, content: RequestContent) -> OpenRequest:
    return OpenRequest(
        id=id_,
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
