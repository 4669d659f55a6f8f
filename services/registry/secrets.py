"""The bucket `secrets`: accounts of members and keys of their agents, and the credentials of direct members, encrypted,
readable by the registry alone.

Values are sealed under a key from a file (skerry/storage/sealed.py), so that a copy of the store (a backup, a stolen disk of
the bus) is not a copy of the federation's keys, and a value cannot be moved to another member.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TypeVar

import msgspec

from skerry.bus import Bucket
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.member.kubeconfig import DirectConnection, Target
from skerry.storage.sealed import Keyring, Unreadable

BUCKET = "secrets"
_MEMBER = "member."

T = TypeVar("T")


class ReplacedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that an agent has had."""

    by: str
    """The key that the agent has now; empty if it has none, because it was revoked."""
    at: float
    """When, seconds since the epoch."""


class MemberSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret of a member: the account that its agents live in, and which agents there are."""

    cluster: str
    """uid of its Cluster object: another one after it was removed and joined again."""
    account: str
    """Public nkey of the account."""
    seed: str
    agents: dict[str, float] = {}
    """Public nkey -> since when it is one of the member's, seconds since the epoch."""
    replaced: dict[str, ReplacedKey] = {}
    """Public nkey -> what became of it, until servers were told that it is revoked: `services.registry.agentkeys`."""
    revoked: dict[str, float] = {}
    """Public nkey -> since when it is refused, for as long as the account lives."""
    roots: dict[str, str] = {}
    """Public nkey -> the newest trust root that this agent has; kept while the root is replaced (`skerry keys` reads it)."""

    def has(self, nkey: str) -> bool:
        """Whether a key is good: one of an agent, or one that is replaced and not revoked."""
        return nkey not in self.revoked and (nkey in self.agents or nkey in self.replaced)

    def __repr__(self) -> str:
        return f"MemberSecret({self.account})"


class Evicted(msgspec.Struct, frozen=True, kw_only=True):
    """An account whose tombstone must stay on every server, and the proof that ends the agents which lived in it."""

    name: str
    account: str
    jwt: str
    """The tombstone; empty in the proof that is kept under an agent's key."""
    at: float
    farewell: str = ""
    """What its agents were told; empty in records of earlier versions."""


class ClusterClaim(msgspec.Struct, frozen=True, kw_only=True):
    """That a physical cluster is the member `name`, claimed at `at`, seconds since the epoch."""

    name: str
    at: float


class Secrets:
    """Typed access to the bucket."""

    def __init__(self, bucket: Bucket, keyring: Keyring) -> None:
        self._bucket = bucket
        self._keyring = keyring

    async def member(self, name: str) -> MemberSecret | None:
        """The secret of a member, or None."""
        return (await self._read(f"{_MEMBER}{name}", MemberSecret))[0]

    async def members(self) -> AsyncIterator[tuple[str, MemberSecret]]:
        """The secret of each member, hundreds a question; what cannot be decrypted is left out, and `member` says why."""
        after, more = 0, True
        while more:
            page = await self._bucket.changes(f"{_MEMBER}>", after)
            more = page.more
            for entry in page.entries:
                after = entry.revision
                if entry.value is not None:
                    with contextlib.suppress(Unreadable):
                        yield entry.key.removeprefix(_MEMBER), self._opened(entry.key, entry.value, MemberSecret)

    async def change(self, name: str, change: Callable[[MemberSecret | None], MemberSecret]) -> MemberSecret:
        """Read, change, write, and again if somebody else was faster."""
        while True:
            before, revision = await self._read(f"{_MEMBER}{name}", MemberSecret)
            after = change(before)
            if after == before:
                return after
            try:
                await self._write(f"{_MEMBER}{name}", after, revision)
            except (Conflict, AlreadyExists):
                continue
            return after

    async def believes(self, name: str, roots: Mapping[str, str]) -> None:
        """Keep which root these agents of a member have; nothing for a member that is not there. Conflict: again."""
        secret, revision = await self._read(f"{_MEMBER}{name}", MemberSecret)
        if secret is None:
            return
        known = {agent: root for agent, root in {**secret.roots, **roots}.items() if agent in secret.agents}
        if known != secret.roots:
            await self._write(f"{_MEMBER}{name}", msgspec.structs.replace(secret, roots=known), revision)

    async def drop(self, name: str, buried: MemberSecret) -> None:
        """Forget a member as it was buried; what it became since, or a later one of that name, stays. Idempotent."""
        secret, revision = await self._read(f"{_MEMBER}{name}", MemberSecret)
        if secret == buried:
            await self._purge(f"{_MEMBER}{name}", revision)

    async def claim(self, cluster_uid: str, name: str, now: float) -> ClusterClaim:
        """Claim a physical cluster for a name; the claim that holds, which is another one if ours came late."""
        return await self._claim(cluster_uid, name, now, lambda holder: True)

    async def confirm(self, cluster_uid: str, name: str, now: float) -> ClusterClaim:
        """Claim a physical cluster anew for the name that has a Cluster by now; the claim that holds, which is another one if
        ours became void and somebody else's came first. It is written again: whoever is about to void it then fails."""
        return await self._claim(cluster_uid, name, now, lambda holder: holder != name)

    async def _claim(self, cluster_uid: str, name: str, now: float, stands: Callable[[str], bool]) -> ClusterClaim:
        """Write a claim, unless there is one that `stands`, by the name that holds it."""
        while True:
            before, revision = await self.claimed(cluster_uid)
            if before is not None and stands(before.name):
                return before
            try:
                await self._write(_uid_key(cluster_uid), ClusterClaim(name=name, at=now), revision)
            except (Conflict, AlreadyExists):
                continue
            return ClusterClaim(name=name, at=now)

    async def claimed(self, cluster_uid: str) -> tuple[ClusterClaim | None, int]:
        """The claim on a physical cluster and its revision."""
        return await self._read(_uid_key(cluster_uid), ClusterClaim)

    async def unclaim(self, cluster_uid: str, revision: int) -> None:
        """Give up the claim of that revision; a later one stays. Idempotent."""
        await self._purge(_uid_key(cluster_uid), revision)

    # Connections of direct members, by the uid of their Cluster objects

    async def connection(self, object_uid: str) -> DirectConnection | None:
        """How a direct member is reached, or None."""
        return (await self._read(_connection_key(object_uid), DirectConnection))[0]

    async def keep_connection(self, object_uid: str, target: Target) -> DirectConnection:
        """Store how a direct member is reached, as one more revision; the answer has its number."""
        while True:
            before, revision = await self._read(_connection_key(object_uid), DirectConnection)
            number = 1 if before is None else before.revision + 1
            after = DirectConnection(cluster=object_uid, revision=number, target=target)
            try:
                await self._write(_connection_key(object_uid), after, revision)
            except (Conflict, AlreadyExists):
                continue
            return after

    async def drop_connection(self, object_uid: str) -> None:
        """Destroy how a direct member is reached. Idempotent."""
        connection, revision = await self._read(_connection_key(object_uid), DirectConnection)
        if connection is not None:
            await self._purge(_connection_key(object_uid), revision)

    async def bury(self, evicted: Evicted, agents: Iterable[str]) -> None:
        """Keep a tombstone, under the account (servers that were down get it when they are back) and under the key of
        each agent that had it (which is told so when it asks). Idempotent."""
        await self.prove(evicted, agents)
        await self._keep_evicted(evicted.account, evicted)

    async def prove(self, evicted: Evicted, agents: Iterable[str]) -> None:
        """Keep under the keys of agents that they are no longer of that account. Idempotent."""
        proof = msgspec.structs.replace(evicted, jwt="")
        for agent in agents:
            await self._keep_evicted(agent, proof)

    async def _keep_evicted(self, public: str, record: Evicted) -> None:
        before, revision = await self._read(f"evicted.{public}", Evicted)
        if before is None or before.account != record.account:
            with contextlib.suppress(Conflict, AlreadyExists):
                await self._write(f"evicted.{public}", record, revision)

    async def evicted(self, public: str) -> Evicted | None:
        """The tombstone of an account, or of the account that an agent's key was evicted with last."""
        return (await self._read(f"evicted.{public}", Evicted))[0]

    async def _purge(self, key: str, revision: int) -> None:
        try:
            await self._bucket.purge(key, revision)
        except (Conflict, NotFound):
            return

    async def _read(self, key: str, kind: type[T]) -> tuple[T | None, int]:
        entry = await self._bucket.get(key)
        if entry is None or entry.value is None:
            return None, 0
        return self._opened(key, entry.value, kind), entry.revision

    def _opened(self, key: str, value: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self._keyring.opened(key, value).value, type=kind)
        except msgspec.DecodeError as error:
            raise Unreadable(f"the secret {key} is of another version of skerry") from error

    async def _write(self, key: str, value: object, revision: int) -> None:
        data = self._keyring.seal(key, msgspec.json.encode(value))
        await (self._bucket.update(key, data, revision) if revision else self._bucket.create(key, data))


def _connection_key(object_uid: str) -> str:
    return f"direct.{object_uid}"


def _uid_key(cluster_uid: str) -> str:
    """UIDs come from members: their digest is a key whatever they hold."""
    return f"uid.{hashlib.sha256(cluster_uid.encode()).hexdigest()}"
