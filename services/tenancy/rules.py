"""Writes of Credentials, Workspaces, AccessGrants, AccessRequests, Settings, IdentityProviders and Revocations.

A credential's token is made here, shown in the answer to create, and forgotten.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from services.tenancy import (
    contents,
    granted,
    grants,
    hostsettings,
    model,
    namespaces,
    providers,
    requesting,
    requests,
    revocations,
    workspaces,
)
from services.tenancy.controllers import TenancyContext
from services.tenancy.writers import Writers
from skerry.admission import Admitted, Rules
from skerry.api.identities import revocation_name
from skerry.api.kinds import ACCESS_GRANT, ACCESS_REQUEST, CREDENTIAL, IDENTITY_PROVIDER, REVOCATION, WORKSPACE
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.names import TOKEN_PREFIX
from skerry.controller.garbage import collector
from skerry.controller.timers import sleep
from skerry.errors import Conflict, Forbidden
from skerry.service import Context
from skerry.storage import Item, utc_now


def new_token() -> str:
    """A bearer token: `skerry_` and 43 base64url characters."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


class CredentialRules(Rules):
    """Admission of Credentials."""

    def __init__(self, context: Context[Any, Any], *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(context)
        self._clock, self._informer, self._timers = clock, context.informer, context.timers
        self._writers = Writers(context.informer, lambda: context.state.granted.access)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new token, and the Credential that stands for it. Conflict for a user who is disabled; Forbidden for longer than who asks
        administers the host.
        """
        await self._free(str(document["spec"]["user"]))
        token = new_token()
        admitted = model.admit(document, token, self._clock())
        self._writers.check_lasting(CREDENTIAL, request, model.expires(admitted), "set spec.ttl")
        return Admitted(admitted, {"token": token})

    async def _free(self, user: str) -> None:
        """Wait, for less than a second, until what is made for a user is newer than what was taken back."""
        await self._informer.current()
        item = self._informer.get(REVOCATION, revocation_name(user)) if user.isprintable() else None
        if item is None:
            return
        wait_s = revocations.free_in_s(item.document(), self._clock().timestamp())
        if wait_s is None:
            raise Conflict(
                f"user {user!r} is disabled by Revocation {item.name}: delete that first (kubectl delete revocation {item.name})"
            )
        await sleep(self._timers, min(wait_s, 1.0))


class WorkspaceRules(Rules):
    """Admission of Workspaces."""

    def __init__(self, context: TenancyContext) -> None:
        super().__init__(context)
        self._informer, self._bucket = context.informer, context.bucket
        self._writers = Writers(context.informer, lambda: context.state.granted.access)

    async def before_change(self, current: Item, request: WriteRequest) -> None:
        """Its admins and administrators of the host change it."""
        await self._informer.current()
        self._writers.touch_workspace(request, current)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        await self._informer.current()
        admitted = workspaces.admit(document, {}, self._writers.is_among(document))
        self._writers.check_workspace(request, None, document)
        return Admitted(_ready(admitted))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        admitted = workspaces.admit(document, current, self._writers.is_among(document))
        self._writers.check_workspace(request, current, document)
        uids = partial(granted.uid_of, self._informer)
        return Admitted(_ready(namespaces.rewritten(admitted, uids, partial(self._may_name, request, current))))

    def _may_name(self, request: WriteRequest, current: Document, document: Document, place: namespaces.Place) -> bool:
        """Whether who asks could name a namespace that the workspace had not."""
        try:
            self._writers.check_workspace(request, namespaces.without(current, place), document)
        except Forbidden:
            return False
        return True

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Administrators of the host delete it, and the collector of what has no owner any more."""
        if request.caller != collector(WORKSPACE):
            await self._informer.current()
            self._writers.touch_workspace(request, current, deletes=True)

    async def holds(self, current: Item, request: WriteRequest) -> tuple[str, ...]:
        """What is in its namespace."""
        return await contents.holding(self._bucket, current.name)


def _ready(workspace: Document) -> Document:
    """With its status, where that is known as it is written: it names no namespaces."""
    if workspace["spec"].get("namespaces"):
        return workspace
    return namespaces.with_status(workspace, [], time.time())


class GrantRules(Rules):
    """Admission of AccessGrants."""

    def __init__(self, context: TenancyContext, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(context)
        self._informer, self._clock = context.informer, clock
        self._writers = Writers(context.informer, lambda: context.state.granted.access)

    async def before_change(self, current: Item, request: WriteRequest) -> None:
        """Who could have written it changes it."""
        await self._informer.current()
        self._writers.touch_grant(request, current)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        await self._informer.current()
        admitted = grants.admit(document, self._clock(), partial(granted.uid_of, self._informer))
        self._writers.check_grant(request, None, document)
        return Admitted(admitted)

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        admitted = grants.change(current, document, self._clock(), partial(granted.uid_of, self._informer))
        self._writers.check_grant(request, current, document)
        return Admitted(admitted)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """Who could have written it deletes it, and the collector of what has no owner any more."""
        if request.caller != collector(ACCESS_GRANT):
            await self._informer.current()
            self._writers.touch_grant(request, current)


class RequestRules(Rules):
    """Admission of AccessRequests."""

    def __init__(self, context: Context[Any, Any], *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(context)
        self._informer, self._clock = context.informer, clock
        context.informer.index(ACCESS_REQUEST, requesting.REQUESTER, requesting.requester)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one; or one of the caller's that says it already, and is open. Conflict, TooManyRequests."""
        await self._informer.current()
        now, user = self._clock(), request.caller.user
        asked = requests.admit(document, user, requesting.terms(self._informer), now)
        requests.check_grants(asked, granted.document_of(self._informer, ACCESS_GRANT, asked["metadata"]["name"]))
        own = [item.document() for item in self._informer.lookup(ACCESS_REQUEST, requesting.REQUESTER, user)]
        covering = requests.covering(own, asked, now.timestamp())
        if covering is not None:
            return Admitted(covering, warnings=(requests.said_already(covering),), instead=True)
        requests.check_bounds(own, user, now.timestamp())
        return Admitted(asked)


class SettingRules(Rules):
    """Admission of Settings."""

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        return Admitted(hostsettings.admit(document))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        return Admitted(hostsettings.admit(document))


class ProviderRules(Rules):
    """Admission of IdentityProviders."""

    def __init__(self, context: Context[Any, Any]) -> None:
        super().__init__(context)
        self._informer = context.informer
        self._writers = Writers(context.informer, lambda: context.state.granted.access)

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        return Admitted(await self._checked(document, document, request))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        return Admitted(await self._checked(current, document, request))

    async def _checked(self, current: Document, document: Document, request: WriteRequest) -> Document:
        """The provider as it may be stored. Forbidden for who administers the host for a while: it names whom it likes for ever."""
        admitted = providers.admit(document, await self._others(current))
        self._writers.check_lasting(IDENTITY_PROVIDER, request, math.inf, "ask one who administers it without an end")
        return admitted

    async def _others(self, document: Document) -> list[Document]:
        """All other providers, as they are now."""
        await self._informer.current()
        name = document["metadata"].get("name", "")
        return [item.document() for item in self._informer.list(IDENTITY_PROVIDER) if item.name != name]


class RevocationRules(Rules):
    """Admission of Revocations."""

    def __init__(self, context: object = None, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(context)
        self._clock = clock

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        return Admitted(revocations.admit(document, self._clock()))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        return Admitted(revocations.change(current, document, self._clock()))
