"""Everything that the registry keeps and can reach: its kinds, its secrets, the servers' resolver."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import skerry
from services.registry import clusters, joining
from services.registry.model import YEAR_3000, Now
from services.registry.secrets import MemberSecret, Secrets
from services.registry.settings import RegistrySettings
from skerry.api.agentlist import short_name
from skerry.api.conditions import awaits_approval
from skerry.api.kinds import CLUSTER
from skerry.api.messages import FORMAT, WITH_APPROVAL, JoinAnswer, RenewAnswer
from skerry.api.meta import Document
from skerry.errors import AlreadyExists, Conflict, Gone, NotFound, ServiceUnavailable
from skerry.identity.federation import Authority, MemberAccount
from skerry.identity.resolver import Resolver
from skerry.informer import View
from skerry.storage import Item, Store

NO_ADDRESS = (
    "no address is known under which others reach the bus of this host, so a token would lead nowhere: set bus.addresses "
    "(helm upgrade), or wait until Service skerry-bus has the address of a load balancer"
)
HALF_MADE_S = 30.0
"""A join that was interrupted keeps its physical cluster for its own name for so long."""


@dataclass(frozen=True, kw_only=True)
class RegistryStore:
    """The registry's adapters, made once by the composition root."""

    settings: RegistrySettings
    authority: Authority
    ca_pem: str
    """Authority of the bus's certificate: goes into join tokens."""
    clusters: Store
    tokens: Store
    inspections: Store
    cache: View
    secrets: Secrets
    resolver: Resolver

    def addresses(self) -> list[str]:
        """Where others reach the bus. ServiceUnavailable while that is not known."""
        servers = self.settings.bus_addresses
        if not servers and self.settings.bus_public_file is not None:
            raise ServiceUnavailable(NO_ADDRESS)
        return servers

    async def cluster(self, name: str) -> Document | None:
        """The stored Cluster, or None."""
        item = await self.clusters.find(name)
        return None if item is None else item.document()

    async def get_cluster(self, name: str) -> Document:
        """The stored Cluster. NotFound."""
        return (await self.clusters.get(name)).document()

    def members(self) -> list[Item]:
        """Clusters with the role member, as the cache has them."""
        return [item for item in self.cache.list(CLUSTER) if item.name != clusters.HOST]

    async def owner(self, cluster_uid: str, now: Now) -> str:
        """Who has joined with this physical cluster, the host itself if it runs in it and manages it; a claim whose join never
        came to a Cluster becomes void."""
        claim, revision = await self.secrets.claimed(cluster_uid)
        if claim is None:
            return ""
        if claim.at + HALF_MADE_S < now.wall and await self.cluster(claim.name) is None:
            await self.secrets.unclaim(cluster_uid, revision)
            return ""
        return claim.name

    async def unclaim(self, cluster_uid: str, name: str) -> None:
        """Give up the claim that a name has on a physical cluster. Idempotent."""
        claim, revision = await self.secrets.claimed(cluster_uid)
        if claim is not None and claim.name == name:
            await self.secrets.unclaim(cluster_uid, revision)

    async def confirmed(self, cluster: Item, cluster_uid: str, now: Now) -> str:
        """Who has this physical cluster now that `cluster` was created for it. A join that stalled for longer than claims keep
        had its claim voided, and another may hold it: then `cluster` is taken back."""
        claim = await self.secrets.confirm(cluster_uid, cluster.name, now.wall)
        if claim.name != cluster.name:
            with contextlib.suppress(NotFound, Conflict):
                await self.clusters.delete(cluster.name, uid=cluster.uid)
            await self.clusters.finalize(cluster.name, cluster.uid, clusters.FINALIZER)
        return claim.name

    async def secret_of(self, name: str, cluster: Document | None) -> MemberSecret | None:
        """The member's secret, unless it is left over from an earlier member of that name."""
        secret = await self.secrets.member(name)
        return None if secret is None or cluster is None or secret.cluster != cluster["metadata"]["uid"] else secret

    async def living(self, name: str, key: str) -> tuple[Document, MemberSecret]:
        """The Cluster and the secret of an agent that has not been removed or revoked. Gone on proof of that, ServiceUnavailable."""
        existing = await self.cluster(name)
        secret, host = await self.secret_of(name, existing), self.settings.host_name
        if secret is not None and key in secret.revoked:
            raise Gone(joining.agent_farewell(name, host, short_name(key)))
        if existing is None or clusters.is_leaving(existing) or secret is None or not secret.has(key):
            raise joining.not_renewable(name, host, evicted=await self.secrets.evicted(key))
        return existing, secret

    def account(self, cluster: Document, secret: MemberSecret, *, whole: bool = False) -> MemberAccount:
        """The member's account with a JWT of now: while it waits for approval, and not `whole` is said, it may only ask for that. A
        key that was revoked is so whatever the clock of whoever made its JWTs said. While it floods this host the bus takes none of
        its connections."""
        name = cluster["metadata"]["name"]
        known = MemberAccount(name=name, public=secret.account, seed=secret.seed.encode(), jwt="")
        return self.authority.member_account(
            name,
            known=known,
            pending=awaits_approval(cluster) and not whole,
            revoked=dict.fromkeys(secret.revoked, YEAR_3000),
            held=clusters.is_held(cluster),
        )

    def credentials(self, cluster: Document, secret: MemberSecret, key: str, now: float) -> RenewAnswer:
        """New credentials for an agent's key, as of a time in Unix seconds."""
        account = self.account(cluster, secret)
        return RenewAnswer(
            user_jwt=self.authority.member_user(account, key, self.settings.agent_ttl_s),
            renewal_jwt=self.authority.renewal_user(account, key),
            host_time=now,
        )

    async def push_account(self, cluster: Document, secret: MemberSecret) -> tuple[MemberAccount, bool]:
        """Have the bus hold a member's account as it is: again if it was changed or approved meanwhile, for whoever did that may
        have pushed it before; and as a tombstone if the member went. The account, and whether it waits for approval."""
        name, uid = cluster["metadata"]["name"], cluster["metadata"]["uid"]
        while True:
            account, pending = self.account(cluster, secret), awaits_approval(cluster)
            await self.resolver.push(account.jwt)
            again = await self.cluster(name) if pending else cluster
            stored = await self.secrets.member(name)
            if again is None or again["metadata"]["uid"] != uid or stored is None or stored.account != secret.account:
                break
            if (stored, awaits_approval(again)) == (secret, pending):
                break
            cluster, secret = again, stored
        evicted = await self.secrets.evicted(secret.account)
        if evicted is not None:
            await self.resolver.push(self.authority.tombstone(evicted.name, secret.account))
        return account, pending

    async def admitted(self, cluster: Document, secret: MemberSecret, key: str, now: float) -> JoinAnswer:
        """The answer to an agent that joined, whose account the bus has then: a member's, or one that waits for approval. Somebody
        may decide meanwhile, and what the bus has must be what is so in the end. StatusError."""
        name = cluster["metadata"]["name"]
        account, pending = await self.push_account(cluster, secret)
        authority, settings = self.authority, self.settings
        asking = authority.pending_user(account, key) if pending else ""
        return JoinAnswer(
            format=WITH_APPROVAL if pending else FORMAT,
            member=name,
            host=settings.host_name,
            host_uid=settings.host_uid,
            user_jwt=asking or authority.member_user(account, key, settings.agent_ttl_s),
            renewal_jwt=asking or authority.renewal_user(account, key),
            assertion_root=authority.assertion_root.public,
            host_time=now,
            host_version=skerry.__version__,
            pending=pending,
        )

    async def claim_host(self, now: Now) -> None:
        """Be the one host of this store. Conflict, naming the first, if another one is."""
        settings = self.settings
        try:
            await self.clusters.create(
                clusters.host(settings.host_name, settings.host_uid, clusters.NO_CONNECTION, now)
            )
        except AlreadyExists as error:
            first = (await self.clusters.get(clusters.HOST)).document()
            uid = str(first.get("status", {}).get("uid", ""))
            if uid != settings.host_uid:
                name = first["metadata"].get("annotations", {}).get(clusters.HOST_NAME, "")
                raise Conflict(
                    f"this bus already has a host, {name!r} (UID {uid}, since "
                    f"{first['metadata']['creationTimestamp']}); {settings.host_name!r} (UID {settings.host_uid}) cannot "
                    "be a second one: give it a bus of its own, or use the first host's state"
                ) from error
