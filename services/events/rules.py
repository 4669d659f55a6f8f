"""Admission of EventSinks, and what is asked of one: another secret, a test, what was given up, and that it is sent again."""

from __future__ import annotations

import time
from collections.abc import Mapping

from nacl.utils import random

from services.events.deadletters import SHOWN, listed
from services.events.deliveries import FINALIZER
from services.events.parts import EventsContext, EventsState
from services.events.requests import request_of, trial
from services.events.secrets import SinkSecrets
from services.events.sender import attempt
from services.events.settings import EventsSettings
from services.events.signing import USUAL, key_of, secret_of
from services.events.spec import MOST_SINKS, problems, spec_of
from services.events.verdicts import answered
from skerry.admission import Admitted, Rules
from skerry.admission.prepare import invalid_object
from skerry.api.eventsink import SinkRetry, SinkSecret, SinkTestRequest
from skerry.api.kinds import CLUSTER, EVENT_SINK, Kind
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.times import rfc3339
from skerry.errors import BadRequest, Conflict, Forbidden
from skerry.http.outbound import OutboundError
from skerry.service.spec import ActionHandler
from skerry.storage import Item


class EventSinkRules(Rules):
    """See the module."""

    def __init__(self, context: EventsContext) -> None:
        super().__init__(context)
        self._context = context

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        if len(self._context.informer.list(EVENT_SINK)) >= MOST_SINKS:
            raise Forbidden(f"there are {MOST_SINKS} sinks, which are the most: remove one first (skerry sinks)")
        return Admitted(_checked(document))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        return Admitted(_checked(document))

    async def holds(self, current: Item, request: WriteRequest) -> tuple[str, ...]:
        """Until its secret, its consumer and what it gave up are gone."""
        return (FINALIZER,)


def _checked(document: Document) -> Document:
    wrong = list(problems(document))
    if wrong:
        raise invalid_object(document, wrong)
    return document


async def set_secret(context: EventsContext, request: WriteRequest, body: SinkSecret) -> Document:
    """Sign with another secret: the one that is given, or a new one, which the answer alone shows."""
    item = await _sink_of(context, request)
    if body.secret:
        try:
            key_of(body.secret)
        except ValueError as error:
            raise BadRequest(str(error)) from error
    secret, now = body.secret or secret_of(random(USUAL)), time.time()
    secrets = await context.state.secrets.set(item.uid, secret, now)
    answer = {} if body.secret else {"secret": secret}
    until = {"previousUntil": rfc3339(secrets.previous_until)} if secrets.previous_until > now else {}
    store = context.store(EVENT_SINK)
    after = await store.modify(
        item.name, lambda document: _with_status(document, item, {"secret": {"set": rfc3339(now), **until}})
    )
    if after.uid != item.uid:
        await context.state.secrets.drop(item.uid)
        raise store.not_found(request.name)
    context.state.deliveries.controller.add(item.name)
    return {**answer, **until}


async def try_(context: EventsContext, request: WriteRequest, body: SinkTestRequest) -> Document:
    """Send one event now, whatever waits, also to a sink that is paused."""
    item = await _sink_of(context, request)
    spec, secrets = spec_of(item.document()), await _secrets(context, item)
    host = context.informer.get(CLUSTER, "host")
    source = "" if host is None else str((host.document().get("status") or {}).get("uid") or "")
    event = trial(item.name, item.uid, source, request.caller.user, time.time())
    try:
        receiver = context.state.dial(spec)
    except OutboundError as error:
        raise BadRequest(str(error)) from error
    try:
        answer = await attempt(receiver, request_of(event, binary=spec.binary), secrets)
    finally:
        await receiver.close()
    return answered(answer, event.id, time.time())


async def list_dead(context: EventsContext, request: WriteRequest, body: None) -> Document:
    """What was given up, the oldest first."""
    item = await _sink_of(context, request)
    letters = await context.state.letters.all(item.uid)
    return {"items": listed(letters[:SHOWN]), "count": len(letters)}


async def retry(context: EventsContext, request: WriteRequest, body: SinkRetry) -> Document:
    """Have it sent again."""
    item = await _sink_of(context, request)
    now = time.time()
    count, unknown = await context.state.letters.ask_again(item.uid, frozenset(body.ids), now)
    if count:
        await context.store(EVENT_SINK).modify(
            item.name,
            lambda document: _with_status(document, item, {"retryRequested": f"{rfc3339(now)} {request.request_id}"}),
        )
    return {"count": count, "unknown": unknown}


async def _sink_of(context: EventsContext, request: WriteRequest) -> Item:
    """The sink that is asked about."""
    return await context.store(EVENT_SINK).get(request.name)


async def _secrets(context: EventsContext, item: Item) -> SinkSecrets:
    secrets = await context.state.secrets.find(item.uid)
    if secrets is None:
        raise Conflict(f"sink {item.name} has no secret to sign with: skerry sink secret {item.name}")
    return secrets


def _with_status(document: Document, item: Item, fields: Document) -> Document | None:
    if document["metadata"].get("uid") != item.uid:
        return None
    return {**document, "status": {**(document.get("status") or {}), **fields}}


ACTIONS: Mapping[tuple[Kind, str, str], ActionHandler[EventsSettings, EventsState]] = {
    (EVENT_SINK, "secret", "update"): set_secret,
    (EVENT_SINK, "test", "create"): try_,
    (EVENT_SINK, "dead", "get"): list_dead,
    (EVENT_SINK, "retry", "create"): retry,
}
