"""AccessRequests at work: they are approved, denied and ended here, their grants are made and taken away, and time passes for them.

Approving writes the request by compare-and-set, which is all that counts: of two replicas one approves. Its grant is made at once by
whoever answered, and by every look at a request that has none: who approved may have died in between. It is made once:
the store remembers its write, and what was there and is deleted shows that it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from services.tenancy import grants, requests
from services.tenancy.controllers import DAY_S, TenancyContext
from services.tenancy.granted import document_of, uid_of
from services.tenancy.requests import Approval, Terms
from services.tenancy.writers import Writers
from skerry.access.asking import giving_refusal
from skerry.api.accessrequests import SOON_S, AccessRequestApproval, AccessRequestDecision
from skerry.api.hostsettings import APPROVALS, LONGEST, SELF_APPROVAL
from skerry.api.kinds import ACCESS_GRANT, ACCESS_REQUEST, SETTING
from skerry.api.messages import HOST, Caller, WriteRequest
from skerry.api.meta import Document
from skerry.api.times import seconds
from skerry.controller.controller import After, Controller
from skerry.errors import AlreadyExists, Conflict, Forbidden, NotFound, StatusError
from skerry.informer import View
from skerry.storage import Item

log = logging.getLogger("skerry.tenancy")

AT_MOST_S = 60.0
"""Between two looks at an open request: clocks are set, and its end is by the wall's."""
REQUESTER = "requester"
"""Index of requests."""

RequestChange = Callable[[Document], Document | None]


def requester(item: Item) -> Iterable[str]:
    """What the index has for a request."""
    return (str((item.document().get("status") or {}).get("requestedBy", "")),)


def terms(informer: View) -> Terms:
    """What the Settings say now."""

    own, approvals, longest = (
        document_of(informer, SETTING, each.name) for each in (SELF_APPROVAL, APPROVALS, LONGEST)
    )
    return Terms(SELF_APPROVAL.is_on(own), int(APPROVALS.value_of(approvals)), LONGEST.value_of(longest))


class Requests:
    """See the module. `now` is Unix time in seconds."""

    def __init__(self, context: TenancyContext, now: Callable[[], float] = time.time) -> None:
        self._store, self._grants = context.store(ACCESS_REQUEST), context.store(ACCESS_GRANT)
        self._informer, self._recorder, self._now = context.informer, context.recorder, now
        self._access = context.state.granted.access
        self._writers = Writers(context.informer, lambda: self._access)

    # Who decides

    async def _check(self, request: WriteRequest, verb: str, *, given: str = "", own: bool = False) -> None:
        """Forbidden unless the caller could write the grant of a request, for a duration that is `given` or was asked for; or, with
        `own`, made the request. NotFound if they may not even know of it.
        """
        await self._informer.current()
        caller, document, now = request.caller, (await self._store.get(request.name)).document(), self._now()
        if document["status"]["requestedBy"] == caller.user and (own or not terms(self._informer).self_approval):
            return  # their own: what they may not is said where it is decided
        least = requests.until(document, given, now) if verb == "approve" else now
        until = self._writers.writer(caller).ends
        refusal = giving_refusal(caller, document, least, self._access, now, until=until)
        if refusal is None:
            return
        if not self._may_know(caller, document):
            raise self._store.not_found(request.name)
        raise Forbidden(
            f'accessrequests.skerry.dev "{request.name}" is forbidden: user {caller.user!r} may not {verb} it: {refusal}',
            kind=ACCESS_REQUEST.plural,
            group=ACCESS_REQUEST.group,
            name=request.name,
        )

    def _may_know(self, caller: Caller, document: Document) -> bool:
        """True of the requester, of who could give it for a moment at least, and of who reads all on the host."""
        now = self._now()
        if document["status"]["requestedBy"] == caller.user:
            return True
        if giving_refusal(caller, document, now, self._access, now) is None:
            return True
        return any(scope.role for each in self._access.reach(caller, HOST, now).holdings for scope in each.scopes)

    # Decisions

    async def approve(self, request: WriteRequest, body: AccessRequestApproval) -> Document:
        """Approve a request, and make its grant if that is enough. Conflict, Forbidden, BadRequest, NotFound."""
        await self._check(request, "approve", given=body.duration)
        approval, name = Approval(request.caller.user, body.duration, body.comment), request.name

        def change(document: Document) -> Document:
            changed = requests.approved(document, approval, terms(self._informer), self._now())
            requests.check_grants(document, document_of(self._informer, ACCESS_GRANT, name))
            return changed

        document = await self._decided(request, change)
        if request.options.dry_run or not requests.is_approved(document):
            return document
        log.info("approved", extra={"request": name, "by": approval.by})
        try:
            return await self._give(document)
        except StatusError as error:
            log.warning("the grant of a request is late", extra={"request": name, "error": error.message})
            return document

    async def deny(self, request: WriteRequest, body: AccessRequestDecision) -> Document:
        """Deny a request. Conflict, Forbidden, BadRequest, NotFound."""
        await self._check(request, "deny")
        return await self._decided(
            request, lambda document: requests.denied(document, request.caller.user, body.comment, self._now())
        )

    async def end(self, request: WriteRequest, body: AccessRequestDecision) -> Document:
        """End a request and what it gave, or take it back. Conflict, Forbidden, BadRequest, NotFound."""
        await self._check(request, "end", own=True)
        document = await self._decided(
            request, lambda document: requests.ended(document, request.caller.user, body.comment, self._now())
        )
        if not request.options.dry_run:
            await self._take(document)
        return document

    async def _decided(self, request: WriteRequest, change: RequestChange) -> Document:
        if request.options.dry_run:
            document = (await self._store.get(request.name)).document()
            return change(document) or document
        return (await self._store.modify(request.name, change)).document()

    # Grants

    async def _give(self, document: Document) -> Document:
        """Make the grant of an approved request; the request as it is afterwards. StatusError."""
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        problem = await self._make(document)
        if problem:
            return await self._changed(document, lambda each: requests.lost(each, problem, self._now()))
        after = await self._changed(document, requests.granted)
        if not requests.is_approved(after) or after["metadata"]["uid"] != uid:
            await self._take(document)  # it was ended meanwhile
        else:
            log.info("granted", extra={"request": name})
        return after

    async def _make(self, document: Document) -> str:
        """Store the grant; why it cannot be there, if so."""
        metadata = document["metadata"]
        if self._was_taken(document):
            return "its grant was deleted"
        now = datetime.fromtimestamp(self._now(), UTC)
        grant = grants.admit(requests.grant_of(document), now, lambda name: uid_of(self._informer, name))
        try:
            await self._grants.create(grant, write_id=f"request-{metadata['uid']}")
        except AlreadyExists:
            there = await self._grants.get(metadata["name"])
            if not requests.made_of(there.document(), metadata["uid"]):
                return "there is an AccessGrant of this name that is not of this request: ask under another name"
        except Conflict:
            return "its grant was deleted"
        return ""

    def _was_taken(self, document: Document) -> bool:
        """True if a grant of this name was deleted since the request was approved."""
        name, approved = document["metadata"]["name"], requests.approved_at(document)
        buried = self._informer.tombstones(ACCESS_GRANT)
        return any(each.name == name and each.deleted and seconds(each.deleted) >= approved for each in buried)

    async def _take(self, document: Document) -> None:
        """Delete the grant of a request. StatusError."""
        name, uid = document["metadata"]["name"], document["metadata"]["uid"]
        there = await self._grants.find(name)
        if there is not None and requests.made_of(there.document(), uid):
            with suppress(NotFound):
                await self._grants.delete(name, uid=there.uid)

    async def _changed(self, document: Document, change: RequestChange) -> Document:
        """The request after a change, or as it is now; another of the name is left alone."""
        uid = document["metadata"]["uid"]

        def same(now: Document) -> Document | None:
            return change(now) if now["metadata"]["uid"] == uid else None

        return (await self._store.modify(document["metadata"]["name"], same)).document()

    # Time

    async def reconcile(self, name: str) -> After | None:
        """Look at one request: end it, make or take its grant, tell of its end, forget it. StatusError."""
        item = self._informer.get(ACCESS_REQUEST, name)
        if item is None or "deletionTimestamp" in item.document()["metadata"]:
            return None
        try:
            return await self._looked_at(item.document())
        except NotFound:
            return None

    async def _looked_at(self, document: Document) -> After | None:
        if requests.timed(document, self._now()) is not None:
            document = await self._changed(document, lambda each: requests.timed(each, self._now()))
        if requests.is_approved(document):
            document = await self._given(document)
        left_s = requests.ends(document) - self._now()
        if requests.is_over(document):
            await self._take(document)
            return await self._kept(document)
        if requests.is_approved(document):
            if left_s <= SOON_S:
                self._recorder.normal(document, "EndsSoon", requests.ends_soon(document))
            else:
                left_s -= SOON_S
        return After(min(max(left_s, 0.0) + 0.01, AT_MOST_S))

    async def _given(self, document: Document) -> Document:
        """An approved request with its grant; ended if that is gone."""
        metadata, grant = document["metadata"], document["status"].get("grant")
        if not grant:
            return await self._give(document)
        there = document_of(self._informer, ACCESS_GRANT, grant)
        stays = there is not None and "deletionTimestamp" not in there["metadata"]
        if there is not None and stays and requests.made_of(there, metadata["uid"]):
            return document
        return await self._changed(document, lambda each: requests.lost(each, "its grant was deleted", self._now()))

    async def _kept(self, document: Document) -> After | None:
        """For as long as what is over is kept."""
        left_s = requests.forgotten(document) - self._now()
        if left_s > 0:
            return After(min(left_s, DAY_S))
        metadata = document["metadata"]
        await self._store.delete(metadata["name"], uid=metadata["uid"])
        return None


def access_requests(context: TenancyContext) -> Controller[str]:
    """Looks after every request, and again when the grant of one changes or goes."""
    work = Requests(context)
    controller = context.controller("requests", work.reconcile, workers=4, leader=True)
    context.follow(ACCESS_GRANT, controller, lambda grant: (grant.name,) if requests.BECAUSE in grant.labels else ())
    return context.follow(ACCESS_REQUEST, controller)


# Endpoints


async def approve(context: TenancyContext, request: WriteRequest, body: AccessRequestApproval) -> Document:
    """Somebody approves a request."""
    return await Requests(context).approve(request, body)


async def deny(context: TenancyContext, request: WriteRequest, body: AccessRequestDecision) -> Document:
    """Somebody denies a request."""
    return await Requests(context).deny(request, body)


async def end(context: TenancyContext, request: WriteRequest, body: AccessRequestDecision) -> Document:
    """Somebody ends a request."""
    return await Requests(context).end(request, body)


ACTIONS: dict[tuple[Any, str, str], Any] = {
    (ACCESS_REQUEST, "approve", "create"): approve,
    (ACCESS_REQUEST, "deny", "create"): deny,
    (ACCESS_REQUEST, "end", "create"): end,
}
