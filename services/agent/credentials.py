"""The agent's credentials in time: renewed before they end, and another key in the place of its own where that is wanted.

Another key is wanted by the host, which says so in the answers to heartbeats until it has happened, or by the agent's own people,
who leave a file; one that was begun is finished, whatever ended the process in between. New streams come with the new key. What
was replaced stays good until its streams have ended, and then the host is told that it may be revoked: again until it has heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from services.agent import membership as members
from services.agent.generation import Generation
from services.agent.membership import Removed
from services.agent.model import HostClock, backoff_s, renewal_due
from services.agent.store import AgentStore, Membership
from skerry.api.messages import RekeyOrder
from skerry.errors import SkerryError, StatusError
from skerry.identity.creds import Credentials

log = logging.getLogger("skerry.agent")

QUIET_S = 60.0
"""A refused connection asks for a renewal at once, but not again within this after one that succeeded."""
LOOK_S = 1.0
"""Between two looks whether the agent's own people want another key."""


class CredentialKeeper:
    """Of one membership. Tasks must run what `renewals` and `rekeys` are; `renewed` is set when there are other credentials."""

    def __init__(
        self,
        store: AgentStore,
        membership: Membership,
        clock: HostClock,
        generations: Sequence[Generation],
        look_s: float,
    ) -> None:
        """`generations` are those that live, the newest last, at any time; `look_s` is the time between two looks at state that
        is shared with other replicas."""
        self._look_s = look_s
        self._store, self._membership, self._clock, self._generations = store, membership, clock, generations
        self.nkey = store.key().public
        """The agent's own key, public."""
        self.replaced = ""
        """The one that it had before in this process."""
        self.renewed = asyncio.Event()
        self.expires = 0
        """When what was loaded last ends, Unix seconds; 0 if it does not."""
        self._refused, self._news = asyncio.Event(), asyncio.Event()
        self._order = RekeyOrder()
        self._left: set[str] = set()
        """Keys that were replaced and may not be revoked yet, as far as is known."""
        self._at_once: set[str] = set()
        """Of these, those whose connections are to be cut."""
        self._one = asyncio.Lock()
        """Whoever changes what is stored: a renewal would write the key of before over the next one."""

    def load(self) -> Credentials:
        """For the next connection. StatusError: then a renewal writes them anew."""
        self.renewed.clear()
        try:
            credentials = self._store.user()
        except StatusError:
            self.refused()
            raise
        self.expires = credentials.expires or 0
        return credentials

    def refused(self) -> None:
        """The bus does not take them, or they cannot be read."""
        self._refused.set()

    def ordered(self, order: RekeyOrder | None) -> None:
        """What the host says about keys; None if it says nothing, or knows nothing of this."""
        self._order = order or RekeyOrder()
        self._left |= {old for old, new in self._order.replaced.items() if new == self.nkey}
        if self._wanted or self._left:
            self._news.set()

    def changed(self) -> None:
        """A generation came or went: earlier ones that still drain may have to end now, and one that was made while the key was
        replaced, or whose two connections have two keys, is followed by another."""
        if self._generations and self._generations[-1].nkey == self.nkey:
            for generation in self._generations[:-1]:
                if self.cuts(generation) and generation.acceptor.draining:
                    generation.reset("the agent's key was replaced, at once")
        if self._generations and self._generations[-1].nkeys & self._left:
            self.renewed.set()
        self._news.set()

    def cuts(self, generation: Generation) -> bool:
        """Whether a generation is not to be left until its streams end."""
        return bool(generation.nkeys & self._at_once)

    # Renewal

    async def renewals(self) -> None:
        """Until cancelled. Raises Removed."""
        attempt, renewed_at = 0, float("-inf")
        while True:
            await self._due()
            if attempt or time.monotonic() - renewed_at < QUIET_S:
                await asyncio.sleep(backoff_s(attempt, random.random()))  # noqa: S311 - jitter
            if await self._attempt(self._renew, "credentials cannot be renewed yet"):
                attempt, renewed_at = 0, time.monotonic()
                self._refused.clear()
                self.renewed.set()
                log.info("credentials are renewed")
            else:
                attempt += 1
                self._refused.set()

    async def _renew(self) -> None:
        async with self._one:
            if not await self._store.refresh() or self._seconds_left() <= 0:
                await members.renew(self._store, self._membership, self._clock)
            self._learn()

    # Other replicas

    async def comparisons(self) -> None:
        """Look each minute whether another replica renewed or replaced what is kept, or somebody emptied it. Raises StateError
        when the state is not this process's any more."""
        while True:
            await asyncio.sleep(self._look_s * (0.9 + random.random() / 5))  # noqa: S311 - jitter
            try:
                await self._compare()
            except StatusError as e:
                log.warning("the agent's state cannot be read now", extra={"reason": e.message})

    async def _compare(self) -> None:
        async with self._one:
            before = self._user()
            if not await self._store.refresh():
                return
            self._learn()
            if self._user() != before:
                self.renewed.set()

    def _user(self) -> str:
        """The stored JWT; empty if there is none that can be read."""
        try:
            return self._store.user().jwt
        except StatusError:
            return ""

    async def _attempt(self, work: Callable[[], Awaitable[object]], otherwise: str) -> bool:
        """One attempt. Whatever fails (a full disk, a host that does not know us now) may be over at the next; Removed
        alone is the end."""
        try:
            await work()
        except Removed:
            raise
        except (SkerryError, OSError) as e:
            log.warning(otherwise, extra={"reason": e.message if isinstance(e, StatusError) else str(e)})
        except Exception:
            log.exception(otherwise)
        else:
            return True
        return False

    async def _due(self) -> None:
        """Until two thirds of the credentials' life are over, or a connection was refused because of them."""
        while (left := self._seconds_left()) > 0:
            try:
                async with asyncio.timeout(min(left, 3600.0)):
                    await self._refused.wait()
            except TimeoutError:
                continue
            return

    def _seconds_left(self) -> float:
        """Until a renewal is due. Credentials that cannot be read are due: a renewal writes them anew."""
        try:
            claims = self._store.user().claims
        except StatusError as e:
            log.warning("the stored credentials cannot be read", extra={"reason": str(e)})
            return 0.0
        due = renewal_due(claims.iat, claims.exp) if claims.exp else float("inf")
        return due - self._clock.host(time.monotonic())

    # Another key

    async def rekeys(self) -> None:
        """Until cancelled. Raises Removed."""
        attempt = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            self._news.clear()
            if not self._generations:
                continue
            done = True
            if self._wanted:
                done = await self._attempt(self._rekey, "the agent's key cannot be replaced yet")
            if done and self._over:
                done = await self._attempt(
                    self._retire, "the host has not heard that a replaced key is not used any more"
                )
            attempt = 0 if done else attempt + 1
            if attempt:
                await asyncio.sleep(backoff_s(attempt - 1, random.random()))  # noqa: S311 - jitter

    @property
    def _wanted(self) -> bool:
        return self.nkey in self._order.keys or self._store.wants_rekey

    async def _rekey(self) -> None:
        at_once = self._order.at_once and self.nkey in self._order.keys
        async with self._one:
            await self._store.finish_rekey()
            if self._store.key().public == self.nkey:
                await members.rekey(self._generations[-1].interactive, self._store, self._membership, self._clock)
            self._learn()
        if at_once:
            self._at_once |= self._left
        self.renewed.set()

    def _learn(self) -> None:
        """Whether the key that is stored is another one than before."""
        new = self._store.key().public
        if new != self.nkey:
            log.info("the agent has another key", extra={"agent": new, "before": self.nkey})
            self._left.add(self.nkey)
            self.nkey, self.replaced = new, self.nkey

    @property
    def _used(self) -> frozenset[str]:
        return frozenset().union(*(generation.nkeys for generation in self._generations))

    @property
    def _over(self) -> bool:
        """Whether a replaced key is used no longer, and there is a connection with the agent's own on which to say so. Where other
        replicas share the key nobody knows that of them: the host ends it after the longest session."""
        return (
            not self._store.is_shared and bool(self._left - self._used) and self._generations[-1].nkeys == {self.nkey}
        )

    async def _retire(self) -> None:
        used = self._used - {self.nkey}
        connection = self._generations[-1].interactive
        await members.retire(connection, self._store, self._membership, used, self._clock)
        self._left &= used
        self._at_once &= used
