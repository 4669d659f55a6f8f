"""Accounts of members, join tokens and inspection credentials that the bus lost: its server was replaced, its directory emptied or restored from before a join;
and those that are signed by a key of the host that was replaced.

Every few seconds the server is asked which accounts it holds, and is given what lacks: until then the member's agents are
refused, whatever they do. Between looks nothing is read: which account a member has is known once its secret was read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from services.registry import clusters, direct
from services.registry.derived import DerivedAccounts
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.api.kinds import CLUSTER
from skerry.controller.controller import After
from skerry.identity.jwt import same_account
from skerry.informer import Change
from skerry.service import Context

log = logging.getLogger("skerry.registry")

ROUND_S = 10.0
"""Between two looks at what the server holds."""
AT_ONCE = 16
ROUND = ""
"""The key of the look at all; the others are names of members."""


class _Known(NamedTuple):
    """What is known of a member's account."""

    cluster: str
    """uid of its Cluster."""
    account: str
    """Its public key; empty where a member needs none."""
    issuers: tuple[str, ...]
    """Whose signatures the bus has of it."""


class Accounts:
    """Has the server hold the account of every member, living join token and inspection credential, in the replica that leads."""

    def __init__(
        self,
        context: Context[RegistrySettings, Any],
        registry: RegistryStore,
        derived: tuple[DerivedAccounts, ...],
        ending: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`ending(name)` is told of members with keys that are to be revoked, when they are read first."""
        self._registry, self._derived, self._ending = registry, derived, ending
        authority = registry.authority
        self._assumed = () if authority.public.replacements else authority.issuers
        """By whom accounts are signed that this process did not make; unknown while a key is replaced."""
        self._accounts: dict[str, _Known] = {}
        self._derived_by = self._assumed
        self._offered = False
        """Whether the bus was seen to hold the account HOST as this version makes it."""
        self._unread: set[str] = set()
        """Members whose account is not known yet."""
        self._held: frozenset[str] = frozenset()
        self.controller = context.controller("accounts", self.reconcile, workers=AT_ONCE, leader=True)
        context.closing.callback(registry.cache.add_event_handler(CLUSTER, self._seen))
        for item in registry.members():
            self._seen(Change(item.revision, None, item))
        self.controller.add(ROUND)

    def _seen(self, change: Change) -> None:
        """Called inline by the cache: members that come and go; a change of one that is known is nothing."""
        item = change.new or change.old
        if item is None or item.name == clusters.HOST:
            return
        name = item.name
        known = self._accounts.get(name)
        if known is not None and known.cluster == item.uid and change.new is not None:
            return
        self._accounts.pop(name, None)
        (self._unread.discard if change.new is None else self._unread.add)(name)

    async def reconcile(self, key: str) -> After | None:
        """Look at all members, or at one. StatusError."""
        if key != ROUND:
            await self._look(key)
            return None
        if not self._offered:
            await self._offer()
        self._held = frozenset(await self._registry.resolver.accounts())
        if len(self._unread) > AT_ONCE:
            await self._read()
        for name in self._unread:
            self.controller.add(name)
        issuers = self._registry.authority.issuers
        for name, known in self._accounts.items():
            if known.account and (known.account not in self._held or known.issuers != issuers):
                self.controller.add(name)
        for accounts in self._derived:
            await accounts.restore(self._held, anew=self._derived_by != issuers)
        self._derived_by = issuers
        return After(ROUND_S)

    async def _offer(self) -> None:
        """A bus that an earlier version configured lacks what HOST offers to others since."""
        registry = self._registry
        ours = registry.authority.host_jwt
        if not same_account(await registry.resolver.claims(registry.authority.public.host), ours):
            await registry.resolver.push(ours)
            log.info("the bus held the account HOST of another version and was given this one's")
        self._offered = True

    async def _read(self) -> None:
        """Know the accounts of all that are there and held, a page at once: a question for each would hold up a start."""
        async for name, secret in self._registry.secrets.members():
            item = self._registry.cache.get(CLUSTER, name)
            if secret.replaced:
                self._ending(name)
            if (
                name in self._unread
                and item is not None
                and item.uid == secret.cluster
                and secret.account in self._held
            ):
                self._accounts[name] = _Known(item.uid, secret.account, self._assumed)
                self._unread.discard(name)

    async def _look(self, name: str) -> None:
        """Whoever joins or leaves just now is its handler's: the next round looks again."""
        registry, item = self._registry, self._registry.cache.get(CLUSTER, name)
        if item is None or clusters.is_leaving(document := item.document()):
            return
        account, issuers = "", registry.authority.issuers
        if not direct.is_direct(document):
            secret = await registry.secrets.member(name)
            if secret is None or secret.cluster != item.uid:
                return
            account = secret.account
            if secret.replaced:
                self._ending(name)
            known = self._accounts.get(name)
            by = self._assumed if known is None or known.account != account else known.issuers
            if account not in self._held:
                await registry.push_account(document, secret)
                log.warning("the bus did not hold an account and was given it", extra={"cluster": name})
            elif by != issuers:
                await registry.push_account(document, secret)
                log.info("a key of this host was replaced: an account was made anew", extra={"cluster": name})
        self._accounts[name] = _Known(item.uid, account, issuers)
        self._unread.discard(name)
