"""The front door: one HTTPS endpoint. Where each path goes is a table (`routes`); how each is answered is here.

What is not in the table is 401 without a credential and 404 with one. Errors become a Status in one place, here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from services.proxy.access import AccessLog
from services.proxy.auditing.log import NOT_RECORDED, AuditLog
from services.proxy.authn import REVIEWED, Authenticator, CachedCredential, Presented, Unknown, presented, token_of
from services.proxy.authorize import HostRequest, decide_host, rules
from services.proxy.cuts import Cuts
from services.proxy.events import Events
from services.proxy.explaining import Explainer
from services.proxy.hostapi import Attributes, HostApi, Rule
from services.proxy.members.ending import ends_soon
from services.proxy.members.headers import CallerHeaders, impersonates
from services.proxy.members.relay import ResponseCut
from services.proxy.members.requests import MemberRequests
from services.proxy.metrics import CUT, GONE, Metrics
from services.proxy.record import RequestRecord, audit_id
from services.proxy.recording.serving import RecordingReader
from services.proxy.routes import Path, listed, path_of, route_of
from services.proxy.selfaccess import self_access
from services.proxy.sessions import Rests, Sessions
from services.proxy.tls import Certificates
from services.proxy.tokens import Tokens
from skerry import __version__, telemetry
from skerry.access import Access, Allowed, Decision, Denied, MemberRequest
from skerry.api.kinds import Tie
from skerry.api.messages import HOST, Caller
from skerry.api.names import is_audit_id
from skerry.controller.recorder import Recorder
from skerry.errors import (
    Forbidden,
    GatewayTimeout,
    InternalError,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    StatusError,
    TooManyRequests,
)
from skerry.http import ClientGone, Exchange
from skerry.httpwire.target import parse_target

log = logging.getLogger("skerry.proxy")

TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")
NOSNIFF = (b"x-content-type-options", b"nosniff")
VERSION = msgspec.json.encode(
    {
        "major": "1",
        "minor": "36",
        "gitVersion": f"v1.36.0+skerry.{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }
)
"""version.Info: kubectl warns when it cannot tell a Kubernetes minor."""


class FrontParts(NamedTuple):
    """The parts of the front door; the composition root fills them in."""

    host_uid: str
    authenticator: Authenticator
    tokens: Tokens
    certificates: Certificates
    granted: Access
    sessions: Sessions
    members: MemberRequests
    host_api: HostApi
    explainer: Explainer
    events: Events
    metrics: Metrics
    recorder: Recorder
    access: AccessLog
    audit: AuditLog
    cuts: Cuts
    recordings: RecordingReader
    not_ready: Callable[[], str]
    """Why this process is not ready; empty if it is."""
    caught_up: Callable[[], Awaitable[object]]
    """Wait until this process knows every credential that was made before the call. ServiceUnavailable, GatewayTimeout."""


class Front:
    """Answers exchanges: `Server(front.handle, …)`."""

    def __init__(self, parts: FrontParts) -> None:
        self._parts = parts
        self._handlers: dict[str, Callable[[Exchange], Awaitable[str]]] = {
            "health": self._health,
            "index": self._index,
            "metrics": self._metrics,
            "readiness": self._readiness,
            "version": self._version,
        }
        self._lasting: dict[str, Callable[[Exchange], Awaitable[str]]] = {
            "audit": parts.audit.reader.answer,
            "event_log": parts.events.answer,
            "recordings": parts.recordings.answer,
        }

    async def handle(self, exchange: Exchange) -> None:
        """Answer one exchange completely. Never raises, except when cancelled."""
        record = RequestRecord(_audit_id(exchange))
        exchange.beside = [(b"audit-id", record.stream.encode())]
        try:
            await self._route(exchange, record)
        except ClientGone:
            record.code = GONE
        except ResponseCut as error:
            record.code, record.reason = CUT, str(error)
        except StatusError as error:
            await self._refuse(exchange, record, error)
        except Exception:
            log.exception("a request failed", extra={"stream": record.stream})
            await self._refuse(exchange, record, InternalError("the host made an error; its log has the details"))
        finally:
            self._log(exchange, record)

    async def _refuse(self, exchange: Exchange, record: RequestRecord, error: StatusError) -> None:
        record.error = error
        if exchange.started:
            record.code, record.reason = CUT, error.message
            exchange.abort()
            return
        record.code = str(error.code)
        if isinstance(error, TooManyRequests):
            self._parts.recorder.system("LimitReached", record.user or "unknown", error.message)
        try:
            await exchange.respond_error(error)
        except ClientGone:
            record.code = GONE

    def _log(self, exchange: Exchange, record: RequestRecord) -> None:
        seconds = time.perf_counter() - record.started
        self._parts.metrics.request(record.code, record.class_, seconds)
        if record.code == CUT:
            self._parts.cuts.add(record)
        self._parts.access.add(record, exchange.head.method, exchange.head.target, seconds)
        self._parts.audit.auditor.end(record, exchange)

    async def _route(self, exchange: Exchange, record: RequestRecord) -> None:
        target = exchange.head.target
        route = route_of(exchange.server_name, self._parts.host_uid, target)
        if route is not None:
            if not route.base:
                record.member = b"/clusters/" + route.member.encode()
            credential, asking = await self._caller(exchange, record)
            await self._parts.audit.begin(record, exchange, credential.caller, route.member, route.target)
            _check_delegation(credential, route.member)
            await self._parts.members.handle(exchange, record, credential, asking, route)
            return
        row = path_of(target.partition(b"?")[0])
        if row is None or row.credential:
            credential, _ = await self._caller(exchange, record)
            await self._parts.audit.begin(record, exchange, credential.caller, "", target)
            _check_delegation(credential, "")
            parse_target(target)
            if row is None or row.handler == "members":
                raise NotFound("the server could not find the requested resource")
            if row.handler == "host_api":
                await self._host(exchange, record, credential)
                return
            self._check_path(row, exchange, record, credential.caller)
            if row.handler in self._lasting:
                await self._while_allowed(row, exchange, record, credential, self._lasting[row.handler])
                return
        else:
            record.decision = NOT_RECORDED
        record.code = await self._handlers[row.handler](exchange)

    async def _caller(self, exchange: Exchange, record: RequestRecord) -> tuple[CachedCredential, CallerHeaders]:
        """Who calls, and what their headers ask for. Unauthorized."""
        asking = exchange.kept
        if not isinstance(asking, CallerHeaders):
            certificate = self._parts.certificates.client(exchange.tls_connection)
            asking = exchange.kept = CallerHeaders(
                exchange.head, exchange.peer[0], presented(exchange.head, certificate)
            )
        credential = await self._authenticated(asking.presented, exchange)
        record.user = credential.caller.user
        record.who, record.credential = asking.who(credential.caller), credential.name
        record.via = "" if credential.delegation is None else credential.delegation.of
        return credential, asking

    async def _authenticated(self, credential: Presented, exchange: Exchange) -> CachedCredential:
        """Who calls, by whatever kind of credential."""
        name, authenticator, tokens = credential.name, self._parts.authenticator, self._parts.tokens
        if credential.certificate is not None:
            return authenticator.checked(credential.certificate)
        if not name.startswith(REVIEWED):
            return await self._by_name(name)
        known = await tokens.of(name, lambda: token_of(exchange.head), exchange.peer[0])
        return authenticator.checked(known)

    async def _by_name(self, name: str) -> CachedCredential:
        """Who calls. A token is called unknown only by a process that has caught up: one that has just started, or lags,
        would else tell clients to throw good credentials away.
        """
        try:
            return self._parts.authenticator.known(name)
        except Unknown:
            try:
                await self._parts.caught_up()
            except (ServiceUnavailable, GatewayTimeout) as error:
                raise ServiceUnavailable(
                    "this front door does not know this bearer token and cannot reach the store to look: try again in a moment",
                    retry_after_s=1,
                ) from error
        return self._parts.authenticator.known(name)

    # The host's own paths

    def _check_path(self, row: Path, exchange: Exchange, record: RequestRecord, caller: Caller) -> None:
        """Forbidden for who may not see what is at a path."""
        if not row.groups:
            return
        decision = self._decided(caller, _host_request(row, exchange))
        record.allowed = isinstance(decision, Allowed)
        if isinstance(decision, Denied):
            raise decision.error
        record.basis = decision.basis

    async def _while_allowed(
        self,
        row: Path,
        exchange: Exchange,
        record: RequestRecord,
        credential: CachedCredential,
        answer: Callable[[Exchange], Awaitable[str]],
    ) -> None:
        """Answer what may take long, as long as the caller may have it."""
        caller, request = credential.caller, _host_request(row, exchange)
        session = self._parts.sessions.enter(caller.user, credential, credential.expires)
        session.cut, session.endless = lambda error: exchange.abort(), True
        until = self._again(caller, request, ())
        session.rests = Rests(
            caller, lambda: self._again(caller, request, ()), until if isinstance(until, float) else credential.expires
        )
        try:
            record.code = await answer(exchange)
        except ClientGone:
            if session.was_cut is None:
                raise
            raise ResponseCut(session.was_cut.message) from None
        finally:
            self._parts.sessions.leave(session)

    async def _health(self, exchange: Exchange) -> str:
        return await _answer(exchange, b"ok", TEXT[1])

    async def _readiness(self, exchange: Exchange) -> str:
        if self._parts.not_ready():
            raise ServiceUnavailable("not ready")
        return await _answer(exchange, b"ok", TEXT[1])

    async def _version(self, exchange: Exchange) -> str:
        return await _answer(exchange, VERSION)

    async def _metrics(self, exchange: Exchange) -> str:
        return await _answer(exchange, self._parts.metrics.registry.render(), telemetry.CONTENT_TYPE.encode())

    async def _index(self, exchange: Exchange) -> str:
        return await _answer(exchange, msgspec.json.encode({"paths": listed()}))

    # The host's own API

    async def _host(self, exchange: Exchange, record: RequestRecord, credential: CachedCredential) -> None:
        asks = impersonates(exchange.head.headers)

        def authorize(attributes: Attributes) -> tuple[Tie, ...]:
            request = HostRequest(
                attributes.verb,
                attributes.group,
                attributes.resource,
                attributes.subresource,
                attributes.namespace,
                attributes.name,
                asks,
                attributes.path,
            )
            decision = self._decided(credential.caller, request)
            if session.rests is None:
                record.allowed = isinstance(decision, Allowed)
            if isinstance(decision, Denied):
                raise decision.error
            if session.rests is None:
                record.basis = decision.basis
                if any(each.kind != "Group" for each in decision.basis):
                    question = MemberRequest(HOST, attributes.verb)
                    exchange.beside += ends_soon(
                        credential.caller, question, decision, self._parts.granted, time.time()
                    )
                session.rests = Rests(
                    credential.caller, lambda: self._again(credential.caller, request, decision.ties), decision.until
                )
            return decision.ties

        def watching() -> None:
            session.endless = True

        session = self._parts.sessions.enter(credential.caller.user, credential, credential.expires)
        session.cut = lambda error: exchange.abort()
        try:
            code = await self._parts.host_api.handle(
                exchange,
                credential.caller,
                authorize,
                rules=lambda namespace: self._rules(credential, namespace),
                access=lambda: self_access(credential, self._parts.granted, time.time()),
                explain=lambda spec: self._parts.explainer.explain(credential, spec),
                watching=watching,
                audit_id=record.stream,
            )
            record.code = str(code)
            if session.was_cut is not None:
                record.code, record.reason = CUT, session.was_cut.message
        finally:
            self._parts.sessions.leave(session)

    def _decided(self, caller: Caller, request: HostRequest) -> Decision:
        return decide_host(caller, request, self._parts.granted, time.time())

    def _again(self, caller: Caller, request: HostRequest, ties: tuple[Tie, ...]) -> StatusError | float:
        """Why a request that was allowed by these ties is to be cut now, or until when it holds."""
        decision = self._decided(caller, request)
        if isinstance(decision, Denied):
            return decision.error
        if decision.ties != ties:
            return Forbidden("what you may do on the host changed while the request ran")
        return decision.until

    def _rules(self, credential: CachedCredential, namespace: str) -> tuple[Rule, ...]:
        return tuple(Rule(*rule) for rule in rules(credential.caller, namespace, self._parts.granted, time.time()))


def _check_delegation(credential: CachedCredential, member: str) -> None:
    """Forbidden for a delegation anywhere but at its members; the host itself is an empty name. What is there besides is not told."""
    delegation = credential.delegation
    if delegation is not None and member not in delegation.clusters:
        raise Forbidden(
            f"this token is a delegation of user {credential.caller.user!r} for {delegation.of}: it is good for requests to "
            f"clusters {', '.join(sorted(delegation.clusters))}, and for nothing else"
        )


def _host_request(row: Path, exchange: Exchange) -> HostRequest:
    return HostRequest(exchange.head.method.decode("latin-1").lower(), path=row.path)


def _audit_id(exchange: Exchange) -> str:
    """The client's own, as API servers take it, if it is one; else a new one."""
    own = exchange.head.get(b"audit-id")
    if own is not None and is_audit_id(text := own.decode("latin-1")):
        return text
    return audit_id()


async def _answer(exchange: Exchange, body: bytes, content_type: bytes = JSON[1]) -> str:
    if exchange.head.method not in (b"GET", b"HEAD"):
        raise MethodNotAllowed(f"{exchange.head.method.decode('latin-1')} is not allowed here: use GET")
    await exchange.respond(200, [(b"content-type", content_type), NOSNIFF], body)
    return "200"
