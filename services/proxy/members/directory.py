"""What the proxy looks up on every request: credentials and members, as small values beside the cache.

The cache keeps bytes. Decoding a document per request would cost more than the rest of authentication, so the two
kinds that every request asks about are decoded once per change.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from services.proxy.authn import CachedCredential, DelegationScope, ProviderVersion, RevokedUser
from skerry.access import held
from skerry.api import v1alpha1
from skerry.api.identities import IdentityProvider, Revocation, revocation_name
from skerry.api.kinds import CLUSTER, CREDENTIAL, IDENTITY_PROVIDER, REVOCATION
from skerry.api.kinds.access import ADMIN, CLUSTER_ADMIN
from skerry.api.messages import Caller
from skerry.api.stored import stored
from skerry.api.times import seconds
from skerry.informer import Change, Informer

log = logging.getLogger("skerry.proxy")

_STRONG = frozenset((ADMIN, CLUSTER_ADMIN))
_credential = stored(v1alpha1.Credential)
_cluster = stored(v1alpha1.Cluster)
_provider = stored(IdentityProvider)
_revocation = stored(Revocation)
QUARANTINED = ("Quarantined", "True")
"""The condition that the registry sets on members that flood, and its status."""


class MemberRoute(NamedTuple):
    """The part of a Cluster that routing needs."""

    name: str
    uid: str
    """Of the Cluster object: another one after it was removed and joined again."""
    connection: str
    """agent, direct, in-cluster or none."""
    away_since: str
    """RFC 3339, if the registry says that it is not ready; else empty."""
    message: str
    """Why it is not ready, for people."""
    reason: str = ""
    """The same as one word."""
    revision: int = 0
    """Of a direct member's credential."""
    cluster: str = ""
    """UID of the physical cluster, as it was when it joined; of the host's own, as the registry saw it."""
    quarantine: str = ""
    """Why it is quarantined, for people; empty if it is not."""


class Directory:
    """Credentials and members by name. `changed` is called after each change of either, `left` when a member went: its
    Cluster was removed, or is another one or another way to it now.
    """

    def __init__(
        self, cache: Informer, changed: Callable[[], None], left: Callable[[MemberRoute], None] = lambda member: None
    ) -> None:
        self._cache = cache
        self._changed = changed
        self._left = left
        self._credentials: dict[str, CachedCredential] = {}
        self._given: dict[str, dict[str, CachedCredential]] = {}
        """By user and name: their own credentials that give built-in groups."""
        self._members: dict[str, MemberRoute] = {}
        self._providers: dict[str, ProviderVersion] = {}
        self._revoked: dict[str, RevokedUser] = {}
        cache.add_event_handler(CREDENTIAL, self._take_credential)
        cache.add_event_handler(CLUSTER, self._take_member)
        cache.add_event_handler(IDENTITY_PROVIDER, lambda change: self._take(change, self._providers, provider_of))
        cache.add_event_handler(REVOCATION, lambda change: self._take(change, self._revoked, revoked_of))

    def credential(self, name: str) -> CachedCredential | None:
        """The Credential of that name, expired or not."""
        return self._credentials.get(name)

    def strong_credentials(self) -> Iterator[CachedCredential]:
        """Those with a built-in group by which others may be given something, expired or not."""
        own = (each for given in self._given.values() for each in given.values())
        return (each for each in own if not _STRONG.isdisjoint(each.caller.groups))

    def own(self, user: str) -> Iterable[CachedCredential]:
        """Those that give a user built-in groups, expired or not, and are no delegations."""
        return self._given.get(user, {}).values()

    def provider(self, name: str) -> ProviderVersion | None:
        """The IdentityProvider of that name, as this process knows it."""
        return self._providers.get(name)

    def revoked(self, user: str) -> RevokedUser | None:
        """What was taken back from a user, if anything. Almost nobody is in the table, and then it costs nothing."""
        return self._revoked.get(revocation_name(user)) if self._revoked else None

    def member(self, name: str) -> MemberRoute | None:
        """The Cluster of that name, as this process knows it."""
        return self._members.get(name)

    def uid(self, name: str) -> str:
        """The uid of a Cluster object; empty if there is none."""
        member = self._members.get(name)
        return "" if member is None else member.uid

    async def find(self, name: str) -> MemberRoute | None:
        """Like `member`, but an absence is believed only of a cache that is current: a member may just have joined."""
        if name not in self._members:
            await self._cache.current()
        return self._members.get(name)

    async def current(self) -> None:
        """Wait until everything is known that was stored before this call. ServiceUnavailable, GatewayTimeout."""
        await self._cache.current()

    def _take_credential(self, change: Change) -> None:
        item = change.old or change.new
        before = None if item is None else self._credentials.get(item.name)
        if before is not None and before.name in self._given.get(before.caller.user, {}):
            del self._given[before.caller.user][before.name]
            if not self._given[before.caller.user]:
                del self._given[before.caller.user]
        self._take(change, self._credentials, credential_of)
        after = None if change.new is None else self._credentials.get(change.new.name)
        if after is not None and after.delegation is None and held(after.caller):
            self._given.setdefault(after.caller.user, {})[after.name] = after

    def _take_member(self, change: Change) -> None:
        item = change.old or change.new
        before = None if item is None else self._members.get(item.name)
        self._take(change, self._members, member_of)
        if before is not None and not self.has(before):
            self._left(before)

    def has(self, member: MemberRoute) -> bool:
        """True if it is there still: the same Cluster, reached in the same way."""
        now = self._members.get(member.name)
        return now is not None and (now.uid, now.connection) == (member.uid, member.connection)

    def _take(self, change: Change, table: dict[str, Any], read: Callable[[bytes], Any]) -> None:
        item = change.new or change.old
        if item is None:
            return
        table.pop(item.name, None)
        if change.new is not None:
            try:
                entry = read(change.new.body)
                if entry is not None:
                    table[item.name] = entry
            except (msgspec.DecodeError, ValueError):
                log.exception("a stored object cannot be read", extra={"object": item.name})
        self._changed()


def credential_of(body: bytes) -> CachedCredential:
    """The Credential in a stored document. ValueError (or msgspec's) if it cannot be read."""
    document = _credential(body)
    expires = seconds(document.status.expires) if document.status.expires else 0.0
    issued = seconds(document.metadata.creation_timestamp) if document.metadata.creation_timestamp else 0.0
    caller = Caller(user=document.spec.user, groups=tuple(document.spec.groups))
    credential = CachedCredential(document.metadata.name, caller, expires, issued)
    delegation = document.spec.delegation
    if delegation is msgspec.UNSET:
        return credential
    of = f"{delegation.of.kind}/{delegation.of.namespace}/{delegation.of.name}"
    scope = DelegationScope(of, frozenset(delegation.clusters))
    return credential._replace(issued=min(issued, seconds(delegation.at)), delegation=scope)


def provider_of(body: bytes) -> ProviderVersion | None:
    """The version of a stored IdentityProvider; None for one that is going. msgspec.DecodeError if it cannot be read."""
    metadata = _provider(body).metadata
    if metadata.deletion_timestamp is not msgspec.UNSET:
        return None
    return ProviderVersion(metadata.name, metadata.uid, metadata.generation)


def revoked_of(body: bytes) -> RevokedUser:
    """The user in a stored Revocation. One that cannot be read takes everything back from whom its name says: to let somebody in
    by mistake is worse.
    """
    try:
        spec = _revocation(body).spec
        before = math.inf if spec.disabled or spec.before is msgspec.UNSET else seconds(spec.before)
    except (msgspec.DecodeError, ValueError):
        log.exception("a stored Revocation cannot be read, so all of its user's credentials are refused")
        return RevokedUser("", math.inf)
    return RevokedUser(spec.user, before)


def member_of(body: bytes) -> MemberRoute | None:
    """The Member in a stored Cluster document; None for one that is being removed: what the registry still has to do with it
    is no affair of clients. msgspec.DecodeError if it cannot be read.
    """
    document = _cluster(body)
    if document.metadata.deletion_timestamp is not msgspec.UNSET:
        return None
    ready = next((c for c in document.status.conditions if c.type == "Ready"), None)
    away = ready is not None and ready.status != "True"
    return MemberRoute(
        document.metadata.name,
        document.metadata.uid,
        document.spec.connection.mode,
        ready.last_transition_time if ready is not None and away else "",
        ready.message if ready is not None and away else "",
        ready.reason if ready is not None and away else "",
        _revision(document.status),
        document.status.uid if document.spec.role == "member" else document.status.cluster_uid,
        next((c.message for c in document.status.conditions if (c.type, c.status) == QUARANTINED), ""),
    )


def _revision(status: v1alpha1.ClusterStatus) -> int:
    return 0 if status.credentials is msgspec.UNSET else status.credentials.revision
