"""How the registry reaches API servers: those of direct members with the credential that it was given, that of the cluster
which it runs in with its own.

Which cluster that is, is found out once and claimed as a member's is, so that it cannot join besides; from then on another
one that answers is not served, until an administrator says that the host was moved.
"""

from __future__ import annotations

from typing import NamedTuple

from services.registry import clusters, direct
from services.registry.clock import Clock
from services.registry.settings import RegistrySettings
from services.registry.store import RegistryStore
from skerry.api.meta import Document
from skerry.member import checks, hostcluster, identity
from skerry.member.credentials import source
from skerry.member.identity import Expected, WrongCluster
from skerry.member.role import HOST
from skerry.member.upstream import Upstream
from skerry.storage import Item

CONNECTIONS = 4
"""For the question which cluster it is."""


class ApiConnection(NamedTuple):
    """An API server, as it is reached now."""

    upstream: Upstream
    revision: int
    """Of the credential that the host was given; 0 for its own."""
    expires: float | None
    """When that ends, Unix seconds; None if it does not, or is renewed by others."""


class Upstreams:
    """See the module."""

    def __init__(self, registry: RegistryStore, clock: Clock) -> None:
        self._registry, self._clock = registry, clock

    async def opened(self, item: Item, uid: str, *, connections: int) -> ApiConnection | None:
        """The API server of a Cluster that the host reaches itself, whose physical cluster is `uid`; None: there is no credential
        (yet). Its user closes it. KubeconfigError, CredentialError, StatusError."""
        expected = Expected(uid, item.name, self._registry.settings.host_uid)
        if clusters.is_host(item.document()):
            return ApiConnection(self._own(connections, expected), 0, None) if uid else None
        connection = await self._registry.secrets.connection(item.uid)
        if connection is None:
            return None
        target = connection.target
        upstream = Upstream(target, source(target), connections=connections, role=HOST, expected=expected)
        return ApiConnection(upstream, connection.revision, direct.expires_of(target))

    def _own(self, connections: int, expected: Expected | None = None) -> Upstream:
        return hostcluster.connected(
            self._registry.settings.host_kubeconfig, connections=connections, expected=expected
        )

    async def located(self, item: Item) -> str:
        """UID of the physical cluster. The host's own is asked of it, claimed and stored if it is not known, or an administrator
        says that it is another one. WrongCluster, TakenOver, RightsMissing, KubeconfigError, CredentialError, StatusError."""
        document = item.document()
        known, said = clusters.uid_of(document), clusters.said_uid(document)
        if not clusters.is_host(document) or (known and said in ("", known)):
            return known
        upstream = self._own(CONNECTIONS)
        try:
            metadata = await checks.kube_system_of(upstream)
            uid = checks.uid_of(metadata, upstream)
            expected = Expected(said or uid, item.name)
            if uid != expected.uid:
                raise identity.moved(expected, uid, upstream.url)
            owner, host = identity.owner_of(metadata)
            if owner not in ("", self._registry.settings.host_uid):
                raise identity.taken_over(expected, owner, host, upstream.url, upstream.role)
        finally:
            await upstream.close()
        await self._claim(uid)
        await self._registry.clusters.modify(item.name, lambda document: clusters.located(document, uid))
        if known:
            await self._registry.unclaim(known, item.name)
        return uid

    async def _claim(self, uid: str) -> None:
        """For the host, unless a member has it. WrongCluster."""
        now = self._clock()
        owner = (
            await self._registry.owner(uid, now)
            or (await self._registry.secrets.claim(uid, clusters.HOST, now.wall)).name
        )
        if owner != clusters.HOST:
            raise WrongCluster(
                f"the cluster that this host runs in (kube-system UID {uid}) has joined already, as {owner!r}: remove it there, and "
                f"it is managed as {clusters.HOST!r}: skerry cluster remove {owner}; or leave it so, with manageHost: false",
                uid,
            )


async def settled(registry: RegistryStore, clock: Clock) -> None:
    """Have the Cluster of the host connected as the settings say. StatusError."""
    mode = connection_of(registry.settings)
    before = await registry.get_cluster(clusters.HOST)
    if clusters.mode_of(before) == mode:
        return

    def change(document: Document) -> Document | None:
        return None if clusters.mode_of(document) == mode else clusters.connected(document, mode, clock())

    await registry.clusters.modify(clusters.HOST, change)
    if uid := clusters.uid_of(before):
        await registry.unclaim(uid, clusters.HOST)


def connection_of(settings: RegistrySettings) -> str:
    """How the Cluster of the host is connected, by the settings."""
    managed = settings.manage_host or settings.host_kubeconfig is not None
    return clusters.IN_CLUSTER if managed else clusters.NO_CONNECTION
