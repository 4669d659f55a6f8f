"""One request of the host API, from its path to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from services.proxy.hostapi import reads, reviews, searching, watch, writes, wswatch, yamltext
from services.proxy.hostapi.attributes import Attributes, Authorize, Explain, Live, Rule
from services.proxy.hostapi.discovery import Discovery, DiscoveryDocument
from services.proxy.hostapi.duration import check_timeout
from services.proxy.hostapi.forward import Forwarder
from services.proxy.hostapi.negotiate import GROUPS, PARTIAL, PARTIAL_LIST, TABLE, Media, in_yaml, negotiate
from services.proxy.hostapi.openapi import OpenApi
from services.proxy.hostapi.request import MISSING, Query, Target, attributes, known, locate, parse
from services.proxy.hostapi.shifts import Shifts
from services.proxy.hostapi.sight import Sight
from services.proxy.hostapi.sources import ObjectSource, sources
from services.proxy.hostapi.streams import Streams
from services.proxy.hostapi.table import Representation, reshaped, view
from services.proxy.hostapi.visible import Viewer, Visibility
from skerry.access import Access
from skerry.api.explanations import ExplanationSpec, ExplanationStatus
from skerry.api.kinds import EVENTS, RESOURCES, Action, Kind, Tie
from skerry.api.messages import Caller
from skerry.api.selfaccess import SelfAccessReviewStatus
from skerry.errors import Forbidden, MethodNotAllowed, NotAcceptable, NotFound, RequestEntityTooLarge, StatusError
from skerry.http import Raw
from skerry.httpwire.head import Headers, RequestHead, ResponseHead
from skerry.httpwire.websocket import accepted, offered
from skerry.informer import Informer
from skerry.storage import utc_now
from skerry.storage.documents import LIMIT_BYTES

JSON = (b"content-type", b"application/json")
_NO_CACHE = (b"cache-control", b"no-cache, private")
_FOR_EVER = (b"cache-control", b"public, immutable, max-age=31536000")
"""A document whose URL has the hash of its content."""


def unknown() -> SelfAccessReviewStatus:
    """Of a caller about whom nothing else is known than their name."""
    return SelfAccessReviewStatus(user="", groups=[], source="Credential", expires="", access=[])


async def unexplained(spec: ExplanationSpec) -> ExplanationStatus:
    """Where no clusters are reached."""
    raise NotFound(MISSING)


class ApiExchange(Protocol):
    """The part of `skerry.http.Exchange` that the host API needs."""

    head: RequestHead
    started: bool

    @property
    def gone(self) -> asyncio.Event: ...

    async def read(self) -> bytes: ...
    async def respond(self, status: int, headers: Headers, body: bytes) -> None: ...
    async def start(self, head: ResponseHead, *, length: int | None) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...
    async def upgrade(self, head: ResponseHead) -> Raw: ...


class _ApiRequest(NamedTuple):
    """One request while it is answered."""

    exchange: ApiExchange
    target: Target
    query: Query
    caller: Caller
    forwarder: Forwarder


class HostApi:
    """Serves /api, /apis and /openapi of the host.

    `live(name)` gives the cells that only a proxy knows, by object name, keyed by `Column.live`. Events are served if there
    is a cache of them. `granted` is kept in step with `cache`, and `shifts` told of it, by whoever makes them.
    """

    def __init__(
        self,
        cache: Informer,
        forwarder: Forwarder,
        kinds: Iterable[Kind],
        live: Live = lambda name: {},
        now: Callable[[], datetime] = utc_now,
        events: Informer | None = None,
        granted: Access | None = None,
        shifts: Shifts | None = None,
        streams: Streams | None = None,
    ) -> None:
        caches = {RESOURCES: cache} if events is None else {RESOURCES: cache, EVENTS: events}
        self._sources = sources(caches, kinds)
        self._forwarder, self._streams = forwarder, streams or Streams()
        self._live = live
        self._now = now
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in self._sources}
        self._by_resource = {(kind.group, kind.plural): kind for kind in self._sources}
        seconds = lambda: self._now().timestamp()  # noqa: E731
        self._visibility = Visibility(self._sources, granted or Access(), shifts or Shifts(seconds), seconds)
        self._discovery = Discovery(self._sources)
        self._openapi = OpenApi(self._sources)

    async def handle(
        self,
        exchange: ApiExchange,
        caller: Caller,
        authorize: Authorize,
        *,
        rules: Callable[[str], tuple[Rule, ...]] = lambda namespace: (),
        access: Callable[[], SelfAccessReviewStatus] = unknown,
        explain: Explain = unexplained,
        watching: Callable[[], None] = lambda: None,
        audit_id: str = "",
    ) -> int:
        """Answer one exchange completely, and return the status answered; errors too, as a Status and nothing beside it. One that
        comes after the head of the answer is raised: the connection is to be cut.

        `rules` says what the caller may do in a namespace, `access` who they are and what they have on clusters,
        `explain` why; `watching` is told when this exchange becomes a watch. Services that are asked are told `audit_id`.

        The front door's own errors carry a Warning header, so that they stand out from a member's. Here the Status is
        the API's normal voice, and kubectl would print everything twice.
        """
        try:
            asking = reviews.ReviewCaller(caller, authorize, rules, access, explain)
            return await self._handle(exchange, asking, watching, self._forwarder.of(audit_id))
        except StatusError as error:
            if exchange.started:
                raise
            return await _answer(exchange, error.code, error.body(), _retry_after(error))

    async def _handle(
        self, exchange: ApiExchange, asking: reviews.ReviewCaller, watching: Callable[[], None], forwarder: Forwarder
    ) -> int:
        caller, authorize = asking.caller, asking.authorize
        path, query = parse(exchange.head.target)
        target = locate(path, self._kinds)
        verb = _verb(exchange.head.method, target, query)
        if verb != "watch":
            check_timeout(query)
        viewer, request_attributes = Viewer(caller, authorize), attributes(target, verb, path)
        ties = await self._authorized(target, request_attributes, authorize)
        if writes.is_status(target):
            target = writes.status_read(target, verb)
        if target.kind is None:
            return await self._discover(exchange, target, query)
        request = _ApiRequest(exchange, target, query, caller, forwarder)
        action = target.kind.action(target.subresource, verb)
        if action is not None:
            return await self._act(request, action)
        everywhere = target.kind.namespaced and not target.namespace
        if target.subresource or verb not in target.kind.verbs or (everywhere and verb not in _OF_ALL):
            return await _refuse(exchange, target, target.kind)
        searching.check(target.kind, verb, query)
        source = self._sources[target.kind]
        if source is None:
            media, body = await yamltext.as_json(_content_type(exchange), await _body(exchange))
            own = asking._replace(authorize=self._reviewed(viewer))
            answer = await reviews.answer(target.kind, media, body, own)
            return await _answer(exchange, 201, answer)
        sight = self._visibility.sight(target.kind, viewer, ties)
        if verb == "watch":
            watching()

            def still_allowed() -> None:
                if authorize(request_attributes) != ties:
                    raise Forbidden("your rights on the host are others now")

            return await self._watch(request, source, sight, still_allowed)
        if verb in ("get", "list"):
            return await _answer(exchange, 200, await self._read(request, source, sight))
        if target.name:
            await self._visibility.check(request_attributes, target.kind, viewer, ties)
        return await self._write(request, source, verb, sight)

    async def _authorized(self, target: Target, attributes: Attributes, authorize: Authorize) -> tuple[Tie, ...]:
        """The ties by which a request is allowed. That it is not, where a namespace decides, is believed only of a cache that is
        current: who asks may have become a member of the workspace just now. Forbidden.
        """
        source = None if target.kind is None or not target.namespace else self._sources[target.kind]
        if source is None:
            return authorize(attributes)
        try:
            return authorize(attributes)
        except Forbidden:
            await source.current()
            return authorize(attributes)

    def _reviewed(self, viewer: Viewer) -> Authorize:
        """Authorizes as a self review asks: of one object at once whether it is the caller's."""

        def authorize(attributes: Attributes) -> tuple[Tie, ...]:
            kind = self._by_resource.get((attributes.group, attributes.resource))
            if kind is not None and not kind.namespaced:
                attributes = attributes._replace(namespace="")  # kubectl auth can-i always names its own
            ties = viewer.authorize(attributes)
            if kind is not None and kind.action(attributes.subresource, attributes.verb) is None:
                refused = self._visibility.refusal(attributes, kind, viewer, ties)
                if refused is not None:
                    raise refused
            return ties

        return authorize

    # Discovery

    async def _discover(self, exchange: ApiExchange, target: Target, query: Query) -> int:
        if exchange.head.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        document = self._document(exchange, target.parts)
        if document is None:
            raise NotFound(MISSING)
        hashed = query.text("hash") if target.parts[:2] == ("openapi", "v3") and len(target.parts) > 2 else ""
        if hashed:
            location = self._openapi.location(target.parts[1:])
            if not location.endswith(f"hash={hashed}"):
                await exchange.respond(301, [(b"location", location.encode()), _NO_CACHE], b"")
                return 301
        if document.media == JSON[1] and in_yaml(_accept(exchange)):
            return await _answer(exchange, 200, document.body, [(b"vary", b"Accept")])
        cached = _FOR_EVER if hashed else _NO_CACHE
        headers = [(b"content-type", document.media), (b"etag", document.etag.encode()), (b"vary", b"Accept"), cached]
        if exchange.head.get(b"if-none-match") == document.etag.encode():
            await exchange.respond(304, headers[1:], b"")
            return 304
        await exchange.respond(200, headers, document.body)
        return 200

    def _document(self, exchange: ApiExchange, parts: tuple[str, ...]) -> DiscoveryDocument | None:
        if parts[0] == "openapi":
            return self._openapi.find(parts[1:], _accept(exchange))
        negotiated = negotiate(_accept(exchange), GROUPS if len(parts) == 1 else frozenset())
        return self._discovery.find(parts, negotiated.media)

    # Reads

    def _view(self, exchange: ApiExchange, kind: Kind, query: Query, partial: frozenset[Media]) -> Representation:
        media = negotiate(_accept(exchange), TABLE | partial).media
        return view(kind, media, query.text("includeObject") or "Metadata", self._live, self._now)

    async def _read(self, request: _ApiRequest, source: ObjectSource, sight: Sight) -> bytes:
        exchange, target, query, caller, forwarder = request
        kind = known(target)
        representation = self._view(exchange, kind, query, PARTIAL if target.name else PARTIAL_LIST)
        if target.name:
            return await reads.get(source, kind, target.namespace, target.name, query, representation, sight)
        if searching.check(kind, "list", query):
            return await searching.searched(forwarder, source, target, caller, query, representation, sight)
        return await reads.listed(source, kind, target.namespace, query, representation, sight)

    async def _watch(
        self, request: _ApiRequest, source: ObjectSource, sight: Sight, allowed: Callable[[], None]
    ) -> int:
        exchange, target, query = request[:3]
        kind = known(target)
        representation = self._view(exchange, kind, query, PARTIAL | PARTIAL_LIST)
        if in_yaml(_accept(exchange)):
            raise NotAcceptable(
                "a watch is told in JSON: only the following media types are accepted: application/json"
            )
        error: StatusError | None = None
        try:
            plan = await watch.plan(source, kind, target.namespace, query, sight)
        except StatusError as caught:
            if caught.code != 410:
                raise
            error = caught

        async def tell(sink: watch.EventSink) -> None:
            if error is not None:
                await sink.tell((watch.event("ERROR", error.body()),))
            else:
                await watch.stream(plan, representation, sink, allowed)

        if exchange.head.websocket:
            protocol = next(iter(offered(exchange.head.headers)), None)
            await wswatch.serve(await exchange.upgrade(accepted(exchange.head, protocol)), tell)
            return 101
        await exchange.start(ResponseHead(status=200, headers=[JSON, _NO_CACHE]), length=None)
        await _unless_gone(exchange, tell(watch.Lines(exchange)))
        await exchange.finish()
        return 200

    # Writes

    async def _act(self, request: _ApiRequest, action: Action) -> int:
        exchange, target, query, caller, forwarder = request
        if action.streams_answer:
            return await self._streams.download(forwarder, exchange, target, action, caller, query)
        if action.streams_request:
            answer = await self._streams.upload(forwarder, exchange, target, action, caller, query)
        else:
            body = b"" if action.verb == "get" else await _body(exchange)
            answer = await forwarder.act(target, action, caller, query, _content_type(exchange), body)
        return await _answer(exchange, 201 if action.verb == "create" else 200, answer)

    async def _write(self, request: _ApiRequest, source: ObjectSource, verb: str, sight: Sight) -> int:
        exchange, target, query, caller, forwarder = request
        representation = self._view(exchange, known(target), query, _PARTIALS.get(verb, PARTIAL))
        agent = (exchange.head.get(b"user-agent") or b"").decode(errors="replace")
        content = writes.WriteContent(await _body(exchange), _content_type(exchange), agent)
        reply = await writes.answer(forwarder, source, target, caller, query, verb, content, sight)
        return await _answer(exchange, reply.status, reshaped(representation, reply.body), reply.headers())


_PARTIALS = {"deletecollection": PARTIAL_LIST, "delete": PARTIAL | PARTIAL_LIST}
"""By verb; a delete mostly answers with a Status, to whom asks for a list of metadata too."""
_OF_ALL = ("list", "watch")
"""Verbs of requests to all namespaces at once."""
_VERBS = {b"POST": "create", b"PUT": "update", b"PATCH": "patch", b"DELETE": "delete"}


def _verb(method: bytes, target: Target, query: Query) -> str:
    """The request's verb, as the API server's RequestInfo names it."""
    if target.kind is None:
        return method.decode("latin-1").lower()
    if method in (b"GET", b"HEAD"):
        if target.name:
            return "get"
        return "watch" if query.flag("watch") else "list"
    if method == b"DELETE" and not target.name:
        return "deletecollection"
    return _VERBS.get(method, method.decode("latin-1").lower())


_METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "patch": "PATCH"}


async def _refuse(exchange: ApiExchange, target: Target, kind: Kind) -> int:
    """405 with Allow; 404 for a subresource that is not served."""
    if target.subresource and not writes.is_status(target):
        raise NotFound(MISSING)
    collection = {"list", "watch", "create", "deletecollection"}
    if kind.namespaced and not target.namespace:
        collection = set(_OF_ALL)
    verbs = {"get", "update", "patch", "delete"} if target.name else collection
    verbs -= {"delete"} if target.subresource else set()
    allowed = sorted({_METHODS.get(verb, "DELETE") for verb in verbs & set(kind.verbs)})
    error = MethodNotAllowed(
        f"the server does not allow this method on the requested resource: {kind.plural} take {', '.join(allowed)} here",
        kind=kind.plural,
        group=kind.group,
        name=target.name,
    )
    return await _answer(exchange, 405, error.body(), [(b"allow", ", ".join(allowed).encode())])


async def _answer(exchange: ApiExchange, status: int, body: bytes, more: Headers | None = None) -> int:
    """Answer with a JSON document, written in YAML for who prefers that; the status."""
    form = JSON
    if in_yaml(_accept(exchange)):
        form, body = (JSON[0], yamltext.YAML.encode()), await yamltext.written(body)
    await exchange.respond(status, [form, _NO_CACHE, *(more or ())], body)
    return status


def _retry_after(error: StatusError) -> Headers:
    seconds = error.details.retry_after_seconds
    return [(b"retry-after", str(seconds).encode())] if seconds else []


def _content_type(exchange: ApiExchange) -> str:
    return (exchange.head.get(b"content-type") or b"").decode("latin-1")


def _accept(exchange: ApiExchange) -> str:
    return b",".join(value for name, value in exchange.head.headers if name == b"accept").decode("latin-1")


async def _body(exchange: ApiExchange) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await exchange.read():
        size += len(part)
        if size > LIMIT_BYTES:
            raise RequestEntityTooLarge(f"the body is larger than {LIMIT_BYTES} bytes, the limit of one object")
        parts.append(part)
    return b"".join(parts)


async def _unless_gone(exchange: ApiExchange, work: Coroutine[None, None, None]) -> None:
    """Run `work` until it is done or the client has left: an idle watch learns of that in no other way."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(exchange.gone.wait())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait((working, leaving))
