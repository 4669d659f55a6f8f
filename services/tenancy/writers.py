"""Who may write AccessGrants and Workspaces: the check of skerry/access/escalation.py, asked with what is stored now.

Looked at twice: before anything is made of a stored object and what was sent (whoever may not touch it learns nothing of it, not
even that it is there), and with the result. Both kinds of object, and approvals, come by here, whatever the verb.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import msgspec

from services.tenancy import model
from skerry.access import Access, keys_of
from skerry.access.escalation import (
    Refusal,
    Writer,
    administers_host,
    givers,
    grant_refusal,
    too_long,
    workspace_refusal,
)
from skerry.access.holdings import key_of
from skerry.api.grants import AccessGrant, Subject, Workspace
from skerry.api.kinds import ACCESS_GRANT, BUILT_IN, CREDENTIAL, HOST_VIEW, WORKSPACE, Kind
from skerry.api.kinds.access import ADMIN, CLUSTER_ADMIN
from skerry.api.kinds.paths import at
from skerry.api.messages import HOST, Caller, WriteRequest
from skerry.api.meta import Document
from skerry.api.stored import readable
from skerry.errors import Forbidden, NotFound, StatusError
from skerry.informer import View
from skerry.storage import Item

BY_GROUP = "givers"
"""Index of Credentials: those with built-in groups that let their users give something."""
_STRONG = (ADMIN, CLUSTER_ADMIN)
_UNREADABLE = Refusal("an administrator of the host: what is stored cannot be read")
_subjects, _members = at("spec.subjects"), at("spec.members")

T = TypeVar("T", AccessGrant, Workspace)


def strong_groups(item: Item) -> Iterable[str]:
    """What the index has for a Credential."""
    spec = item.document().get("spec") or {}
    groups = () if "delegation" in spec else spec.get("groups") or ()
    return [group for group in _STRONG if group in groups]


class Writers:
    """See the module. `now` is Unix time in seconds."""

    def __init__(self, informer: View, access: Callable[[], Access], now: Callable[[], float] = time.time) -> None:
        self._informer, self._access, self._now = informer, access, now
        informer.index(CREDENTIAL, BY_GROUP, strong_groups)

    def check_grant(self, request: WriteRequest, old: Document | None, new: Document | None) -> None:
        """Forbidden unless who asks may make `new` of `old`; None: there is none."""
        writer = self.writer(request.caller)
        if self._administers(writer):
            return
        try:
            before, after = _typed(old, AccessGrant), _typed(new, AccessGrant)
        except msgspec.ValidationError as error:
            raise _forbidden(ACCESS_GRANT, request, _UNREADABLE, ()) from error
        refusal = grant_refusal(writer, before, after, self._access(), self._now())
        if refusal is not None:
            effective = after or before
            could = () if effective is None else self.givers(effective)
            raise _forbidden(ACCESS_GRANT, request, refusal, could)

    def check_workspace(self, request: WriteRequest, old: Document | None, new: Document | None) -> None:
        """Forbidden unless who asks may make `new` of `old`; None: there is none."""
        writer = self.writer(request.caller)
        if self._administers(writer):
            return
        try:
            before, after = _typed(old, Workspace), _typed(new, Workspace)
        except msgspec.ValidationError as error:
            raise _forbidden(WORKSPACE, request, _UNREADABLE, ()) from error
        refusal = workspace_refusal(writer, before, after, self._access(), self._now())
        if refusal is not None:
            admins = () if before is None else tuple(each.name for each in before.spec.members if each.role == "admin")
            raise _forbidden(WORKSPACE, request, refusal, admins if before is not None and after is not None else ())

    def check_lasting(self, kind: Kind, request: WriteRequest, ends: float, then: str) -> None:
        """Forbidden unless who asks administers the host until `ends` (Unix seconds): what is made by its administrators alone would
        else outlast what it was made by. `then` is what to do instead.
        """
        until = administers_host(self.writer(request.caller), self._access(), self._now())
        if ends > until:
            raise _forbidden(kind, request, too_long(until, then), ())

    def _administers(self, writer: Writer) -> bool:
        """True of an administrator of the host without an end: they may write all, also over what cannot be read."""
        return administers_host(writer, self._access(), self._now()) == math.inf

    def is_among(self, workspace: Document) -> Callable[[str], bool]:
        """A test of names: whether a cluster is among those of a workspace."""
        return partial(self._access().is_among, readable(workspace, Workspace).spec.clusters)

    def touch_grant(self, request: WriteRequest, current: Item) -> None:
        """NotFound for who may not know of a grant; Forbidden for who may not take away what it gives."""
        document = current.document()
        try:
            self.check_grant(request, document, None)
        except Forbidden as error:
            raise self._told(ACCESS_GRANT, request, _subjects(document), error) from error

    def touch_workspace(self, request: WriteRequest, current: Item, *, deletes: bool = False) -> None:
        """NotFound for who may not know of a workspace; Forbidden for who may not change it at all, or not delete it."""
        document = current.document()
        try:
            self.check_workspace(request, document, None if deletes else document)
        except Forbidden as error:
            raise self._told(WORKSPACE, request, _members(document), error) from error

    def _told(self, kind: Kind, request: WriteRequest, people: object, error: Forbidden) -> StatusError:
        """The error, for who may know of the object: who reads all of them, and those whom it names."""
        if self._reads_all(request.caller) or _among(request.caller, people):
            return error
        text = f'{kind.plural}.{kind.group} "{request.name}" not found'
        return NotFound(text, kind=kind.plural, group=kind.group, name=request.name)

    def _reads_all(self, caller: Caller) -> bool:
        """True of who may read all grants and workspaces, by a role on the host."""
        if CLUSTER_ADMIN in caller.groups or HOST_VIEW in caller.groups:
            return True
        holdings = self._access().reach(caller, HOST, self._now()).holdings
        return any(scope.role for holding in holdings for scope in holding.scopes)

    def writer(self, caller: Caller) -> Writer:
        """A caller, and until when they have what they hold by built-in groups: as long as the last credential for it is good."""
        if ADMIN not in caller.groups or CLUSTER_ADMIN in caller.groups:
            return Writer(caller)
        ends = [
            model.expires(document)
            for item in self._informer.lookup(CREDENTIAL, BY_GROUP, ADMIN)
            if (document := item.document())["spec"]["user"] == caller.user
        ]
        return Writer(caller, max(ends, default=-math.inf))

    def givers(self, grant: AccessGrant) -> tuple[str, ...]:
        """Who could write such a grant, for people."""
        return givers(grant, self._access(), self._now(), self._known())

    def _known(self) -> Iterator[Writer]:
        for group in reversed(_STRONG):
            for item in self._informer.lookup(CREDENTIAL, BY_GROUP, group):
                document = item.document()
                groups = tuple(each for each in BUILT_IN if each in document["spec"]["groups"])
                ends = model.expires(document)
                if ends > self._now():
                    yield Writer(Caller(user=str(document["spec"]["user"]), groups=groups), ends)


def _typed(document: Document | None, shape: type[T]) -> T | None:
    return None if document is None else readable(document, shape)


def _among(caller: Caller, people: object) -> bool:
    """True of somebody whom a list of subjects names."""
    keys = keys_of(caller)
    try:
        return any(key_of(each) in keys for each in msgspec.convert(people, list[Subject]))
    except msgspec.ValidationError:
        return False  # nobody is named by what cannot be read


def _forbidden(kind: Kind, request: WriteRequest, refusal: Refusal, could: tuple[str, ...]) -> Forbidden:
    name = f' "{request.name}"' if request.name else ""
    who = f"; who could: {', '.join(could)}" if could else ""
    return Forbidden(
        f'{kind.plural}.{kind.group}{name} is forbidden: User "{request.caller.user}" may not write it: {refusal}{who}',
        kind=kind.plural,
        group=kind.group,
        name=request.name,
    )
