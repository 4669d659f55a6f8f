"""`trust-root`: what members and services of the host believe the host by.

Agents are told of a new one, signed by the old one, in the answer to a heartbeat, and say so in the next; the registry notes
who has it. The host signs with the old one until `finish`: an agent believes both by then, or is lost. Then what is signed and
kept is signed anew, front doors have their keys certified by the new one, and the old one is believed by nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from skerry.bus import Bucket, Entry
from skerry.cli.keys.rotation import KeyStanding, Root, Show, state_of
from skerry.desired.entry import opened, signed
from skerry.errors import Conflict, StatusError
from skerry.identity.federation import Authority
from skerry.identity.keyfiles import KeyFiles
from skerry.identity.trust import is_signed
from skerry.storage.sealed import Keyring, Unreadable

KEY, MEMBERS = "assertion", "member."
SETTLE_S = 20.0
"""Longer than a front door takes to have its key certified anew: 10 s, and 5 more for an answer."""


class _MemberTrust(msgspec.Struct, frozen=True):
    """The part of a member's secret that is read (services/registry/secrets.py)."""

    agents: dict[str, float] = {}
    roots: dict[str, str] = {}


class TrustRootKey:
    """What it signs is believed by agents, so who has moved is told by them."""

    name = "trust-root"

    def __init__(
        self, files: KeyFiles, authority: Authority, keyring: Keyring, secrets: Bucket, desired: Bucket,
        settle_s: float = SETTLE_S, check: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """`check` raises Failure if services would not see another root."""
        self._files, self._authority, self._keyring = files, authority, keyring
        self._secrets, self._desired, self._settle_s = secrets, desired, settle_s
        self._check = check

    async def look(self) -> KeyStanding:
        """By what agents said."""
        replacement = self._files.public().replacements.get(KEY)
        total, missing = 0, []
        async for entry in _all(self._secrets, f"{MEMBERS}>"):
            try:
                member = msgspec.json.decode(
                    self._keyring.opened(entry.key, entry.value or b"").value, type=_MemberTrust
                )
            except (Unreadable, msgspec.DecodeError):
                missing.append(f"{entry.key.removeprefix(MEMBERS)} (its secret cannot be read)")
                total += 1
                continue
            total += len(member.agents)
            if replacement is not None:
                name = entry.key.removeprefix(MEMBERS)
                missing += [
                    f"{name} (agent {agent[:8]})"
                    for agent in member.agents
                    if member.roots.get(agent) != replacement.new
                ]
        moved = total - len(missing)
        return KeyStanding(
            key=self.name,
            made=self._files.made(KEY),
            state=state_of(rotating=replacement is not None, moved=moved, total=total),
            moved=moved,
            total=total,
            missing=tuple(sorted(missing)),
        )

    async def begin(self, root: Root) -> None:
        """Agents are told of it from here on, and services believe both."""
        self._check()
        self._files.begin(KEY, root, time.time())

    async def move(self, show: Show) -> KeyStanding:
        """Nothing is moved here: agents say what they have with their heartbeats."""
        return await self.look()

    async def drop(self, show: Show) -> None:
        """Sign with the new one, have signed anew what is kept, then have nobody believe the old one."""
        self._files.use(KEY)
        used = self._files.used_at(KEY)
        await self._sign_anew(show)
        while (left := min(used + self._settle_s - time.time(), self._settle_s)) > 0:
            show(f"key {self.name}: waiting {left:.0f} s until front doors are certified by the new one")
            await asyncio.sleep(min(left, 1.0))
        await self._sign_anew(show)
        self._files.disbelieve(KEY)
        self._files.end(KEY)

    async def _sign_anew(self, show: Show) -> None:
        """What members should have, as far as the old one signed it; until nothing is found."""
        done, unsigned = 0, True
        while unsigned:
            unsigned = False
            async for entry in _all(self._desired, ">"):
                if entry.value is None or self._by(entry, (self._authority.active(KEY),)):
                    continue
                if not self._by(entry, self._authority.trust_roots()):
                    continue
                unsigned = True
                done += await self._signed(entry)
                show(f"key {self.name}: {done} entries of desired state signed anew")

    def _by(self, entry: Entry, roots: tuple[str, ...]) -> bool:
        try:
            opened(entry.key, entry.value or b"", lambda data, signature: is_signed(roots, data, signature))
        except StatusError:
            return False
        return True

    async def _signed(self, entry: Entry) -> bool:
        roots = self._authority.trust_roots()
        wanted = opened(entry.key, entry.value or b"", lambda data, signature: is_signed(roots, data, signature))
        after = msgspec.structs.replace(wanted, previous=entry.revision)
        try:
            await self._desired.update(
                entry.key, signed(entry.key, after, self._authority.assertion_root.sign), entry.revision
            )
        except Conflict:
            return False
        return True


async def _all(bucket: Bucket, prefix: str) -> AsyncIterator[Entry]:
    after, more = 0, True
    while more:
        page = await bucket.changes(prefix, after)
        for entry in page.entries:
            after = entry.revision
            if entry.value is not None:
                yield entry
        more = page.more
