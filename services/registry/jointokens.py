"""Join tokens: how one is made with an account of its own (docs/adr/0025), and how one ends with which somebody floods this host.

The account follows from the token's id, and the id from the request that made it: a request that is repeated makes the same
token (`derived` has the rest).
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from services.registry import clusters
from services.registry import tokens as rules
from services.registry.clock import Clock, wall_and_mono
from services.registry.derived import DerivedAccounts
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.admission import Admitted, Rules
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import FORMAT, Token, WriteRequest
from skerry.api.meta import Document
from skerry.controller.controller import Controller
from skerry.errors import NotFound
from skerry.identity import jointoken
from skerry.identity.federation import Authority
from skerry.service import Context
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

_IDS = uuid.UUID("8f1c6a0e-6a8e-4a35-9d53-0d7b1c1d9a52")


class TokenMaker:
    """The accounts of join tokens: each may ask on `join.<jti>`."""

    kind = JOIN_TOKEN
    afterlife_s = 300
    """A bearer can still ask for so long after its token has ended, to be told so in words and not by a cut connection."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    def jwt(self, document: Document, ends: int) -> str:
        """As many may use it at once as the token says."""
        return self._authority.join_account(rules.jti_of(document), ends, document["spec"].get("uses", 1))

    def public(self, document: Document) -> str:
        """The key of its account."""
        return self._authority.token_account(rules.jti_of(document))

    def tombstone(self, document: Document) -> str:
        """What revokes it."""
        return self._authority.token_tombstone(rules.jti_of(document))


class TokenRules(Rules):
    """Writes of JoinTokens: the secret is made here, shown in the answer to create, and forgotten."""

    def __init__(self, registry: RegistryStore, accounts: DerivedAccounts, clock: Clock = wall_and_mono) -> None:
        super().__init__()
        self._registry, self._accounts, self._clock = registry, accounts, clock

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """An account that may ask on `join.<jti>` only, a bearer in it, and the JoinToken that stands for both. Invalid,
        ServiceUnavailable."""
        now = self._clock().wall
        uid = uuid.uuid5(_IDS, request.request_id)
        registry, settings = self._registry, self._registry.settings
        servers = registry.addresses()
        admitted = rules.admit_token(document, uid, datetime.fromtimestamp(now, UTC))
        if not request.options.dry_run:
            await self._accounts.push(admitted.document)
        token = Token(
            format=jointoken.WITH_PATTERN if admitted.spec.pattern else FORMAT,
            host=settings.host_name,
            host_uid=settings.host_uid,
            name=admitted.spec.cluster_name,
            pattern=admitted.spec.pattern,
            jti=admitted.jti,
            jwt=registry.authority.join_bearer(
                admitted.jti, max(int(admitted.expires - now), 1) + TokenMaker.afterlife_s
            ),
            servers=servers,
            ca=registry.ca_pem,
            expires=admitted.expires,
        )
        return Admitted(admitted.document, {"token": jointoken.encode(token)})

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """Cut who uses it now."""
        await self._accounts.end_soon(current.document())


class TokenFloods:
    """Revokes the join token with which somebody floods this host."""

    def __init__(self, context: Context[RegistrySettings, Any], registry: RegistryStore) -> None:
        self._registry, self._recorder = registry, context.recorder
        self.controller: Controller[str] = context.controller("tokenfloods", self.revoke)

    def flooded(self, jti: str) -> None:
        """Somebody floods with the token of this id."""
        self.controller.add(jti)

    async def revoke(self, jti: str) -> None:
        """The server is told first, on a connection of its own: answers of the store wait behind what the flood has left in
        front of this process. StatusError.
        """
        registry, name = self._registry, rules.parse_jti(jti)[0]
        await registry.resolver.push(registry.authority.token_tombstone(jti))
        item = registry.cache.get(JOIN_TOKEN, name)
        if item is None or rules.jti_of(document := item.document()) != jti or clusters.is_leaving(document):
            return
        log.warning("a join token is revoked: somebody floods this host with it", extra={"token": name})
        why = "revoked: somebody asked with it hundreds of times a second; make a new one"
        self._recorder.warning(document, "Flooded", why)
        with suppress(NotFound):
            await registry.tokens.delete(name, uid=item.uid)
