"""Join tokens: how one is made with an account of its own, and how both end.

The account (docs/adr/0025) follows from the token's id, and the id from the request that made it: a request that is repeated
makes the same token, and nothing but the object is kept. Both end by themselves; one that is revoked leaves a tombstone on
the bus until then, which cuts who uses it.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from services.registry import clusters
from services.registry import tokens as rules
from services.registry.clock import Clock, wall_and_mono
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.admission import Admitted, Rules
from skerry.api.kinds import JOIN_TOKEN
from skerry.api.messages import FORMAT, Token, WriteRequest
from skerry.api.meta import Document
from skerry.api.times import seconds
from skerry.controller.controller import After, Controller
from skerry.errors import NotFound, ServiceUnavailable, StatusError
from skerry.identity import jointoken
from skerry.informer import View
from skerry.service import Context
from skerry.storage import Item

log = logging.getLogger("skerry.registry")

AFTERLIFE_S = 300
"""A bearer can still ask for so long after its token has ended, to be told so in words and not by a cut connection."""
KEEP_S = 3600.0
"""A join token whose time is over is shown for so long."""
AT_MOST_S = 60.0
"""Between two looks at a join token: clocks are set, and its end is by the wall's."""
NO_ADDRESS = (
    "no address is known under which members reach the bus of this host, so a token would lead nowhere: set bus.addresses "
    "(helm upgrade), or wait until Service skerry-bus has the address of a load balancer"
)
_IDS = uuid.UUID("8f1c6a0e-6a8e-4a35-9d53-0d7b1c1d9a52")


class TokenRules(Rules):
    """Writes of JoinTokens: the secret is made here, shown in the answer to create, and forgotten."""

    def __init__(self, registry: RegistryStore, clock: Clock = wall_and_mono) -> None:
        super().__init__()
        self._registry = registry
        self._clock = clock

    async def admit(self, document: Document, request: WriteRequest) -> Admitted:
        """An account that may ask on `join.<jti>` only, a bearer in it, and the JoinToken that stands for both. Invalid,
        ServiceUnavailable."""
        now = self._clock().wall
        uid = uuid.uuid5(_IDS, request.request_id)
        registry, settings = self._registry, self._registry.settings
        servers = settings.bus_addresses
        if not servers and settings.bus_public_file is not None:
            raise ServiceUnavailable(NO_ADDRESS)
        admitted = rules.admit_token(document, uid, datetime.fromtimestamp(now, UTC))
        if not request.options.dry_run:
            await registry.resolver.push(_account(registry, admitted.document))
        token = Token(
            format=jointoken.WITH_PATTERN if admitted.spec.pattern else FORMAT,
            host=settings.host_name,
            host_uid=settings.host_uid,
            name=admitted.spec.cluster_name,
            pattern=admitted.spec.pattern,
            jti=admitted.jti,
            jwt=registry.authority.join_bearer(admitted.jti, max(int(admitted.expires - now), 1) + AFTERLIFE_S),
            servers=servers,
            ca=registry.ca_pem,
            expires=admitted.expires,
        )
        return Admitted(admitted.document, {"token": jointoken.encode(token)})

    async def after_delete(self, current: Item, request: WriteRequest) -> None:
        """Cut who uses it now; if that fails the object stays, marked, and the controller tries again."""
        try:
            await end(self._registry, current.document(), self._clock().wall)
        except StatusError as error:
            log.warning("the end of a token is not finished", extra={"token": current.name, "error": error.message})


def _account(registry: RegistryStore, document: Document) -> str:
    """The JWT of the account of a token that is not over."""
    expires, uses = int(_expires(document)) + AFTERLIFE_S, document["spec"].get("uses", 1)
    return registry.authority.join_account(rules.jti_of(document), expires, uses)


async def restore(
    registry: RegistryStore, document: Document, held: frozenset[str], now: float, *, anew: bool = False
) -> None:
    """Give the bus the account of a living token, if it does not hold it, or `anew` as it is signed now. StatusError."""
    if not _has_account(document) or _expires(document) + AFTERLIFE_S <= now:
        return
    name, account = document["metadata"]["name"], registry.authority.token_account(rules.jti_of(document))
    if (account in held and not anew) or clusters.is_leaving(document):
        return
    await registry.resolver.push(_account(registry, document))
    if account not in held:
        log.warning("the bus did not hold the account of a join token and was given it", extra={"token": name})
    stored = await registry.tokens.find(name)
    if stored is None or stored.uid != document["metadata"]["uid"] or clusters.is_leaving(stored.document()):
        await registry.resolver.push(registry.authority.token_tombstone(rules.jti_of(document)))


async def end(registry: RegistryStore, document: Document, now: float) -> None:
    """End the account of a token that is marked for deletion, then the token. Idempotent. StatusError."""
    jti = rules.jti_of(document)
    if _expires(document) + AFTERLIFE_S <= now:
        # No server takes it any more, also one that was down: it has an end.
        await registry.resolver.delete(registry.authority, [registry.authority.token_account(jti)])
    else:
        await registry.resolver.push(registry.authority.token_tombstone(jti))
    metadata = document["metadata"]
    await registry.tokens.finalize(metadata["name"], metadata["uid"], clusters.FINALIZER)


def _has_account(document: Document) -> bool:
    """False for a token that was made when all shared the account JOIN."""
    return clusters.FINALIZER in document["metadata"].get("finalizers", ())


def tokens(context: Context[RegistrySettings, Any]) -> Controller[str]:
    """Join tokens go an hour after their time is over, and when they are revoked."""
    reconcile = partial(look, context.state.registry, context.informer, context.state.clock)
    return context.follow(JOIN_TOKEN, context.controller("jointokens", reconcile))


async def look(registry: RegistryStore, informer: View, clock: Clock, name: str) -> After | None:
    """End the join token `name` if it is marked for deletion, mark it if it has been over for KEEP_S. StatusError."""
    item = informer.get(JOIN_TOKEN, name)
    if item is None:
        return None
    document = item.document()
    if clusters.is_leaving(document):
        if _has_account(document):
            await end(registry, document, clock().wall)
        return None
    left = _expires(document) + KEEP_S - clock().wall
    if left > 0:
        return After(min(left, AT_MOST_S))
    try:
        await registry.tokens.delete(name, uid=item.uid)
    except NotFound:
        log.debug("another replica was faster", extra={"token": name})
    return None


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


def _expires(document: Document) -> float:
    try:
        return seconds(document["status"]["expires"])
    except (KeyError, TypeError, ValueError):
        return 0.0
