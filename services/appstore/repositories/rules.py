"""Admission of AppRepositories, and what whoever may change one may ask of it: another credential, a sync."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from services.appstore.credentials import KeptCredential, check, type_of
from services.appstore.parts import AppStoreContext, AppStoreState
from services.appstore.repositories.outcome import requested
from services.appstore.repositories.spec import problems, spec_of
from services.appstore.rules import StoreRules
from services.appstore.settings import AppStoreSettings
from skerry.admission import Admitted
from skerry.admission.prepare import invalid_object
from skerry.api.appstore import RepositoryCredential, RepositorySyncRequest
from skerry.api.kinds import APP_REPOSITORY, Kind
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.names import POOL
from skerry.errors import Forbidden
from skerry.http.outbound import OutboundError
from skerry.service.spec import ActionHandler
from skerry.storage import Item

ELSEWHERE = (
    "the credential of this repository is for {place}, and is not shown to its new address: set it anew (skerry app repo add, or "
    "PUT apprepositories/NAME/credential)"
)


class RepositoryRules(StoreRules):
    """See the module."""

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """A new one."""
        await super().admit(document, request)
        self._administered(request)
        return Admitted(self._checked(document))

    async def admit_update(self, current: Document, document: Document, request: WriteRequest) -> Admitted:
        """A changed one."""
        self._checked(document)
        credential = (current.get("status") or {}).get("credential") or {}
        before, after = _place(current), _place(document)
        moved = credential.get("present") and before != after
        return Admitted(document, warnings=(ELSEWHERE.format(place=before),) if moved else ())

    async def before_change(self, current: Item, request: WriteRequest) -> None:
        """Forbidden in the pool to who does not administer the host."""
        await super().before_change(current, request)
        self._administered(request)

    async def before_delete(self, current: Item, request: WriteRequest) -> None:
        """The same."""
        self._administered(request)

    def _administered(self, request: WriteRequest) -> None:
        check_pool(self._context, request)

    def _checked(self, document: Document) -> Document:
        network = (self.switch.store.get("spec") or {}).get("network") or {}
        wrong = list(problems(document, plain_http=network.get("plainHTTP") is True))
        if wrong:
            raise invalid_object(document, wrong)
        return document


def check_pool(context: AppStoreContext, request: WriteRequest) -> None:
    """Forbidden in the pool to who does not administer the host."""
    if request.namespace == POOL and not context.state.people.administers(request.caller):
        raise Forbidden(
            f"repositories of the pool ({POOL}) are everybody's, so administrators of the host alone change them; in a workspace of "
            "yours you may have your own"
        )


def _place(document: Document) -> str:
    try:
        scheme, host, port = spec_of(document).origin.place
    except OutboundError:
        return ""
    return f"{scheme}://{host}:{port}"


# Actions


async def set_credential(context: AppStoreContext, request: WriteRequest, body: RepositoryCredential) -> Document:
    """Seal what the repository's server is shown from now on; it is looked at with that at once."""
    item = await _asked(context, request)
    check(body)
    credentials = context.state.credentials
    await credentials.keep(item.uid, KeptCredential(place=spec_of(item.document()).origin.place, credential=body))
    store = context.store(APP_REPOSITORY)
    if (after := await store.find(request.name, request.namespace)) is None or after.uid != item.uid:
        await credentials.drop(item.uid)
        raise store.not_found(request.name)
    return await _changed(context, request, {"credential": {"present": True, "type": type_of(body)}})


async def forget_credential(context: AppStoreContext, request: WriteRequest, body: None) -> Document:
    """Forget it; also while the store is off."""
    check_pool(context, request)
    item = await context.store(APP_REPOSITORY).get(request.name, request.namespace)
    await context.state.credentials.drop(item.uid)
    return await _changed(context, request, {"credential": {"present": False}})


async def ask_for_sync(context: AppStoreContext, request: WriteRequest, body: RepositorySyncRequest) -> Document:
    """Have it looked at now. One that is under way is joined."""
    await _asked(context, request)
    return await _changed(context, request, {})


async def _asked(context: AppStoreContext, request: WriteRequest) -> Item:
    """The repository that somebody may change now."""
    await context.state.switch.check()
    check_pool(context, request)
    return await context.store(APP_REPOSITORY).get(request.name, request.namespace)


async def _changed(
    context: AppStoreContext, request: WriteRequest, status: Document, now: Callable[[], float] = time.time
) -> Document:
    """The repository with this in its status, to be looked at."""

    def changed(document: Document) -> Document:
        asked = requested(document, now())
        return {**asked, "status": {**asked["status"], **status}}

    return (await context.store(APP_REPOSITORY).modify(request.name, changed, request.namespace)).document()


ACTIONS: Mapping[tuple[Kind, str, str], ActionHandler[AppStoreSettings, AppStoreState]] = {
    (APP_REPOSITORY, "credential", "update"): set_credential,
    (APP_REPOSITORY, "credential", "delete"): forget_credential,
    (APP_REPOSITORY, "sync", "create"): ask_for_sync,
}
