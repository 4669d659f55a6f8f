"""Inspection credentials: how one is made with an account of its own, and ends with what its user had.

The account follows from the credential's id (`derived`), and only what lies open to administrators of the host anyway may be
asked from it (skerry/identity/inspection.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from services.registry import clusters
from services.registry.clock import Clock
from services.registry.derived import DerivedAccounts
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.admission import Admitted, Rules
from skerry.admission.conform import FieldError, forbidden, invalid_value
from skerry.admission.prepare import invalid_object
from skerry.api import duration
from skerry.api.identities import revocation_name, taken_back
from skerry.api.inspection import InspectionCredential, InspectionCredentialSpec
from skerry.api.kinds import INSPECTION_CREDENTIAL, REVOCATION
from skerry.api.messages import WriteRequest
from skerry.api.meta import Document
from skerry.api.times import rfc3339, seconds
from skerry.api.validation import is_label
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound
from skerry.identity.federation import Authority
from skerry.identity.inspection import InspectionAccounts
from skerry.informer import View
from skerry.service import Context
from skerry.storage import Item

LONGEST = "24h"
OF_USER = "user"
"""Index of credentials by the name of the Revocation that ends them."""
_IDS = uuid.UUID("5e0c7f2b-44fb-4f0e-8a55-0b6b0a7f4e11")


class InspectionMaker:
    """The accounts of inspection credentials."""

    kind = INSPECTION_CREDENTIAL
    afterlife_s = 0

    def __init__(self, authority: Authority) -> None:
        self._accounts = InspectionAccounts(authority)

    def jwt(self, document: Document, ends: int) -> str:
        """All that there is to see, until then."""
        return self._accounts.jwt(credential_id(document), ends)

    def public(self, document: Document) -> str:
        """The key of its account."""
        return self._accounts.public(credential_id(document))

    def tombstone(self, document: Document) -> str:
        """What revokes it."""
        return self._accounts.tombstone(credential_id(document))


class InspectionRules(Rules):
    """Writes of InspectionCredentials: the secret is made here, shown in the answer to create, and forgotten."""

    def __init__(self, registry: RegistryStore, accounts: DerivedAccounts, clock: Clock) -> None:
        super().__init__()
        self._registry, self._accounts, self._clock = registry, accounts, clock

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """An account, a user in it, and the object that stands for both. Invalid, ServiceUnavailable."""
        now, servers = self._clock().wall, self._registry.addresses()
        uid = uuid.uuid5(_IDS, request.request_id)
        admitted = admit_credential(document, uid, request.caller.user, datetime.fromtimestamp(now, UTC))
        if not request.options.dry_run:
            await self._accounts.push(admitted)
        ttl_s = max(int(seconds(admitted["status"]["expires"]) - now), 1)
        user = InspectionAccounts(self._registry.authority).user(credential_id(admitted), ttl_s)
        revealed = {
            "creds": user.text().decode(),
            "servers": servers,
            "ca": self._registry.ca_pem,
            "inboxPrefix": user.inbox,
        }
        return Admitted(admitted, revealed)

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """Cut who uses it now."""
        await self._accounts.end_soon(current.document())


def admit_credential(document: Document, uid: uuid.UUID, caller: str, now: datetime) -> Document:
    """The object to store: validated, defaulted, with its uid and expiry. Invalid names each wrong field."""
    spec = msgspec.convert(document, InspectionCredential).spec
    problems = [*_problems(spec, caller), *_metadata_problems(document["metadata"])]
    if problems:
        raise invalid_object(document, problems)
    metadata = {**document["metadata"], "uid": str(uid), "finalizers": [clusters.FINALIZER]}
    metadata.setdefault("name", f"inspection-{uid.hex[:8]}")
    expires = now + timedelta(seconds=duration.parse(spec.ttl))
    return {
        **document,
        "metadata": metadata,
        "spec": {"user": caller, "ttl": spec.ttl},
        "status": {"expires": rfc3339(expires)},
    }


def credential_id(document: Document) -> str:
    """The id of a credential on the bus."""
    metadata = document["metadata"]
    return f"{metadata['name']}_{metadata['uid'].replace('-', '')}"


def inspections(context: Context[RegistrySettings, Any]) -> Controller[str]:
    """Credentials go when they are deleted, an hour after their time is over, and at once when what their user has is taken back."""
    registry, accounts = context.state.registry, context.state.inspections
    context.informer.index(INSPECTION_CREDENTIAL, OF_USER, _revoked_by)
    reconcile = partial(look, registry, accounts, context.informer)
    controller = context.follow(INSPECTION_CREDENTIAL, context.controller(INSPECTION_CREDENTIAL.plural, reconcile))
    return context.follow(REVOCATION, controller, partial(_ended_by, context.informer))


async def look(registry: RegistryStore, accounts: DerivedAccounts, informer: View, name: str) -> After | None:
    """End the credential `name` if its time is over, or what its user got until then was taken back. StatusError."""
    item = informer.get(INSPECTION_CREDENTIAL, name)
    if item is not None and not clusters.is_leaving(document := item.document()):
        revocation = informer.get(REVOCATION, revocation_name(document["spec"]["user"]))
        created = seconds(document["metadata"]["creationTimestamp"])
        if revocation is not None and created <= taken_back(revocation.document()):
            try:
                await registry.inspections.delete(name, uid=item.uid)
            except NotFound:
                return None
    return await accounts.reconcile(name)


def _revoked_by(item: Item) -> Iterator[str]:
    yield revocation_name(item.document()["spec"]["user"])


def _ended_by(informer: View, revocation: Item) -> Iterator[str]:
    return (item.name for item in informer.lookup(INSPECTION_CREDENTIAL, OF_USER, revocation.name))


def _problems(spec: InspectionCredentialSpec, caller: str) -> Iterator[FieldError]:
    if spec.user not in ("", caller):
        yield forbidden("spec.user", f"a credential is for who makes it, and that is {caller}: leave it out")
    try:
        duration.bounded(spec.ttl, LONGEST)
    except ValueError as error:
        yield invalid_value("spec.ttl", spec.ttl, str(error))


def _metadata_problems(metadata: Document) -> Iterator[FieldError]:
    if metadata.get("finalizers"):
        yield forbidden("metadata.finalizers", "nobody could take them off a credential again")
    if "name" in metadata and not is_label(metadata["name"]):
        yield invalid_value("metadata.name", metadata["name"], "use a DNS label: a-z, 0-9 and -, at most 63 characters")
