"""The front door: one HTTPS endpoint, and where each path goes.

    /clusters/<name>/…                 the member's API
    /api* /apis* /openapi*             the host's own API
    /healthz /livez /readyz /version   open, and say nothing else
    /metrics /                         with a credential

Everything else is 401 without a credential and 404 with one. Errors become a Status in one place, here.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from services.proxy.agents import Presence
from services.proxy.authn import Authenticator, Credential
from services.proxy.decide import Allowed, Denied, HostRequest, MemberRequest, decide
from services.proxy.directory import Directory, Member
from services.proxy.hostapi import Attributes, HostApi
from services.proxy.lanes import Lanes
from services.proxy.metrics import CUT, Metrics, access, shown
from services.proxy.outgoing import impersonates, open_headers
from services.proxy.relay import Cut, Relay
from services.proxy.sessions import Session, Sessions
from services.proxy.settings import Limits
from services.proxy.voucher import Voucher
from skerry import __version__, telemetry
from skerry.errors import InternalError, MethodNotAllowed, NotFound, ServiceUnavailable, StatusError
from skerry.http import ClientGone, Exchange
from skerry.httpwire import requestinfo
from skerry.httpwire.target import parse_target, split_cluster
from skerry.link import AgentAway, OpenRequest

log = logging.getLogger("skerry.proxy")

TEXT = (b"content-type", b"text/plain; charset=utf-8")
JSON = (b"content-type", b"application/json")
NOSNIFF = (b"x-content-type-options", b"nosniff")
PATHS = (
    "/api",
    "/apis",
    "/clusters",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/readyz",
    "/version",
)
HOST_API = (b"/api", b"/apis", b"/openapi")
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
HEAD_DEADLINE_S = (60.0, 10.0)
"""A response head is awaited min(the request's timeout, first) + second, except on long-running requests."""


class Parts(NamedTuple):
    """What the front door is made of; the composition root fills it in."""

    limits: Limits
    authenticator: Authenticator
    directory: Directory
    sessions: Sessions
    presence: Presence
    voucher: Voucher
    lanes: Lanes
    host_api: HostApi
    metrics: Metrics
    not_ready: Callable[[], str]
    """Why this process is not ready; empty if it is."""


class Record:
    """What the access log says of one request."""

    __slots__ = ("class_", "code", "started", "stream", "user")

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.user = ""
        self.code = ""
        self.class_ = "host"
        self.stream = ""


class Front:
    """Answers exchanges: `Server(front.handle, …)`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._open = {b"/healthz": self._ok, b"/livez": self._ok, b"/readyz": self._readyz, b"/version": self._version}

    async def handle(self, exchange: Exchange) -> None:
        """Answer one exchange completely. Never raises, except when cancelled."""
        record = Record()
        try:
            await self._route(exchange, record)
        except ClientGone:
            record.code = record.code or "gone"
        except Cut as error:
            record.code = CUT
            log.warning("a response was cut", extra={"stream": record.stream, "reason": str(error)})
        except StatusError as error:
            await self._refuse(exchange, record, error)
        except Exception:
            log.exception("a request failed", extra={"stream": record.stream})
            await self._refuse(exchange, record, InternalError("the host made an error; its log has the details"))
        finally:
            self._log(exchange, record)

    async def _refuse(self, exchange: Exchange, record: Record, error: StatusError) -> None:
        if exchange.started:
            record.code = CUT
            exchange.abort()
            return
        record.code = str(error.code)
        try:
            await exchange.respond_error(error)
        except ClientGone:
            record.code = "gone"

    def _log(self, exchange: Exchange, record: Record) -> None:
        seconds = time.perf_counter() - record.started
        self._parts.metrics.request(record.code, record.class_, seconds)
        if access.isEnabledFor(logging.INFO):
            fields = {
                "method": exchange.head.method.decode("latin-1"),
                "path": shown(exchange.head.target),
                "user": record.user,
                "code": record.code,
                "ms": round(seconds * 1000, 1),
                "stream": record.stream,
            }
            access.info("request", extra=fields)

    async def _route(self, exchange: Exchange, record: Record) -> None:
        path = exchange.head.target.partition(b"?")[0]
        answer = self._open.get(path)
        if answer is not None:
            record.code = await answer(exchange)
            return
        credential = self._parts.authenticator.authenticate(exchange.head.headers)
        record.user = credential.caller.user
        route = split_cluster(exchange.head.target)
        if route is not None:
            await self._member(exchange, record, credential, *route)
            return
        parse_target(exchange.head.target)
        if _is_host_api(path):
            await self._host(exchange, record, credential)
        elif path == b"/metrics":
            record.code = await _answer(
                exchange, self._parts.metrics.registry.render(), telemetry.CONTENT_TYPE.encode()
            )
        elif path == b"/":
            record.code = await _answer(exchange, msgspec.json.encode({"paths": PATHS}))
        else:
            raise NotFound("the server could not find the requested resource")

    # What is open

    async def _ok(self, exchange: Exchange) -> str:
        return await _answer(exchange, b"ok", TEXT[1])

    async def _readyz(self, exchange: Exchange) -> str:
        if self._parts.not_ready():
            raise ServiceUnavailable("not ready")
        return await _answer(exchange, b"ok", TEXT[1])

    async def _version(self, exchange: Exchange) -> str:
        return await _answer(exchange, VERSION)

    # The host's own API

    async def _host(self, exchange: Exchange, record: Record, credential: Credential) -> None:
        asks = impersonates(exchange.head.headers)

        def authorize(asked: Attributes) -> None:
            request = HostRequest(
                asked.verb, asked.group, asked.resource, asked.subresource, asked.namespace, asked.name, asks
            )
            decision = decide(credential.caller, request)
            if isinstance(decision, Denied):
                raise decision.error
            session.endless = asked.verb == "watch"

        session = self._enter(credential)
        session.cut = lambda error: exchange.abort()
        try:
            await self._parts.host_api.handle(exchange, credential.caller, authorize)
            record.code = CUT if session.was_cut is not None else "200"
        finally:
            self._parts.sessions.leave(session)

    def _enter(self, credential: Credential, member: Member | None = None) -> Session:
        name, uid = (member.name, member.uid) if member is not None else ("", "")
        return self._parts.sessions.enter(credential.caller.user, credential.name, credential.expires, name, uid)

    # Members

    async def _member(self, exchange: Exchange, record: Record, credential: Credential, name: str, rest: bytes) -> None:
        info = requestinfo.resolve(exchange.head.method, rest)
        allowed = self._decide(exchange, credential, name, info)
        member = await self._find(name)
        session = self._enter(credential, member)
        session.endless = info.verb == "watch"
        try:
            relay = Relay(exchange, session, self._parts.limits, self._parts.metrics)
            request = await self._open_request(exchange, relay, member, rest, info, allowed)
            record.class_, record.stream = request.class_, request.id
            status = await relay.carry(self._parts.lanes.dialer(), request, b"/clusters/" + name.encode())
            record.code = str(status)
        except AgentAway as error:
            raise self._away(member, error) from error
        finally:
            self._parts.sessions.leave(session)

    def _decide(self, exchange: Exchange, credential: Credential, name: str, info: requestinfo.RequestInfo) -> Allowed:
        asks = impersonates(exchange.head.headers)
        request = MemberRequest(name, info.verb, info.resource, info.subresource, asks)
        decision = decide(credential.caller, request)
        if isinstance(decision, Denied):
            raise decision.error
        return decision

    async def _find(self, name: str) -> Member:
        member = await self._parts.directory.find(name)
        if member is None:
            raise NotFound(
                f'clusters.skerry.dev "{name}" not found; kubectl get clusters shows those that exist',
                kind="clusters",
                group="skerry.dev",
                name=name,
            )
        if member.connection == "none":
            raise NotFound(
                f"cluster {name} is this host itself, and it runs without Kubernetes (connection none): there is no "
                "API behind this path; the host's own API is at the root of this server",
                kind="clusters",
                group="skerry.dev",
                name=name,
            )
        return member

    async def _open_request(
        self,
        exchange: Exchange,
        relay: Relay,
        member: Member,
        rest: bytes,
        info: requestinfo.RequestInfo,
        allowed: Allowed,
    ) -> OpenRequest:
        body, end = await relay.body()
        head = exchange.head
        return OpenRequest(
            id=str(uuid.uuid4()),
            assertion=self._parts.voucher.assertion(member.name, allowed),
            method=head.method,
            target=rest,
            headers=open_headers(head, exchange.peer[0]),
            class_=info.class_,
            long_running=info.long_running,
            deadline_s=min(info.timeout_s or HEAD_DEADLINE_S[0], HEAD_DEADLINE_S[0]) + HEAD_DEADLINE_S[1],
            body=body,
            end=end,
        )

    def _away(self, member: Member, error: AgentAway) -> StatusError:
        """503 that says since when; without Retry-After, which would make client-go repeat any verb."""
        since = self._parts.presence.since(member.name) or member.away_since
        return ServiceUnavailable(
            f"cluster {member.name} is away{f' since {since}' if since else ''}: its agent is not connected; nothing "
            f"was executed. Start the agent on the member again; kubectl get clusters {member.name} -o wide shows its "
            "state",
            kind="clusters",
            group="skerry.dev",
            name=member.name,
        )


def _is_host_api(path: bytes) -> bool:
    return any(path == root or path.startswith(root + b"/") for root in HOST_API)


async def _answer(exchange: Exchange, body: bytes, content_type: bytes = JSON[1]) -> str:
    if exchange.head.method not in (b"GET", b"HEAD"):
        raise MethodNotAllowed(f"{exchange.head.method.decode('latin-1')} is not allowed here: use GET")
    await exchange.respond(200, [(b"content-type", content_type), NOSNIFF], body)
    return "200"
