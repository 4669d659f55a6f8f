"""Everything that the registry keeps and can reach: its kinds, its secrets, the servers' resolver."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from services.registry import clusters
from services.registry.model import Now
from services.registry.secrets import MemberSecret, Secrets
from services.registry.settings import RegistrySettings
from skerry.api.kinds import CLUSTER
from skerry.api.meta import Document
from skerry.errors import AlreadyExists, Conflict, NotFound
from skerry.identity.federation import Authority, MemberAccount
from skerry.identity.resolver import Resolver
from skerry.informer import View
from skerry.storage import Item, Store

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
    cache: View
    secrets: Secrets
    resolver: Resolver

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
        """Who has joined with this physical cluster; a claim whose join never came to a Cluster becomes void."""
        claim, revision = await self.secrets.claimed(cluster_uid)
        if claim is None:
            return ""
        if claim.at + HALF_MADE_S < now.wall and await self.cluster(claim.name) is None:
            await self.secrets.unclaim(cluster_uid, revision)
            return ""
        return claim.name

    async def confirmed(self, cluster: Item, cluster_uid: str, now: Now) -> str:
        """Who has this physical cluster now that `cluster` was created for it. A join that stalled for longer than claims keep
        had its claim voided, and another may hold it: then `cluster` is taken back."""
        claim = await self.secrets.confirm(cluster_uid, cluster.name, now.wall)
        if claim.name != cluster.name:
            with contextlib.suppress(NotFound, Conflict):
                await self.clusters.delete(cluster.name, uid=cluster.uid)
            await self.clusters.finalize(cluster.name, cluster.uid, clusters.FINALIZER)
        return claim.name

    def account(self, name: str, secret: MemberSecret) -> MemberAccount:
        """The member's account with a JWT of now."""
        known = MemberAccount(name=name, public=secret.account, seed=secret.seed.encode(), jwt="")
        return self.authority.member_account(name, known=known)

    async def claim_host(self, now: Now) -> None:
        """Be the one host of this store. Conflict, naming the first, if another one is."""
        settings = self.settings
        try:
            await self.clusters.create(clusters.host(settings.host_name, settings.host_uid, now))
        except AlreadyExists as error:
            first = (await self.clusters.get(clusters.HOST)).document()
            if clusters.uid_of(first) != settings.host_uid:
                name = first["metadata"].get("annotations", {}).get(clusters.HOST_NAME, "")
                raise Conflict(
                    f"this bus already has a host, {name!r} (UID {clusters.uid_of(first)}, since "
                    f"{first['metadata']['creationTimestamp']}); {settings.host_name!r} (UID {settings.host_uid}) cannot "
                    "be a second one: give it a bus of its own, or use the first host's state"
                ) from error
